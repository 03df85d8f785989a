/*
 * test_os.c - the three states of address space, what is resident, and the seam that fails
 * requests.
 */
#define _GNU_SOURCE /* mremap */
#include "support.h"

#include "os.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void reserved_memory_is_aligned(void **state) {
    (void)state;
    for (size_t alignment = PAGE; alignment <= 64 * MIB; alignment *= 2) {
        for (size_t size = PAGE; size <= 16 * MIB; size *= 16) {
            char *start = sw__os_reserve(size, alignment);
            assert_non_null(start);
            assert_true(is_aligned(start, alignment));
            assert_true(sw__os_commit(start, size));
            start[0] = start[size - 1] = 1;
            sw__os_release(start, size);
        }
    }
}

static void an_impossible_reservation_is_refused(void **state) {
    (void)state;
    assert_null(sw__os_reserve((size_t)1 << 62, PAGE));
    assert_null(sw__os_reserve((size_t)1 << 62, (size_t)1 << 62));
    assert_null(sw__os_reserve(SIZE_MAX & ~(PAGE - 1), 2 * MIB));
}

/* By a kernel that is not told to believe everything (vm.overcommit_memory = 1). */
static void a_commit_of_more_than_the_machine_has_is_refused(void **state) {
    (void)state;
    const size_t size = (size_t)64 << 40;
    char policy = '1';
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "re");
    if (file && fread(&policy, 1, 1, file) == 1)
        fclose(file);
    if (policy == '1')
        skip();
    char *start = sw__os_reserve(size, PAGE);
    if (start) {
        assert_false(sw__os_commit(start, size));
        sw__os_release(start, size);
    }
}

static void reserving_and_releasing_leaves_nothing(void **state) {
    (void)state;
    struct mappings before = process_mappings();
    for (size_t i = 0; i < 50; i++) {
        void *start = sw__os_reserve(3 * MIB, 8 * MIB);
        assert_non_null(start);
        assert_true(process_mappings().bytes <= before.bytes + 4 * MIB); /* the edges are cut off */
        sw__os_release(start, 3 * MIB);
    }
    assert_int_equal(process_mappings().bytes, before.bytes);
}

static void resident_follows_touch_and_purge(void **state) {
    (void)state;
    size_t size = 40 * MIB; /* more than is asked of the kernel at once */
    char *start = sw__os_reserve(size, 2 * MIB);
    assert_non_null(start);
    assert_true(sw__os_commit(start, size));
    sw__os_advise_huge(start, size, false);
    assert_int_equal(sw__os_resident(start, size), 0);
    for (size_t page = 0; page < size / PAGE; page += 3)
        start[page * PAGE] = 7;
    size_t touched = (size / PAGE + 2) / 3 * PAGE;
    assert_int_equal(sw__os_resident(start, size), touched);
    assert_int_equal(sw__os_resident(start + PAGE, 2 * PAGE), 0);
    assert_int_equal(sw__os_resident(start + 3 * PAGE, PAGE), PAGE);
    assert_true(sw__os_process_anonymous() >= touched);
    assert_true(sw__os_purge(start, 3 * PAGE));
    assert_int_equal(sw__os_resident(start, size), touched - PAGE);
    assert_int_equal(start[0], 0);
    assert_int_equal(start[3 * PAGE], 7);
    assert_true(sw__os_purge(start, size));
    assert_int_equal(sw__os_resident(start, size), 0);
    assert_true(is_all_zero(start, MIB));
    sw__os_release(start, size);
}

static void moved_pages_take_their_contents_with_them(void **state) {
    (void)state;
    char *start = sw__os_reserve(16 * PAGE, PAGE);
    assert_non_null(start);
    assert_true(sw__os_commit(start, 16 * PAGE));
    fill(start, 4 * PAGE, 1);
    fill(start + 8 * PAGE, 4 * PAGE, 2);
    bool moved = sw__os_move(start, start + 8 * PAGE, 4 * PAGE);
    assert_int_equal(moved, kernel_can_move());
    if (!moved) {
        assert_true(holds(start, 4 * PAGE, 1));
        assert_true(holds(start + 8 * PAGE, 4 * PAGE, 2));
        sw__os_release(start, 16 * PAGE);
        skip();
    }
    assert_true(holds(start + 8 * PAGE, 4 * PAGE, 1));
    assert_int_equal(sw__os_resident(start, 8 * PAGE), 0);
    assert_true(is_all_zero(start, 4 * PAGE));
    sw__os_release(start, 16 * PAGE);
}

