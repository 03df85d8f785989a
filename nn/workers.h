/*
 * workers.h - a few threads that share loops.
 *
 * nn_parallel() cuts 0..count into one slice per thread, runs them at once and returns when all are
 * done. Where the cuts fall depends on count and the number of threads alone, so results are the
 * same to the bit from run to run. The caller's thread takes the first slice.
 */
#ifndef NN_WORKERS_H
#define NN_WORKERS_H

#include <stddef.h>

#include "error.h"
#include "stepwell.h"

struct nn_workers;

#define NN_THREADS_MAX 256

/* NULL when memory or threads are out, and error says which. */
struct nn_workers *nn_workers_create(sw_heap *heap, unsigned threads, struct nn_error *error);
void nn_workers_destroy(struct nn_workers *workers);
unsigned nn_workers_count(const struct nn_workers *workers);

typedef void nn_range(void *context, size_t begin, size_t end);

/* Runs range over 0..count. grain is the least worth a thread of its own: with fewer than two
 * grains the caller runs it all. Not to be called from within a range. */
void nn_parallel(struct nn_workers *workers, size_t count, size_t grain, nn_range *range,
                 void *context);

#endif
