/*
 * test_output.c - numbers that read back as they were, CSV quoting, and files whole or absent.
 */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output.h"
#include "support.h"

static void numbers_read_back_exactly(void **state) {
    (void)state;
    const double values[] = {0,     1,    -1,   0.1,    1.0 / 3,      1e-300, 123456789.25,
                             1e300, 1e15, 5e-9, 0.2738, 0.27374883234};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        cJSON *json = cJSON_CreateObject();
        add_number(json, "x", values[i]);
        char *text = cJSON_PrintUnformatted(json);
        cJSON *back = cJSON_Parse(text);
        assert_non_null(back);
        assert_true(cJSON_GetObjectItem(back, "x")->valuedouble == values[i]);
        cJSON_Delete(back);
        cJSON_free(text);
        cJSON_Delete(json);
    }
}

static void expect_json(cJSON *json, const char *expected) {
    char *text = cJSON_PrintUnformatted(json);
    assert_string_equal(text, expected);
    cJSON_free(text);
    cJSON_Delete(json);
}

static void json_has_integers_nulls_and_hashes(void **state) {
    (void)state;
    cJSON *json = cJSON_CreateObject();
    add_number(json, "whole", 34603008);
    add_number(json, "tenth", 0.1);
    add_number(json, "unknown", NAN);
    add_number(json, "endless", INFINITY);
    add_bytes(json, "bytes", SIZE_MAX);
    add_hash(json, "hash", 0xabc);
    expect_json(json, "{\"whole\":34603008,\"tenth\":0.1,\"unknown\":null,\"endless\":null,"
                      "\"bytes\":18446744073709551615,\"hash\":\"0000000000000abc\"}");
}

static void what_is_no_utf8_is_marked(void **state) {
    (void)state;
    static const char *const texts[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\x89", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\x89"},
        {"caf\xe9", "caf?"},
        {"caf\xe9 au lait", "caf? au lait"},
        {"\xc3", "?"},
        {"\xe2\x82", "??"},
        {"\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf", "?? ??? ????"}, /* too long for what they are */
        {"\xed\xa0\x80 \xf4\x90\x80\x80 \xf8\x88\x80\x80\x80", "??? ???? ?????"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s", texts[i][0]);
        make_readable(text);
        assert_string_equal(text, texts[i][1]);
    }
}

static void csv_is_quoted_where_it_must_be(void **state) {
    (void)state;
    struct printed printed;
    printed_open(&printed);
    csv_text(printed.file, true, "pool");
    csv_text(printed.file, false, "a,b");
    csv_text(printed.file, false, "say \"x\"");
    csv_number(printed.file, false, 12.5);
    csv_number(printed.file, false, NAN);
    csv_number(printed.file, false, 34603008);
    printed_expect(&printed, "pool,\"a,b\",\"say \"\"x\"\"\",12.5,,34603008");
}

static char directory[] = "/tmp/stepwell-test-output-XXXXXX";

static int make_directory(void **state) {
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state) {
    (void)state;
    return rmdir(directory);
}

