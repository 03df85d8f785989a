/*
 * cache_thrash.c - active false sharing, after Berger's: threads allocate, write many times, and
 * free, all at once. An allocator that hands out places of one line to two threads slows both.
 */
#include "shape.h"

enum { SIZE = 8, TURNS = 200000, WRITES = 2000 };

static void *work(void *own) {
    uint64_t turns = *(uint64_t *)own;
    for (uint64_t turn = 0; turn < turns; turn++) {
        unsigned char *block = take(SIZE);
        write_often(block + 1, WRITES);
        give(block, SIZE);
    }
    return NULL;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t each[MAX_THREADS] = {0};
    for (unsigned i = 0; i < shape.threads; i++) {
        each[i] = share(&shape, TURNS) / shape.threads;
    }
    run_threads(shape.threads, work, each, sizeof *each);
    report(&shape, each[0] * shape.threads * WRITES);
}
