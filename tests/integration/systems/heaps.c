/*
 * heaps.c - every strategy in two threads, and malloc itself, on a system that has no cmocka: blocks
 * come, grow and go at random, and each holds what was written to it. Prints how many strategies there
 * were. Told "small", in one thread, without the blocks that are so large that their pages move.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stepwell.h"

enum { BLOCKS = 200, TURNS = 4000, MOST_THREADS = 2 };

static int thread_count = MOST_THREADS;
static size_t most = (size_t)3 << 20;

/* Where blocks come from: a heap, or malloc where there is none. */
static sw_heap *heap;

static void *resize(void *block, size_t size) {
    return heap ? sw_realloc(heap, block, size) : realloc(block, size);
}

static void give_back(void *block) {
    if (heap)
        sw_free(heap, block);
    else
        free(block);
}

static void fail(const char *what) {
    fprintf(stderr, "heaps: %s\n", what);
    exit(1);
}

static uint64_t random_of(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Mostly small, some of up to the most. */
static size_t size_of_turn(uint64_t *state) {
    size_t limit = random_of(state) % 50 ? 40000 : most;
    return random_of(state) % limit + 1;
}

struct held {
    unsigned char *block;
    size_t size;
    unsigned char fill;
};

static void check(const struct held *held, size_t size) {
    for (size_t i = 0; i < size; i += 61)
        if (held->block[i] != held->fill)
            fail("a block does not hold what was written to it");
}

static void turn(struct held *held, uint64_t *state) {
    size_t size = size_of_turn(state), kept = held->size < size ? held->size : size;
    if (held->block)
        check(held, held->size);
    if (held->block && random_of(state) % 2) {
        give_back(held->block);
        held->block = NULL;
        kept = 0;
    }
    held->block = resize(held->block, size);
    if (!held->block)
        fail("out of memory");
    check(held, kept);
    held->size = size;
    held->fill = (unsigned char)random_of(state);
    memset(held->block, held->fill, size);
}

static void *work(void *seed) {
    struct held held[BLOCKS] = {0};
    uint64_t state = (uintptr_t)seed;
    for (int i = 0; i < TURNS; i++)
        turn(&held[random_of(&state) % BLOCKS], &state);
    for (int i = 0; i < BLOCKS; i++)
        give_back(held[i].block);
    return NULL;
}

static void work_in_threads(void) {
    pthread_t threads[MOST_THREADS];
    for (int i = 0; i < thread_count; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1)) != 0)
            fail("no thread");
    for (int i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
}

static void work_with_strategy(const char *name) {
    struct sw_stats stats;
    heap = sw_heap_create(name, "tracking:0");
    if (!heap)
        fail(sw_error());
    work_in_threads();
    sw_trim(heap);
    if (sw_heap_stats(heap, &stats, sizeof stats) != 0)
        fail(sw_error());
    if (strcmp(name, "system") != 0 && stats.allocated.current != 0)
        fail("something is live that was freed");
    sw_heap_destroy(heap);
    heap = NULL;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"system", "pool", "sizeclass", "arena", "auto"};
    size_t count = sizeof names / sizeof *names;
    if (argc > 1 && strcmp(argv[1], "small") == 0) {
        thread_count = 1;
        most = 100000;
    }
    work_in_threads();
    for (size_t i = 0; i < count; i++)
        work_with_strategy(names[i]);
    printf("%zu strategies and malloc\n", count);
    return 0;
}
