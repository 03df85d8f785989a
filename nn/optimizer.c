/*
 * Optimizers. g is the gradient, w the parameter, t the update's number from 1.
 *
 *     SGD    v = momentum v + g;  w -= rate v
 *     Adam   m = b1 m + (1-b1) g;  s = b2 s + (1-b2) g^2
 *            w -= rate/(1-b1^t) m / (sqrt(s)/sqrt(1-b2^t) + epsilon)       (Kingma and Ba, 2015)
 *     AdamW  w *= 1 - rate decay, then as Adam                   (Loshchilov and Hutter, 2019)
 */
#include "optimizer.h"

#include <math.h>
#include <string.h>

static size_t sgd_states(const struct nn_optimizer *optimizer) {
    return optimizer->momentum != 0 ? 1 : 0;
}

static void sgd_update(const struct nn_optimizer *o, const struct nn_kernels *kernels,
                       const struct nn_parameter *p, size_t begin, size_t end) {
    float *velocity = p->states[0] ? p->states[0] + begin : NULL;
    kernels->sgd(end - begin, (float)o->learning_rate, (float)o->momentum, (float)o->weight_decay,
                 p->gradient + begin, velocity, p->values + begin);
}

static size_t two_states(const struct nn_optimizer *optimizer) {
    (void)optimizer;
    return 2;
}

static struct nn_adam_step adam_step(const struct nn_optimizer *o) {
    double t = (double)o->step;
    return (struct nn_adam_step){
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .rest1 = (float)(1 - o->beta1),
        .rest2 = (float)(1 - o->beta2),
        .epsilon = (float)o->epsilon,
        .step_size = (float)(o->learning_rate / (1 - pow(o->beta1, t))),
        .inverse_root = (float)(1 / sqrt(1 - pow(o->beta2, t))),
        .weight_multiplier = 1,
    };
}

static void adam_part(const struct nn_adam_step *step, const struct nn_kernels *kernels,
                      const struct nn_parameter *p, size_t begin, size_t end) {
    kernels->adam(end - begin, step, p->gradient + begin, p->states[0] + begin,
                  p->states[1] + begin, p->values + begin);
}

static void adam_update(const struct nn_optimizer *o, const struct nn_kernels *kernels,
                        const struct nn_parameter *p, size_t begin, size_t end) {
    struct nn_adam_step step = adam_step(o);
    step.gradient_decay = (float)o->weight_decay;
    adam_part(&step, kernels, p, begin, end);
}

static void adamw_update(const struct nn_optimizer *o, const struct nn_kernels *kernels,
                         const struct nn_parameter *p, size_t begin, size_t end) {
    struct nn_adam_step step = adam_step(o);
    step.weight_multiplier = (float)(1 - o->learning_rate * o->weight_decay);
    adam_part(&step, kernels, p, begin, end);
}

const struct nn_optimizer_type nn_sgd = {.name = "sgd", .states = sgd_states, .update = sgd_update};

const struct nn_optimizer_type nn_adam = {
    .name = "adam", .states = two_states, .update = adam_update};

const struct nn_optimizer_type nn_adamw = {
    .name = "adamw", .states = two_states, .update = adamw_update};

/* ---- The update ------------------------------------------------------------------------------ */

static int take_states(sw_heap *heap, struct nn_parameter *p, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (p->states[i]) {
            continue;
        }
        p->states[i] = nn_floats(heap, p->rows, p->columns, SW_TAG_OPTIMIZER_STATE);
        if (!p->states[i]) {
            return -1;
        }
        memset(p->states[i], 0, p->rows * p->columns * sizeof(float));
    }
    return 0;
}

struct update {
    const struct nn_optimizer *optimizer;
    const struct nn_kernels *kernels;
    const struct nn_parameter *parameter;
};

static void update_part(void *context, size_t begin, size_t end) {
    const struct update *u = context;
    u->optimizer->type->update(u->optimizer, u->kernels, u->parameter, begin, end);
}

int nn_optimizer_update(struct nn_optimizer *optimizer, struct nn_model *model) {
    const struct nn_machine *machine = model->machine;
    size_t states = optimizer->type->states(optimizer);
    struct nn_parameter *p;
    for (size_t i = 0; (p = nn_model_parameter(model, i)); i++) {
        if (take_states(machine->heap, p, states) != 0) {
            return -1;
        }
    }
    optimizer->step++;
    for (size_t i = 0; (p = nn_model_parameter(model, i)); i++) {
        struct update update = {optimizer, machine->kernels, p};
        nn_parallel(machine->workers, p->rows * p->columns, NN_GRAIN, update_part, &update);
    }
    return 0;
}
