/*
 * test_options.c - "key:value,key:value" into a configuration, and what is said of wrong ones.
 */
#include "support.h"

#include <limits.h>

#include "options.h"

static struct sw__config parsed(const char *conf) {
    struct sw__config config;
    char why[320] = "";
    sw__options_defaults(&config);
    if (!sw__options_parse(conf, &config, why, sizeof why))
        fail_msg("%s: %s", conf, why);
    return config;
}

static void nothing_said_means_the_defaults(void **state) {
    (void)state;
    static const char *const confs[] = {NULL, "", ",", ",,"};
    for (size_t i = 0; i < LENGTH_OF(confs); i++) {
        struct sw__config config = parsed(confs[i]);
        assert_true(config.tracking);
        assert_int_equal(config.huge_pages, SW__HUGE_AUTO);
        assert_int_equal(config.limit, 0);
    }
}

static void every_option_is_set(void **state) {
    (void)state;
    struct sw__config config = parsed("tracking:0,huge_pages:always,limit:12345");
    assert_false(config.tracking);
    assert_int_equal(config.huge_pages, SW__HUGE_ALWAYS);
    assert_int_equal(config.limit, 12345);
    assert_int_equal(parsed("huge_pages:never").huge_pages, SW__HUGE_NEVER);
    assert_int_equal(parsed("huge_pages:never,huge_pages:auto").huge_pages, SW__HUGE_AUTO);
    assert_true(parsed("tracking:true").tracking);
    assert_false(parsed("tracking:false").tracking);
}

static void bytes_have_suffixes(void **state) {
    (void)state;
    assert_int_equal(parsed("limit:3K").limit, 3 * KIB);
    assert_int_equal(parsed("limit:3k").limit, 3 * KIB);
    assert_int_equal(parsed("limit:7M").limit, 7 * MIB);
    assert_int_equal(parsed("limit:2G").limit, 2048 * MIB);
    assert_true(parsed("limit:18446744073709551615").limit == SIZE_MAX);
    assert_true(parsed("limit:17179869183G").limit == (size_t)17179869183 << 30);
}

static void wrong_ones_are_explained(void **state) {
    (void)state;
    static const struct {
        const char *conf, *mention;
    } wrong[] = {
        {"limt:1", "did you mean 'limit'"},
        {"TRACKING:1", "unknown option 'TRACKING'"},
        {"tracking:1,hugepages:auto", "did you mean 'huge_pages'"},
        {"x", "there are: "},
        {":1", "unknown option ''"},
        {"limit", "option 'limit' takes"},
        {"limit:", "not ''"},
        {"limit:1KB", "not '1KB'"},
        {"limit:K", "not 'K'"},
        {"limit: 1", "not ' 1'"},
        {"tracking:1,limit=1G", "written key:value, not 'limit=1G'"},
        {"limit:0x10", "not '0x10'"},
        {"limit:18446744073709551616", "takes a number of bytes"},
        {"limit:17179869184G", "takes a number of bytes"},
        {"tracking:yes", "takes 0 or 1"},
        {"tracking:10", "takes 0 or 1"},
        {"huge_pages:AUTO", "auto, never or always"},
        {"huge_pages:aut", "auto, never or always"},
    };
    for (size_t i = 0; i < LENGTH_OF(wrong); i++) {
        struct sw__config config;
        char why[320] = "";
        if (sw__options_parse(wrong[i].conf, &config, why, sizeof why))
            fail_msg("taken: %s", wrong[i].conf);
        if (!strstr(why, wrong[i].mention))
            fail_msg("%s: '%s' is not in: %s", wrong[i].conf, wrong[i].mention, why);
    }
}

static void what_is_right_beside_a_wrong_one_is_taken(void **state) {
    (void)state;
    struct sw__config config;
    char why[320];
    sw__options_defaults(&config);
    assert_false(
        sw__options_parse("limit:1K, limt:2K, retain:3K,checked:x", &config, why, sizeof why));
    assert_int_equal(config.limit, 1 << 10);
    assert_int_equal(config.retain, 3 << 10);
    assert_non_null(strstr(why, "'limt'"));
    assert_non_null(strstr(why, " (1 more is wrong as well)"));
    static const char wrong[] =
        "limit:4GB,retain:x,soft_limit:99999999999999999999,quarantine:64MB,"
        "tracking:no,huge_pages:NEVER";
    struct sw__config defaults;
    memset(&defaults, 0, sizeof defaults); /* what lies between the members too */
    memset(&config, 0, sizeof config);
    sw__options_defaults(&defaults);
    sw__options_defaults(&config);
    assert_false(sw__options_parse(wrong, &config, why, sizeof why));
    assert_non_null(strstr(why, " (5 more are wrong as well)"));
    assert_memory_equal(&config, &defaults, sizeof config);
}

