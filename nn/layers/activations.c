/*
 * Activations: each element by itself, y = f(x) and dx = dy f'(x). What differs between the four is
 * a pair of kernels and whether f' is found from x or from y.
 */
#include "layer.h"

struct apply {
    void (*forward)(size_t n, const float *x, float *y);
    void (*backward)(size_t n, const float *x_or_y, const float *dy, float *dx);
    const float *in; /* forward: x; backward: what f' is found from. All (B, width) */
    const float *dy;
    float *out; /* y, or dx */
};

static int keep_width(struct nn_layer *layer, const void *config) {
    (void)config;
    layer->outputs = layer->inputs;
    return 0;
}

static void run_forward(void *context, size_t begin, size_t end) {
    const struct apply *a = context;
    a->forward(end - begin, a->in + begin, a->out + begin);
}

static void run_backward(void *context, size_t begin, size_t end) {
    const struct apply *a = context;
    a->backward(end - begin, a->in + begin, a->dy + begin, a->out + begin);
}

static int apply(const struct nn_layer *layer, const struct nn_pass *pass, nn_range *range,
                 struct apply how) {
    nn_parallel(pass->machine->workers, pass->batch * layer->inputs, NN_GRAIN, range, &how);
    return 0;
}

/* ---- ReLU: max(x, 0) ------------------------------------------------------------------------- */

static int relu_forward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                        float *y) {
    return apply(
        layer, pass, run_forward,
        (struct apply){.forward = pass->machine->kernels->relu_forward, .in = x, .out = y});
}

static int relu_backward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                         const float *y, const float *dy, float *dx) {
    (void)x;
    return apply(
        layer, pass, run_backward,
        (struct apply){
            .backward = pass->machine->kernels->relu_backward, .in = y, .dy = dy, .out = dx});
}

/* ---- GELU: x Phi(x), the exact form ---------------------------------------------------------- */

static int gelu_forward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                        float *y) {
    return apply(
        layer, pass, run_forward,
        (struct apply){.forward = pass->machine->kernels->gelu_forward, .in = x, .out = y});
}

static int gelu_backward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                         const float *y, const float *dy, float *dx) {
    (void)y;
    return apply(
        layer, pass, run_backward,
        (struct apply){
            .backward = pass->machine->kernels->gelu_backward, .in = x, .dy = dy, .out = dx});
}

/* ---- tanh ------------------------------------------------------------------------------------ */

static int tanh_forward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                        float *y) {
    return apply(
        layer, pass, run_forward,
        (struct apply){.forward = pass->machine->kernels->tanh_forward, .in = x, .out = y});
}

static int tanh_backward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                         const float *y, const float *dy, float *dx) {
    (void)x;
    return apply(
        layer, pass, run_backward,
        (struct apply){
            .backward = pass->machine->kernels->tanh_backward, .in = y, .dy = dy, .out = dx});
}

/* ---- Sigmoid: 1/(1 + exp(-x)) ---------------------------------------------------------------- */

static int sigmoid_forward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                           float *y) {
    return apply(
        layer, pass, run_forward,
        (struct apply){.forward = pass->machine->kernels->sigmoid_forward, .in = x, .out = y});
}

static int sigmoid_backward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                            const float *y, const float *dy, float *dx) {
    (void)x;
    return apply(
        layer, pass, run_backward,
        (struct apply){
            .backward = pass->machine->kernels->sigmoid_backward, .in = y, .dy = dy, .out = dx});
}

const struct nn_layer_type nn_relu = {
    .name = "relu",
    .traits = NN_NEEDS_OUTPUT,
    .shape = keep_width,
    .forward = relu_forward,
    .backward = relu_backward,
};

const struct nn_layer_type nn_gelu = {
    .name = "gelu",
    .traits = NN_NEEDS_INPUT,
    .shape = keep_width,
    .forward = gelu_forward,
    .backward = gelu_backward,
};

const struct nn_layer_type nn_tanh = {
    .name = "tanh",
    .traits = NN_NEEDS_OUTPUT,
    .shape = keep_width,
    .forward = tanh_forward,
    .backward = tanh_backward,
};

const struct nn_layer_type nn_sigmoid = {
    .name = "sigmoid",
    .traits = NN_NEEDS_OUTPUT,
    .shape = keep_width,
    .forward = sigmoid_forward,
    .backward = sigmoid_backward,
};
