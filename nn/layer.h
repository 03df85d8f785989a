/*
 * layer.h - what a layer is: one struct of functions, for the built-in layers and for anybody's.
 *
 * A layer maps x (batch, inputs) to y (batch, outputs) and, given dy = d loss / d y, finds dx and
 * the gradients of its parameters. To make a new one, fill a struct nn_layer_type and name it in
 * the list given to nn_model_create(); tests/nn/test_user_layer.c has one from end to end.
 *
 * Who owns what: the model owns x, y, dy, dx, the parameters, their gradients and the layer's
 * state; it takes them from the heap right before a call needs them and gives them back as soon as
 * nobody does. A layer that wants memory for itself takes it from the machine's heap: with
 * nn_save() for what forward leaves to backward (the model frees it), by hand for what it gives
 * back before it returns.
 */
#ifndef NN_LAYER_H
#define NN_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine.h"

enum { NN_LAYER_PARAMETERS_MAX = 4, NN_STATES_MAX = 2 };

/* One matrix that is learned. */
struct nn_parameter {
    size_t rows, columns;
    float *values;                /* (rows, columns) */
    float *gradient;              /* the same; NULL until backward needs it */
    float *states[NN_STATES_MAX]; /* the optimizer's, the same; NULL until its first update */
};

struct nn_layer {
    const struct nn_layer_type *type;
    size_t inputs, outputs; /* widths */
    struct nn_parameter parameters[NN_LAYER_PARAMETERS_MAX];
    size_t parameter_count;
    void *state; /* type->state_size bytes, zero at first; NULL if that is 0 */
    void *saved; /* see nn_save() */
};

/* One forward, and the backward that follows it. */
struct nn_pass {
    const struct nn_machine *machine;
    size_t batch;
    bool training;
    uint64_t key; /* of this layer's random numbers in this pass */
};

enum nn_layer_traits {
    NN_NEEDS_INPUT = 1,   /* backward reads x */
    NN_NEEDS_OUTPUT = 2,  /* backward reads y */
    NN_TRAINING_ONLY = 4, /* in evaluation y is x: forward is not called, outputs == inputs */
};

/* Functions that return int return 0, or -1 when memory is out. */
struct nn_layer_type {
    const char *name;
    unsigned traits;
    size_t state_size;

    /* inputs is known: sets outputs, the rows and columns of the parameters, and the state, from
     * config (the pointer beside the type in the model's list). -1: such inputs or such a config
     * cannot be. Takes no memory. */
    int (*shape)(struct nn_layer *layer, const void *config);
    /* Fills the parameters' values. Optional without parameters. */
    void (*init)(struct nn_layer *layer, uint64_t key);
    int (*forward)(struct nn_layer *layer, const struct nn_pass *pass, const float *x, float *y);
    /* Writes dx, unless it is NULL (the first layer's is not needed), and overwrites every
     * parameter's gradient. x and y are NULL where traits do not ask for them. dx never overlaps
     * dy. */
    int (*backward)(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                    const float *y, const float *dy, float *dx);
    /* Gives back what the state owns; the state may still be zero. Optional. */
    void (*destroy)(struct nn_layer *layer);
};

/* size bytes that live until the layer's backward is done. For forward in training; NULL when
 * memory is out. */
void *nn_save(struct nn_layer *layer, const struct nn_pass *pass, size_t size);

/* ---- The built-in types ---------------------------------------------------------------------- */

/* How weights begin, from the number of inputs and of outputs of their layer. He keeps the variance
 * of what passes through ReLU, Glorot that of what passes through tanh and sigmoid. */
enum nn_initialisation {
    NN_HE_NORMAL,      /* N(0, 2/inputs) */
    NN_HE_UNIFORM,     /* U(-a, a), a = sqrt(6/inputs) */
    NN_GLOROT_NORMAL,  /* N(0, 2/(inputs+outputs)) */
    NN_GLOROT_UNIFORM, /* U(-a, a), a = sqrt(6/(inputs+outputs)) */
};

struct nn_dense_config {
    size_t outputs;
    enum nn_initialisation initialisation;
};

struct nn_dropout_config {
    float rate; /* chance that an element is dropped, 0 <= rate < 1 */
};

extern const struct nn_layer_type nn_dense; /* config: struct nn_dense_config */
extern const struct nn_layer_type nn_relu;  /* these four: no config */
extern const struct nn_layer_type nn_gelu;  /* the exact form, by erf */
extern const struct nn_layer_type nn_tanh;
extern const struct nn_layer_type nn_sigmoid;
extern const struct nn_layer_type nn_dropout; /* config: struct nn_dropout_config */

#endif