static void options_belong_to_strategies(void **state) {
    (void)state;
    static const struct {
        const char *strategy, *conf, *unheeded;
    } cases[] = {
        {"auto", "limit:1G,retain:1M,huge_pages:never,background_thread:0", NULL},
        {"pool", "limit:1G,huge_pages:always,tracking:0,oom_report:1", NULL},
        {"system", "limit:0,retain:0,huge_pages:auto", NULL}, /* as they are anyway */
        {"pool", "limit:1G,soft_limit:1M", "'soft_limit'"},
        {"system", "limit:1G", "'limit'"},
        {"jemalloc", "huge_pages:never", "'huge_pages'"},
        {"auto", "quarantine:1M", "'quarantine'"},
        {"auto", "checked:1,quarantine:1M", NULL},
    };
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct sw__config config;
        char why[320];
        sw__options_defaults(&config);
        assert_true(sw__options_parse(cases[i].conf, &config, why, sizeof why));
        bool heeded = sw__options_are_heeded(&config, cases[i].strategy, why, sizeof why);
        assert_int_equal(heeded, cases[i].unheeded == NULL);
        if (cases[i].unheeded)
            assert_non_null(strstr(why, cases[i].unheeded));
    }
}

/* Whatever is typed, a sentence that fits comes out. */
static void any_text_is_survived(void **state) {
    (void)state;
    static const char letters[] = "tracking:huge_pages,limit:01KMG ";
    uint64_t random = run_seed();
    for (size_t i = 0; i < 20000; i++) {
        char conf[100], why[48];
        size_t length = below(&random, sizeof conf);
        for (size_t j = 0; j < length; j++)
            conf[j] = letters[below(&random, sizeof letters - 1)];
        conf[length] = '\0';
        struct sw__config config;
        memset(why, 1, sizeof why);
        if (!sw__options_parse(conf, &config, why, sizeof why))
            assert_non_null(memchr(why, '\0', sizeof why));
    }
}

static void the_nearest_name_is_found(void **state) {
    (void)state;
    static const char *const names[] = {"system", "jemalloc", "pool", "sizeclass", "arena", NULL};
    static const char *const pairs[][2] = {
        {"pol", "'pool'"},        {"loop", "'pool'"},    {"jmalloc", "'jemalloc'"},
        {"malloc", "'jemalloc'"}, {"arenas", "'arena'"}, {"sizclas", "'sizeclass'"},
        {"sistem", "'system'"},
    };
    for (size_t i = 0; i < LENGTH_OF(pairs); i++) {
        char why[320], wanted[64];
        sw__explain_unknown("strategy", pairs[i][0], strlen(pairs[i][0]), names, why, sizeof why);
        snprintf(wanted, sizeof wanted, "did you mean %s?", pairs[i][1]);
        if (!strstr(why, wanted))
            fail_msg("'%s' is not in: %s", wanted, why);
        assert_non_null(strstr(why, "There are: system, jemalloc, pool, sizeclass, arena"));
    }
}

static void a_name_that_is_not_near_is_not_suggested(void **state) {
    (void)state;
    static const char *const names[] = {"train", "compare", "list", "run", NULL};
    static const char *const words[] = {"", "frobnicate", "explain", "diagnose", "report", "foo"};
    for (size_t i = 0; i < LENGTH_OF(words); i++) {
        char why[320], wanted[100];
        sw__explain_unknown("command", words[i], strlen(words[i]), names, why, sizeof why);
        snprintf(wanted, sizeof wanted,
                 "unknown command '%s'; there are: train, compare, list, run", words[i]);
        assert_string_equal(why, wanted);
    }
}

static void words_of_any_length_are_cut(void **state) {
    (void)state;
    static const char *const names[] = {"train", NULL};
    char word[10000], why[320];
    memset(word, 'x', sizeof word);
    sw__explain_unknown("command", word, sizeof word, names, why, sizeof why);
    assert_non_null(strstr(why, "xxx'; there are: train"));
    assert_in_range(strlen(why), 1, 100);
}

/* A line of the list is well-formed: its defaults and the ends of its range are values it takes,
 * and what it takes is told of a value it does not. */
