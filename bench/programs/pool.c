/*
 * pool.c - a pool of threads. Each answers requests: it allocates blocks of up to 4 KiB, 2 MiB
 * together, frees them in order, and keeps one of fifty, its answer, until the next. Then no
 * more requests come, and all the threads wait; a second later, what is resident beside the answers
 * is what was kept for them. How many are at their requests at once is left to chance, and so is the
 * peak.
 */
#include "shape.h"

enum { REQUESTS = 40, BLOCKS = 4500, KEEP = 50 };

struct worker {
    unsigned number;
    uint64_t requests;
    struct block blocks[BLOCKS], kept[BLOCKS / KEEP];
};

static struct worker workers[MAX_THREADS];
static pthread_barrier_t all_served, may_end;

static void give_kept(struct worker *worker) {
    for (size_t i = 0; i < BLOCKS / KEEP; i++) {
        struct block *kept = &worker->kept[i];
        if (kept->bytes) {
            give_block(kept);
        }
    }
}

static void serve(struct worker *worker, uint64_t *state) {
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = 1 + below(state, (size_t)16 << below(state, 9));
        worker->blocks[i] = take_block(size);
    }
    give_kept(worker);
    for (size_t i = 0; i < BLOCKS; i++) {
        struct block *block = &worker->blocks[i];
        if (i % KEEP == 0) {
            worker->kept[i / KEEP] = *block;
        } else {
            give_block(block);
        }
    }
}

static void *work(void *own) {
    struct worker *worker = own;
    uint64_t state = seed_of(worker->number);
    for (uint64_t i = 0; i < worker->requests; i++) {
        serve(worker, &state);
    }
    pthread_barrier_wait(&all_served);
    pthread_barrier_wait(&may_end);
    give_kept(worker);
    return NULL;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    pthread_t threads[MAX_THREADS];
    uint64_t requests = share(&shape, REQUESTS);
    pthread_barrier_init(&all_served, NULL, shape.threads + 1);
    pthread_barrier_init(&may_end, NULL, shape.threads + 1);
    for (unsigned i = 0; i < shape.threads; i++) {
        workers[i].number = i;
        workers[i].requests = requests;
        threads[i] = start(work, &workers[i]);
    }
    pthread_barrier_wait(&all_served);
    report_at_rest(&shape, shape.threads * requests * BLOCKS);
    pthread_barrier_wait(&may_end);
    for (unsigned i = 0; i < shape.threads; i++) {
        pthread_join(threads[i], NULL);
    }
}
