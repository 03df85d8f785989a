/*
 * test_pressure.c - the memory limit of a control group, told by files that the test writes: both
 * versions, the tightest of several limits, the page cache left out.
 */
#include "support.h"

#include "pressure.h"

static void without_a_group_nothing_is_tight(void **state) {
    (void)state;
    struct sw__pressure pressure = {0};
    for (int i = 0; i < 10; i++)
        assert_false(sw__pressure_is_tight(&pressure, (size_t)1 << 40));
    assert_false(sw__pressure_look(&pressure));
}

/* 1 GiB of limit; tight from 960 MiB on. */
static void fill_group(const char *folder, const char *limit, const char *usage) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, limit);
    write_number(path, 1024 * MIB);
    snprintf(path, sizeof path, "%s/%s", folder, usage);
    write_number(path, 100 * MIB);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    write_file(path, "anon 7\nfile 9\ninactive_file 0\nactive_file 0\n");
}

static void check_group(const char *folder, const char *usage) {
    char path[256];
    struct sw__pressure pressure = {0};
    assert_false(sw__pressure_is_tight(&pressure, PTRDIFF_MAX)); /* nobody can touch that */
    assert_false(sw__pressure_is_tight(&pressure, 800 * MIB));
    assert_true(sw__pressure_is_tight(&pressure, 900 * MIB));
    snprintf(path, sizeof path, "%s/%s", folder, usage);
    write_number(path, 1000 * MIB);
    assert_true(sw__pressure_look(&pressure));
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    write_file(path, "anon 7\ninactive_file 104857600\nactive_file 104857600\nunevictable 0\n"
                     "total_inactive_file 104857600\ntotal_active_file 104857600\n");
    assert_false(sw__pressure_look(&pressure)); /* 200 MiB of it are page cache */
}

static void version_2_is_understood(void **state) {
    (void)state;
    write_file("proc/self/cgroup", "0::/jobs/one\n");
    write_file("sys/fs/cgroup/jobs/one/memory.max", "max\n"); /* the limit is the parent's */
    fill_group("sys/fs/cgroup/jobs", "memory.max", "memory.current");
    check_group("sys/fs/cgroup/jobs", "memory.current");
}

/* By an administrator, while the process runs. */
static void a_limit_that_comes_later_is_found(void **state) {
    (void)state;
    struct sw__pressure pressure = {0};
    write_file("proc/self/cgroup", "0::/jobs/one\n");
    write_file("sys/fs/cgroup/jobs/one/memory.max", "max\n");
    assert_false(sw__pressure_look(&pressure));
    fill_group("sys/fs/cgroup/jobs", "memory.max", "memory.current");
    write_number("sys/fs/cgroup/jobs/memory.current", 1000 * MIB);
    int looks = 1;
    while (!sw__pressure_look(&pressure) && looks < 1000)
        looks++;
    assert_in_range(looks, 10,
                    300); /* half a minute, at ten a second; nor are files read each time */
}

static void version_1_is_understood(void **state) {
    (void)state;
    write_file("proc/self/cgroup", "5:cpu:/\n4:memory:/docker/abc\n0::/\n");
    /* Inside a container the group's own folder is its mount. */
    fill_group("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes");
    check_group("sys/fs/cgroup/memory", "memory.usage_in_bytes");
}

static void the_tightest_group_counts(void **state) {
    (void)state;
    write_file("proc/self/cgroup", "0::/jobs/one\n");
    fill_group("sys/fs/cgroup/jobs/one", "memory.max", "memory.current"); /* 924 MiB left */
    fill_group("sys/fs/cgroup/jobs", "memory.max", "memory.current");
    write_number("sys/fs/cgroup/jobs/memory.max", 4096 * MIB);
    write_number("sys/fs/cgroup/jobs/memory.current", 3500 * MIB); /* by others */
    struct sw__pressure pressure = {0};
    struct sw__group group = sw__pressure_group(&pressure);
    assert_int_equal(group.limit, 4096 * MIB);
    assert_int_equal(group.used, 3500 * MIB);
    assert_int_equal(group.version, 2);
    assert_false(sw__pressure_is_tight(&pressure, 300 * MIB));
    assert_true(sw__pressure_is_tight(&pressure, 400 * MIB));
    write_number("sys/fs/cgroup/jobs/memory.max", 8192 * MIB); /* raised while it runs */
    assert_false(sw__pressure_look(&pressure));
    assert_int_equal(sw__pressure_group(&pressure).limit, 1024 * MIB);
}