static void every_line_of_the_list_is_well_formed(void **state) {
    (void)state;
    for (const struct sw__option *option = sw__options; option->name; option++) {
        const char *values[] = {option->initially, option->preloaded, option->range};
        for (size_t i = 0; i < LENGTH_OF(values); i++) {
            char conf[200];
            int length = (int)strcspn(values[i], i == 2 ? "|." : "");
            snprintf(conf, sizeof conf, "%s:%.*s", option->name, length, values[i]);
            parsed(conf);
        }
        assert_int_equal(strlen(option->unit) > 0, option->kind == SW__BYTES);
        assert_true(strlen(option->sentence) > 10);
        assert_int_not_equal(option->sentence[strlen(option->sentence) - 1], '.');
    }
}

static void what_stats_asks_for(void **state) {
    (void)state;
    static const struct {
        const char *value;
        bool at_exit, on_signal;
        const char *file;
    } wishes[] = {
        {NULL, false, false, ""},
        {"", false, false, ""},
        {"0", false, false, ""},
        {"1", true, false, ""},
        {"a.%p", true, false, "a.%p"},
        {"./11", true, false, "./11"},
        {"%p", true, false, "%p"},
        {"0,signal", false, true, ""},
        {",signal", false, true, ""},
        {"1,signal", true, true, ""},
        {"a,.b,signal", true, true, "a,.b"},
    };
    static const char *const unclear[] = {"11", "yes", "signal", "1,sginal", "on,signal", "true"};
    for (size_t i = 0; i < LENGTH_OF(unclear); i++) {
        struct sw__stats_wish wish = sw__parse_stats(unclear[i]);
        assert_true(wish.is_unclear);
        assert_false(wish.at_exit || wish.on_signal || wish.file);
    }
    for (size_t i = 0; i < LENGTH_OF(wishes); i++) {
        struct sw__stats_wish wish = sw__parse_stats(wishes[i].value);
        assert_int_equal(wish.at_exit, wishes[i].at_exit);
        assert_int_equal(wish.on_signal, wishes[i].on_signal);
        assert_int_equal(wish.file_length, strlen(wishes[i].file));
        if (wish.file)
            assert_memory_equal(wish.file, wishes[i].file, wish.file_length);
    }
}

static void a_file_is_named_after_the_process(void **state) {
    (void)state;
    static const char *const names[][2] = {
        {"a.txt", "a.txt"}, {"%p", "4711"},   {"a%pb%p", "a4711b4711"},
        {"%%p%%", "%p%"},   {"100%", "100%"}, {"%d%%%p", "%d%4711"},
        {"", ""},
    };
    char path[PATH_MAX];
    for (size_t i = 0; i < LENGTH_OF(names); i++) {
        assert_true(sw__stats_file(path, 0, names[i][0], strlen(names[i][0]), 4711));
        assert_string_equal(path, names[i][1]);
    }
    memcpy(path, "there/%p/", 9);
    assert_true(sw__stats_file(path, 9, "x%pyz", 4, 1)); /* so many of its letters */
    assert_string_equal(path, "there/%p/x1y");
}

static void a_file_whose_name_is_too_long_is_none(void **state) {
    (void)state;
    static char path[PATH_MAX], name[PATH_MAX];
    memset(name, 'n', sizeof name);
    assert_true(sw__stats_file(path, 0, name, PATH_MAX - 1, 1));
    assert_int_equal(strlen(path), PATH_MAX - 1);
    assert_false(sw__stats_file(path, 0, name, PATH_MAX, 1));
    assert_false(sw__stats_file(path, 1, name, PATH_MAX - 1, 1));
    memcpy(name + PATH_MAX - 4, "%p", 2); /* three digits in the room of three, and of two */
    assert_true(sw__stats_file(path, 0, name, PATH_MAX - 2, 123));
    assert_false(sw__stats_file(path, 1, name, PATH_MAX - 2, 123));
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_means_the_defaults),
        cmocka_unit_test(every_option_is_set),
        cmocka_unit_test(bytes_have_suffixes),
        cmocka_unit_test(wrong_ones_are_explained),
        cmocka_unit_test(what_is_right_beside_a_wrong_one_is_taken),
        cmocka_unit_test(options_belong_to_strategies),
        cmocka_unit_test(any_text_is_survived),
        cmocka_unit_test(the_nearest_name_is_found),
        cmocka_unit_test(a_name_that_is_not_near_is_not_suggested),
        cmocka_unit_test(words_of_any_length_are_cut),
        cmocka_unit_test(what_stats_asks_for),
        cmocka_unit_test(a_file_is_named_after_the_process),
        cmocka_unit_test(a_file_whose_name_is_too_long_is_none),
        cmocka_unit_test(every_line_of_the_list_is_well_formed),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
