/*
 * Losses. Both sum in double precision and in the order of the rows, in the caller's thread: a loss
 * is the same number whatever the thread count, and its matrices are the smallest of a model.
 */
#include "loss.h"

/* ---- Softmax with cross-entropy: saved is the probabilities p, dz = (p - [label])/rows ------- */

static double cross_entropy_forward(size_t rows, size_t columns, const float *z,
                                    const void *targets, float *saved,
                                    const struct nn_machine *machine) {
    const int32_t *labels = targets;
    double sum = 0;
    for (size_t r = 0; r < rows; r++) {
        sum += machine->kernels->softmax_row(columns, (size_t)labels[r], z + r * columns,
                                             saved + r * columns);
    }
    return sum / (double)rows;
}

static void cross_entropy_backward(size_t rows, size_t columns, const float *z, const void *targets,
                                   const float *saved, float *dz,
                                   const struct nn_machine *machine) {
    (void)z;
    (void)machine;
    const int32_t *labels = targets;
    const float share = 1.0f / (float)rows;
    for (size_t r = 0; r < rows; r++) {
        const float *p = saved + r * columns;
        float *row = dz + r * columns;
        for (size_t c = 0; c < columns; c++) {
            row[c] = p[c] * share;
        }
        row[labels[r]] -= share;
    }
}

/* ---- Mean squared error: dz = 2 (z - target)/(rows columns) ---------------------------------- */

static double mean_squared_error_forward(size_t rows, size_t columns, const float *z,
                                         const void *targets, float *saved,
                                         const struct nn_machine *machine) {
    (void)saved;
    (void)machine;
    const float *target = targets;
    double sum = 0;
    for (size_t i = 0; i < rows * columns; i++) {
        double difference = (double)z[i] - target[i];
        sum += difference * difference;
    }
    return sum / (double)(rows * columns);
}

static void mean_squared_error_backward(size_t rows, size_t columns, const float *z,
                                        const void *targets, const float *saved, float *dz,
                                        const struct nn_machine *machine) {
    (void)saved;
    (void)machine;
    const float *target = targets;
    const float share = 2.0f / ((float)rows * (float)columns);
    for (size_t i = 0; i < rows * columns; i++) {
        dz[i] = share * (z[i] - target[i]);
    }
}

const struct nn_loss nn_cross_entropy = {
    .name = "cross_entropy",
    .needs_saved = true,
    .forward = cross_entropy_forward,
    .backward = cross_entropy_backward,
};

const struct nn_loss nn_mean_squared_error = {
    .name = "mean_squared_error",
    .forward = mean_squared_error_forward,
    .backward = mean_squared_error_backward,
};
