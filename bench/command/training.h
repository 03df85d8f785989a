/*
 * training.h - what `train` and `compare` share: the options that say which training, and the heap
 * it runs on.
 */
#ifndef STEPWELL_TRAINING_H
#define STEPWELL_TRAINING_H

#include <argp.h>
#include <stddef.h>
#include <stdint.h>

#include "train.h"

struct training_options {
    const char *model; /* NULL: nn_train()'s choice */
    const char *data_dir;
    const char *conf;
    size_t steps; /* 0: the recipe's */
    size_t batch; /* 0: the recipe's */
    unsigned threads;
    uint64_t seed;
};

/* A child parser; its input is a struct training_options with the defaults in place. */
extern const struct argp training_argp;
extern const struct training_options training_defaults;

/* The recipe that nn_train() will take for the options. */
const struct nn_recipe *chosen_recipe(const struct training_options *options);

/* For nn_train(), but for the heap and what watches the steps. */
struct nn_train_options train_options(const struct training_options *options);

/*
 * A short training of the same shapes on a heap that is then destroyed, so that what is measured
 * afterwards is the heap's: OpenBLAS has its buffers, threads their stacks, program pages are
 * present, libc its own odds and ends. It keeps to the limit of the conf. If it fails, the training
 * itself will say why.
 */
void rehearse(const struct training_options *options);

/* What only all options together tell: a model that has no data ends the program. */
void check_training(const struct training_options *training);

/* A heap; or the program ends: EXIT_MISUSED when the conf is wrong, EXIT_FAILED otherwise. */
sw_heap *create_heap(const char *strategy, const char *conf);
/* One line, where something is set that the strategy does not heed. */
void complain_if_unheeded(const char *strategy, const char *conf);

#endif
