/*
 * support.h - what the tests of nn share: a heap with a machine on it, a loss that is a weighted
 * sum, a layer that remembers the gradient that reached it, and a check that all memory is back.
 */
#ifndef NN_TEST_SUPPORT_H
#define NN_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model.h"
#include "sanitized.h"

struct bench {
    sw_heap *heap;
    struct nn_machine machine;
};

/* A pool heap and a machine of so many threads; ends the test when that fails. */
struct bench *open_bench(unsigned threads);
/* Fails the test if a block is live once the machine is stopped. */
void close_bench(struct bench *bench);

size_t live_bytes(sw_heap *heap);

/* count numbers, uniform on (-limit, limit), the same for the same key. */
void fill(float *values, size_t count, float limit, uint64_t key);

/* loss = sum of z * targets; targets: float (rows, columns). Its gradient is the targets. */
extern const struct nn_loss weighted_sum;

/* y = x; backward copies dy to *config, a float (batch, inputs). */
extern const struct nn_layer_type probe;

/* assert |a-b| <= tolerance * max(1, |a|, |b|) */
#define assert_near(a, b, tolerance) check_near((a), (b), (tolerance), __FILE__, __LINE__)
void check_near(double a, double b, double tolerance, const char *file, int line);

#endif
