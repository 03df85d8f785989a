/*
 * Workers: threads that wait for a numbered job, do their slice, and count themselves out.
 *
 * A training step makes some dozens of jobs of 10 to 10,000 microseconds, so both sides spin for a
 * short while before they sleep: to wake a thread costs more than the smallest job. `generation` is
 * the job's number; a worker that sees a new one takes its slice. `pending` is how many slices of
 * it are not done.
 */
#include "workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    SPINS = 4000, /* some 30 microseconds */
    CUT = 16,     /* slices begin at multiples of this: a cache line of floats */
};

struct nn_workers {
    sw_heap *heap;
    unsigned count; /* threads, the caller's included */
    unsigned started;

    /* The job: written before generation moves, read after. */
    nn_range *range;
    void *context;
    size_t total;
    size_t slice;
    bool stop;

    atomic_uint generation;
    atomic_uint pending;
    pthread_mutex_t lock;
    pthread_cond_t posted;
    pthread_cond_t done;

    struct worker {
        struct nn_workers *workers;
        unsigned index;
        pthread_t thread;
    } worker[];
};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void run_slice(const struct nn_workers *workers, unsigned index) {
    size_t begin = workers->slice * index;
    size_t end = begin + workers->slice;
    if (end > workers->total) {
        end = workers->total;
    }
    if (begin < end) {
        workers->range(workers->context, begin, end);
    }
}

static unsigned wait_for_job(struct nn_workers *workers, unsigned seen) {
    for (int i = 0; i < SPINS; i++) {
        unsigned now = atomic_load_explicit(&workers->generation, memory_order_acquire);
        if (now != seen) {
            return now;
        }
        relax();
    }
    pthread_mutex_lock(&workers->lock);
    while (atomic_load(&workers->generation) == seen) {
        pthread_cond_wait(&workers->posted, &workers->lock);
    }
    pthread_mutex_unlock(&workers->lock);
    return atomic_load(&workers->generation);
}

static void count_out(struct nn_workers *workers) {
    if (atomic_fetch_sub(&workers->pending, 1) == 1) {
        pthread_mutex_lock(&workers->lock);
        pthread_cond_signal(&workers->done);
        pthread_mutex_unlock(&workers->lock);
    }
}

static void *work(void *argument) {
    struct worker *worker = argument;
    struct nn_workers *workers = worker->workers;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_job(workers, seen);
        if (workers->stop) {
            return NULL;
        }
        run_slice(workers, worker->index);
        count_out(workers);
    }
}

static void post(struct nn_workers *workers) {
    pthread_mutex_lock(&workers->lock);
    atomic_fetch_add(&workers->generation, 1);
    pthread_cond_broadcast(&workers->posted);
    pthread_mutex_unlock(&workers->lock);
}

static void wait_until_done(struct nn_workers *workers) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&workers->pending, memory_order_acquire) == 0) {
            return;
        }
        relax();
    }
    pthread_mutex_lock(&workers->lock);
    while (atomic_load(&workers->pending) != 0) {
        pthread_cond_wait(&workers->done, &workers->lock);
    }
    pthread_mutex_unlock(&workers->lock);
}

void nn_parallel(struct nn_workers *workers, size_t count, size_t grain, nn_range *range,
                 void *context) {
    if (count == 0) {
        return;
    }
    if (workers->count == 1 || count < 2 * grain) {
        range(context, 0, count);
        return;
    }
    size_t slice = count / workers->count + (count % workers->count != 0);
    workers->slice = (slice + CUT - 1) / CUT * CUT;
    workers->total = count;
    workers->range = range;
    workers->context = context;
    atomic_store(&workers->pending, workers->count - 1);
    post(workers);
    run_slice(workers, 0);
    wait_until_done(workers);
}

unsigned nn_workers_count(const struct nn_workers *workers) {
    return workers->count;
}

/* Workers take no signals: those are the program's business. */
static int start(struct nn_workers *workers, struct nn_error *error) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    for (unsigned i = 1; i < workers->count && !failed; i++) {
        struct worker *worker = &workers->worker[i - 1];
        *worker = (struct worker){.workers = workers, .index = i};
        failed = pthread_create(&worker->thread, NULL, work, worker);
        workers->started += !failed;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? nn_fail(error, "thread %u of %u cannot be started (%s): fewer threads may do",
                            workers->started + 2, workers->count, strerror(failed))
                  : 0;
}

struct nn_workers *nn_workers_create(sw_heap *heap, unsigned threads, struct nn_error *error) {
    if (threads == 0 || threads > NN_THREADS_MAX) {
        nn_fail(error, "%u threads: from 1 to %d are possible", threads, NN_THREADS_MAX);
        return NULL;
    }
    size_t size = sizeof(struct nn_workers) + (threads - 1) * sizeof(struct worker);
    struct nn_workers *workers = sw_alloc_aligned(heap, 64, size, SW_TAG_OTHER);
    if (!workers) {
        nn_fail_memory(error, "the table of threads", size);
        return NULL;
    }
    *workers = (struct nn_workers){.heap = heap, .count = threads};
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->posted, NULL);
    pthread_cond_init(&workers->done, NULL);
    if (start(workers, error) != 0) {
        nn_workers_destroy(workers);
        return NULL;
    }
    return workers;
}

void nn_workers_destroy(struct nn_workers *workers) {
    if (!workers) {
        return;
    }
    workers->stop = true;
    post(workers);
    for (unsigned i = 0; i < workers->started; i++) {
        pthread_join(workers->worker[i].thread, NULL);
    }
    pthread_cond_destroy(&workers->done);
    pthread_cond_destroy(&workers->posted);
    pthread_mutex_destroy(&workers->lock);
    sw_free(workers->heap, workers);
}
