/*
 * buffers.c - buffers between small objects and tensors, as a server or a loader of data has them:
 * each thread has a hundred of 16 to 256 KiB, and one at random is given back for one of another
 * size. A byte of each page is written.
 */
#include "shape.h"

enum { LIVE = 100, OPERATIONS = 600000 };

struct buffer {
    void *bytes;
    size_t size;
};

struct worker {
    uint64_t state, operations;
    struct buffer live[LIVE];
};

static struct worker workers[MAX_THREADS];

static struct buffer take_any(uint64_t *state) {
    size_t size = 16 * KIB + below(state, 240 * KIB);
    return (struct buffer){take(size), size};
}

static void *work(void *own) {
    struct worker *worker = own;
    uint64_t state = worker->state;
    for (size_t i = 0; i < LIVE; i++) {
        worker->live[i] = take_any(&state);
    }
    for (uint64_t i = 0; i < worker->operations; i++) {
        struct buffer *buffer = &worker->live[below(&state, LIVE)];
        give(buffer->bytes, buffer->size);
        *buffer = take_any(&state);
    }
    for (size_t i = 0; i < LIVE; i++) {
        give(worker->live[i].bytes, worker->live[i].size);
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
