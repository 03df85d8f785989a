/*
 * A layer of the user's own, from end to end: layer normalisation with a learned gain and shift.
 *
 *     n = (x - mean)/deviation over each row,  y = gain n + shift
 *
 * It has a setting (epsilon), parameters with their own beginning, memory saved from forward to
 * backward, and a state that owns a block, given back in destroy. The library knows nothing of it.
 */
#include "support.h"

#include <math.h>
#include <string.h>

#include "optimizer.h"
#include "random.h"

enum { GAIN, SHIFT };

struct normalise {
    float epsilon;
    sw_heap *heap;
    size_t *calls; /* a block of its own, for the sake of it */
};

static size_t destroyed;

static int shape(struct nn_layer *layer, const void *config) {
    struct normalise *state = layer->state;
    state->epsilon = *(const float *)config;
    layer->outputs = layer->inputs;
    layer->parameters[GAIN].rows = layer->parameters[SHIFT].rows = 1;
    layer->parameters[GAIN].columns = layer->parameters[SHIFT].columns = layer->inputs;
    layer->parameter_count = 2;
    return 0;
}

static void init(struct nn_layer *layer, uint64_t key) {
    (void)key;
    for (size_t c = 0; c < layer->inputs; c++) {
        layer->parameters[GAIN].values[c] = 1;
        layer->parameters[SHIFT].values[c] = 0;
    }
}

/* saved: n (B, width), then 1/deviation (B) */
static int forward(struct nn_layer *layer, const struct nn_pass *pass, const float *x, float *y) {
    struct normalise *state = layer->state;
    size_t width = layer->inputs;
    if (!state->calls) {
        state->heap = pass->machine->heap;
        state->calls = sw_alloc_zeroed(state->heap, 1, sizeof *state->calls, SW_TAG_OTHER);
    }
    float *n = nn_save(layer, pass, pass->batch * (width + 1) * sizeof *n);
    if (!n || !state->calls) {
        return -1;
    }
    ++*state->calls;
    float *inverse = n + pass->batch * width;
    for (size_t r = 0; r < pass->batch; r++) {
        const float *row = x + r * width;
        double mean = 0, square = 0;
        for (size_t c = 0; c < width; c++) {
            mean += row[c] / (double)width;
        }
        for (size_t c = 0; c < width; c++) {
            square += (row[c] - mean) * (row[c] - mean) / (double)width;
        }
        inverse[r] = (float)(1 / sqrt(square + state->epsilon));
        for (size_t c = 0; c < width; c++) {
            n[r * width + c] = (float)(row[c] - mean) * inverse[r];
            y[r * width + c] = layer->parameters[GAIN].values[c] * n[r * width + c] +
                               layer->parameters[SHIFT].values[c];
        }
    }
    return 0;
}

static int backward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                    const float *y, const float *dy, float *dx) {
    (void)x;
    (void)y;
    size_t width = layer->inputs;
    const float *n = layer->saved, *inverse = n + pass->batch * width;
    struct nn_parameter *gain = &layer->parameters[GAIN], *shift = &layer->parameters[SHIFT];
    memset(gain->gradient, 0, width * sizeof *gain->gradient);
    memset(shift->gradient, 0, width * sizeof *shift->gradient);
    for (size_t r = 0; r < pass->batch; r++) {
        const float *dy_row = dy + r * width, *n_row = n + r * width;
        double sum = 0, dot = 0;
        for (size_t c = 0; c < width; c++) {
            float dn = dy_row[c] * gain->values[c];
            sum += dn / (double)width;
            dot += dn * n_row[c] / (double)width;
            gain->gradient[c] += dy_row[c] * n_row[c];
            shift->gradient[c] += dy_row[c];
        }
        for (size_t c = 0; dx && c < width; c++) {
            float dn = dy_row[c] * gain->values[c];
            dx[r * width + c] = inverse[r] * (float)(dn - sum - n_row[c] * dot);
        }
    }
    return 0;
}

static void destroy(struct nn_layer *layer) {
    struct normalise *state = layer->state;
    if (state->calls) {
        sw_free(state->heap, state->calls);
    }
    destroyed++;
}

