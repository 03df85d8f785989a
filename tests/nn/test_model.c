/*
 * The model: which buffers it holds and when, what it refuses, and what evaluation leaves out.
 */
#include "support.h"

#include <string.h>

#include "optimizer.h"

enum { BATCH = 16, INPUTS = 32, HIDDEN = 64, OUTPUTS = 8 };
enum { INPUT_SIZE = BATCH * INPUTS, OUTPUT_SIZE = BATCH * OUTPUTS, F = sizeof(float) };

static const struct nn_dense_config hidden = {HIDDEN, NN_HE_NORMAL};
static const struct nn_dense_config last = {OUTPUTS, NN_HE_NORMAL};
static const struct nn_dropout_config half = {0.5f};
static const struct nn_layer_spec network[] = {
    {&nn_dense, &hidden}, {&nn_relu, NULL}, {&nn_dropout, &half}, {&nn_dense, &last}, {0}};

enum { PARAMETERS = INPUTS * HIDDEN + HIDDEN + HIDDEN * OUTPUTS + OUTPUTS };

static void create(struct bench *bench, struct nn_model *model) {
    struct nn_error error;
    assert_int_equal(nn_model_create(model, &bench->machine, network, INPUTS, 1, &error), 0);
    assert_int_equal(model->parameter_count, PARAMETERS);
}

static size_t live(sw_heap *heap, enum sw_tag tag) {
    struct sw_stats stats;
    assert_int_equal(sw_heap_stats(heap, &stats, sizeof stats), 0);
    return stats.tags[tag].requested.current;
}

static size_t peak(sw_heap *heap, enum sw_tag tag) {
    struct sw_stats stats;
    assert_int_equal(sw_heap_stats(heap, &stats, sizeof stats), 0);
    return stats.tags[tag].requested.peak;
}

static void memory_is_held_as_long_as_needed_and_no_longer(void **state) {
    (void)state;
    struct bench *bench = open_bench(1);
    sw_heap *heap = bench->heap;
    struct nn_model model;
    create(bench, &model);
    assert_int_equal(live(heap, SW_TAG_PARAMETER), PARAMETERS * F);
    assert_int_equal(live(heap, SW_TAG_GRADIENT), 0);
    float x[INPUT_SIZE];
    int32_t labels[BATCH] = {0};
    fill(x, INPUT_SIZE, 1, 1);

    /* Kept for backward: relu's output (its own), dropout's (the last layer's input), the mask, the
     * output. The first layer's output went when relu had read it. */
    assert_non_null(nn_model_forward(&model, x, BATCH, true, 1));
    assert_int_equal(live(heap, SW_TAG_ACTIVATION),
                     BATCH * (2 * HIDDEN + OUTPUTS) * F + BATCH * HIDDEN);

    double loss;
    assert_int_equal(nn_model_backward(&model, &nn_cross_entropy, labels, &loss), 0);
    assert_int_equal(live(heap, SW_TAG_ACTIVATION), 0);
    assert_int_equal(live(heap, SW_TAG_TEMPORARY), 0);
    assert_int_equal(live(heap, SW_TAG_GRADIENT), PARAMETERS * F);
    assert_int_equal(peak(heap, SW_TAG_TEMPORARY), 2 * BATCH * HIDDEN * F); /* a dy and a dx */

    struct nn_optimizer sgd = {.type = &nn_sgd, .learning_rate = 0.1, .momentum = 0.9};
    assert_int_equal(nn_optimizer_update(&sgd, &model), 0);
    assert_int_equal(live(heap, SW_TAG_OPTIMIZER_STATE), PARAMETERS * F);
    nn_model_free_gradients(&model);
    assert_int_equal(live(heap, SW_TAG_GRADIENT), 0);
    nn_model_destroy(&model);
    close_bench(bench);
}

static void evaluation_keeps_nothing_and_drops_nothing(void **state) {
    (void)state;
    struct bench *bench = open_bench(1);
    struct nn_model model;
    create(bench, &model);
    float x[INPUT_SIZE], first[OUTPUT_SIZE];
    fill(x, INPUT_SIZE, 1, 1);
    const float *z = nn_model_forward(&model, x, BATCH, false, 1);
    memcpy(first, z, sizeof first);
    assert_int_equal(live(bench->heap, SW_TAG_ACTIVATION), OUTPUT_SIZE * F);
    z = nn_model_forward(&model, x, BATCH, false, 2); /* another key, the same output */
    assert_memory_equal(first, z, sizeof first);
    z = nn_model_forward(&model, x, BATCH, true, 2);
    assert_memory_not_equal(first, z, sizeof first);
    nn_model_destroy(&model); /* in the middle of a pass */
    close_bench(bench);
}

