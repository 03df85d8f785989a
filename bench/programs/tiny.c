/*
 * tiny.c - tiny objects that die young: 8 to 64 bytes, the oldest of 64 is freed for each new one.
 * What is left is the cost of malloc and free where all is warm.
 */
#include "shape.h"

enum { LIVE = 64, OPERATIONS = 40000000 };

struct worker {
    struct part part;
    void *blocks[LIVE];
    unsigned char sizes[LIVE];
};

static struct worker workers[MAX_THREADS];

static void *work(void *own) {
    struct worker *worker = own;
    uint64_t state = worker->part.state; /* in a register */
    for (uint64_t i = 0; i < worker->part.operations; i++) {
        size_t slot = i % LIVE;
        if (worker->blocks[slot]) {
            give(worker->blocks[slot], worker->sizes[slot]);
        }
        size_t size = 8 + below(&state, 57);
        worker->sizes[slot] = (unsigned char)size;
        worker->blocks[slot] = take(size);
    }
    for (size_t slot = 0; slot < LIVE && worker->blocks[slot]; slot++) {
        give(worker->blocks[slot], worker->sizes[slot]);
    }
    return NULL;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    run_parts(&shape, OPERATIONS, work, workers, sizeof *workers);
}
