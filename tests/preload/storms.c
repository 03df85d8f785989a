/*
 * storms.c - a great many forks while threads allocate, and a great many threads that end with
 * blocks which others free: nothing hangs, nothing is lost, memory stays what it was. See
 * second_self.h.
 */
#define _GNU_SOURCE
#include "second_self.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUSY = 8, FORKS = 1000, THREADS = 10000, AT_ONCE = 8, BLOCKS = 200 };

static size_t resident(void) {
    char text[64] = {0};
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    return (size_t)strtoul(strchr(text, ' '), NULL, 10) * 4096;
}

static size_t size_of(unsigned i) {
    return i % 50 == 0 ? 40000 : 1 + i * 37 % 2000;
}

/* Filled with its own size, and looked at. */
static unsigned char *make(unsigned i) {
    unsigned char *block = malloc(size_of(i));
    if (!block)
        abort();
    return memset(block, (int)(i % 251), size_of(i));
}

static void end(unsigned char *block, unsigned i) {
    if (block[0] != i % 251 || block[size_of(i) - 1] != i % 251)
        abort();
    free(block);
}

static void allocate(unsigned from) {
    unsigned char *blocks[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = make(from + i);
    for (unsigned i = 0; i < BLOCKS; i++)
        end(blocks[i], from + i);
}

static int stop;

static void *allocate_until_stopped(void *argument) {
    for (unsigned i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++)
        allocate(i);
    return argument;
}

/* arena takes back what a step leaves, and here no step ends. */
static bool never_gives_back(void) {
    const char *strategy = getenv("STEPWELL_STRATEGY");
    return strategy && strcmp(strategy, "arena") == 0;
}

static void a_thousand_forks_while_threads_allocate(void **state) {
    (void)state;
    pthread_t threads[BUSY];
    for (int i = 0; i < BUSY; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_until_stopped, NULL), 0);
    size_t early = 0;
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(60); /* a lock left held ends here */
            allocate(i);
            exit(0); /* with all that runs at an exit */
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        if (i == FORKS / 10)
            early = resident();
    }
    size_t late = resident();
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < BUSY; i++)
        pthread_join(threads[i], NULL);
    if (!never_gives_back())
        assert_true(late <= early + early / 4 + (4 << 20));
}

/* Makes blocks and leaves them to who joins it. */
static void *make_and_end(void *argument) {
    unsigned char **blocks = argument;
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = make(i);
    return NULL;
}

static void ten_thousand_threads_hand_their_blocks_over(void **state) {
    (void)state;
    static unsigned char *blocks[AT_ONCE][BLOCKS];
    size_t early = 0;
    for (unsigned turn = 0; turn < THREADS / AT_ONCE; turn++) {
        pthread_t threads[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, make_and_end, blocks[i]), 0);
        for (int i = 0; i < AT_ONCE; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < AT_ONCE; i++)
            for (unsigned j = 0; j < BLOCKS; j++)
                end(blocks[i][j], j);
        if (turn == THREADS / AT_ONCE / 2) /* every cache has seen every size by then */
            early = resident();
    }
    assert_true(resident() <= early + early / 4 + (4 << 20));
}

static int check(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_threads_hand_their_blocks_over),
        cmocka_unit_test(a_thousand_forks_while_threads_allocate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv) {
    return run_second_selves("preload.storms", argc, argv, check);
}
