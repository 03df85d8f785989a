/*
 * shared.c - the shared library, as a program links it: what depends on the order in which libraries
 * start.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "stepwell.h"

enum { FORKS = 300, HEAPS = 3, WATCHERS = 2 };

static sw_heap *heaps[HEAPS];
static atomic_bool done;

static void *watch(void *unused) {
    (void)unused;
    struct sw_stats stats;
    while (!done)
        for (int i = 0; i < HEAPS; i++)
            sw_heap_stats(heaps[i], &stats, sizeof stats);
    return NULL;
}

static void skip_without_jemalloc(void) {
#ifdef HAVE_JEMALLOC
    fail_msg("%s", sw_error());
#else
    skip();
#endif
}

/* Each asks every heap what it holds, jemalloc's too, whose locks the fork takes as well. */
static void a_fork_waits_for_none_who_look_at_heaps(void **state) {
    (void)state;
    static const char *const names[HEAPS] = {"jemalloc", "system", "pool"};
    pthread_t watchers[WATCHERS];
    for (int i = 0; i < HEAPS; i++) {
        heaps[i] = sw_heap_create(names[i], NULL);
        if (!heaps[i])
            skip_without_jemalloc();
    }
    for (int i = 0; i < WATCHERS; i++)
        assert_int_equal(pthread_create(&watchers[i], NULL, watch, NULL), 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0) {
            struct sw_stats stats;
            alarm(30); /* a lock left held ends here */
            sw_heap_stats(heaps[0], &stats, sizeof stats);
            sw_heap_destroy(heaps[2]); /* which a watcher may have been at */
            _exit(stats.blocks.current != 0);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    done = true;
    for (int i = 0; i < WATCHERS; i++)
        pthread_join(watchers[i], NULL);
    for (int i = 0; i < HEAPS; i++)
        sw_heap_destroy(heaps[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_fork_waits_for_none_who_look_at_heaps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
