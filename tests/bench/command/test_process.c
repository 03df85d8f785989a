/*
 * test_process.c - what the kernel says of this process moves when memory and faults do.
 */
#include <grp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "process.h"
#include "support.h"

enum { TOUCHED = 32 << 20, SLACK = 2 << 20 };

static char *map_and_touch(void) {
    char *pages = mmap(NULL, TOUCHED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    madvise(pages, TOUCHED, MADV_NOHUGEPAGE); /* so that faults can be counted */
    memset(pages, 1, TOUCHED);
    return pages;
}

static void anonymous_memory_follows_what_is_touched(void **state) {
    (void)state;
    struct process_memory before;
    struct process_memory during;
    struct process_memory after;
    assert_true(read_process_memory(&before));
    char *pages = map_and_touch();
    assert_true(read_process_memory(&during));
    munmap(pages, TOUCHED);
    assert_true(read_process_memory(&after));
    assert_in_range(during.anonymous - before.anonymous, TOUCHED - SLACK, TOUCHED + SLACK);
    assert_in_range(after.anonymous, 0, before.anonymous + SLACK);
    assert_true(before.file > 0);
    assert_true(before.anonymous + before.file <= before.resident + SLACK);
}

static void peak_keeps_what_was_and_can_be_reset(void **state) {
    (void)state;
    struct process_memory memory;
    munmap(map_and_touch(), TOUCHED);
    assert_true(read_process_memory(&memory));
    assert_true(memory.peak >= memory.resident + TOUCHED - SLACK);
    if (!reset_peak_memory()) {
        skip(); /* the kernel does not offer it */
    }
    assert_true(read_process_memory(&memory));
    assert_true(memory.peak <= memory.resident + SLACK);
}

/* In the file they stand before it. */
static void many_groups_hide_nothing(void **state) {
    (void)state;
    static gid_t groups[5000];
    gid_t before[100];
    struct process_memory memory;
    int count = getgroups(100, before);
    for (int i = 0; i < 5000; i++) {
        groups[i] = 4000000000u + (gid_t)i;
    }
    if (count < 0 || setgroups(5000, groups) != 0) {
        skip(); /* only root may */
    }
    assert_true(read_process_memory(&memory));
    assert_true(memory.peak >= memory.resident && memory.anonymous > 0 && memory.file > 0);
    assert_int_equal(setgroups((size_t)count, before), 0);
}

static void faults_are_counted(void **state) {
    (void)state;
    size_t before = count_page_faults();
    char *pages = map_and_touch();
    size_t faults = count_page_faults() - before;
    munmap(pages, TOUCHED);
    assert_true(faults >= TOUCHED / 65536); /* pages may be up to 64 KiB */
    assert_true(faults <= TOUCHED / 4096 + 200);
}

static void fields_are_found_with_their_unit(void **state) {
    (void)state;
    size_t value = 0;
    static const char text[] = "Name:\tx\nVmHWM:\t    1320 kB\nVmRSS:\t12 kB\nThreads:\t3\n";
    assert_true(find_field(text, "VmHWM", &value));
    assert_int_equal(value, 1320 * 1024);
    assert_true(find_field(text, "Threads", &value));
    assert_int_equal(value, 3);
    assert_false(find_field(text, "Vm", &value));
    assert_false(find_field(text, "RssAnon", &value));
}

static void small_files_are_read_without_the_last_newline(void **state) {
    (void)state;
    char text[64];
    char path[] = "/tmp/stepwell-test-process-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(dprintf(fd, "always [madvise] never\n"), 23);
    assert_true(read_small_file(path, text, sizeof text));
    assert_string_equal(text, "always [madvise] never");
    assert_true(read_small_file(path, text, 7)); /* cut, not overrun */
    assert_string_equal(text, "always");
    close(fd);
    unlink(path);
    assert_false(read_small_file(path, text, sizeof text));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anonymous_memory_follows_what_is_touched),
        cmocka_unit_test(peak_keeps_what_was_and_can_be_reset),
        cmocka_unit_test(many_groups_hide_nothing),
        cmocka_unit_test(faults_are_counted),
        cmocka_unit_test(fields_are_found_with_their_unit),
        cmocka_unit_test(small_files_are_read_without_the_last_newline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