/* Of two mappings, as advice makes them: the kernel may refuse, but never leave a hole behind. */
static void a_range_of_two_mappings_moves_or_stays(void **state) {
    (void)state;
    char *start = sw__os_reserve(16 * PAGE, PAGE);
    assert_non_null(start);
    assert_true(sw__os_commit(start, 16 * PAGE));
    sw__os_advise_huge(start + 2 * PAGE, 2 * PAGE, false);
    fill(start, 4 * PAGE, 1);
    fill(start + 8 * PAGE, 4 * PAGE, 2);
    bool moved = sw__os_move(start, start + 8 * PAGE, 4 * PAGE);
    assert_true(moved ? holds(start + 8 * PAGE, 4 * PAGE, 1)
                      : is_all_zero(start + 8 * PAGE, 4 * PAGE));
    assert_true(moved ? is_all_zero(start, 4 * PAGE) : holds(start, 4 * PAGE, 1));
    fill(start, 16 * PAGE, 3); /* all of it is there to be written */
    assert_true(holds(start, 16 * PAGE, 3));
    sw__os_release(start, 16 * PAGE);
}

static void a_map_that_is_refused_leaves_nothing(void **state) {
    (void)state;
    for (long half = 1; half <= 2; half++) {
        struct mappings before = process_mappings();
        sw__os_fail_nth(half);
        assert_null(sw__os_map(16 * MIB));
        assert_int_equal(process_mappings().bytes, before.bytes);
    }
    char *start = sw__os_map(16 * MIB);
    assert_non_null(start);
    fill(start, 16 * MIB, 1);
    sw__os_release(start, 16 * MIB);
}

static void what_is_not_there_is_zero_already(void **state) {
    (void)state;
    enum { PAGES = 700, EVERY = 127 }; /* several times as many as are asked for at once */
    if (access("/proc/thread-self/pagemap", R_OK) != 0)
        skip();
    char *start = sw__os_map(PAGES * PAGE);
    size_t there = 0;
    for (size_t page = 0; page < PAGES; page += EVERY) {
        fill(start + page * PAGE, 2 * PAGE, page);
        there += 2 * PAGE;
    }
    assert_int_equal(sw__os_zero(start, PAGES * PAGE), there);
    assert_int_equal(sw__os_resident(start, PAGES * PAGE), there);
    assert_true(is_all_zero(start, PAGES * PAGE));
    fill(start, 20 * PAGE, 1);
    assert_int_equal(sw__os_zero(start, 20 * PAGE), 20 * PAGE); /* few are not asked for */
    assert_true(is_all_zero(start, 20 * PAGE));
    sw__os_release(start, PAGES * PAGE);
}

/* A move would unlock what shares a mapping with them. */
static void locked_pages_stay(void **state) {
    (void)state;
    char *start = sw__os_reserve(16 * PAGE, PAGE);
    assert_non_null(start);
    assert_true(sw__os_commit(start, 16 * PAGE));
    fill(start, 4 * PAGE, 1);
    if (syscall(SYS_mlock, start, 16 * PAGE) != 0) /* not mlock(), a sanitizer's does nothing */
        skip();
    assert_false(sw__os_move(start, start + 8 * PAGE, 4 * PAGE));
    assert_true(holds(start, 4 * PAGE, 1));
    assert_int_equal(syscall(SYS_munlock, start, 16 * PAGE), 0);
    assert_int_equal(sw__os_move(start, start + 8 * PAGE, 4 * PAGE), kernel_can_move());
    sw__os_release(start, 16 * PAGE);
}

/* Is the file of that many flags more taken for stderr, if it has its number? */
static bool is_taken_for_stderr(int flags) {
    char path[] = "/tmp/stepwell-os-XXXXXX";
    int own = dup(STDERR_FILENO), file = mkstemp(path);
    assert_true(own >= 0 && file >= 0);
    close(file);
    file = open(path, O_RDWR | flags);
    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
    int taken = sw__os_stderr();
    dup2(own, STDERR_FILENO);
    close(own);
    close(file);
    unlink(path);
    assert_true(taken == STDERR_FILENO || taken == -1);
    return taken == STDERR_FILENO;
}

