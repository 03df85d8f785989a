/*
 * model.h - layers one after another: who holds which buffer, and for how long.
 *
 *     x -> layer 0 -> a1 -> layer 1 -> a2 -> ... -> z -> loss
 *
 * forward takes a buffer per layer's output and keeps those that backward will read; in evaluation
 * none but the last. backward walks back, and gives each activation, each saved buffer and each
 * activation's gradient back the moment no layer before needs it. So a step's memory rises through
 * forward and falls through backward, as in any framework, and between steps only parameters,
 * their gradients (unless freed) and the optimizer's states are held.
 */
#ifndef NN_MODEL_H
#define NN_MODEL_H

#include "error.h"
#include "layer.h"
#include "loss.h"

/* One line of a model's list; the list ends in a line whose type is NULL. */
struct nn_layer_spec {
    const struct nn_layer_type *type;
    const void *config; /* what type->shape() takes; read during nn_model_create() only */
};

struct nn_model {
    const struct nn_machine *machine;
    size_t count;
    struct nn_layer *layers;
    size_t parameter_count; /* floats in all parameters */

    /* A pass under way: activations[0] is the caller's x, activations[i+1] layer i's output; NULL
     * where it is not held. */
    float **activations;
    size_t batch;
    bool training;
    uint64_t key;
};

/* A model with its parameters, initialised from the seed. Shapes are known, and sizes checked,
 * before any parameter is taken. -1 with the sentence; the model then holds nothing. */
int nn_model_create(struct nn_model *model, const struct nn_machine *machine,
                    const struct nn_layer_spec *specs, size_t inputs, uint64_t seed,
                    struct nn_error *error);
void nn_model_destroy(struct nn_model *model);

size_t nn_model_inputs(const struct nn_model *model);
size_t nn_model_outputs(const struct nn_model *model);

/* Can a pass over batch rows be sized at all? */
bool nn_model_takes(const struct nn_model *model, size_t batch);

/* Bytes of activations that forward over batch rows leaves to backward. */
size_t nn_model_kept(const struct nn_model *model, size_t batch);

/* x (batch, inputs) through all layers; x stays the caller's and must stay until backward is done.
 * Returns z (batch, outputs), the model's until the next call; NULL when memory is out. key: of the
 * pass's random numbers, different from step to step. */
const float *nn_model_forward(struct nn_model *model, const float *x, size_t batch, bool training,
                              uint64_t key);

/* After a forward in training: the loss of its output, and every parameter's gradient. -1 when
 * memory is out. Either way the pass is over and its buffers are given back. */
int nn_model_backward(struct nn_model *model, const struct nn_loss *loss, const void *targets,
                      double *loss_value);

/* Ends a pass that no backward will follow. */
void nn_model_release(struct nn_model *model);

/* Gives all gradients back; the next backward takes them anew. */
void nn_model_free_gradients(struct nn_model *model);

/* FNV-1a, 64 bit, of all parameters' bytes in model order. */
uint64_t nn_model_hash(const struct nn_model *model);

/* Parameter i of the model, in model order; NULL past the last. */
struct nn_parameter *nn_model_parameter(const struct nn_model *model, size_t index);

#endif
