/*
 * Kernels: the loops over floats. Compiled once per instruction set, with NN_KERNELS the name of
 * the table; the compiler vectorises every loop here that is not a sum.
 *
 * The rational approximations are fits of our own (iteratively reweighted least squares on the
 * interval given, to the least relative error).
 */
#include "kernels.h"

#include <math.h>
#include <string.h>

static inline float clamp(float x, float low, float high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* e^x = 2^n e^r with |r| <= ln(2)/2 and a Taylor polynomial for e^r. Adding 1.5 2^23 rounds to an
 * integer and leaves it in the low bits. Beyond +-87 the result stays at the bound. */
static inline float exp_of(float x) {
    const float log2_e = 1.44269504f, magic = 12582912.0f;
    const float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    x = clamp(x, -87.0f, 87.0f);
    float shifted = x * log2_e + magic;
    float n = shifted - magic;
    float r = (x - n * ln2_high) - n * ln2_low;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits - 0x4b400000u + 127u) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* x P(x^2)/Q(x^2) on |x| <= 3.92, past which erf is 1 in single precision. */
static inline float erf_of(float x) {
    x = clamp(x, -3.9192059f, 3.9192059f);
    float t = x * x;
    float p = 2.0507250e-06f;
    p = p * t + 2.84889480e-04f;
    p = p * t + 3.76454764e-03f;
    p = p * t + 5.27455583e-02f;
    p = p * t + 1.90377489e-01f;
    p = p * t + 1.12837911e+00f;
    float q = 3.80986457e-05f;
    q = q * t + 1.16233272e-03f;
    q = q * t + 1.49670625e-02f;
    q = q * t + 1.14097744e-01f;
    q = q * t + 5.02050400e-01f;
    q = q * t + 1.0f;
    return x * p / q;
}

/* x P(x^2)/Q(x^2) on |x| <= 9, past which tanh is 1 in single precision. */
static inline float tanh_of(float x) {
    x = clamp(x, -9.0f, 9.0f);
    float t = x * x;
    float p = 1.33546560e-08f;
    p = p * t + 2.06090790e-05f;
    p = p * t + 3.49558797e-03f;
    p = p * t + 1.33810252e-01f;
    p = p * t + 1.0f;
    float q = 7.77655600e-07f;
    q = q * t + 3.28563435e-04f;
    q = q * t + 2.58769803e-02f;
    q = q * t + 4.67143416e-01f;
    q = q * t + 1.0f;
    return x * p / q;
}

/* ---- Activations ----------------------------------------------------------------------------- */

static void relu_forward(size_t n, const float *restrict x, float *restrict y) {
    for (size_t i = 0; i < n; i++) {
        y[i] = x[i] <= 0.0f ? 0.0f : x[i]; /* a NaN stays one */
    }
}

static void relu_backward(size_t n, const float *restrict y, const float *restrict dy,
                          float *restrict dx) {
    for (size_t i = 0; i < n; i++) {
        dx[i] = y[i] > 0.0f ? dy[i] : 0.0f;
    }
}

/* The exact form, x Phi(x) with Phi(x) = (1 + erf(x/sqrt(2)))/2, not the tanh approximation. */
static inline float normal_cdf(float x) {
    return 0.5f + 0.5f * erf_of(x * 0.70710678f);
}

static void gelu_forward(size_t n, const float *restrict x, float *restrict y) {
    for (size_t i = 0; i < n; i++) {
        y[i] = x[i] * normal_cdf(x[i]);
    }
}

static void gelu_backward(size_t n, const float *restrict x, const float *restrict dy,
                          float *restrict dx) {
    const float inverse_root_2pi = 0.39894228f;
    for (size_t i = 0; i < n; i++) {
        float density = inverse_root_2pi * exp_of(-0.5f * x[i] * x[i]);
        dx[i] = dy[i] * (normal_cdf(x[i]) + x[i] * density);
    }
}

static void tanh_forward(size_t n, const float *restrict x, float *restrict y) {
    for (size_t i = 0; i < n; i++) {
        y[i] = tanh_of(x[i]);
    }
}

static void tanh_backward(size_t n, const float *restrict y, const float *restrict dy,
                          float *restrict dx) {
    for (size_t i = 0; i < n; i++) {
        dx[i] = dy[i] * (1.0f - y[i] * y[i]);
    }
}

static void sigmoid_forward(size_t n, const float *restrict x, float *restrict y) {
    for (size_t i = 0; i < n; i++) {
        y[i] = 1.0f / (1.0f + exp_of(-x[i]));
    }
}

static void sigmoid_backward(size_t n, const float *restrict y, const float *restrict dy,
                             float *restrict dx) {
    for (size_t i = 0; i < n; i++) {
        dx[i] = dy[i] * y[i] * (1.0f - y[i]);
    }
}

/* ---- Random numbers, dropout ----------------------------------------------------------------- */

/* A 32-bit finaliser: two multiplications and three shifts, constants found by C. Wellons' search
 * for the least bias. Twice, with a key before each, it hashes a counter; eight lanes at once. */
static inline uint32_t scramble(uint32_t x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return x;
}

static void uniform(size_t n, uint64_t key, uint32_t first, float limit, float *restrict y) {
    uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32);
    for (size_t i = 0; i < n; i++) {
        uint32_t random = scramble(scramble((first + (uint32_t)i) ^ low) + high);
        int32_t centred = (int32_t)(random >> 8) - (1 << 23);
        y[i] = limit * ((float)centred * 0x1p-23f);
    }
}

