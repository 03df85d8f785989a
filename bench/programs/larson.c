/*
 * larson.c - a server, after Larson and Krishnan (Memory allocation for long-running server
 * applications, 1998): a thread replaces random ones of its 5,000 objects, then hands all of them
 * to a new thread and ends. So most objects are freed by another thread than allocated them, and
 * that one is gone.
 */
#include "shape.h"

enum { OBJECTS = 5000, REPLACED = 100000, GENERATIONS = 125, LEAST = 8, SPAN = 993 };

struct worker {
    void *blocks[OBJECTS];
    unsigned short sizes[OBJECTS];
    uint64_t state;
};

static struct worker workers[MAX_THREADS];

static void put(struct worker *worker, size_t i) {
    worker->sizes[i] = (unsigned short)(LEAST + below(&worker->state, SPAN));
    worker->blocks[i] = take(worker->sizes[i]);
}

static void *serve(void *own) {
    struct worker *worker = own;
    for (size_t i = 0; i < REPLACED; i++) {
        size_t victim = below(&worker->state, OBJECTS);
        give(worker->blocks[victim], worker->sizes[victim]);
        put(worker, victim);
    }
    return NULL;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t generations = share(&shape, GENERATIONS) / shape.threads;
    generations += generations == 0;
    for (unsigned t = 0; t < shape.threads; t++) {
        workers[t].state = seed_of(t);
        for (size_t i = 0; i < OBJECTS; i++) {
            put(&workers[t], i);
        }
    }
    for (uint64_t g = 0; g < generations; g++) {
        pthread_t threads[MAX_THREADS];
        for (unsigned t = 0; t < shape.threads; t++) {
            threads[t] = start(serve, &workers[t]);
        }
        for (unsigned t = 0; t < shape.threads; t++) {
            pthread_join(threads[t], NULL);
        }
    }
    for (unsigned t = 0; t < shape.threads; t++) {
        for (size_t i = 0; i < OBJECTS; i++) {
            give(workers[t].blocks[i], workers[t].sizes[i]);
        }
    }
    report(&shape, generations * shape.threads * REPLACED);
}