static const struct nn_layer_type normalise = {
    .name = "normalise",
    .state_size = sizeof(struct normalise),
    .shape = shape,
    .init = init,
    .forward = forward,
    .backward = backward,
    .destroy = destroy,
};

/* ---- Tests ----------------------------------------------------------------------------------- */

enum { BATCH = 12, INPUTS = 5, HIDDEN = 9, CLASSES = 3, INPUT_SIZE = BATCH * INPUTS };

static void rows_come_out_normalised(void **state) {
    (void)state;
    struct bench *bench = open_bench(1);
    const float epsilon = 1e-5f;
    const struct nn_layer_spec specs[] = {{&normalise, &epsilon}, {0}};
    struct nn_model model;
    struct nn_error error;
    float x[INPUT_SIZE];
    fill(x, INPUT_SIZE, 3, 1);
    assert_int_equal(nn_model_create(&model, &bench->machine, specs, INPUTS, 1, &error), 0);
    const float *y = nn_model_forward(&model, x, BATCH, true, 0);
    for (size_t r = 0; r < BATCH; r++) {
        double sum = 0, square = 0;
        for (size_t c = 0; c < INPUTS; c++) {
            sum += y[r * INPUTS + c];
            square += (double)y[r * INPUTS + c] * y[r * INPUTS + c];
        }
        assert_near(sum, 0, 1e-5);
        assert_near(square / INPUTS, 1, 1e-3);
    }
    destroyed = 0;
    nn_model_destroy(&model);
    assert_int_equal(destroyed, 1);
    close_bench(bench);
}

/* Between built-in layers it trains like any of them: the loss falls, gradients are right. */
static void it_trains_among_built_in_layers(void **state) {
    (void)state;
    struct bench *bench = open_bench(2);
    const float epsilon = 1e-5f;
    const struct nn_dense_config hidden = {HIDDEN, NN_HE_NORMAL}, last = {CLASSES, NN_HE_NORMAL};
    const struct nn_layer_spec specs[] = {
        {&nn_dense, &hidden}, {&normalise, &epsilon}, {&nn_gelu, NULL}, {&nn_dense, &last}, {0}};
    struct nn_model model;
    struct nn_error error;
    struct nn_optimizer adam = {
        .type = &nn_adam, .learning_rate = 0.02, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    float x[INPUT_SIZE];
    int32_t labels[BATCH];
    fill(x, INPUT_SIZE, 1, 3);
    for (size_t r = 0; r < BATCH; r++) {
        labels[r] = (int32_t)nn_below(4, r, CLASSES);
    }
    assert_int_equal(nn_model_create(&model, &bench->machine, specs, INPUTS, 1, &error), 0);
    double first = 0, loss = 0;
    for (int i = 0; i < 150; i++) {
        assert_non_null(nn_model_forward(&model, x, BATCH, true, 0));
        assert_int_equal(nn_model_backward(&model, &nn_cross_entropy, labels, &loss), 0);
        first = i == 0 ? loss : first;
        assert_int_equal(nn_optimizer_update(&adam, &model), 0);
    }
    assert_true(loss < 0.05 * first);

    struct nn_parameter *gain = nn_model_parameter(&model, 2);
    assert_int_equal(gain->columns, HIDDEN);
    for (size_t c = 0; c < HIDDEN; c++) {
        double expected = 0, ends[2];
        for (int side = 0; side < 2; side++) {
            float before = gain->values[c];
            gain->values[c] += side ? 0.01f : -0.01f;
            assert_non_null(nn_model_forward(&model, x, BATCH, true, 0));
            assert_int_equal(nn_model_backward(&model, &nn_cross_entropy, labels, &ends[side]), 0);
            gain->values[c] = before;
        }
        expected = (ends[1] - ends[0]) / 0.02;
        assert_non_null(nn_model_forward(&model, x, BATCH, true, 0));
        assert_int_equal(nn_model_backward(&model, &nn_cross_entropy, labels, &loss), 0);
        assert_near(gain->gradient[c], expected, 2e-4);
    }
    nn_model_destroy(&model);
    close_bench(bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_out_normalised),
        cmocka_unit_test(it_trains_among_built_in_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
