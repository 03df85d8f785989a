/*
 * free_order.c - a working set taken whole, then given back whole: last in first out as a stack of
 * layers does, first in first out as a queue does, and in no order.
 */
#include "suites.h"

enum { MAX_BLOCKS = 16 * KIB };

enum order { LAST_FIRST, FIRST_FIRST, NO_ORDER };

struct blocks {
    size_t count;
    void *blocks[MAX_BLOCKS];
    size_t sizes[MAX_BLOCKS];
    uint32_t order[MAX_BLOCKS]; /* in which they are freed */
};

/* R. Durstenfeld's shuffle, 1964. */
static void shuffle(uint32_t *items, size_t count, uint64_t seed) {
    for (size_t i = count; i > 1; i--) {
        size_t j = next_random(&seed) % i;
        uint32_t item = items[j];
        items[j] = items[i - 1];
        items[i - 1] = item;
    }
}

static void begin(struct worker *worker) {
    struct blocks *own = worker->own;
    enum order order = *(const enum order *)worker->workload->detail;
    own->count = (size_t)worker->args[0];
    draw_pareto_sizes(own->sizes, own->count, 1);
    for (size_t i = 0; i < own->count; i++)
        own->order[i] = (uint32_t)(order == LAST_FIRST ? own->count - 1 - i : i);
    if (order == NO_ORDER)
        shuffle(own->order, own->count, 2);
    worker->batch = (int64_t)own->count;
}

static void work(struct worker *worker) {
    struct blocks *own = worker->own;
    for (size_t i = 0; i < own->count; i++) {
        own->blocks[i] = take(worker, own->sizes[i]);
        touch(own->blocks[i], own->sizes[i]);
    }
    at_fullest(worker);
    for (size_t i = 0; i < own->count; i++)
        sw_free(worker->heap, own->blocks[own->order[i]]);
}

static const enum order last_first = LAST_FIRST;
static const enum order first_first = FIRST_FIRST;
static const enum order no_order = NO_ORDER;

#define ORDERED                                                                                    \
    .unit = GB_NANOSECOND, .warm_up = 2, .tracked = 4, .own_size = sizeof(struct blocks),          \
    .arg_names = {"blocks"}, .cases = {{1, {1 * KIB}}, {1, {MAX_BLOCKS}}}, .begin = begin,         \
    .work = work

static const struct workload workloads[] = {
    {
        .name = "free_lifo",
        .summary = "a working set taken, then freed from the last block to the first",
        .detail = &last_first,
        ORDERED,
    },
    {
        .name = "free_fifo",
        .summary = "a working set taken, then freed from the first block to the last",
        .detail = &first_first,
        ORDERED,
    },
    {
        .name = "free_random",
        .summary = "a working set taken, then freed in no order",
        .detail = &no_order,
        ORDERED,
    },
};

const struct workload *free_order_suite(size_t index) {
    return index < sizeof workloads / sizeof *workloads ? &workloads[index] : NULL;
}
