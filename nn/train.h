/*
 * train.h - the dense training loop, whole: a recipe, a heap, and out come loss, accuracy and time.
 *
 *     struct nn_train_options options = {.model = "digits", .heap = heap, .evaluate = true};
 *     struct nn_result result;
 *     char error[256];
 *     if (nn_train(&options, &result, error, sizeof error) != 0) {
 *         fprintf(stderr, "%s\n", error);
 *     }
 *
 * Every byte the training uses comes from options.heap, tagged by what it is for; the times of its
 * steps are not the training's and stand elsewhere. Each iteration of training and of evaluation is
 * one step of the heap. For the same recipe, seed and thread count,
 * losses and weights are the same to the last bit whatever the heap's strategy.
 *
 * The loop runs in the caller's thread and threads-1 of its own. It calls OpenBLAS from all of them
 * with OpenBLAS's own threading off, and puts that setting back when it returns: two trainings at
 * once in one process are fine, another user of OpenBLAS at the same time runs on one thread.
 */
#ifndef NN_TRAIN_H
#define NN_TRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stepwell.h"

#ifdef __cplusplus
extern "C" {
#endif

enum nn_recipe_data {
    NN_DATA_DIGITS,    /* the optical digits, embedded in the library */
    NN_DATA_DIRECTORY, /* IDX files of a directory, which the options must name */
    NN_DATA_SYNTHETIC, /* made up as it is read: no file, no memory beyond the batch */
};

enum nn_activation { NN_RELU, NN_GELU, NN_TANH, NN_SIGMOID };

enum nn_method { NN_SGD, NN_ADAM, NN_ADAMW };

#define NN_RECIPE_LAYERS_MAX 6

/* A network and how to train it: dense layers with the activation (and dropout) between them,
 * softmax and cross-entropy at the end. */
struct nn_recipe {
    const char *name;
    const char *summary; /* one line, no full stop */
    size_t batch;
    size_t epochs;
    size_t layers;                           /* dense ones */
    size_t widths[NN_RECIPE_LAYERS_MAX + 1]; /* inputs, each layer's outputs; the last: classes */
    enum nn_recipe_data data;
    size_t examples; /* of synthetic data, per epoch */
    enum nn_activation activation;
    enum nn_method method;
    float learning_rate;
    float momentum;     /* SGD only */
    float weight_decay; /* decoupled in AdamW, added to the gradient otherwise */
    float dropout;      /* after each hidden activation; 0: none */
    bool decay_rate;    /* the learning rate falls linearly to 0 over the run */
};

/* The recipes by index from 0, the default one first; NULL past the last. */
const struct nn_recipe *nn_recipe_at(size_t index);

/* The recipe of that name, or NULL. */
const struct nn_recipe *nn_recipe_find(const char *name);

/* Times are kept of so many steps, the last ones. */
enum { NN_TIMES_MAX = 1 << 16 };

struct nn_progress {
    size_t step, steps; /* from 1 */
    size_t warmup;      /* the first of them, which the times in the result leave out */
    size_t epoch, epochs;
    double loss;    /* this step's mean over the batch */
    double step_ms; /* this step's time, wall clock */
};

struct nn_train_options {
    const char *model;    /* a recipe; NULL: "digits", or "mnist" where data_dir is given */
    const char *data_dir; /* {train,t10k}-images-idx3-ubyte[.gz] and -labels-idx1-ubyte[.gz]; NULL:
                             the recipe's embedded or synthetic data */
    sw_heap *heap;
    size_t steps;     /* 0: as many as the recipe's epochs take */
    size_t batch;     /* 0: the recipe's */
    unsigned threads; /* 0: 1 */
    uint64_t seed;
    double *times; /* NN_TIMES_MAX, written to; NULL: they are mapped for as long as it takes */
    size_t warmup; /* first steps that the times in the result leave out; half of all at most */
    void (*on_step)(void *context, const struct nn_progress *progress); /* NULL: none */
    void (*on_forward)(
        void *context); /* between forward and backward, all activations live; or NULL */
    void *context;
    bool evaluate;       /* measure accuracy on the test data at the end */
    bool free_gradients; /* give gradients back each step instead of keeping them */
};

struct nn_result {
    double final_loss; /* mean over the steps of the last epoch, as far as it came */
    double accuracy;   /* share of the test data, 0..1; NAN if not evaluated */
    size_t steps;
    double step_ms; /* median of the last 65,536 steps after warm-up; wall clock, data loading
                       included */
    double step_ms_min, step_ms_max;
    uint64_t weights_hash; /* FNV-1a of all parameters' bytes at the end */
};

/* Trains. 0, or -1 with one sentence in error (cut to error_size); either way all memory it took
 * from the heap is given back. */
int nn_train(const struct nn_train_options *options, struct nn_result *result, char *error,
             size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
