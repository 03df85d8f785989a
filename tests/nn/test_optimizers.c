/*
 * Optimizers against their formulas in double precision, over many updates; and initialisation
 * against the variances it promises.
 */
#include "support.h"

#include <math.h>
#include <string.h>

#include "optimizer.h"
#include "random.h"

enum { INPUTS = 6, OUTPUTS = 3, WEIGHTS = INPUTS * OUTPUTS, UPDATES = 25 };

/* One weight as the papers have it. */
struct reference {
    double w, first, second;
};

static void update_reference(const struct nn_optimizer *o, struct reference *r, double g, int t) {
    if (o->type == &nn_sgd) {
        r->first = o->momentum * r->first + g + o->weight_decay * r->w;
        r->w -= o->learning_rate * r->first;
        return;
    }
    if (o->type == &nn_adamw) {
        r->w *= 1 - o->learning_rate * o->weight_decay;
    } else {
        g += o->weight_decay * r->w;
    }
    r->first = o->beta1 * r->first + (1 - o->beta1) * g;
    r->second = o->beta2 * r->second + (1 - o->beta2) * g * g;
    double mean = r->first / (1 - pow(o->beta1, t));
    double square = r->second / (1 - pow(o->beta2, t));
    r->w -= o->learning_rate * mean / (sqrt(square) + o->epsilon);
}

static size_t state_blocks(sw_heap *heap) {
    struct sw_stats stats;
    assert_int_equal(sw_heap_stats(heap, &stats, sizeof stats), 0);
    return stats.tags[SW_TAG_OPTIMIZER_STATE].blocks.current;
}

static void check(struct nn_optimizer o, size_t states) {
    struct bench *bench = open_bench(1);
    const struct nn_dense_config config = {OUTPUTS, NN_HE_NORMAL};
    const struct nn_layer_spec specs[] = {{&nn_dense, &config}, {0}};
    struct nn_model model;
    struct nn_error error;
    assert_int_equal(nn_model_create(&model, &bench->machine, specs, INPUTS, 1, &error), 0);
    struct nn_parameter *p = nn_model_parameter(&model, 0);
    struct reference reference[WEIGHTS] = {0};
    for (size_t i = 0; i < WEIGHTS; i++) {
        reference[i].w = p->values[i];
    }
    for (int t = 1; t <= UPDATES; t++) {
        float x[INPUTS], weights[OUTPUTS];
        fill(x, INPUTS, 1, (uint64_t)t);
        fill(weights, OUTPUTS, 1, (uint64_t)t + 1000);
        assert_non_null(nn_model_forward(&model, x, 1, true, 0));
        double loss;
        assert_int_equal(nn_model_backward(&model, &weighted_sum, weights, &loss), 0);
        for (size_t i = 0; i < WEIGHTS; i++) {
            update_reference(&o, &reference[i], p->gradient[i], t);
        }
        assert_int_equal(nn_optimizer_update(&o, &model), 0);
        for (size_t i = 0; i < WEIGHTS; i++) {
            assert_near(p->values[i], reference[i].w, 2e-6);
        }
    }
    assert_int_equal(state_blocks(bench->heap), 2 * states); /* weights and bias */
    nn_model_destroy(&model);
    close_bench(bench);
}

static void sgd(void **state) {
    (void)state;
    check((struct nn_optimizer){.type = &nn_sgd, .learning_rate = 0.1}, 0);
    check((struct nn_optimizer){.type = &nn_sgd, .learning_rate = 0.1, .weight_decay = 0.05}, 0);
}

static void sgd_with_momentum(void **state) {
    (void)state;
    check(
        (struct nn_optimizer){
            .type = &nn_sgd, .learning_rate = 0.05, .momentum = 0.9, .weight_decay = 0.01},
        1);
}

static void adam(void **state) {
    (void)state;
    check((struct nn_optimizer){.type = &nn_adam,
                                .learning_rate = 0.01,
                                .weight_decay = 0.1,
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .epsilon = 1e-8},
          2);
}

static void adamw(void **state) {
    (void)state;
    check((struct nn_optimizer){.type = &nn_adamw,
                                .learning_rate = 0.01,
                                .weight_decay = 0.1,
                                .beta1 = 0.8,
                                .beta2 = 0.99,
                                .epsilon = 1e-6},
          2);
}

/* ---- Initialisation -------------------------------------------------------------------------- */

static void check_initialisation(enum nn_initialisation how, double variance, double limit) {
    enum { WIDE_IN = 300, WIDE_OUT = 200, COUNT = WIDE_IN * WIDE_OUT };
    struct bench *bench = open_bench(1);
    const struct nn_dense_config config = {WIDE_OUT, how};
    const struct nn_layer_spec specs[] = {{&nn_dense, &config}, {0}};
    struct nn_model model, again, other;
    struct nn_error error;
    assert_int_equal(nn_model_create(&model, &bench->machine, specs, WIDE_IN, 5, &error), 0);
    assert_int_equal(nn_model_create(&again, &bench->machine, specs, WIDE_IN, 5, &error), 0);
    assert_int_equal(nn_model_create(&other, &bench->machine, specs, WIDE_IN, 6, &error), 0);
    assert_true(nn_model_hash(&model) == nn_model_hash(&again));
    assert_true(nn_model_hash(&model) != nn_model_hash(&other));
    const float *w = nn_model_parameter(&model, 0)->values;
    double sum = 0, squares = 0, largest = 0;
    for (size_t i = 0; i < COUNT; i++) {
        sum += w[i];
        squares += (double)w[i] * w[i];
        largest = fmax(largest, fabs((double)w[i]));
    }
    double deviation = sqrt(variance);
    assert_true(fabs(sum / COUNT) < 5 * deviation / sqrt(COUNT));
    assert_near(squares / COUNT / variance, 1, 0.03);
    if (limit > 0) {
        assert_true(largest <= limit && largest > 0.999 * limit);
    } else {
        assert_true(largest > 3.5 * deviation && largest < 7 * deviation);
    }
    for (size_t i = 0; i < WIDE_OUT; i++) {
        assert_true(nn_model_parameter(&model, 1)->values[i] == 0);
    }
    nn_model_destroy(&model);
    nn_model_destroy(&again);
    nn_model_destroy(&other);
    close_bench(bench);
}

static void initialisations_have_their_variance(void **state) {
    (void)state;
    check_initialisation(NN_HE_NORMAL, 2.0 / 300, 0);
    check_initialisation(NN_HE_UNIFORM, 2.0 / 300, sqrt(6.0 / 300));
    check_initialisation(NN_GLOROT_NORMAL, 2.0 / 500, 0);
    check_initialisation(NN_GLOROT_UNIFORM, 2.0 / 500, sqrt(6.0 / 500));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd),
        cmocka_unit_test(sgd_with_momentum),
        cmocka_unit_test(adam),
        cmocka_unit_test(adamw),
        cmocka_unit_test(initialisations_have_their_variance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
