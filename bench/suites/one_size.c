/*
 * one_size.c - a block of one size taken and given back at once, over and over.
 *
 * The shortest way through an allocator. Some blocks of the same size stay live meanwhile, as they
 * do in any program: an allocator that goes to the system with every last block of a kind shows
 * that in free_order, which comes down to nothing each time.
 */
#include "suites.h"

enum { PAIRS = 128, MAX_NEIGHBOURS = 256, NEIGHBOUR_BYTES = 8 * MIB };

struct one_size {
    size_t size;
    size_t neighbour_count;
    void *neighbours[MAX_NEIGHBOURS];
};

static void begin(struct worker *worker) {
    struct one_size *own = worker->own;
    own->size = (size_t)worker->args[0];
    size_t fit = NEIGHBOUR_BYTES / own->size;
    own->neighbour_count = fit < MAX_NEIGHBOURS ? fit : MAX_NEIGHBOURS;
    for (size_t i = 0; i < own->neighbour_count; i++) {
        own->neighbours[i] = take(worker, own->size);
        touch(own->neighbours[i], own->size);
    }
    worker->batch = PAIRS;
}

static void work(struct worker *worker) {
    size_t size = ((struct one_size *)worker->own)->size;
    for (int i = 0; i < PAIRS; i++) {
        char *block = take(worker, size);
        *block = 1;
        gb_do_not_optimize(block);
        sw_free(worker->heap, block);
    }
    at_fullest(worker);
}

static void end(struct worker *worker) {
    struct one_size *own = worker->own;
    for (size_t i = 0; i < own->neighbour_count; i++)
        sw_free(worker->heap, own->neighbours[i]);
}

static const struct workload workloads[] = {
    {
        .name = "one_size",
        .summary = "malloc and free of one size, the first byte written",
        .unit = GB_NANOSECOND,
        .warm_up = 8,
        .tracked = 8,
        .own_size = sizeof(struct one_size),
        .arg_names = {"size"},
        .cases = {{1, {8}},
                  {1, {64}},
                  {1, {512}},
                  {1, {4 * KIB}},
                  {1, {32 * KIB}},
                  {1, {256 * KIB}},
                  {1, {1 * MIB}},
                  {2, {64}}},
        .begin = begin,
        .work = work,
        .end = end,
    },
};

const struct workload *one_size_suite(size_t index) {
    return index < sizeof workloads / sizeof *workloads ? &workloads[index] : NULL;
}
