/*
 * loss.h - what training makes small: a number from the model's output and the targets.
 *
 * As with layers, a loss is a struct of functions, a forward and its backward. `saved` is a matrix
 * (rows, columns) that the caller provides from one to the other where needs_saved says so.
 */
#ifndef NN_LOSS_H
#define NN_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine.h"

struct nn_loss {
    const char *name;
    bool needs_saved;
    /* The mean loss over the rows of z (rows, columns). */
    double (*forward)(size_t rows, size_t columns, const float *z, const void *targets,
                      float *saved, const struct nn_machine *machine);
    /* dz = d loss / d z (rows, columns). */
    void (*backward)(size_t rows, size_t columns, const float *z, const void *targets,
                     const float *saved, float *dz, const struct nn_machine *machine);
};

/* Softmax, then cross-entropy; targets: int32_t labels[rows], each 0 <= label < columns. */
extern const struct nn_loss nn_cross_entropy;

/* Mean over all elements of (z - target)^2; targets: float (rows, columns). */
extern const struct nn_loss nn_mean_squared_error;

#endif