static const char *in_directory(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void expect_file(const char *path, const char *expected) {
    char text[256] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

static void file_appears_whole_and_replaces(void **state) {
    (void)state;
    const char *path = in_directory("out.csv");
    for (int round = 0; round < 2; round++) {
        struct output_file output;
        assert_true(output_open(&output, path));
        fprintf(output.file, "round %d", round);
        fflush(output.file);
        assert_int_equal(access(path, F_OK), round == 0 ? -1 : 0); /* not there yet, or the old */
        assert_true(output_close(&output));
    }
    expect_file(path, "round 1");
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(status.st_mode & 0777, 0666 & ~mask);
    assert_int_equal(unlink(path), 0); /* and rmdir() later proves that nothing else was left */
}

static void failure_leaves_nothing(void **state) {
    (void)state;
    struct output_file output;
    assert_false(output_open(&output, in_directory("absent/out.json")));
    assert_true(output_open(&output, "/dev/full")); /* a device is written to, never replaced */
    fprintf(output.file, "x");
    assert_false(output_close(&output));
    assert_int_equal(access("/dev/full", F_OK), 0);
}

static void a_link_stays_and_leads_to_the_file(void **state) {
    (void)state;
    struct output_file output;
    char file[256], link[256];
    struct stat status;
    snprintf(file, sizeof file, "%s", in_directory("run.json"));
    snprintf(link, sizeof link, "%s", in_directory("latest.json"));
    assert_int_equal(symlink("run.json", link), 0);
    assert_true(output_check(link)); /* it leads nowhere yet */
    assert_true(output_open(&output, link));
    fprintf(output.file, "whole");
    assert_true(output_close(&output));
    assert_int_equal(lstat(link, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    expect_file(file, "whole");
    assert_int_equal(unlink(link) | unlink(file), 0);
}

static void write_text(const char *path, const char *text) {
    struct output_file output;
    assert_true(output_open(&output, path));
    fputs(text, output.file);
    assert_true(output_close(&output));
}

static void a_file_of_two_names_keeps_both(void **state) {
    (void)state;
    char file[256], other[256];
    snprintf(file, sizeof file, "%s", in_directory("one.json"));
    snprintf(other, sizeof other, "%s", in_directory("two.json"));
    write_text(file, "before");
    assert_int_equal(link(file, other), 0);
    write_text(file, "after");
    expect_file(other, "after");
    assert_int_equal(unlink(other) | unlink(file), 0);
}

static const uid_t nobody = 65534;

/* What root may do says nothing. */
static void a_file_that_is_not_to_be_written_stays(void **state) {
    (void)state;
    struct output_file output;
    const char *path = in_directory("kept.json");
    uid_t me = getuid();
    write_text(path, "kept");
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(directory, 0777), 0);
    assert_int_equal(me == 0 ? setresuid(nobody, nobody, 0) : 0, 0);
    bool promised = output_check(path), opened = output_open(&output, path);
    assert_int_equal(me == 0 ? setresuid(0, 0, 0) : 0, 0);
    assert_false(promised || opened);
    expect_file(path, "kept");
    assert_int_equal(unlink(path), 0);
}

static void two_names_of_one_file_are_seen(void **state) {
    (void)state;
    char file[256], other[256];
    snprintf(file, sizeof file, "%s", in_directory("out"));
    snprintf(other, sizeof other, "%s", in_directory("./out"));
    for (int there = 0; there < 2; there++) {
        assert_true(output_is_one_file(file, file));
        assert_true(output_is_one_file(file, other));
        assert_false(output_is_one_file(file, in_directory("other")));
        assert_false(output_is_one_file(file, in_directory("absent/out")));
        write_text(file, "there");
    }
    assert_int_equal(link(file, in_directory("other")), 0);
    assert_true(output_is_one_file(file, in_directory("other")));
    assert_int_equal(unlink(in_directory("other")) | unlink(file), 0);
    assert_true(output_is_one_file("out", "./out"));
    assert_false(output_is_one_file("/dev/null", "/dev/null")); /* takes both */
}

static void what_cannot_be_written_is_seen_before_the_work(void **state) {
    (void)state;
    assert_false(output_check(directory));
    assert_false(output_check(in_directory("absent/out.json")));
    assert_false(output_check(in_directory("")));
    assert_true(output_check("/dev/null"));
    assert_true(output_check(in_directory("new.json")));
    assert_int_equal(access(in_directory("new.json"), F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_read_back_exactly),
        cmocka_unit_test(json_has_integers_nulls_and_hashes),
        cmocka_unit_test(what_is_no_utf8_is_marked),
        cmocka_unit_test(csv_is_quoted_where_it_must_be),
        cmocka_unit_test(file_appears_whole_and_replaces),
        cmocka_unit_test(failure_leaves_nothing),
        cmocka_unit_test(a_link_stays_and_leads_to_the_file),
        cmocka_unit_test(a_file_of_two_names_keeps_both),
        cmocka_unit_test(a_file_that_is_not_to_be_written_stays),
        cmocka_unit_test(two_names_of_one_file_are_seen),
        cmocka_unit_test(what_cannot_be_written_is_seen_before_the_work),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
