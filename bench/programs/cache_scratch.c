/*
 * cache_scratch.c - passive false sharing, after Berger's: one thread allocates an object for every
 * other, which lie side by side; each thread frees its own, allocates again, and writes there many
 * times. An allocator that hands the freed place out again has two threads write to one line.
 */
#include "shape.h"

enum { SIZE = 8, TURNS = 2000, WRITES = 200000 };

struct worker {
    unsigned char *block;
    uint64_t turns;
};

static struct worker workers[MAX_THREADS];

static void *work(void *own) {
    struct worker *worker = own;
    unsigned char *block = worker->block;
    for (uint64_t turn = 0; turn < worker->turns; turn++) {
        give(block, SIZE);
        block = take(SIZE);
        write_often(block + 1, WRITES);
    }
    give(block, SIZE);
    return NULL;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t each = share(&shape, TURNS) / shape.threads;
    for (unsigned i = 0; i < shape.threads; i++) {
        workers[i].block = take(SIZE);
        workers[i].turns = each;
    }
    run_threads(shape.threads, work, workers, sizeof *workers);
    report(&shape, each * shape.threads * WRITES);
}
