/*
 * Gradients of every layer and every loss against central finite differences.
 *
 * The loss is moved by +-STEP in one number at a time. Rounding of single precision disturbs the
 * quotient by some 1e-7/STEP, the third derivative by some STEP^2/6: at 1/128 both are 1e-5.
 */
#include "support.h"

#include <math.h>
#include <string.h>

#include "random.h"

enum { BATCH = 5, WIDTH = 7, OUTPUTS = 4, INPUTS = BATCH * WIDTH, SQUARE = WIDTH * WIDTH };
static const float STEP = 1.0f / 128;
static const double TOLERANCE = 5e-4;

struct trial {
    struct bench *bench;
    struct nn_model model;
    const struct nn_loss *loss;
    const void *targets;
    float x[INPUTS];
    float dx[INPUTS]; /* what the probe in front saw */
};

static double loss_of(struct trial *t) {
    const float *z = nn_model_forward(&t->model, t->x, BATCH, true, 99);
    assert_non_null(z);
    double value = 0;
    assert_int_equal(nn_model_backward(&t->model, t->loss, t->targets, &value), 0);
    return value;
}

static double slope(struct trial *t, float *at) {
    float before = *at;
    *at = before + STEP;
    double above = loss_of(t), high = *at;
    *at = before - STEP;
    double below = loss_of(t), low = *at;
    *at = before;
    return (above - below) / (high - low);
}

/* Copies the gradients first: each slope runs backward again and writes over them. */
static void check_parameters(struct trial *t) {
    struct nn_parameter *p;
    for (size_t i = 0; (p = nn_model_parameter(&t->model, i)); i++) {
        float gradient[SQUARE];
        assert_true(p->rows * p->columns <= sizeof gradient / sizeof *gradient);
        loss_of(t);
        memcpy(gradient, p->gradient, p->rows * p->columns * sizeof *gradient);
        for (size_t j = 0; j < p->rows * p->columns; j++) {
            assert_near(gradient[j], slope(t, &p->values[j]), TOLERANCE);
        }
    }
}

static void check_inputs(struct trial *t) {
    float dx[INPUTS];
    loss_of(t);
    memcpy(dx, t->dx, sizeof dx);
    for (size_t i = 0; i < INPUTS; i++) {
        assert_near(dx[i], slope(t, &t->x[i]), TOLERANCE);
    }
}

/* specs[0] is left free for the probe. */
static void check(struct nn_layer_spec *specs, const struct nn_loss *loss, const void *targets) {
    for (unsigned threads = 1; threads <= 2; threads++) {
        struct trial t = {.bench = open_bench(threads), .loss = loss, .targets = targets};
        struct nn_error error;
        specs[0] = (struct nn_layer_spec){&probe, t.dx};
        assert_int_equal(nn_model_create(&t.model, &t.bench->machine, specs, WIDTH, 42, &error), 0);
        fill(t.x, INPUTS, 2, 7);
        for (size_t i = 0; i < INPUTS; i++) { /* ReLU has no derivative at 0 */
            t.x[i] += copysignf(2 * STEP, t.x[i]);
        }
        check_inputs(&t);
        check_parameters(&t);
        nn_model_destroy(&t.model);
        close_bench(t.bench);
    }
}

static void check_layer(const struct nn_layer_type *type, const void *config) {
    float weights[INPUTS];
    fill(weights, INPUTS, 1, 11);
    struct nn_layer_spec specs[] = {{0}, {type, config}, {0}};
    check(specs, &weighted_sum, weights);
}

static void dense(void **state) {
    (void)state;
    check_layer(&nn_dense, &(struct nn_dense_config){.outputs = OUTPUTS});
}

static void relu(void **state) {
    (void)state;
    check_layer(&nn_relu, NULL);
}

static void gelu(void **state) {
    (void)state;
    check_layer(&nn_gelu, NULL);
}

static void tanh_layer(void **state) {
    (void)state;
    check_layer(&nn_tanh, NULL);
}

static void sigmoid(void **state) {
    (void)state;
    check_layer(&nn_sigmoid, NULL);
}

static void dropout(void **state) {
    (void)state;
    check_layer(&nn_dropout, &(struct nn_dropout_config){.rate = 0.4f});
}

static void cross_entropy(void **state) {
    (void)state;
    static const int32_t labels[BATCH] = {0, 6, 3, 3, 1};
    struct nn_layer_spec specs[] = {{0}, {0}};
    check(specs, &nn_cross_entropy, labels);
}

static void mean_squared_error(void **state) {
    (void)state;
    float targets[INPUTS];
    fill(targets, INPUTS, 2, 13);
    struct nn_layer_spec specs[] = {{0}, {0}};
    check(specs, &nn_mean_squared_error, targets);
}

