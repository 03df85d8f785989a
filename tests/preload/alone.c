/*
 * alone.c - a program of one thread may do what those with more may not, though the library has one
 * of its own: change its namespaces and its rights, fork in the midst of anything, close what files
 * it does not know. And what its handler of SIGABRT does works, or the process ends all the same.
 */
#define _GNU_SOURCE
#include "second_self.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

/* libc puts it on the stack of each thread. */
static _Thread_local volatile char large_and_of_each_thread[55000];

/* So much that the library starts its thread. */
static void *take_much(void) {
    char *block = malloc(32 * MIB);
    assert_non_null(block);
    memset(block, 1, 32 * MIB);
    large_and_of_each_thread[5] = 1;
    return block;
}

/* The library's thread, or 0. */
static int find_thread(void) {
    char path[300], name[32];
    int found = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *task; !found && (task = readdir(tasks));) {
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        if (file && fgets(name, sizeof name, file) && strcmp(name, "stepwell\n") == 0)
            found = (int)strtol(task->d_name, NULL, 10);
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return found;
}

static bool is_under(const char *strategy) {
    return strcmp(getenv("STEPWELL_STRATEGY"), strategy) == 0;
}

static bool is_under_auto(void) {
    return is_under("auto");
}

/* It is given a moment to give itself its name. */
static void wait_for_thread(void) {
    for (int i = 0; i < 2000 && is_under_auto() && !find_thread(); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_true(!is_under_auto() || find_thread());
}

static int status_of_child(void (*does)(void)) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        does();
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    return status;
}

static void in_a_child(void (*does)(void)) {
    assert_int_equal(status_of_child(does), 0);
}

static void its_thread_has_no_files(void **state) {
    (void)state;
    void *block = take_much();
    wait_for_thread();
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/fd", find_thread());
    DIR *files = is_under_auto() ? opendir(path) : NULL;
    int count = 0;
    while (files && readdir(files))
        count++;
    assert_int_equal(count, files ? 2 : 0); /* . and .. */
    if (files)
        closedir(files);
    free(block);
}

static volatile int forks;

static void fork_and_wait(int number) {
    (void)number;
    pid_t child = fork(); /* NOLINT(bugprone-signal-handler): it is what this is about */
    if (child == 0)
        _exit(0); /* as one that ends by exec() */
    waitpid(child, NULL, 0);
    forks++;
}

#define EXIT_SKIPPED 77

#define EXIT_UNLESS(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "not so: %s (%s)\n", #condition, strerror(errno));                     \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* What is refused for another reason than a thread too many, is. */
static bool is_refused_for_threads(int result) {
    return result != 0 && (errno == EINVAL || errno == EUSERS);
}

static void change_namespaces(void) {
    void *block = take_much();
    wait_for_thread();
    int mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    EXIT_UNLESS(!is_refused_for_threads(setns(mounts, CLONE_NEWNS)));
    memset(realloc(block, 48 * MIB), 2, 48 * MIB);
    wait_for_thread(); /* it comes again */
    EXIT_UNLESS(!is_refused_for_threads(unshare(CLONE_NEWUSER)));
}

static void namespaces_may_be_changed(void **state) {
    (void)state;
    in_a_child(change_namespaces);
}

static void end_in_vain(int number) {
    _exit(number);
}

/* A first process of its namespace, as a container's is, and a child it makes past libc that is one as
 * well: of the same number, without our thread. */
static void be_the_first_process_twice(void) {
    void *block = take_much();
    wait_for_thread();
    EXIT_UNLESS(getpid() == 1);
    long child = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0L, 0L, 0L, 0L);
    EXIT_UNLESS(child >= 0);
    if (child == 0) {
        signal(SIGALRM, end_in_vain); /* what is not handled does nothing to a first process */
        alarm(10);
        EXIT_UNLESS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        free(block);
        fork_and_wait(0);
        _exit(0);
    }
    int status;
    EXIT_UNLESS(waitpid((pid_t)child, &status, 0) == child && status == 0);
    free(block);
}

static void fork_into_a_namespace(void) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0)
        _exit(EXIT_SKIPPED);
    EXIT_UNLESS(status_of_child(be_the_first_process_twice) == 0);
}

static void first_processes_may_follow_each_other(void **state) {
    (void)state;
    int status = status_of_child(fork_into_a_namespace);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
        skip(); /* the machine lets nobody have namespaces */
    assert_int_equal(status, 0);
}

