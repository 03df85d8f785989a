/*
 * buffers.c - buffers between small objects and tensors, as a server or a loader of data has them:
 * each thread has a hundred of 16 to 256 KiB, and one at random is given back for one of another
 * size. A byte of each page is written.
 */
#include "shape.h"

enum { LIVE = 100, OPERATIONS = 400000 };

struct worker {
    struct part part;
    struct block live[LIVE];
};

static struct worker workers[MAX_THREADS];

static struct block take_any(uint64_t *state) {
    return take_block(16 * KIB + below(state, 240 * KIB));
}

static void *work(void *own) {
    struct worker *worker = own;
    uint64_t state = worker->part.state;
    for (size_t i = 0; i < LIVE; i++) {
        worker->live[i] = take_any(&state);
    }
    for (uint64_t i = 0; i < worker->part.operations; i++) {
        struct block *buffer = &worker->live[below(&state, LIVE)];
        give_block(buffer);
        *buffer = take_any(&state);
    }
    for (size_t i = 0; i < LIVE; i++) {
        give_block(&worker->live[i]);
    }
    return NULL;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    run_parts(&shape, OPERATIONS, work, workers, sizeof *workers);
}
