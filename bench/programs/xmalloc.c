/*
 * xmalloc.c - one half of the threads allocates, the other half frees, as in Lever and Boreham's
 * comparison: objects go over in batches of 1,024, eight batches at most wait at a time. A batch's
 * table is from the heap too, one block more in a thousand.
 */
#include "queue.h"

enum { BATCH = 1024, WAITING = 8, BATCHES = 10000, LEAST = 8, SPAN = 121 };

struct batch {
    void *blocks[BATCH];
    unsigned char sizes[BATCH];
};

static void *allocate(void *own) {
    struct pair *pair = own;
    uint64_t state = seed_of(pair->number);
    for (uint64_t i = 0; i < pair->total; i++) {
        struct batch *batch = take(sizeof *batch);
        for (size_t b = 0; b < BATCH; b++) {
            batch->sizes[b] = (unsigned char)(LEAST + below(&state, SPAN));
            batch->blocks[b] = take(batch->sizes[b]);
        }
        put(pair, batch);
    }
    return NULL;
}

static void *release(void *own) {
    struct pair *pair = own;
    for (uint64_t i = 0; i < pair->total; i++) {
        struct batch *batch = get(pair);
        for (size_t b = 0; b < BATCH; b++) {
            give(batch->blocks[b], batch->sizes[b]);
        }
        free(batch);
    }
    return NULL;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t batches = run_pairs(&shape, share(&shape, BATCHES), WAITING, allocate, release);
    report(&shape, batches * BATCH);
}
