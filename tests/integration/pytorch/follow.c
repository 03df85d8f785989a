/*
 * follow FILE THREADS: trains what FILE holds, a network with its weights and batches, and writes
 * the loss of each step and then every parameter as text, one number a line. agree.py writes FILE
 * and does the same in PyTorch.
 *
 * FILE: eight int32 (layers, activation, optimizer, loss, steps, batch, 0, 0), layers+1 int32
 * widths, six doubles (rate, momentum, decay, beta1, beta2, epsilon); then float weights and bias
 * of each layer; then for each step float inputs (batch, widths[0]) and its targets: int32 labels
 * (batch), or float (batch, widths[layers]) for the mean squared error.
 */
#include <stdio.h>
#include <stdlib.h>

#include "optimizer.h"

enum { LAYERS_MAX = 8 };

struct job {
    FILE *file;
    struct {
        int32_t layers, activation, optimizer, loss, steps, batch, unused[2];
    } head;
    int32_t widths[LAYERS_MAX + 1];
    double settings[6];
    struct nn_machine machine;
    struct nn_model model;
    struct nn_optimizer optimizer;
};

static void take(struct job *job, void *to, size_t size) {
    if (fread(to, 1, size, job->file) != size) {
        fputs("follow: the file is too short\n", stderr);
        exit(1);
    }
}

static void need(int good, const char *what) {
    if (!good) {
        fprintf(stderr, "follow: %s\n", what);
        exit(1);
    }
}

static void make_model(struct job *job) {
    static const struct nn_layer_type *const activations[] = {&nn_relu, &nn_gelu, &nn_tanh,
                                                              &nn_sigmoid};
    struct nn_dense_config dense[LAYERS_MAX];
    struct nn_layer_spec specs[2 * LAYERS_MAX + 1] = {0};
    struct nn_error error;
    for (int i = 0; i < job->head.layers; i++) {
        size_t at = 2 * (size_t)i;
        dense[i] = (struct nn_dense_config){.outputs = (size_t)job->widths[i + 1]};
        specs[at] = (struct nn_layer_spec){&nn_dense, &dense[i]};
        if (i + 1 < job->head.layers) {
            specs[at + 1] = (struct nn_layer_spec){activations[job->head.activation], NULL};
        }
    }
    need(nn_model_create(&job->model, &job->machine, specs, (size_t)job->widths[0], 1, &error) == 0,
         "no model");
    struct nn_parameter *p;
    for (size_t i = 0; (p = nn_model_parameter(&job->model, i)); i++) {
        take(job, p->values, p->rows * p->columns * sizeof(float));
    }
}

static void make_optimizer(struct job *job) {
    static const struct nn_optimizer_type *const types[] = {&nn_sgd, &nn_adam, &nn_adamw};
    const double *s = job->settings;
    job->optimizer = (struct nn_optimizer){.type = types[job->head.optimizer],
                                           .learning_rate = s[0],
                                           .momentum = s[1],
                                           .weight_decay = s[2],
                                           .beta1 = s[3],
                                           .beta2 = s[4],
                                           .epsilon = s[5]};
}

static double step(struct job *job) {
    static const struct nn_loss *const losses[] = {&nn_cross_entropy, &nn_mean_squared_error};
    sw_heap *heap = job->machine.heap;
    size_t batch = (size_t)job->head.batch, width = (size_t)job->widths[0];
    size_t targets_size = batch * 4;
    if (job->head.loss == 1) {
        targets_size *= (size_t)job->widths[job->head.layers];
    }
    sw_step_begin(heap);
    float *x = nn_floats(heap, batch, width, SW_TAG_INPUT);
    void *targets = sw_alloc_aligned(heap, NN_ALIGNMENT, targets_size, SW_TAG_INPUT);
    need(x && targets, "out of memory");
    take(job, x, batch * width * sizeof *x);
    take(job, targets, targets_size);
    double loss = 0;
    need(nn_model_forward(&job->model, x, batch, true, 0) != NULL, "out of memory");
    need(nn_model_backward(&job->model, losses[job->head.loss], targets, &loss) == 0,
         "out of memory");
    need(nn_optimizer_update(&job->optimizer, &job->model) == 0, "out of memory");
    sw_free(heap, targets);
    sw_free(heap, x);
    sw_step_end(heap);
    return loss;
}

int main(int count, char **words) {
    need(count == 3, "usage: follow FILE THREADS");
    struct job job = {.file = fopen(words[1], "rb")};
    need(job.file != NULL, "the file cannot be opened");
    take(&job, &job.head, sizeof job.head);
    need(job.head.layers > 0 && job.head.layers <= LAYERS_MAX, "too many layers");
    take(&job, job.widths, ((size_t)job.head.layers + 1) * sizeof *job.widths);
    take(&job, job.settings, sizeof job.settings);
    sw_heap *heap = sw_heap_create("pool", NULL);
    struct nn_error error = {"no heap"};
    need(heap && nn_machine_start(&job.machine, heap, (unsigned)atoi(words[2]), &error) == 0,
         error.sentence);
    make_model(&job);
    make_optimizer(&job);
    for (int i = 0; i < job.head.steps; i++) {
        printf("%.17g\n", step(&job));
    }
    struct nn_parameter *p;
    for (size_t i = 0; (p = nn_model_parameter(&job.model, i)); i++) {
        for (size_t j = 0; j < p->rows * p->columns; j++) {
            printf("%.9g\n", (double)p->values[j]);
        }
    }
    nn_model_destroy(&job.model);
    nn_machine_stop(&job.machine);
    sw_heap_destroy(heap);
    fclose(job.file);
    return 0;
}
