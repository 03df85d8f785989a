/*
 * stepped.c - a fork at each instruction of a call in turn, by a signal's handler that goes on as the
 * child: it finishes the call, and allocates as ever. The processor stops after each instruction
 * (the trap flag of x86-64).
 */
#define _GNU_SOURCE
#include "second_self.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#if defined(__x86_64__)

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define SIZE ((size_t)1000)

enum { BLOCKS = 64, TRAP = 0x100, MOST_STEPS = 10000 };

static void *blocks[BLOCKS];
static volatile int steps, fork_at, status_of_child;
static volatile bool is_child;

/* ---- The call -------------------------------------------------------------------------------- */

static void go_on_at_full_speed(void *context) {
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP;
}

static void fork_in_time(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    if (++steps != fork_at)
        return;
    go_on_at_full_speed(context);
    int status;
    pid_t child = fork(); /* NOLINT(bugprone-signal-handler): it is what this is about */
    is_child = child == 0;
    if (is_child)
        alarm(10); /* it may wait for what nobody lets go */
    else
        status_of_child = waitpid(child, &status, 0) == child ? status : -1;
}

static __attribute__((noinline)) void step_through(void (*call)(void)) {
    __asm__ volatile("pushfq; orq %0, (%%rsp); popfq" ::"i"(TRAP) : "memory", "cc");
    call();
    __asm__ volatile("pushfq; andq %0, (%%rsp); popfq" ::"i"(~TRAP) : "memory", "cc");
}

static void *take_all(void *unused) {
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(SIZE);
        CHECK(blocks[i]);
        memset(blocks[i], i, SIZE);
    }
    return unused;
}

static void free_all(void) {
    for (int i = 0; i < BLOCKS; i++) {
        CHECK(!blocks[i] || *((char *)blocks[i] + SIZE - 1) == i);
        free(blocks[i]);
    }
}

/* What there was, and twice what another thread has taken. */
static void work_on(void) {
    free_all();
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, take_all, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        free_all();
    }
}

/* ---- At each instruction --------------------------------------------------------------------- */

static void (*call)(void);

enum { ENDED_WELL, ENDED_BADLY, HAD_NO_FORK };

/* The exit code of a process that makes the call. */
static int make_call(void) {
    alarm(20);
    step_through(call);
    if (is_child) {
        work_on();
        return ENDED_WELL;
    }
    if (steps < fork_at)
        return HAD_NO_FORK;
    return status_of_child == 0 ? ENDED_WELL : ENDED_BADLY;
}

/* In a new process, so that each begins alike. */
static int make_call_in_process(void) {
    int status = 0;
    pid_t process = fork();
    if (process == 0)
        _exit(make_call());
    CHECK(process > 0 && waitpid(process, &status, 0) == process && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void *make_call_for(void *exit_code) {
    *(int *)exit_code = make_call_in_process();
    return NULL;
}

static int make_call_in_thread(void) {
    int exit_code;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, make_call_for, &exit_code) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return exit_code;
}

static void fork_at_each(void (*makes)(void), int (*exit_code_of_call)(void)) {
    const struct sigaction action = {.sa_sigaction = fork_in_time, .sa_flags = SA_SIGINFO};
    const char *strategy = getenv("STEPWELL_STRATEGY");
    if (strcmp(strategy, "auto") != 0 && strcmp(strategy, "sizeclass") != 0)
        skip(); /* it is about slabs */
    assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
    take_all(NULL);
    call = makes;
    int exit_code = ENDED_WELL;
    for (fork_at = 1; exit_code == ENDED_WELL && fork_at < MOST_STEPS; fork_at++)
        exit_code = exit_code_of_call();
    assert_int_equal(exit_code, HAD_NO_FORK);
    assert_true(fork_at > 20);
    free_all();
}

static void free_one(void) {
    free(blocks[0]);
    blocks[0] = NULL;
}

static void a_thread_may_free_what_another_took(void **state) {
    (void)state;
    fork_at_each(free_one, make_call_in_thread);
}

static void a_thread_may_free_its_own(void **state) {
    (void)state;
    fork_at_each(free_one, make_call_in_process);
}

static void take_of_another_size(void) {
    free(malloc(5 * SIZE));
}

static void a_thread_may_take_its_first_of_a_size(void **state) {
    (void)state;
    fork_at_each(take_of_another_size, make_call_in_process);
}

static int check(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_may_free_what_another_took),
        cmocka_unit_test(a_thread_may_free_its_own),
        cmocka_unit_test(a_thread_may_take_its_first_of_a_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void nothing_stops_after_each_instruction(void **state) {
    (void)state;
    skip();
}

static int check(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_stops_after_each_instruction)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif

/* An argument is a pattern of strategies. */
int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--check") != 0)
        cmocka_set_test_filter(argv[1]);
    return run_second_selves("preload.stepped", argc, argv, check);
}
