/*
 * Kernels of every instruction set this processor has, against libm in double precision and plain
 * loops.
 */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "random.h"

enum { MANY = 100003 };

static double gelu_of(double x) {
    return 0.5 * x * erfc(-x / sqrt(2));
}

static double gelu_slope(double x) {
    return 0.5 * erfc(-x / sqrt(2)) + x * exp(-0.5 * x * x) / sqrt(2 * acos(-1));
}

static double sigmoid_of(double x) {
    return 1 / (1 + exp(-x));
}

static void activations_are_accurate(void **state) {
    (void)state;
    float *x = malloc(MANY * sizeof *x), *y = malloc(MANY * sizeof *y);
    float *ones = malloc(MANY * sizeof *ones), *slopes = malloc(MANY * sizeof *slopes);
    for (int i = 0; i < MANY; i++) {
        x[i] = 24.0f * (float)i / MANY - 12.0f;
        ones[i] = 1;
    }
    const struct nn_kernels *k;
    for (size_t table = 0; (k = nn_kernels_at(table)); table++) {
        k->gelu_forward(MANY, x, y);
        k->gelu_backward(MANY, x, ones, slopes);
        for (int i = 0; i < MANY; i++) { /* relative to x: 1 + erf cancels in the left tail */
            assert_true(fabs(y[i] - gelu_of(x[i])) <= 5e-7 * (fabsf(x[i]) + 1e-3));
            assert_true(fabs(slopes[i] - gelu_slope(x[i])) <= 1.5e-6);
        }
        k->tanh_forward(MANY, x, y);
        k->tanh_backward(MANY, y, ones, slopes);
        for (int i = 0; i < MANY; i++) {
            assert_true(fabs(y[i] - tanh((double)x[i])) <= 5e-7 * fabs(tanh((double)x[i])));
            assert_true(fabs(slopes[i] - (1 - (double)y[i] * y[i])) <= 2e-7);
        }
        k->sigmoid_forward(MANY, x, y);
        k->sigmoid_backward(MANY, y, ones, slopes);
        for (int i = 0; i < MANY; i++) {
            assert_true(fabs(y[i] - sigmoid_of(x[i])) <= 5e-7 * sigmoid_of(x[i]));
            assert_true(fabs(slopes[i] - y[i] * (1 - (double)y[i])) <= 2e-7);
        }
        k->relu_forward(MANY, x, y);
        k->relu_backward(MANY, y, ones, slopes);
        for (int i = 0; i < MANY; i++) {
            assert_true(y[i] == (x[i] > 0 ? x[i] : 0));
            assert_true(slopes[i] == (x[i] > 0 ? 1 : 0));
        }
    }
    free(x);
    free(y);
    free(ones);
    free(slopes);
}

static void a_nan_stays_one(void **state) {
    (void)state;
    const float x[9] = {1, 2, 3, 4, NAN, 6, 7, 8, NAN};
    float y[9];
    const struct nn_kernels *k;
    for (size_t table = 0; (k = nn_kernels_at(table)); table++) {
        void (*const forwards[])(size_t, const float *, float *) = {
            k->relu_forward, k->gelu_forward, k->tanh_forward, k->sigmoid_forward};
        for (size_t f = 0; f < sizeof forwards / sizeof *forwards; f++) {
            forwards[f](9, x, y);
            for (int i = 0; i < 9; i++) {
                assert_int_equal(!!isnan(y[i]), !!isnan(x[i]));
            }
        }
    }
}

static void large_inputs_stay_finite(void **state) {
    (void)state;
    const float x[4] = {-3e38f, -200, 200, 3e38f};
    float y[4];
    const struct nn_kernels *k;
    for (size_t table = 0; (k = nn_kernels_at(table)); table++) {
        k->sigmoid_forward(4, x, y);
        assert_true(y[0] >= 0 && y[0] < 1e-30f && y[3] == 1.0f);
        k->tanh_forward(4, x, y);
        assert_near(y[0], -1, 2e-7);
        assert_near(y[3], 1, 2e-7);
        float p[4];
        assert_true(isfinite(k->softmax_row(4, 0, (const float[]){-3e5f, 0, 1e5f, 1e5f}, p)));
        assert_near(p[2], 0.5, 1e-6);
    }
}