static void nothing_is_told_to_the_programs_own_file(void **state) {
    (void)state;
    errno = EILSEQ;
    assert_int_equal(sw__os_stderr(), STDERR_FILENO);
    assert_false(is_taken_for_stderr(0));
    assert_true(is_taken_for_stderr(O_APPEND)); /* a log */
    assert_int_equal(sw__os_stderr(), STDERR_FILENO);
    int own = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    errno = EILSEQ;
    int closed = sw__os_stderr();
    int after = errno;
    dup2(own, STDERR_FILENO);
    close(own);
    assert_int_equal(closed, -1);
    assert_int_equal(after, EILSEQ);
}

/* Of pages that are cut by the range's ends, the part inside counts. */
static void resident_is_told_of_any_range(void **state) {
    (void)state;
    char *start = map_scratch(4 * PAGE);
    start[PAGE] = start[2 * PAGE] = 1;
    assert_int_equal(sw__os_resident(start + 100, 10), 0);
    assert_int_equal(sw__os_resident(start + PAGE + 100, 10), 10);
    assert_int_equal(sw__os_resident(start + PAGE + 100, 2 * PAGE), 2 * PAGE - 100);
    assert_int_equal(sw__os_resident(start + 100, 2 * PAGE), PAGE + 100);
    assert_int_equal(sw__os_resident(start + 100, 3 * PAGE), 2 * PAGE);
    assert_int_equal(sw__os_resident(start + PAGE, 0), 0);
    unmap_scratch(start, 4 * PAGE);
}

static void the_process_grows_by_what_it_touches(void **state) {
    (void)state;
    size_t before = sw__os_process_anonymous();
    void *start = map_scratch(32 * MIB);
    assert_true(sw__os_process_anonymous() < before + MIB);
    memset(start, 1, 32 * MIB);
    size_t after = sw__os_process_anonymous();
    assert_true(after >= before + 31 * MIB);
    assert_true(SANITIZED || after <= before + 33 * MIB); /* there is a shadow, else */
    unmap_scratch(start, 32 * MIB);
}

static bool reserves(void) {
    void *start = sw__os_reserve(PAGE, PAGE);
    if (start)
        sw__os_release(start, PAGE);
    return start;
}

/* As systemd confines services. */
static bool forbid_mincore(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mincore, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {LENGTH_OF(rules), rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { PAGES = 10000, TOUCHED = 9000 };

static bool tells_of_single_pages(const char *range) {
    int file = sw__os_open_pages();
    bool told = sw__os_has_page(file, range + (TOUCHED - 1) * PAGE) &&
                !sw__os_has_page(file, range + TOUCHED * PAGE);
    sw__os_close_pages(file);
    return told;
}

/* In a child that is not as we are; false from change() leaves the test out. */
static void check_what_is_told_after(bool (*change)(void)) {
    enum { RIGHT = 42, UNCHANGED = 43 };
    char *range = sw__os_map(PAGES * PAGE);
    sw__os_advise_huge(range, PAGES * PAGE, false);
    touch(range, TOUCHED * PAGE);
    assert_true(tells_of_single_pages(range));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!change())
            _exit(UNCHANGED);
        bool right = sw__os_resident(range, PAGES * PAGE) == TOUCHED * PAGE;
        _exit(right && tells_of_single_pages(range) ? RIGHT : EXIT_FAILURE);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    sw__os_release(range, PAGES * PAGE);
    if (WIFEXITED(status) && WEXITSTATUS(status) == UNCHANGED)
        skip();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == RIGHT);
}

static void pages_are_told_of_where_mincore_is_forbidden(void **state) {
    (void)state;
    check_what_is_told_after(forbid_mincore);
}

/* As a daemon that was root; its files in /proc are root's. */
static bool be_nobody(void) {
    enum { NOBODY = 65534 };
    if (geteuid() == 0 && setuid(NOBODY) != 0)
        return false;
    return prctl(PR_SET_DUMPABLE, 0) == 0 && access("/proc/thread-self/pagemap", R_OK) != 0;
}

