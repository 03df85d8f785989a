/*
 * optimizer.h - how gradients change parameters: SGD with momentum, Adam, AdamW.
 *
 * The states (one matrix per parameter for momentum, two for Adam) are taken from the heap, tagged
 * optimizer_state, at the first update, and belong to the model's parameters.
 */
#ifndef NN_OPTIMIZER_H
#define NN_OPTIMIZER_H

#include "model.h"

struct nn_optimizer;

struct nn_optimizer_type {
    const char *name;
    size_t (*states)(const struct nn_optimizer *optimizer); /* matrices per parameter */
    /* Updates elements begin..end of p; its states hold zeros the first time. */
    void (*update)(const struct nn_optimizer *optimizer, const struct nn_kernels *kernels,
                   const struct nn_parameter *p, size_t begin, size_t end);
};

/* Settings as PyTorch has them, and the count of updates made. */
struct nn_optimizer {
    const struct nn_optimizer_type *type;
    double learning_rate;
    double momentum;     /* nn_sgd */
    double weight_decay; /* nn_adamw: decoupled; nn_sgd, nn_adam: added to the gradient */
    double beta1, beta2; /* nn_adam, nn_adamw; 0.9 and 0.999 are usual */
    double epsilon;      /* 1e-8 is usual */
    size_t step;
};

extern const struct nn_optimizer_type nn_sgd;
extern const struct nn_optimizer_type nn_adam;
extern const struct nn_optimizer_type nn_adamw;

/* One update of every parameter from its gradient. -1 when memory for the states is out; then
 * nothing has changed. */
int nn_optimizer_update(struct nn_optimizer *optimizer, struct nn_model *model);

#endif