/* Whether an element lies in the vector part of a loop or in its tail must not matter. */
static void every_length_gives_the_same_elements(void **state) {
    (void)state;
    float x[64], whole[64], part[64];
    fill(x, 64, 3, 1);
    const struct nn_kernels *k;
    for (size_t table = 0; (k = nn_kernels_at(table)); table++) {
        k->gelu_forward(64, x, whole);
        for (size_t n = 0; n <= 64; n++) {
            memset(part, 0xff, sizeof part);
            k->gelu_forward(n, x, part);
            assert_memory_equal(part, whole, n * sizeof *part);
            for (size_t i = n; i < 64; i++) {
                assert_true(isnan(part[i])); /* not written */
            }
        }
    }
}

static void column_sums_are_accurate(void **state) {
    (void)state;
    enum { ROWS = 777, COLUMNS = 301, ELEMENTS = ROWS * COLUMNS };
    float *y = malloc(ELEMENTS * sizeof *y), sums[COLUMNS];
    fill(y, ELEMENTS, 1, 3);
    const struct nn_kernels *k;
    for (size_t table = 0; (k = nn_kernels_at(table)); table++) {
        k->column_sums(ROWS, COLUMNS, 0, 40, y, sums);
        k->column_sums(ROWS, COLUMNS, 40, COLUMNS, y, sums);
        for (size_t c = 0; c < COLUMNS; c++) {
            double sum = 0;
            for (size_t r = 0; r < ROWS; r++) {
                sum += y[r * COLUMNS + c];
            }
            assert_near(sums[c], sum, 1e-5);
        }
    }
    free(y);
}

static void dropout_drops_the_share_it_says(void **state) {
    (void)state;
    float *x = malloc(MANY * sizeof *x), *y = malloc(MANY * sizeof *y);
    float *dx = malloc(MANY * sizeof *dx);
    uint8_t *mask = malloc(MANY), *other = malloc(MANY);
    for (int i = 0; i < MANY; i++) {
        x[i] = 1;
    }
    const struct nn_kernels *k;
    for (size_t table = 0; (k = nn_kernels_at(table)); table++) {
        k->dropout_forward(MANY, 5, 0, 0x40000000u, 4.0f / 3, x, mask, y);
        k->dropout_backward(MANY, 4.0f / 3, mask, x, dx);
        k->dropout_forward(MANY, 6, 0, 0x40000000u, 4.0f / 3, x, other, y);
        k->dropout_forward(MANY, 5, 0, 0x40000000u, 4.0f / 3, x, mask, y);
        double dropped = 0, both = 0, next = 0;
        for (int i = 0; i < MANY; i++) {
            assert_true(y[i] == (mask[i] ? 4.0f / 3 : 0));
            assert_true(dx[i] == y[i]);
            dropped += !mask[i];
            both += !mask[i] && !other[i];
            next += !mask[i] && !mask[(i + 1) % MANY];
        }
        assert_near(dropped / MANY, 0.25, 0.006); /* four standard deviations */
        assert_near(both / MANY, 0.0625, 0.004);  /* keys are independent */
        assert_near(next / MANY, 0.0625, 0.004);  /* and so are neighbours */
    }
    free(x);
    free(y);
    free(dx);
    free(mask);
    free(other);
}

static void uniform_fills_its_interval(void **state) {
    (void)state;
    float *y = malloc(MANY * sizeof *y);
    const struct nn_kernels *k;
    for (size_t table = 0; (k = nn_kernels_at(table)); table++) {
        k->uniform(MANY, 17, 0, 3, y);
        double sum = 0, squares = 0;
        float low = 3, high = -3;
        for (int i = 0; i < MANY; i++) {
            sum += y[i];
            squares += (double)y[i] * y[i];
            low = y[i] < low ? y[i] : low;
            high = y[i] > high ? y[i] : high;
        }
        assert_near(sum / MANY, 0, 0.03);
        assert_near(squares / MANY, 3, 0.03);
        assert_true(low >= -3 && low < -2.99f && high < 3 && high > 2.99f);
    }
    free(y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_are_accurate),
        cmocka_unit_test(a_nan_stays_one),
        cmocka_unit_test(large_inputs_stay_finite),
        cmocka_unit_test(every_length_gives_the_same_elements),
        cmocka_unit_test(column_sums_are_accurate),
        cmocka_unit_test(dropout_drops_the_share_it_says),
        cmocka_unit_test(uniform_fills_its_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