static void whole_network(void **state) {
    (void)state;
    static const int32_t labels[BATCH] = {0, 3, 2, 1, 1};
    const struct nn_dense_config hidden = {WIDTH, NN_GLOROT_NORMAL};
    const struct nn_dense_config last = {OUTPUTS, NN_GLOROT_UNIFORM};
    const struct nn_dropout_config some = {0.25f};
    struct nn_layer_spec specs[] = {{0},
                                    {&nn_dense, &hidden},
                                    {&nn_gelu, NULL},
                                    {&nn_dropout, &some},
                                    {&nn_dense, &hidden},
                                    {&nn_tanh, NULL},
                                    {&nn_dense, &last},
                                    {0}};
    check(specs, &nn_cross_entropy, labels);
}

/* Large enough that every loop and every product is cut into slices. */
enum { ROWS = 301, COLUMNS = 700, UNITS = 600 };
enum { OF_X = ROWS * COLUMNS, OF_Z = ROWS * UNITS, OF_PARAMETERS = (COLUMNS + 1) * UNITS };

struct wide {
    float z[OF_Z], dx[OF_X], gradients[OF_PARAMETERS];
};

static void run_wide(unsigned threads, struct wide *result) {
    static float x[OF_X], weights[OF_Z];
    const struct nn_layer_spec specs[] = {{&probe, result->dx},
                                          {&nn_gelu, NULL},
                                          {&nn_dense, &(struct nn_dense_config){.outputs = UNITS}},
                                          {&nn_tanh, NULL},
                                          {&nn_dropout, &(struct nn_dropout_config){.rate = 0.25f}},
                                          {&nn_sigmoid, NULL},
                                          {&nn_relu, NULL},
                                          {0}};
    struct bench *bench = open_bench(threads);
    struct nn_model model;
    struct nn_error error;
    fill(x, OF_X, 2, 7);
    fill(weights, OF_Z, 1, 11);
    assert_int_equal(nn_model_create(&model, &bench->machine, specs, COLUMNS, 42, &error), 0);
    const float *z = nn_model_forward(&model, x, ROWS, true, 99);
    assert_non_null(z);
    memcpy(result->z, z, sizeof result->z);
    double loss;
    assert_int_equal(nn_model_backward(&model, &weighted_sum, weights, &loss), 0);
    float *to = result->gradients;
    struct nn_parameter *p;
    for (size_t i = 0; (p = nn_model_parameter(&model, i)); to += p->rows * p->columns, i++) {
        memcpy(to, p->gradient, p->rows * p->columns * sizeof *to);
    }
    assert_int_equal(to - result->gradients, OF_PARAMETERS);
    nn_model_destroy(&model);
    close_bench(bench);
}

static void assert_all_near(const float *values, const float *expected, size_t count) {
    for (size_t i = 0; i < count; i++) {
        assert_near(values[i], expected[i], 1e-4);
    }
}

static void more_threads_give_the_same(void **state) {
    (void)state;
    static struct wide one, more;
    run_wide(1, &one);
    for (unsigned threads = 2; threads <= 3; threads++) {
        memset(&more, 0xff, sizeof more);
        run_wide(threads, &more);
        assert_all_near(more.z, one.z, OF_Z);
        assert_all_near(more.dx, one.dx, OF_X);
        assert_all_near(more.gradients, one.gradients, OF_PARAMETERS);
    }
}

/* The values themselves, against the definitions in double precision. */
static void losses_are_what_they_say(void **state) {
    (void)state;
    struct bench *bench = open_bench(1);
    enum { CLASSES = 3 };
    const float z[2 * CLASSES] = {1, 2, 3, -80, 0, 60};
    const int32_t labels[2] = {0, 1};
    float p[2 * CLASSES];
    double expected = 0;
    for (int r = 0; r < 2; r++) {
        double sum = 0;
        for (int c = 0; c < CLASSES; c++) {
            sum += exp((double)z[r * CLASSES + c]);
        }
        expected += (log(sum) - z[r * CLASSES + labels[r]]) / 2;
    }
    assert_near(nn_cross_entropy.forward(2, CLASSES, z, labels, p, &bench->machine), expected,
                1e-6);
    const float targets[2 * CLASSES] = {0, 2, 5, -80, 1, 60};
    assert_near(nn_mean_squared_error.forward(2, CLASSES, z, targets, NULL, &bench->machine),
                (1.0 + 0 + 4 + 0 + 1 + 0) / 6, 1e-12);
    close_bench(bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense),
        cmocka_unit_test(relu),
        cmocka_unit_test(gelu),
        cmocka_unit_test(tanh_layer),
        cmocka_unit_test(sigmoid),
        cmocka_unit_test(dropout),
        cmocka_unit_test(cross_entropy),
        cmocka_unit_test(mean_squared_error),
        cmocka_unit_test(whole_network),
        cmocka_unit_test(losses_are_what_they_say),
        cmocka_unit_test(more_threads_give_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
