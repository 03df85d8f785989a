/*
 * slots.c - glibc's benchmark for threads: each thread has 1024 slots, and again and again frees
 * the block of a random one and puts another there. Sizes from 4 bytes to 32 KiB, a size twice as
 * large a quarter as often.
 */
#include "shape.h"

#include <math.h>

enum { SLOTS = 1024, SIZES = 8192, OPERATIONS = 30000000 };

struct worker {
    struct part part;
    void *blocks[SLOTS];
    unsigned short sizes[SLOTS];
};

static unsigned short sizes[SIZES];
static struct worker workers[MAX_THREADS];

/* The quantiles of a density that falls with the square of the size. */
static void set_sizes(void) {
    const double least = 4, most = 32768;
    for (size_t i = 0; i < SIZES; i++) {
        double quantile = (double)i / SIZES;
        sizes[i] = (unsigned short)(1 / (1 / least - quantile * (1 / least - 1 / most)));
    }
}

static void *work(void *own) {
    struct worker *worker = own;
    uint64_t state = worker->part.state;
    for (uint64_t i = 0; i < worker->part.operations; i++) {
        size_t slot = below(&state, SLOTS);
        if (worker->blocks[slot]) {
            give(worker->blocks[slot], worker->sizes[slot]);
        }
        worker->sizes[slot] = sizes[below(&state, SIZES)];
        worker->blocks[slot] = take(worker->sizes[slot]);
    }
    for (size_t slot = 0; slot < SLOTS; slot++) {
        if (worker->blocks[slot]) {
            give(worker->blocks[slot], worker->sizes[slot]);
        }
    }
    return NULL;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    set_sizes();
    run_parts(&shape, OPERATIONS, work, workers, sizeof *workers);
}
