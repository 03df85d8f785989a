/*
 * mixed_sizes.c - many sizes at random places: a set of slots, each holding a block; again and
 * again some slot's block is freed and one of another size put there.
 *
 * The sequence is drawn once, from a fixed seed, and work() goes through all of it, so that each
 * call of it does the same to every strategy. One byte of each page is written. With several
 * threads each has slots of its own in the one heap: what they share is the allocator.
 */
#include "suites.h"

enum { SLOTS = 1024, MOVES = 4096 };

struct mixed {
    void *slots[SLOTS];
    size_t sizes[MOVES];
    uint16_t where[MOVES];
};

static void begin(struct worker *worker) {
    struct mixed *own = worker->own;
    uint64_t seed = 1 + (uint64_t)worker->index;
    size_distribution *draw = *(size_distribution *const *)worker->workload->detail;
    draw(own->sizes, MOVES, seed);
    for (size_t i = 0; i < MOVES; i++)
        own->where[i] = (uint16_t)(next_random(&seed) % SLOTS);
    worker->batch = MOVES;
}

static void work(struct worker *worker) {
    struct mixed *own = worker->own;
    for (size_t i = 0; i < MOVES; i++) {
        void **slot = &own->slots[own->where[i]];
        sw_free(worker->heap, *slot);
        *slot = take(worker, own->sizes[i]);
        touch(*slot, own->sizes[i]);
    }
    at_fullest(worker);
}

static void go_idle(struct worker *worker) {
    struct mixed *own = worker->own;
    for (size_t i = 0; i < SLOTS; i++)
        sw_free(worker->heap, own->slots[i]);
}

static size_distribution *const ml = draw_ml_sizes;
static size_distribution *const pareto = draw_pareto_sizes;

#define MIXED                                                                                      \
    .unit = GB_NANOSECOND, .warm_up = 2, .tracked = 4, .own_size = sizeof(struct mixed),           \
    .begin = begin, .work = work, .go_idle = go_idle

static const struct workload workloads[] = {
    {
        .name = "mixed_ml",
        .summary = "free and malloc at random, 96 % up to 1 KiB and 1 % above 1 MiB",
        .detail = &ml,
        .cases = {{1, {0}}, {2, {0}}},
        MIXED,
    },
    {
        .name = "mixed_pareto",
        .summary = "free and malloc at random, Pareto sizes from 16 B to 64 KiB",
        .detail = &pareto,
        .cases = {{1, {0}}, {2, {0}}, {4, {0}}},
        MIXED,
    },
};

const struct workload *mixed_sizes_suite(size_t index) {
    return index < sizeof workloads / sizeof *workloads ? &workloads[index] : NULL;
}
