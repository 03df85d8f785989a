/*
 * suites.h - what a benchmark of heaps is made of. A suite is one file that ends in a list of
 * workloads; run.c runs each workload over each strategy. Neither knows the other's list.
 *
 * Glossary:
 *   workload  what is done to a heap, the same to the byte for every strategy
 *   case      one row of a workload's parameters: arguments and the number of threads
 *   worker    one thread's part in a run of a case
 *   work()    a worker's unit of work: the same number of operations each time it is called
 *
 * A run times work() on a heap without tracking, after some untimed calls of it. Then a second,
 * short, untimed pass does the same on a fresh heap with tracking: what its sw_heap_stats() and
 * sw_measure() say is shown beside the time, and nothing is computed here.
 *
 * What a worker needs for itself is given to it before the heap is made and is touched already, so
 * that it does not pass for memory of a heap whose strategy is libc.
 */
#ifndef SUITES_H
#define SUITES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "gbench.h"
#include "stepwell.h"

/* The suites, in the order they run: each is SUITE_suite() in the file of its name. */
#define SUITES(X)                                                                                  \
    X(one_size)                                                                                    \
    X(mixed_sizes)                                                                                 \
    X(free_order)                                                                                  \
    X(producer_consumer)                                                                           \
    X(realloc_growth)                                                                              \
    X(step_loop)                                                                                   \
    X(train_step)

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)

enum { MAX_ARGS = 3, MAX_CASES = 10, MAX_THREADS = 4 };

struct worker {
    const struct workload *workload;
    sw_heap *heap;
    const int64_t *args; /* of the case */
    int index;           /* of the thread, from 0 */
    int threads;
    void *own;      /* workload->own_size bytes, zero at first */
    void *shared;   /* workload->shared_size bytes, zero at first; all workers of a run have one */
    int64_t batch;  /* operations in one call of work(); 1 unless begin() says more */
    uint64_t bytes; /* written into blocks so far; 0: the workload does not count them */
    long faults_before;         /* page faults of the thread when the timed part began */
    bool tracked;               /* the pass is the tracked one */
    pthread_barrier_t *meeting; /* of all workers */
    struct sw_stats fullest;    /* of the heap, at the fullest instant shown by at_fullest() */
};

struct workload {
    const char *name;
    const char *summary; /* one line, no full stop */
    enum gb_unit unit;
    bool steps;  /* an operation is a step */
    int warm_up; /* untimed calls of work() before the timed ones */
    int tracked; /* calls of work() in the tracked pass */
    size_t own_size;
    size_t shared_size;
    const void *detail; /* the workload's own constants */

    const char *arg_names[MAX_ARGS + 1]; /* NULL past the last */
    struct bench_case {
        int threads; /* 0 past the last */
        int64_t args[MAX_ARGS];
    } cases[MAX_CASES + 1];

    void (*begin)(struct worker *worker); /* optional; the heap is there */
    void (*work)(struct worker *worker);
    void (*go_idle)(struct worker *worker); /* frees what would not outlive the work; optional */
    void (*end)(struct worker *worker);     /* frees the rest; optional */
    /* In place of the loop that calls work() while gb_keep_running_batch(); optional. */
    void (*drive)(struct gb_state *state, struct worker *worker);
};

/* The workloads of each suite, by index from 0; NULL past the last. */
#define DECLARE(name) const struct workload *name##_suite(size_t index);
SUITES(DECLARE)
#undef DECLARE

/* Registers the workload for a strategy: "workload/strategy/args". Both outlive the benchmarks. */
void register_workload(const struct workload *workload, const char *strategy);

/* ---- For work() ------------------------------------------------------------------------------ */

/* Ends the program: a benchmark has no use for half a result. */
_Noreturn void die_out_of_memory(const struct worker *worker, size_t size);

/* sw_alloc(), sw_alloc_aligned() as tensors are, and sw_realloc(); never NULL. */
static inline void *take(const struct worker *worker, size_t size) {
    void *block = sw_alloc(worker->heap, size, SW_TAG_OTHER);
    if (__builtin_expect(!block, 0))
        die_out_of_memory(worker, size);
    return block;
}

static inline void *take_tensor(const struct worker *worker, size_t size, enum sw_tag tag) {
    enum { TENSOR_ALIGNMENT = 64 }; /* as PyTorch asks for */
    void *block = sw_alloc_aligned(worker->heap, TENSOR_ALIGNMENT, size, tag);
    if (__builtin_expect(!block, 0))
        die_out_of_memory(worker, size);
    return block;
}

static inline void *retake(const struct worker *worker, void *block, size_t size) {
    void *resized = sw_realloc(worker->heap, block, size);
    if (__builtin_expect(!resized, 0))
        die_out_of_memory(worker, size);
    return resized;
}

/* Writes every byte, and the compiler may not think otherwise. */
static inline void fill(struct worker *worker, void *block, int value, size_t size) {
    memset(block, value, size);
    gb_do_not_optimize(block);
    worker->bytes += size;
}

/* Writes one byte of every page: faults come out, the speed of memory does not drown the rest. */
static inline void touch(void *block, size_t size) {
    enum { PAGE = 4096 };
    for (size_t at = 0; at < size; at += PAGE)
        ((volatile char *)block)[at] = 1;
}

/* What is counted over the timed part, page faults and bytes, is counted from here on. run.c calls
 * it before drive(), which may call it again, later. */
void count_from_here(struct worker *worker);

/* To be called where the worker's blocks are at their most: the tracked pass looks at the heap. */
void look_at_fullest(struct worker *worker);

static inline void at_fullest(struct worker *worker) {
    if (__builtin_expect(worker->tracked, 0))
        look_at_fullest(worker);
}

/* The same for workers that do alike: in the tracked pass each waits here for the others, so that
 * the peak is all of them at their fullest, whichever the machine would have run first. */
void look_when_all_are_fullest(struct worker *worker);

static inline void all_at_fullest(struct worker *worker) {
    if (__builtin_expect(worker->tracked, 0))
        look_when_all_are_fullest(worker);
}

/* ---- Sizes and chance, the same on every machine --------------------------------------------- */

/* The next of a sequence that begins with any value. */
uint64_t next_random(uint64_t *random);

/* In [0, 1). */
double next_uniform(uint64_t *random);

/* Fills sizes with draws from a distribution. */
typedef void size_distribution(size_t *sizes, size_t count, uint64_t seed);

/* Calls as PyTorch's training steps make them: 96 % up to 1 KiB, 1 % above 1 MiB, which is nearly
 * all of the bytes. */
size_distribution draw_ml_sizes;

/* Small objects: Pareto from 16 B with the exponent of "80 % of it in 20 % of them", cut at 64 KiB.
 */
size_distribution draw_pareto_sizes;

#endif
