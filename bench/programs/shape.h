/*
 * shape.h - what the programs share: their options, blocks that can be checked, random numbers,
 * threads, and the line of JSON at the end.
 *
 * A program is one shape of allocation, as common comparisons have it, written anew. It does the
 * same operations under every allocator, to the byte. It touches what it allocates, checks a block
 * before it is freed, keeps its own tables out of the heap or says so, and waits without spinning,
 * so that the processor time is the allocator's and the touching's.
 *
 *   PROGRAM [--threads N] [--quick]
 */
#ifndef SHAPE_H
#define SHAPE_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

enum { PAGE = 4096, MAX_THREADS = 64, QUICK = 20 };

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* Options, the same for all. */

struct shape {
    unsigned threads;
    int quick;
    double start;      /* of the processor time that report() divides */
    double wall_start; /* of the time on the wall */
};

static inline void fail(const char *why) {
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static inline double now_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline double processor_ns(void) {
    return now_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static inline struct shape begin(int count, char **arguments) {
    struct shape shape = {.threads = 1};
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--quick") == 0) {
            shape.quick = 1;
        } else if (strcmp(arguments[i], "--threads") == 0 && i + 1 < count) {
            shape.threads = (unsigned)strtoul(arguments[++i], NULL, 10);
        } else {
            shape.threads = 0;
        }
    }
    if (shape.threads < 1 || shape.threads > MAX_THREADS) {
        fail("usage: PROGRAM [--threads 1..64] [--quick]");
    }
    shape.start = processor_ns();
    shape.wall_start = now_ns(CLOCK_MONOTONIC);
    return shape;
}

/* How many of the whole run's operations this run does. */
static inline uint64_t share(const struct shape *shape, uint64_t operations) {
    return shape->quick ? operations / QUICK : operations;
}

static inline void report(const struct shape *shape, uint64_t operations) {
    printf("{\"operations\": %llu, \"ns_per_op\": %.3f}\n", (unsigned long long)operations,
           (processor_ns() - shape->start) / (double)operations);
}

/* Of a program with something live at its end, or nothing: what is resident a second later. It tells
 * the time on the wall itself, which is without that second. */
static inline void report_at_rest(const struct shape *shape, uint64_t operations) {
    double each = (processor_ns() - shape->start) / (double)operations;
    double wall_ms = (now_ns(CLOCK_MONOTONIC) - shape->wall_start) / 1e6;
    sleep(1);
    int64_t resident = status("VmRSS:");
    if (resident <= 0) {
        fail("/proc/self/status can't be read");
    }
    printf("{\"operations\": %llu, \"ns_per_op\": %.3f, \"wall_ms\": %.3f, "
           "\"resident_1000ms\": %lld}\n",
           (unsigned long long)operations, each, wall_ms, (long long)resident);
}

/* Random numbers: xorshift, one state per thread, never zero. */

static inline uint64_t draw(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* 0 .. bound - 1 */
static inline size_t below(uint64_t *state, size_t bound) {
    return (size_t)((draw(state) >> 32) * bound >> 32);
}

static inline uint64_t seed_of(unsigned thread) {
    return 88172645463325252u + thread * 0x9e3779b97f4a7c15u;
}

/* Blocks: a byte that follows from size and address at the start, at the end, and on each page. */

static inline unsigned char mark_of(const void *block, size_t size) {
    return (unsigned char)(((uintptr_t)block >> 4) ^ size ^ 0xa5);
}

static inline void mark(void *block, size_t size) {
    unsigned char *bytes = block;
    unsigned char value = mark_of(block, size);
    for (size_t i = 0; i < size; i += PAGE) {
        bytes[i] = value;
    }
    bytes[size - 1] = value;
}

static inline void *take(size_t size) {
    void *block = malloc(size);
    if (!block) {
        fail("out of memory");
    }
    mark(block, size);
    return block;
}

static inline void check(const void *block, size_t size) {
    const unsigned char *bytes = block;
    unsigned char value = mark_of(block, size);
    if (bytes[0] != value || bytes[size - 1] != value) {
        fail("a block has changed");
    }
}

static inline void give(void *block, size_t size) {
    check(block, size);
    free(block);
}

/* A block and its size; no bytes: none. */
struct block {
    void *bytes;
    size_t size;
};

static inline struct block take_block(size_t size) {
    return (struct block){take(size), size};
}

static inline void give_block(const struct block *block) {
    give(block->bytes, block->size);
}

/* Each write reaches the cache: with two writers on one line it takes many times as long. */
static inline void write_often(unsigned char *byte, size_t times) {
    *byte = 0;
    for (size_t i = 0; i < times; i++) {
        ++*(volatile unsigned char *)byte;
    }
}

/* Threads. */

static inline pthread_t start(void *(*work)(void *), void *own) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, own) != 0) {
        fail("no more threads");
    }
    return thread;
}

/* Runs work(own[0]), work(own[1]), ... each in a thread, the last in this one. */
static inline void run_threads(unsigned count, void *(*work)(void *), void *own, size_t each) {
    pthread_t threads[MAX_THREADS];
    for (unsigned i = 0; i + 1 < count; i++) {
        threads[i] = start(work, (char *)own + i * each);
    }
    work((char *)own + (count - 1) * each);
    for (unsigned i = 0; i + 1 < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* What each of several workers has of a run, its first member: where its random numbers begin, and
 * how many operations are its. No line is two workers'. */
struct part {
    _Alignas(64) uint64_t state;
    uint64_t operations;
};

/* Gives each thread's worker an equal part of the whole run's operations, runs them, and reports. */
static inline void run_parts(const struct shape *shape, uint64_t operations, void *(*work)(void *),
                             void *workers, size_t each) {
    uint64_t count = share(shape, operations) / shape->threads;
    for (unsigned i = 0; i < shape->threads; i++) {
        *(struct part *)((char *)workers + i * each) = (struct part){seed_of(i), count};
    }
    run_threads(shape->threads, work, workers, each);
    report(shape, count * shape->threads);
}

#endif