static void pages_are_told_of_where_their_map_is_not_ours(void **state) {
    (void)state;
    check_what_is_told_after(be_nobody);
}

/* In the file they stand before what is asked for, as many as a directory service has for a user. */
static void a_process_of_many_groups_is_told_of(void **state) {
    (void)state;
    static gid_t groups[2000], before[2000];
    int count = getgroups(LENGTH_OF(before), before);
    for (size_t i = 0; i < LENGTH_OF(groups); i++)
        groups[i] = 4000000000u + (gid_t)i;
    if (count < 0 || setgroups(1, groups) != 0)
        skip(); /* only root may */
    /* So that what is asked for lies across the end of a piece that is read, somewhere. */
    for (size_t more = 0; more < LENGTH_OF(groups); more += more < 100 ? 1 : 100) {
        assert_int_equal(setgroups(more, groups), 0);
        assert_in_range(sw__os_process_resident(), 16 * PAGE, 4096 * MIB);
        assert_in_range(sw__os_process_peak(), sw__os_process_anonymous(), 4096 * MIB);
        assert_true(sw__os_process_anonymous() > 0);
    }
    assert_int_equal(setgroups((size_t)count, before), 0);
}

static void the_mappings_granted_are_the_kernels(void **state) {
    (void)state;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    size_t granted;
    if (!file)
        skip();
    assert_int_equal(fscanf(file, "%zu", &granted), 1);
    fclose(file);
    assert_int_equal(sw__os_most_mappings(), granted);
}

static void what_nobody_can_have_is_known(void **state) {
    (void)state;
    assert_true(sw__os_could_serve(0, MIB, 16));
    assert_true(sw__os_could_serve(MIB, MIB, PAGE));
    assert_false(sw__os_could_serve(MIB, MIB + 1, 16));
    assert_false(sw__os_could_serve(0, PTRDIFF_MAX, 16));
    assert_false(sw__os_could_serve(0, 16, (size_t)1 << 46));
}

static void refusals_are_counted(void **state) {
    (void)state;
    unsigned before = sw__os_refusals();
    void *start = sw__os_reserve(PAGE, PAGE);
    assert_true(sw__os_commit(start, PAGE));
    assert_int_equal(sw__os_refusals(), before);
    sw__os_fail_from(1);
    assert_null(sw__os_reserve(PAGE, PAGE));
    assert_false(sw__os_commit(start, PAGE));
    sw__os_fail_from(0);
    assert_int_equal(sw__os_refusals(), before + 2);
    sw__os_release(start, PAGE);
}

static void the_nth_request_fails_once(void **state) {
    (void)state;
    for (long n = 1; n < 6; n++) {
        long before = sw__os_requests();
        sw__os_fail_nth(n);
        for (long i = 1; i <= 8; i++)
            assert_int_equal(reserves(), i != n);
        assert_int_equal(sw__os_requests() - before, 8);
    }
    sw__os_fail_nth(3);
    sw__os_fail_nth(0);
    for (long i = 1; i <= 8; i++)
        assert_true(reserves());
}

static void every_request_fails_from_the_nth_on(void **state) {
    (void)state;
    sw__os_fail_from(3);
    for (long i = 1; i <= 8; i++)
        assert_int_equal(reserves(), i < 3);
    sw__os_fail_from(0);
    assert_true(reserves());
}

static void a_commit_is_a_request(void **state) {
    (void)state;
    char *start = sw__os_reserve(PAGE, PAGE);
    assert_non_null(start);
    sw__os_fail_nth(1);
    assert_false(sw__os_commit(start, PAGE));
    assert_true(sw__os_commit(start, PAGE));
    start[0] = 1;
    sw__os_release(start, PAGE);
}

/* What is there stays there. */
static void a_purge_is_a_request(void **state) {
    (void)state;
    char *start = map_scratch(2 * PAGE);
    fill(start, 2 * PAGE, 1);
    sw__os_fail_nth(1);
    assert_false(sw__os_purge(start, 2 * PAGE));
    assert_true(holds(start, 2 * PAGE, 1));
    assert_true(sw__os_purge(start, 2 * PAGE));
    assert_true(is_all_zero(start, 2 * PAGE));
    unmap_scratch(start, 2 * PAGE);
}

