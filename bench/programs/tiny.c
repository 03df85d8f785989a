/*
 * tiny.c - tiny objects that die young: 8 to 64 bytes, the oldest of 64 is freed for each new one.
 * What is left is the cost of malloc and free where all is warm.
 */
#include "shape.h"

enum { LIVE = 64, OPERATIONS = 80000000 };

struct worker {
    _Alignas(64) void *blocks[LIVE]; /* no line is two threads' */
    unsigned char sizes[LIVE];
    uint64_t state, operations;
};

static struct worker workers[MAX_THREADS];

static void *work(void *own) {
    struct worker *worker = own;
    uint64_t state = worker->state; /* in a register */
    for (uint64_t i = 0; i < worker->operations; i++) {
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
    uint64_t each = share(&shape, OPERATIONS) / shape.threads;
    for (unsigned i = 0; i < shape.threads; i++) {
        workers[i].state = seed_of(i);
        workers[i].operations = each;
    }
    run_threads(shape.threads, work, workers, sizeof *workers);
    report(&shape, each * shape.threads);
}
