/*
 * producer_consumer.c - blocks that one thread takes and another gives back, as from a loader of
 * batches to the training loop: every free is a free of another thread's block.
 *
 * Each producer has a ring to each consumer. A worker's batch is ROUND blocks through each of its
 * rings, so the same number of calls of work() fills and empties all of them, whatever the shape.
 * In the tracked pass consumers begin when all rings are full, or hold a round.
 * An operation is a round's block of one thread: with p producers and c consumers, p*c blocks go
 * over for the p+c operations.
 */
#include <sched.h>
#include <stdatomic.h>

#include "suites.h"

enum { ROUND = 256, MAX_SLOTS = 1024, MAX_SIDE = 3 };

/* Single producer, single consumer: each side writes its own counter only.
 * 0 <= put - got <= capacity. */
struct ring {
    _Alignas(64) atomic_size_t put;
    _Alignas(64) atomic_size_t got;
    _Alignas(64) void *slots[MAX_SLOTS];
};

struct rings {
    struct ring rings[MAX_SIDE][MAX_SIDE]; /* of producer, to consumer */
};

struct side {
    size_t sizes[ROUND];
};

struct freight {
    size_t capacity; /* of a ring */
    bool tensors;
};

static const struct freight *freight_of(const struct worker *worker) {
    return worker->workload->detail;
}

static bool is_producer(const struct worker *worker) {
    return worker->index < worker->args[0];
}

static void begin(struct worker *worker) {
    struct side *own = worker->own;
    uint64_t seed = 1 + (uint64_t)worker->index;
    draw_pareto_sizes(own->sizes, ROUND, seed);
    for (size_t i = 0; i < ROUND && freight_of(worker)->tensors; i++)
        own->sizes[i] = 64 * KIB + next_random(&seed) % (4 * MIB);
    worker->batch = ROUND;
}

/* Two cores may have to do for four threads: who waits long lets the others run. */
static void wait_a_little(unsigned *waited) {
    if (++*waited % 64 == 0)
        sched_yield();
#if defined(__x86_64__)
    else
        __builtin_ia32_pause();
#endif
}

static void put(struct ring *ring, size_t capacity, void *block) {
    size_t at = atomic_load_explicit(&ring->put, memory_order_relaxed);
    unsigned waited = 0;
    while (at - atomic_load_explicit(&ring->got, memory_order_acquire) >= capacity)
        wait_a_little(&waited);
    ring->slots[at % MAX_SLOTS] = block;
    atomic_store_explicit(&ring->put, at + 1, memory_order_release);
}

static void *get(struct ring *ring) {
    size_t at = atomic_load_explicit(&ring->got, memory_order_relaxed);
    unsigned waited = 0;
    while (atomic_load_explicit(&ring->put, memory_order_acquire) == at)
        wait_a_little(&waited);
    void *block = ring->slots[at % MAX_SLOTS];
    atomic_store_explicit(&ring->got, at + 1, memory_order_release);
    return block;
}

static void produce(struct worker *worker) {
    struct rings *rings = worker->shared;
    struct side *own = worker->own;
    size_t capacity = freight_of(worker)->capacity, fullest = capacity < ROUND ? capacity : ROUND;
    for (size_t i = 0; i < ROUND; i++) {
        if (i == fullest)
            all_at_fullest(worker);
        for (int64_t to = 0; to < worker->args[1]; to++) {
            void *block = take(worker, own->sizes[i]);
            touch(block, own->sizes[i]);
            put(&rings->rings[worker->index][to], capacity, block);
        }
    }
    if (fullest == ROUND)
        all_at_fullest(worker);
}

static void consume(struct worker *worker) {
    struct rings *rings = worker->shared;
    int64_t me = worker->index - worker->args[0];
    all_at_fullest(worker);
    for (size_t i = 0; i < ROUND; i++)
        for (int64_t from = 0; from < worker->args[0]; from++)
            sw_free(worker->heap, get(&rings->rings[from][me]));
}

static void work(struct worker *worker) {
    if (is_producer(worker))
        produce(worker);
    else
        consume(worker);
}

static const struct freight small = {.capacity = MAX_SLOTS, .tensors = false};
static const struct freight tensors = {.capacity = 4, .tensors = true};

#define HANDED_OVER                                                                                \
    .own_size = sizeof(struct side), .shared_size = sizeof(struct rings),                          \
    .arg_names = {"producers", "consumers"}, .begin = begin, .work = work

static const struct workload workloads[] = {
    {
        .name = "producer_consumer",
        .summary = "small blocks freed by another thread than took them",
        .unit = GB_NANOSECOND,
        .warm_up = 4,
        .tracked = 16,
        .detail = &small,
        .cases = {{2, {1, 1}}, {4, {1, 3}}, {4, {3, 1}}, {4, {2, 2}}},
        HANDED_OVER,
    },
    {
        .name = "producer_consumer_tensors",
        .summary = "the same with tensors of 64 KiB to 4 MiB, four under way",
        .unit = GB_MICROSECOND,
        .warm_up = 1,
        .tracked = 2,
        .detail = &tensors,
        .cases = {{2, {1, 1}}, {4, {3, 1}}},
        HANDED_OVER,
    },
};

const struct workload *producer_consumer_suite(size_t index) {
    return index < sizeof workloads / sizeof *workloads ? &workloads[index] : NULL;
}