/* In version 1 a group's usage has all below it, and so has only the total of its page cache. */
static void the_cache_of_groups_below_counts_for_nothing(void **state) {
    (void)state;
    write_file("proc/self/cgroup", "4:memory:/jobs/one\n");
    fill_group("sys/fs/cgroup/memory/jobs", "memory.limit_in_bytes", "memory.usage_in_bytes");
    write_number("sys/fs/cgroup/memory/jobs/memory.usage_in_bytes", 1000 * MIB);
    write_file("sys/fs/cgroup/memory/jobs/memory.stat",
               "inactive_file 0\nactive_file 0\n"
               "total_inactive_file 524288000\ntotal_active_file 209715200\n");
    struct sw__pressure pressure = {0};
    assert_int_equal(sw__pressure_group(&pressure).used, 300 * MIB);
    assert_false(sw__pressure_look(&pressure));
}

/* Much is asked for at once, where much of what is used could go. */
static void a_large_request_is_told_from_the_cache(void **state) {
    (void)state;
    write_file("proc/self/cgroup", "0::/\n");
    fill_group("sys/fs/cgroup", "memory.max", "memory.current");
    write_number("sys/fs/cgroup/memory.current", 700 * MIB);
    write_file("sys/fs/cgroup/memory.stat", "inactive_file 524288000\nactive_file 0\n");
    struct sw__pressure pressure = {0};
    assert_false(sw__pressure_is_tight(&pressure, 300 * MIB));
    write_file("sys/fs/cgroup/memory.stat", "inactive_file 0\nactive_file 0\n");
    assert_true(sw__pressure_is_tight(&pressure, 300 * MIB));
}

static void where_it_is_slowed_down_is_a_limit_too(void **state) {
    (void)state;
    write_file("proc/self/cgroup", "0::/one\n");
    write_file("sys/fs/cgroup/one/memory.max", "max\n");
    fill_group("sys/fs/cgroup/one", "memory.high", "memory.current");
    check_group("sys/fs/cgroup/one", "memory.current");
}

static void files_are_not_read_each_time(void **state) {
    (void)state;
    write_file("proc/self/cgroup", "0::/\n");
    fill_group("sys/fs/cgroup", "memory.max", "memory.current");
    struct sw__pressure pressure = {0};
    assert_false(sw__pressure_is_tight(&pressure, 100 * MIB));
    write_number("sys/fs/cgroup/memory.current", 1020 * MIB);
    size_t allocated = 0;
    while (!sw__pressure_is_tight(&pressure, MIB))
        allocated += MIB;
    assert_in_range(allocated, 50 * MIB, 200 * MIB); /* an eighth of what was left */
}

#define PRESSURE_TEST(function) cmocka_unit_test_setup_teardown(function, make_root, remove_root)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        PRESSURE_TEST(without_a_group_nothing_is_tight),
        PRESSURE_TEST(version_2_is_understood),
        PRESSURE_TEST(a_limit_that_comes_later_is_found),
        PRESSURE_TEST(version_1_is_understood),
        PRESSURE_TEST(the_tightest_group_counts),
        PRESSURE_TEST(the_cache_of_groups_below_counts_for_nothing),
        PRESSURE_TEST(a_large_request_is_told_from_the_cache),
        PRESSURE_TEST(where_it_is_slowed_down_is_a_limit_too),
        PRESSURE_TEST(files_are_not_read_each_time),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