static void dropout_forward(size_t n, uint64_t key, uint32_t first, uint32_t drop_below,
                            float scale, const float *restrict x, uint8_t *restrict mask,
                            float *restrict y) {
    uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32);
    for (size_t i = 0; i < n; i++) {
        uint32_t random = scramble(scramble((first + (uint32_t)i) ^ low) + high);
        uint32_t kept = random >= drop_below;
        mask[i] = (uint8_t)kept;
        y[i] = x[i] * (scale * (float)(int32_t)kept);
    }
}

static void dropout_backward(size_t n, float scale, const uint8_t *restrict mask,
                             const float *restrict dy, float *restrict dx) {
    for (size_t i = 0; i < n; i++) {
        dx[i] = dy[i] * (scale * (float)(int32_t)mask[i]);
    }
}

/* ---- Rows and columns ------------------------------------------------------------------------ */

static void copy_rows(size_t rows, size_t columns, const float *restrict row, float *restrict y) {
    for (size_t r = 0; r < rows; r++) {
        memcpy(y + r * columns, row, columns * sizeof *y);
    }
}

enum { SUM_COLUMNS = 256, SUM_ROWS = 64 };

/* Sums of 64 rows, then the sum of those: the rounding error grows with rows/64, not with rows. */
static void sum_block(size_t rows, size_t columns, size_t width, const float *restrict y,
                      float *restrict sums) {
    float total[SUM_COLUMNS] = {0};
    for (size_t top = 0; top < rows; top += SUM_ROWS) {
        size_t bottom = top + SUM_ROWS < rows ? top + SUM_ROWS : rows;
        float part[SUM_COLUMNS] = {0};
        for (size_t r = top; r < bottom; r++) {
            const float *restrict row = y + r * columns;
            for (size_t c = 0; c < width; c++) {
                part[c] += row[c];
            }
        }
        for (size_t c = 0; c < width; c++) {
            total[c] += part[c];
        }
    }
    memcpy(sums, total, width * sizeof *sums);
}

static void column_sums(size_t rows, size_t columns, size_t begin, size_t end, const float *y,
                        float *sums) {
    for (size_t c = begin; c < end; c += SUM_COLUMNS) {
        size_t width = end - c < SUM_COLUMNS ? end - c : SUM_COLUMNS;
        sum_block(rows, columns, width, y + c, sums + c);
    }
}

/* ---- Softmax --------------------------------------------------------------------------------- */

static double softmax_row(size_t columns, size_t label, const float *restrict z,
                          float *restrict p) {
    float highest = z[0];
    for (size_t c = 1; c < columns; c++) {
        highest = z[c] > highest ? z[c] : highest;
    }
    for (size_t c = 0; c < columns; c++) {
        p[c] = exp_of(z[c] - highest);
    }
    double sum = 0;
    for (size_t c = 0; c < columns; c++) {
        sum += p[c];
    }
    float inverse = (float)(1.0 / sum);
    for (size_t c = 0; c < columns; c++) {
        p[c] *= inverse;
    }
    return log(sum) - ((double)z[label] - highest);
}

/* ---- Optimizers ------------------------------------------------------------------------------ */

static void sgd_plain(size_t n, float rate, float decay, const float *restrict gradient,
                      float *restrict weights) {
    for (size_t i = 0; i < n; i++) {
        weights[i] -= rate * (gradient[i] + decay * weights[i]);
    }
}

static void sgd_momentum(size_t n, float rate, float momentum, float decay,
                         const float *restrict gradient, float *restrict velocity,
                         float *restrict weights) {
    for (size_t i = 0; i < n; i++) {
        velocity[i] = momentum * velocity[i] + (gradient[i] + decay * weights[i]);
        weights[i] -= rate * velocity[i];
    }
}

static void sgd(size_t n, float rate, float momentum, float decay, const float *gradient,
                float *velocity, float *weights) {
    if (velocity) {
        sgd_momentum(n, rate, momentum, decay, gradient, velocity, weights);
    } else {
        sgd_plain(n, rate, decay, gradient, weights);
    }
}

static void adam(size_t n, const struct nn_adam_step *step, const float *restrict gradient,
                 float *restrict mean, float *restrict square, float *restrict weights) {
    const struct nn_adam_step s = *step;
    for (size_t i = 0; i < n; i++) {
        float g = gradient[i] + s.gradient_decay * weights[i];
        float w = weights[i] * s.weight_multiplier;
        mean[i] = s.beta1 * mean[i] + s.rest1 * g;
        square[i] = s.beta2 * square[i] + s.rest2 * g * g;
        weights[i] = w - s.step_size * mean[i] / (sqrtf(square[i]) * s.inverse_root + s.epsilon);
    }
}

/* ---- Input ----------------------------------------------------------------------------------- */

static void bytes_to_floats(size_t n, float scale, const uint8_t *restrict bytes,
                            float *restrict y) {
    for (size_t i = 0; i < n; i++) {
        y[i] = scale * (float)bytes[i];
    }
}

#define NAME_OF(table)  NAME_TEXT(table)
#define NAME_TEXT(text) #text

extern const struct nn_kernels NN_KERNELS;

const struct nn_kernels NN_KERNELS = {
    .name = NAME_OF(NN_KERNELS),
    .relu_forward = relu_forward,
    .relu_backward = relu_backward,
    .gelu_forward = gelu_forward,
    .gelu_backward = gelu_backward,
    .tanh_forward = tanh_forward,
    .tanh_backward = tanh_backward,
    .sigmoid_forward = sigmoid_forward,
    .sigmoid_backward = sigmoid_backward,
    .dropout_forward = dropout_forward,
    .dropout_backward = dropout_backward,
    .copy_rows = copy_rows,
    .column_sums = column_sums,
    .softmax_row = softmax_row,
    .sgd = sgd,
    .adam = adam,
    .uniform = uniform,
    .bytes_to_floats = bytes_to_floats,
};
