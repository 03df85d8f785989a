/*
 * Dropout: in training each element is dropped with chance `rate`, and the others grow by
 * 1/(1-rate) so that the mean stays. In evaluation the layer is not there.
 *
 * Which elements is a function of the pass's key and the element's index. Forward saves one byte
 * per element for backward.
 */
#include "layer.h"

static int shape(struct nn_layer *layer, const void *config) {
    const struct nn_dropout_config *dropout = config;
    if (!(dropout->rate >= 0 && dropout->rate < 1)) {
        return -1;
    }
    *(float *)layer->state = dropout->rate;
    layer->outputs = layer->inputs;
    return 0;
}

struct mask {
    const struct nn_machine *machine;
    uint64_t key;
    uint32_t drop_below; /* the rate in 2^-32 */
    float scale;
    uint8_t *kept;   /* (B, width) */
    const float *in; /* x, or dy: (B, width) */
    float *out;      /* y, or dx: (B, width) */
};

static struct mask mask_of(const struct nn_layer *layer, const struct nn_pass *pass) {
    float rate = *(const float *)layer->state;
    return (struct mask){
        .machine = pass->machine,
        .key = pass->key,
        .drop_below = (uint32_t)((double)rate * 0x1p32),
        .scale = 1 / (1 - rate),
        .kept = layer->saved,
    };
}

/* The kernel counts elements in 32 bits; from 2^32 on, each further 2^32 has a key of its own. */
static void run_forward(void *context, size_t begin, size_t end) {
    const struct mask *m = context;
    while (begin < end) {
        size_t part = begin >> 32;
        size_t stop = end >> 32 == part ? end : (part + 1) << 32;
        uint64_t key = m->key + part * 0x9e3779b97f4a7c15u;
        m->machine->kernels->dropout_forward(stop - begin, key, (uint32_t)begin, m->drop_below,
                                             m->scale, m->in + begin, m->kept + begin,
                                             m->out + begin);
        begin = stop;
    }
}

static int forward(struct nn_layer *layer, const struct nn_pass *pass, const float *x, float *y) {
    size_t count = pass->batch * layer->inputs;
    if (!nn_save(layer, pass, count)) {
        return -1;
    }
    struct mask mask = mask_of(layer, pass);
    mask.in = x;
    mask.out = y;
    nn_parallel(pass->machine->workers, count, NN_GRAIN, run_forward, &mask);
    return 0;
}

static void run_backward(void *context, size_t begin, size_t end) {
    const struct mask *m = context;
    m->machine->kernels->dropout_backward(end - begin, m->scale, m->kept + begin, m->in + begin,
                                          m->out + begin);
}

static int backward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                    const float *y, const float *dy, float *dx) {
    (void)x;
    (void)y;
    struct mask mask = mask_of(layer, pass);
    mask.in = dy;
    mask.out = dx;
    nn_parallel(pass->machine->workers, pass->batch * layer->inputs, NN_GRAIN, run_backward, &mask);
    return 0;
}

const struct nn_layer_type nn_dropout = {
    .name = "dropout",
    .traits = NN_TRAINING_ONLY,
    .state_size = sizeof(float),
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