/* As a service does that is to keep a right or two. */
static void change_user_with_rights_kept(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct rights[2] = {{0}};
    int capset(struct __user_cap_header_struct *, const struct __user_cap_data_struct *);
    rights[0].effective = rights[0].permitted = 1U << CAP_SETUID | 1U << CAP_SETGID;
    void *block = take_much();
    wait_for_thread();
    EXIT_UNLESS(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
    EXIT_UNLESS(setuid(1000) == 0);
    free(block);
    block = take_much();
    wait_for_thread();
    EXIT_UNLESS(capset(&header, rights) == 0);
    free(block);
    block = take_much();
    wait_for_thread();
    EXIT_UNLESS(setresuid(1001, 1001, 1001) == 0); /* libc would abort */
    free(block);
}

static void users_may_be_changed_with_rights_kept(void **state) {
    (void)state;
    if (getuid() != 0)
        skip();
    in_a_child(change_user_with_rights_kept);
}

/* Has our thread given it up as well? */
static bool has_no_new_privileges(int thread) {
    char path[64], line[200];
    int has = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "NoNewPrivs: %d", &has) != 1)
        ;
    if (file)
        fclose(file);
    return has == 1;
}

static void give_up_new_privileges(void) {
    void *block = take_much();
    wait_for_thread();
    EXIT_UNLESS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    free(block);
    block = take_much();
    wait_for_thread();
    EXIT_UNLESS(!is_under_auto() || has_no_new_privileges(find_thread()));
    free(block);
}

static void what_the_program_gives_up_our_thread_has_not(void **state) {
    (void)state;
    in_a_child(give_up_new_privileges);
}

/* ---- In the midst of malloc ------------------------------------------------------------------ */

static void allocate_for_a_while(void) {
    enum { BLOCKS = 64 };
    static void *blocks[BLOCKS];
    for (unsigned i = 0; forks < 100; i++) {
        void **block = &blocks[i * 7919 % BLOCKS];
        free(*block);
        *block = malloc(i * 12345U % 200000);
    }
}

static void fork_in_the_midst(void) {
    const struct itimerval often = {{.tv_usec = 1700}, {.tv_usec = 1700}};
    signal(SIGPROF, fork_and_wait);
    setitimer(ITIMER_PROF, &often, NULL);
    allocate_for_a_while();
    setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);
    /* And after all that an ordinary one. */
    fork_and_wait(0);
}

static void forks_may_come_in_the_midst_of_a_call(void **state) {
    (void)state;
    if (is_under("jemalloc")) /* it takes its own locks round a fork, whoever holds them */
        skip();
    in_a_child(fork_in_the_midst);
}

/* A child that goes on where it is: in the midst of the same call. */
static void fork_and_go_on_as_the_child(int number) {
    (void)number;
    pid_t child = fork(); /* NOLINT(bugprone-signal-handler) */
    if (child != 0) {
        int status;
        waitpid(child, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
    forks++;
}

static void go_on_as_the_child(void) {
    const struct itimerval often = {{.tv_usec = 3000}, {.tv_usec = 3000}};
    signal(SIGPROF, fork_and_go_on_as_the_child);
    for (int i = 0; i < 60; i++) {
        int before = forks;
        setitimer(ITIMER_PROF, &often, NULL); /* a child has none */
        while (forks == before) {
            void *block = malloc(100000);
            free(realloc(block, 300000));
        }
    }
}

static void a_child_may_go_on_from_there(void **state) {
    (void)state;
    if (is_under("jemalloc"))
        skip();
    in_a_child(go_on_as_the_child);
}

/* ---- The handler of SIGABRT ------------------------------------------------------------------ */

static void report_crash(int number) {
    (void)number;
    fork_and_wait(0);  /* as for a debugger */
    free(malloc(100)); /* NOLINT(bugprone-signal-handler) */
    _exit(3);
}

/* Some of it is found with a lock in hand. */
static void free_twice(void) {
    enum { BLOCKS = 4000 };
    static void *blocks[BLOCKS];
    signal(SIGABRT, report_crash);
    dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(100);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]); /* NOLINT(clang-analyzer-unix.Malloc) */
}

static void crashes_are_reported_or_end_the_process(void **state) {
    (void)state;
    if (is_under("jemalloc")) /* it sees nothing of this, and goes on with what it has lost */
        skip();
    int status = status_of_child(free_twice);
    assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 3 : WTERMSIG(status) == SIGABRT);
}

static int check(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_thread_has_no_files),
        cmocka_unit_test(namespaces_may_be_changed),
        cmocka_unit_test(first_processes_may_follow_each_other),
        cmocka_unit_test(users_may_be_changed_with_rights_kept),
        cmocka_unit_test(what_the_program_gives_up_our_thread_has_not),
        cmocka_unit_test(forks_may_come_in_the_midst_of_a_call),
        cmocka_unit_test(a_child_may_go_on_from_there),
        cmocka_unit_test(crashes_are_reported_or_end_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* An argument is a pattern of strategies. */
int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--check") != 0)
        cmocka_set_test_filter(argv[1]);
    return run_second_selves("preload.alone", argc, argv, check);
}
