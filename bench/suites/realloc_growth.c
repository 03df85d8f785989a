/*
 * realloc_growth.c - vectors that grow: by doubling, as good ones do, and by one more element, as
 * naive ones do. With two vectors growing in turns neither can have the room behind it for long.
 *
 * What each growth adds is written, every byte. An operation is one realloc.
 */
#include "suites.h"

enum { MAX_VECTORS = 2, SMALLEST = 64 };

struct vectors {
    char *data[MAX_VECTORS];
    size_t sizes[MAX_VECTORS];
};

enum { TO, VECTORS, BY }; /* the arguments; BY 0: doubling */

static size_t grown(const struct worker *worker, size_t size) {
    if (worker->args[BY])
        return size + (size_t)worker->args[BY];
    return size ? 2 * size : SMALLEST;
}

static void begin(struct worker *worker) {
    size_t to = (size_t)worker->args[TO];
    worker->batch = 0;
    for (size_t size = 0; size < to; size = grown(worker, size))
        worker->batch += worker->args[VECTORS];
}

static void grow(struct worker *worker, char **data, size_t *size) {
    size_t new_size = grown(worker, *size);
    *data = retake(worker, *data, new_size);
    fill(worker, *data + *size, 1, new_size - *size);
    *size = new_size;
}

static void work(struct worker *worker) {
    struct vectors *own = worker->own;
    size_t to = (size_t)worker->args[TO];
    *own = (struct vectors){0};
    while (own->sizes[0] < to)
        for (int64_t i = 0; i < worker->args[VECTORS]; i++)
            grow(worker, &own->data[i], &own->sizes[i]);
    at_fullest(worker);
    for (int64_t i = 0; i < worker->args[VECTORS]; i++)
        sw_free(worker->heap, own->data[i]);
}

#define GROWING                                                                                    \
    .unit = GB_NANOSECOND, .warm_up = 1, .tracked = 2, .own_size = sizeof(struct vectors),         \
    .begin = begin, .work = work

static const struct workload workloads[] = {
    {
        .name = "realloc_doubling",
        .summary = "vectors grown from 64 B by doubling",
        .arg_names = {"to", "vectors"},
        .cases = {{1, {64 * KIB, 1}}, {1, {64 * MIB, 1}}, {1, {64 * MIB, 2}}},
        GROWING,
    },
    {
        .name = "realloc_append",
        .summary = "vectors grown by one element at a time",
        .arg_names = {"to", "vectors", "by"},
        .cases = {{1, {64 * KIB, 1, 16}},
                  {1, {64 * KIB, 2, 16}},
                  {1, {64 * MIB, 1, 1 * MIB}},
                  {1, {64 * MIB, 2, 1 * MIB}}},
        GROWING,
    },
};

const struct workload *realloc_growth_suite(size_t index) {
    return index < sizeof workloads / sizeof *workloads ? &workloads[index] : NULL;
}