/* Any address may be asked about; what can't be accessed keeps its contents. */
static void access_is_taken_and_given(void **state) {
    (void)state;
    char *start = map_scratch(3 * PAGE);
    fill(start, 3 * PAGE, 1);
    sw__os_fail_nth(1);
    assert_false(sw__os_set_access(start, 3 * PAGE, false));
    assert_true(sw__os_set_access(start + PAGE, PAGE, false));
    assert_true(sw__os_is_readable(start));
    assert_true(sw__os_is_readable(start + PAGE - 8));
    assert_false(sw__os_is_readable(start + PAGE));
    assert_true(sw__os_is_readable(start + 2 * PAGE));
    assert_true(sw__os_set_access(start + PAGE, PAGE, true));
    assert_true(holds(start, 3 * PAGE, 1));
    unmap_scratch(start, 3 * PAGE);
    errno = EILSEQ;
    assert_false(sw__os_is_readable(start));
    assert_false(sw__os_is_readable(NULL));
    assert_false(sw__os_is_readable((void *)(UINTPTR_MAX - 7)));
    assert_int_equal(errno, EILSEQ);
}

/* Refused at once or half way, the first stays as it was, and nothing is left mapped in between. */
static void a_move_is_two_requests(void **state) {
    (void)state;
    if (!kernel_can_move())
        skip();
    char *start = sw__os_reserve(16 * PAGE, PAGE);
    assert_non_null(start);
    assert_true(sw__os_commit(start, 16 * PAGE));
    for (long half = 1; half <= 2; half++) {
        fill(start, 4 * PAGE, 1);
        fill(start + 8 * PAGE, 4 * PAGE, 2);
        struct mappings before = process_mappings();
        sw__os_fail_nth(half);
        assert_false(sw__os_move(start, start + 8 * PAGE, 4 * PAGE));
        assert_true(holds(start, 4 * PAGE, 1));
        assert_true(half == 1 ? holds(start + 8 * PAGE, 4 * PAGE, 2)
                              : is_all_zero(start + 8 * PAGE, 4 * PAGE));
        assert_int_equal(process_mappings().bytes, before.bytes);
    }
    fill(start, 4 * PAGE, 3);
    assert_true(sw__os_move(start, start + 8 * PAGE, 4 * PAGE));
    assert_true(holds(start + 8 * PAGE, 4 * PAGE, 3));
    sw__os_release(start, 16 * PAGE);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserved_memory_is_aligned),
        cmocka_unit_test(an_impossible_reservation_is_refused),
        cmocka_unit_test(a_commit_of_more_than_the_machine_has_is_refused),
        cmocka_unit_test(reserving_and_releasing_leaves_nothing),
        cmocka_unit_test(resident_follows_touch_and_purge),
        cmocka_unit_test(moved_pages_take_their_contents_with_them),
        cmocka_unit_test(a_range_of_two_mappings_moves_or_stays),
        cmocka_unit_test(a_map_that_is_refused_leaves_nothing),
        cmocka_unit_test(what_is_not_there_is_zero_already),
        cmocka_unit_test(locked_pages_stay),
        cmocka_unit_test(nothing_is_told_to_the_programs_own_file),
        cmocka_unit_test(resident_is_told_of_any_range),
        cmocka_unit_test(the_process_grows_by_what_it_touches),
        cmocka_unit_test(pages_are_told_of_where_mincore_is_forbidden),
        cmocka_unit_test(pages_are_told_of_where_their_map_is_not_ours),
        cmocka_unit_test(a_process_of_many_groups_is_told_of),
        cmocka_unit_test(the_mappings_granted_are_the_kernels),
        cmocka_unit_test(what_nobody_can_have_is_known),
        cmocka_unit_test(refusals_are_counted),
        cmocka_unit_test(the_nth_request_fails_once),
        cmocka_unit_test(every_request_fails_from_the_nth_on),
        cmocka_unit_test(a_commit_is_a_request),
        cmocka_unit_test(a_purge_is_a_request),
        cmocka_unit_test(access_is_taken_and_given),
        cmocka_unit_test(a_move_is_two_requests),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("os", tests, NULL, NULL);
}