static void dropout_first_passes_its_input_on_in_evaluation(void **state) {
    (void)state;
    struct bench *bench = open_bench(1);
    const struct nn_layer_spec specs[] = {{&nn_dropout, &half}, {0}};
    struct nn_model model;
    struct nn_error error;
    float x[INPUT_SIZE];
    fill(x, INPUT_SIZE, 1, 1);
    assert_int_equal(nn_model_create(&model, &bench->machine, specs, INPUTS, 1, &error), 0);
    assert_memory_equal(nn_model_forward(&model, x, BATCH, false, 0), x, sizeof x);
    nn_model_destroy(&model);
    close_bench(bench);
}

static void dropout_drops_its_rate_whatever_the_threads(void **state) {
    (void)state;
    enum { MANY = 100000 };
    const struct nn_dropout_config quarter = {0.25f};
    static float x[MANY], one[MANY];
    fill(x, MANY, 1, 1);
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct bench *bench = open_bench(threads);
        const struct nn_layer_spec specs[] = {{&nn_dropout, &quarter}, {0}};
        struct nn_model model;
        struct nn_error error;
        assert_int_equal(nn_model_create(&model, &bench->machine, specs, MANY, 1, &error), 0);
        const float *y = nn_model_forward(&model, x, 1, true, 7);
        if (threads == 1) {
            memcpy(one, y, sizeof one);
        }
        assert_memory_equal(y, one, sizeof one);
        size_t dropped = 0;
        for (size_t i = 0; i < MANY; i++) {
            dropped += y[i] == 0;
            assert_true(y[i] == 0 || y[i] == x[i] * (4.0f / 3));
        }
        assert_near((double)dropped / MANY, 0.25, 0.006); /* four standard deviations */
        nn_model_destroy(&model);
        close_bench(bench);
    }
}

static void refuse(const struct nn_layer_spec *specs, size_t inputs, const char *part) {
    struct bench *bench = open_bench(1);
    struct nn_model model;
    struct nn_error error = {""};
    assert_int_equal(nn_model_create(&model, &bench->machine, specs, inputs, 1, &error), -1);
    assert_non_null(strstr(error.sentence, part));
    close_bench(bench);
}

static void impossible_models_are_refused(void **state) {
    (void)state;
    const struct nn_dense_config none = {0, NN_HE_NORMAL};
    const struct nn_dropout_config all = {1.0f};
    const struct nn_dense_config huge = {(size_t)1 << 40, NN_HE_NORMAL};
    const struct nn_dense_config large = {(size_t)1 << 30, NN_HE_NORMAL};
    refuse((struct nn_layer_spec[]){{&nn_dense, &none}, {0}}, 4, "layer 0 (dense)");
    refuse((struct nn_layer_spec[]){{&nn_relu, NULL}, {&nn_dropout, &all}, {0}}, 4,
           "layer 1 (dropout)");
    refuse((struct nn_layer_spec[]){{&nn_dense, &huge}, {0}}, 4, "too large");
    refuse((struct nn_layer_spec[]){{&nn_dense, &large}, {0}}, (size_t)1 << 30, "out of memory");
}

static void batches_that_overflow_are_refused(void **state) {
    (void)state;
    struct bench *bench = open_bench(1);
    struct nn_model model;
    create(bench, &model);
    assert_true(nn_model_takes(&model, BATCH));
    assert_false(nn_model_takes(&model, 0));
    assert_false(nn_model_takes(&model, SIZE_MAX / HIDDEN));
    nn_model_destroy(&model);
    close_bench(bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_held_as_long_as_needed_and_no_longer),
        cmocka_unit_test(evaluation_keeps_nothing_and_drops_nothing),
        cmocka_unit_test(dropout_first_passes_its_input_on_in_evaluation),
        cmocka_unit_test(dropout_drops_its_rate_whatever_the_threads),
        cmocka_unit_test(impossible_models_are_refused),
        cmocka_unit_test(batches_that_overflow_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
