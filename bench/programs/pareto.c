/*
 * pareto.c - sizes and lives as in the alloc-test comparison: many slots, a random one at a time is
 * filled if it is empty and emptied if it is full; most sizes are small and few are large (Pareto,
 * 80 of 100 bytes in 20 of 100 blocks, 8 bytes to 16 KiB).
 */
#include "shape.h"

#include <math.h>

enum { SLOTS = 1 << 18, SIZES = 1 << 12, OPERATIONS = 12000000 };

struct worker {
    struct part part;
    struct block *slots; /* its part of all slots */
    size_t count;
};

static struct block slots[SLOTS];
static unsigned short sizes[SIZES];
static struct worker workers[MAX_THREADS];

/* The quantiles of the distribution, so that the loop draws without powers. */
static void set_sizes(void) {
    const double alpha = log(5.0) / log(4.0), least = 8, most = 16384;
    for (size_t i = 0; i < SIZES; i++) {
        double size = least / pow(1 - (double)i / SIZES, 1 / alpha);
        sizes[i] = (unsigned short)fmin(size, most);
    }
}

static void *work(void *own) {
    struct worker *worker = own;
    uint64_t state = worker->part.state;
    for (uint64_t i = 0; i < worker->part.operations; i++) {
        struct block *slot = &worker->slots[below(&state, worker->count)];
        if (slot->bytes) {
            give_block(slot);
            slot->bytes = NULL;
        } else {
            *slot = take_block(sizes[below(&state, SIZES)]);
        }
    }
    for (size_t i = 0; i < worker->count; i++) {
        if (worker->slots[i].bytes) {
            give_block(&worker->slots[i]);
        }
    }
    return NULL;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    size_t each = SLOTS / shape.threads;
    set_sizes();
    for (unsigned i = 0; i < shape.threads; i++) {
        workers[i].count = each;
        workers[i].slots = slots + i * each;
    }
    run_parts(&shape, OPERATIONS, work, workers, sizeof *workers);
}
