/*
 * data.h - where mini-batches come from: an epoch at a time, in an order that the seed decides.
 *
 * A source is a struct of functions and its state. It streams: what it holds is what
 * nn_data_held() says, however many examples there are; a batch belongs to whoever asked for it.
 */
#ifndef NN_DATA_H
#define NN_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "machine.h"

struct nn_batch {
    size_t rows;     /* the last batch of an epoch may be short; 0: the epoch is over */
    float *inputs;   /* (rows, width) */
    int32_t *labels; /* (rows) */
};

struct nn_data;

/* Functions return 0, or -1 with the sentence. */
struct nn_data_type {
    /* To the first example. key: of this pass's random numbers; it decides the order if the source
     * shuffles. */
    int (*rewind)(struct nn_data *data, uint64_t key, struct nn_error *error);
    /* The next rows examples; there are that many. */
    int (*read)(struct nn_data *data, size_t rows, float *inputs, int32_t *labels,
                struct nn_error *error);
    size_t (*held)(const struct nn_data *data);
    void (*close)(struct nn_data *data);
};

struct nn_data {
    const struct nn_data_type *type;
    const struct nn_machine *machine;
    size_t count;   /* examples per epoch */
    size_t width;   /* floats per example */
    size_t classes; /* labels are 0..classes-1 */
    size_t taken;   /* of this epoch */
    void *state;
};

/* Begins epoch number `epoch` of the run that seed names. */
int nn_data_rewind(struct nn_data *data, uint64_t seed, size_t epoch, struct nn_error *error);

/* The next batch of up to size rows, from the heap, tagged input. */
int nn_data_next(struct nn_data *data, size_t size, struct nn_batch *batch, struct nn_error *error);
void nn_batch_release(const struct nn_data *data, struct nn_batch *batch);

/* Bytes of the heap that the source holds between calls. */
size_t nn_data_held(const struct nn_data *data);
void nn_data_close(struct nn_data *data); /* one that was never opened is ignored */

/* ---- Sources --------------------------------------------------------------------------------- */

/* What the files must hold, and how to read them. */
struct nn_idx_options {
    size_t width; /* pixels per image */
    size_t classes;
    float scale; /* a pixel is byte * scale */
    bool shuffle;
    size_t window; /* bytes of images that shuffling draws from; 0: NN_IDX_WINDOW */
};

/* See idx.c for how a window shuffles. */
#define NN_IDX_WINDOW ((size_t)8 << 20)

/* Images and labels in two IDX files, each plain or gzip. */
int nn_idx_open(struct nn_data *data, const struct nn_machine *machine, const char *images,
                const char *labels, const struct nn_idx_options *options, struct nn_error *error);

/* The embedded optical digits: 1,442 for training or 355 for testing, 8x8 pixels of 0..1. */
int nn_digits_open(struct nn_data *data, const struct nn_machine *machine, bool test,
                   struct nn_error *error);

/* count examples made up as they are read: inputs uniform on (-sqrt(3), sqrt(3)), so of variance 1;
 * the label says which of the first `classes` inputs is the largest. Every epoch has other
 * examples. */
int nn_synthetic_open(struct nn_data *data, const struct nn_machine *machine, size_t count,
                      size_t width, size_t classes);

/* Two IDX files already open; they are the source's from now on, closed too when this fails. For
 * nn_idx_open() and nn_digits_open(). */
struct nn_reader;
int nn_idx_open_readers(struct nn_data *data, const struct nn_machine *machine,
                        struct nn_reader *images, struct nn_reader *labels,
                        const struct nn_idx_options *options, struct nn_error *error);

#endif
