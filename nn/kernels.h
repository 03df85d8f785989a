/*
 * kernels.h - the loops over floats, each compiled for the plain instruction set and for AVX2+FMA.
 *
 * One table of functions per instruction set, the same source; nn_kernels_best() chooses once by
 * what the processor has. Every kernel treats element i alone (or sums in an order that the shape
 * fixes), so a loop cut among threads gives the same bits as one that was not, and y may not
 * overlap x.
 *
 * exp, erf and tanh are our own so that they vectorise: relative error below 5e-7 each
 * (tests/nn/test_kernels.c holds them to it against libm).
 */
#ifndef NN_KERNELS_H
#define NN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

struct nn_adam_step {
    float beta1, beta2, epsilon;
    float rest1, rest2;      /* 1 - beta1, 1 - beta2 */
    float step_size;         /* learning rate / (1 - beta1^t) */
    float inverse_root;      /* 1 / sqrt(1 - beta2^t) */
    float gradient_decay;    /* weight decay added to the gradient (Adam) */
    float weight_multiplier; /* weights shrink by this first (AdamW); else 1 */
};

struct nn_kernels {
    const char *name;

    /* y = f(x); dx = dy f'. relu, tanh and sigmoid find f' from y, gelu from x. */
    void (*relu_forward)(size_t n, const float *x, float *y);
    void (*relu_backward)(size_t n, const float *y, const float *dy, float *dx);
    void (*gelu_forward)(size_t n, const float *x, float *y);
    void (*gelu_backward)(size_t n, const float *x, const float *dy, float *dx);
    void (*tanh_forward)(size_t n, const float *x, float *y);
    void (*tanh_backward)(size_t n, const float *y, const float *dy, float *dx);
    void (*sigmoid_forward)(size_t n, const float *x, float *y);
    void (*sigmoid_backward)(size_t n, const float *y, const float *dy, float *dx);

    /* mask[i] = is element first+i kept?; y = kept ? scale x : 0; drop_below: the chance in 2^-32
     */
    void (*dropout_forward)(size_t n, uint64_t key, uint32_t first, uint32_t drop_below,
                            float scale, const float *x, uint8_t *mask, float *y);
    void (*dropout_backward)(size_t n, float scale, const uint8_t *mask, const float *dy,
                             float *dx);

    void (*copy_rows)(size_t rows, size_t columns, const float *row, float *y);
    /* sums[c] = sum over rows of y(r,c), for c in begin..end of `columns` */
    void (*column_sums)(size_t rows, size_t columns, size_t begin, size_t end, const float *y,
                        float *sums);

    /* One row: p = softmax(z); returns log(sum(exp(z))) - z[label], the cross-entropy. */
    double (*softmax_row)(size_t columns, size_t label, const float *z, float *p);

    void (*sgd)(size_t n, float rate, float momentum, float decay, const float *gradient,
                float *velocity /* NULL: no momentum */, float *weights);
    void (*adam)(size_t n, const struct nn_adam_step *step, const float *gradient, float *mean,
                 float *square, float *weights);

    /* -limit <= y[i] < limit: elements first.. of the stream key */
    void (*uniform)(size_t n, uint64_t key, uint32_t first, float limit, float *y);
    void (*bytes_to_floats)(size_t n, float scale, const uint8_t *bytes, float *y);
};

/* The fastest table that this processor runs. */
const struct nn_kernels *nn_kernels_best(void);

/* Every table that this processor runs, by index from 0, plain first; NULL past the last. */
const struct nn_kernels *nn_kernels_at(size_t index);

#endif
