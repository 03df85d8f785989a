/*
 * test_lock.c - the lock: one thread at a time, and errno is as it was however long the wait.
 */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "lock.h"

enum { THREADS = 4, TURNS = 200000 };

static struct sw__lock lock;
static size_t counter; /* guarded by it */

static void *take_turns(void *argument) {
    for (size_t i = 0; i < scaled(TURNS); i++) {
        errno = 77;
        sw__lock(&lock);
        counter++;
        if (i % 64 == 0)
            sched_yield(); /* so that the others find it held, and go to sleep */
        sw__unlock(&lock);
        CHECK(errno == 77);
    }
    return argument;
}

static void one_thread_at_a_time_and_errno_is_kept(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_turns, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(counter, THREADS * scaled(TURNS));
}

static sw_heap *heaps[8];
static atomic_bool stops;

static void *allocate_in_all(void *argument) {
    while (!stops)
        for (size_t i = 0; i < LENGTH_OF(heaps); i++)
            sw_free(heaps[i], sw_alloc(heaps[i], 100 + i * 30000, SW_TAG_OTHER));
    return argument;
}

/* Else what forks later would take it for a fork in the midst of a call. */
static void after_a_fork_no_lock_is_in_hand(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < LENGTH_OF(heaps); i++)
        assert_non_null(heaps[i] = sw_heap_create(i % 2 ? "auto" : "sizeclass", "tracking:0"));
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_in_all, NULL), 0);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(sw__locks_in_hand != 0);
        assert_int_equal(exit_code_of(child), 0);
        assert_int_equal(sw__locks_in_hand, 0);
    }
    stops = true;
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < LENGTH_OF(heaps); i++)
        sw_heap_destroy(heaps[i]);
}

static atomic_bool is_held, may_end;
static volatile int in_hand_while_waiting;

static void *hold(void *argument) {
    sw__lock(&lock);
    is_held = true;
    while (!may_end)
        sched_yield();
    sw__unlock(&lock);
    return argument;
}

static void look_and_let_go(int number) {
    (void)number;
    in_hand_while_waiting = sw__locks_in_hand;
    may_end = true;
}

/* Else a handler's fork would not wait for who holds it, and the child would for ever. */
static void a_lock_that_is_waited_for_is_not_in_hand(void **state) {
    (void)state;
    pthread_t holder;
    assert_int_equal(pthread_create(&holder, NULL, hold, NULL), 0);
    while (!is_held)
        sched_yield();
    in_hand_while_waiting = -1;
    signal(SIGALRM, look_and_let_go);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = 50000}, NULL);
    sw__lock(&lock);
    assert_int_equal(sw__locks_in_hand, 1);
    sw__unlock(&lock);
    assert_int_equal(sw__locks_in_hand, 0);
    if (!SANITIZED) /* which handles signals at moments of its own */
        assert_int_equal(in_hand_while_waiting, 0);
    signal(SIGALRM, SIG_DFL);
    pthread_join(holder, NULL);
}

static void *share(void *argument) {
    sw__lock(&lock);
    is_held = true;
    while (!may_end) {
        usleep(2000);
        sw__lock_share(&lock);
    }
    sw__unlock(&lock);
    return argument;
}

/* As at the end of a process whose heap is about to give much back. */
static void who_waits_for_a_moment_is_let_in(void **state) {
    (void)state;
    pthread_t holder;
    is_held = may_end = false;
    assert_int_equal(pthread_create(&holder, NULL, share, NULL), 0);
    while (!is_held)
        sched_yield();
    bool came = false;
    for (int tries = 0; tries < 200 && !came; tries++)
        came = sw__lock_within(&lock, 1000000);
    assert_true(came);
    assert_int_equal(sw__locks_in_hand, 1);
    assert_false(sw__lock_within(&lock, 1000000)); /* it is our own */
    assert_int_equal(sw__locks_in_hand, 1);
    may_end = true;
    sw__unlock(&lock);
    pthread_join(holder, NULL);
    assert_int_equal(sw__locks_in_hand, 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_at_a_time_and_errno_is_kept),
        cmocka_unit_test(after_a_fork_no_lock_is_in_hand),
        cmocka_unit_test(a_lock_that_is_waited_for_is_not_in_hand),
        cmocka_unit_test(who_waits_for_a_moment_is_let_in),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
