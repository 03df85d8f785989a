/*
 * queue.h - threads in pairs: one makes and one takes, with a bounded queue between them. Threads are
 * counted in pairs: --threads 2 is one that makes and one that takes.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include "shape.h"

enum { WAITING_MOST = 8 };

struct pair {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void *waiting[WAITING_MOST];
    uint64_t put, got;
    uint64_t total; /* that go over */
    unsigned room;  /* so many wait at a time */
    unsigned number;
};

static inline void put(struct pair *pair, void *what) {
    pthread_mutex_lock(&pair->lock);
    while (pair->put - pair->got == pair->room) {
        pthread_cond_wait(&pair->changed, &pair->lock);
    }
    pair->waiting[pair->put++ % pair->room] = what;
    pthread_cond_signal(&pair->changed);
    pthread_mutex_unlock(&pair->lock);
}

static inline void *get(struct pair *pair) {
    pthread_mutex_lock(&pair->lock);
    while (pair->put == pair->got) {
        pthread_cond_wait(&pair->changed, &pair->lock);
    }
    void *what = pair->waiting[pair->got++ % pair->room];
    pthread_cond_signal(&pair->changed);
    pthread_mutex_unlock(&pair->lock);
    return what;
}

/* make(pair) and release(pair) in a thread each, for as many pairs as there are threads for.
 * Returns how much went over in all. */
static inline uint64_t run_pairs(const struct shape *shape, uint64_t total, unsigned room,
                                 void *(*make)(void *), void *(*release)(void *)) {
    static struct pair pairs[MAX_THREADS / 2];
    pthread_t threads[MAX_THREADS];
    const unsigned number = shape->threads / 2 > 0 ? shape->threads / 2 : 1;
    for (unsigned i = 0; i < number; i++) {
        pairs[i] = (struct pair){.total = total / number, .room = room, .number = i};
        pthread_mutex_init(&pairs[i].lock, NULL);
        pthread_cond_init(&pairs[i].changed, NULL);
        threads[(size_t)2 * i] = start(make, &pairs[i]);
        threads[2 * i + 1] = start(release, &pairs[i]);
    }
    for (unsigned i = 0; i < 2 * number; i++) {
        pthread_join(threads[i], NULL);
    }
    return total / number * number;
}

#endif
