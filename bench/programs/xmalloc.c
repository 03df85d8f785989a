/*
 * xmalloc.c - one half of the threads allocates, the other half frees, as in Lever and Boreham's
 * comparison: objects go over in batches of 1,024, eight batches at most wait at a time. Threads
 * are counted in pairs: --threads 2 is one that allocates and one that frees.
 */
#include "shape.h"

enum { BATCH = 1024, WAITING = 8, BATCHES = 30000, LEAST = 8, SPAN = 121 };

struct batch {
    void *blocks[BATCH];
    unsigned char sizes[BATCH];
};

/* A bounded queue for each pair. */
struct pair {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct batch *waiting[WAITING];
    uint64_t put, got, total;
};

static struct pair pairs[MAX_THREADS / 2];

static void put(struct pair *pair, struct batch *batch) {
    pthread_mutex_lock(&pair->lock);
    while (pair->put - pair->got == WAITING) {
        pthread_cond_wait(&pair->changed, &pair->lock);
    }
    pair->waiting[pair->put++ % WAITING] = batch;
    pthread_cond_signal(&pair->changed);
    pthread_mutex_unlock(&pair->lock);
}

static struct batch *get(struct pair *pair) {
    pthread_mutex_lock(&pair->lock);
    while (pair->put == pair->got) {
        pthread_cond_wait(&pair->changed, &pair->lock);
    }
    struct batch *batch = pair->waiting[pair->got++ % WAITING];
    pthread_cond_signal(&pair->changed);
    pthread_mutex_unlock(&pair->lock);
    return batch;
}

static void *allocate(void *own) {
    struct pair *pair = own;
    uint64_t state = seed_of((unsigned)(pair - pairs));
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
    unsigned number = (shape.threads + 1) / 2;
    uint64_t each = share(&shape, BATCHES) / number;
    pthread_t threads[MAX_THREADS];
    for (unsigned i = 0; i < number; i++) {
        pthread_mutex_init(&pairs[i].lock, NULL);
        pthread_cond_init(&pairs[i].changed, NULL);
        pairs[i].total = each;
        threads[(size_t)2 * i] = start(allocate, &pairs[i]);
        threads[2 * i + 1] = start(release, &pairs[i]);
    }
    for (unsigned i = 0; i < 2 * number; i++) {
        pthread_join(threads[i], NULL);
    }
    report(&shape, each * number * BATCH);
}
