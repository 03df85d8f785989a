/*
 * Dense: y = x W' + b, with W stored (outputs, inputs) and b (1, outputs).
 *
 *     forward   y  (B, outputs)       = rows of b, then += x W'
 *     backward  dW (outputs, inputs)  = dy' x
 *               db (1, outputs)       = column sums of dy
 *               dx (B, inputs)        = dy W
 */
#include "layer.h"
#include "random.h"

enum { WEIGHTS, BIAS };

static int shape(struct nn_layer *layer, const void *config) {
    const struct nn_dense_config *dense = config;
    if (dense->outputs == 0) {
        return -1;
    }
    *(enum nn_initialisation *)layer->state = dense->initialisation;
    layer->outputs = dense->outputs;
    layer->parameters[WEIGHTS].rows = dense->outputs;
    layer->parameters[WEIGHTS].columns = layer->inputs;
    layer->parameters[BIAS].rows = 1;
    layer->parameters[BIAS].columns = dense->outputs;
    layer->parameter_count = 2;
    return 0;
}

static double variance(enum nn_initialisation initialisation, size_t inputs, size_t outputs) {
    bool he = initialisation == NN_HE_NORMAL || initialisation == NN_HE_UNIFORM;
    return 2.0 / (double)(he ? inputs : inputs + outputs);
}

/* A uniform distribution on (-a, a) has variance a^2/3. */
static void init(struct nn_layer *layer, uint64_t key) {
    enum nn_initialisation initialisation = *(const enum nn_initialisation *)layer->state;
    double deviation = sqrt(variance(initialisation, layer->inputs, layer->outputs));
    bool normal = initialisation == NN_HE_NORMAL || initialisation == NN_GLOROT_NORMAL;
    size_t count = layer->inputs * layer->outputs;
    float *weights = layer->parameters[WEIGHTS].values;
    for (size_t i = 0; i < count; i++) {
        double value = normal ? nn_normal(key, i) : sqrt(3.0) * (2 * nn_uniform(key, i) - 1);
        weights[i] = (float)(deviation * value);
    }
    for (size_t i = 0; i < layer->outputs; i++) {
        layer->parameters[BIAS].values[i] = 0;
    }
}

struct rows {
    const struct nn_machine *machine;
    size_t columns;
    const float *row; /* (1, columns) */
    float *y;         /* (B, columns) */
};

static void fill_rows(void *context, size_t begin, size_t end) {
    const struct rows *r = context;
    r->machine->kernels->copy_rows(end - begin, r->columns, r->row, r->y + begin * r->columns);
}

/* The product adds to y, so y begins as the bias: one pass over y less than adding it after. */
static int forward(struct nn_layer *layer, const struct nn_pass *pass, const float *x, float *y) {
    const struct nn_machine *machine = pass->machine;
    struct rows bias = {machine, layer->outputs, layer->parameters[BIAS].values, y};
    nn_parallel(machine->workers, pass->batch, NN_GRAIN / layer->outputs + 1, fill_rows, &bias);
    nn_multiply(machine, &(struct nn_product){
                             .m = pass->batch,
                             .n = layer->outputs,
                             .k = layer->inputs,
                             .a = x,
                             .b = layer->parameters[WEIGHTS].values,
                             .transpose_b = true,
                             .c = y,
                             .beta = 1,
                         });
    return 0;
}

struct sums {
    const struct nn_machine *machine;
    size_t rows, columns;
    const float *y; /* (rows, columns) */
    float *sums;    /* (1, columns) */
};

static void sum_columns(void *context, size_t begin, size_t end) {
    const struct sums *s = context;
    s->machine->kernels->column_sums(s->rows, s->columns, begin, end, s->y, s->sums);
}

static int backward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                    const float *y, const float *dy, float *dx) {
    (void)y;
    const struct nn_machine *machine = pass->machine;
    nn_multiply(machine, &(struct nn_product){
                             .m = layer->outputs,
                             .n = layer->inputs,
                             .k = pass->batch,
                             .a = dy,
                             .transpose_a = true,
                             .b = x,
                             .c = layer->parameters[WEIGHTS].gradient,
                         });
    struct sums sums = {machine, pass->batch, layer->outputs, dy, layer->parameters[BIAS].gradient};
    nn_parallel(machine->workers, layer->outputs, NN_GRAIN / pass->batch + 1, sum_columns, &sums);
    if (dx) {
        nn_multiply(machine, &(struct nn_product){
                                 .m = pass->batch,
                                 .n = layer->inputs,
                                 .k = layer->outputs,
                                 .a = dy,
                                 .b = layer->parameters[WEIGHTS].values,
                                 .c = dx,
                             });
    }
    return 0;
}

const struct nn_layer_type nn_dense = {
    .name = "dense",
    .traits = NN_NEEDS_INPUT,
    .state_size = sizeof(enum nn_initialisation),
    .shape = shape,
    .init = init,
    .forward = forward,
    .backward = backward,
};
