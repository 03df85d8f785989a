/*
 * machine.h - what the arithmetic runs on: a heap for memory, threads, kernels, matrix products.
 */
#ifndef NN_MACHINE_H
#define NN_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "kernels.h"
#include "stepwell.h"
#include "workers.h"

/* Every buffer of floats begins at a multiple of this: a cache line, and OpenBLAS's widest load. */
#define NN_ALIGNMENT 64

struct nn_machine {
    sw_heap *heap;
    struct nn_workers *workers;
    const struct nn_kernels *kernels;
};

/* 0, or -1 with the sentence when memory or threads are out, or the address space that OpenBLAS
 * takes for its buffers. OpenBLAS's own threading is off from the first machine's start to the last
 * one's stop: matrix products are cut among our workers instead, which costs no job table per
 * product (512 KiB in OpenBLAS) and does not leave two sets of threads to compete. */
int nn_machine_start(struct nn_machine *machine, sw_heap *heap, unsigned threads,
                     struct nn_error *error);
void nn_machine_stop(struct nn_machine *machine);

/* Is there address space for one more of OpenBLAS's buffers? Where there is none, a thread that
 * OpenBLAS starts when it is loaded waits for its own for ever, and exit() for that thread. */
bool nn_blas_has_room(void);

/* rows*columns floats, contents undefined; NULL when memory is out or the size overflows. */
float *nn_floats(sw_heap *heap, size_t rows, size_t columns, enum sw_tag tag);

/* rows*columns*sizeof(float) into *bytes; -1 if it overflows or is more than any block can be. */
int nn_floats_size(size_t rows, size_t columns, size_t *bytes);

/* The least number of elements that is worth a second thread in an element-wise loop. */
#define NN_GRAIN 16384

/* C (m,n) = A B + beta C, all row-major and dense. A is (m,k), or stored (k,m) with transpose_a; B
 * is (k,n), or stored (n,k) with transpose_b. */
struct nn_product {
    size_t m, n, k;
    const float *a;
    const float *b;
    float *c;
    float beta;
    bool transpose_a;
    bool transpose_b;
};
void nn_multiply(const struct nn_machine *machine, const struct nn_product *product);

#endif
