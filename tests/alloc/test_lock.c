/*
 * test_lock.c - the lock: one thread at a time, and errno is as it was however long the wait.
 */
#include "support.h"

#include <pthread.h>
#include <sched.h>

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

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_at_a_time_and_errno_is_kept),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
