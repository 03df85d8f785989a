/*
 * Training: a recipe made into a model, an optimizer and two sources of data; then steps.
 *
 * One step is five calls between the heap's step begin and step end: a batch, forward, backward
 * (with the loss), the batch given back, the update.
 */
#include "train.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "data.h"
#include "model.h"
#include "optimizer.h"
#include "random.h"
#include "reader.h"

enum {
    TIMES_BYTES = NN_TIMES_MAX * sizeof(double),
    SPECS_MAX = 3 * NN_RECIPE_LAYERS_MAX + 1, /* dense, activation, dropout; the end */
    TEST_EXAMPLES = 4096,                     /* of synthetic data */
};

/* Streams of random numbers of one seed. */
enum purpose { FOR_WEIGHTS, FOR_ORDER, FOR_DROPOUT, FOR_TEST };

struct training {
    const struct nn_train_options *options;
    const struct nn_recipe *recipe;
    size_t batch;
    struct nn_progress now;
    uint64_t keys[FOR_TEST + 1];

    struct nn_machine machine;
    struct nn_model model;
    struct nn_optimizer optimizer;
    struct nn_data data;
    struct nn_data test;
    double *times;     /* of the last NN_TIMES_MAX steps after warm-up, as a ring */
    size_t timed;      /* steps after warm-up so far */
    double epoch_loss; /* sum over the examples of this epoch so far */
    size_t epoch_rows;
    struct nn_error *error;
};

/* ---- From recipe to model, data, optimizer --------------------------------------------------- */

static const struct nn_layer_type *activation_of(const struct nn_recipe *recipe) {
    switch (recipe->activation) {
    case NN_GELU:
        return &nn_gelu;
    case NN_TANH:
        return &nn_tanh;
    case NN_SIGMOID:
        return &nn_sigmoid;
    case NN_RELU:
        break;
    }
    return &nn_relu;
}

/* He suits what keeps half its inputs, Glorot what is nearly linear about 0. */
static enum nn_initialisation initialisation_of(const struct nn_recipe *recipe) {
    bool rectifies = recipe->activation == NN_RELU || recipe->activation == NN_GELU;
    return rectifies ? NN_HE_NORMAL : NN_GLOROT_UNIFORM;
}

static int make_model(struct training *t) {
    const struct nn_recipe *recipe = t->recipe;
    struct nn_dense_config dense[NN_RECIPE_LAYERS_MAX];
    const struct nn_dropout_config dropout = {recipe->dropout};
    struct nn_layer_spec specs[SPECS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < recipe->layers; i++) {
        dense[i] = (struct nn_dense_config){recipe->widths[i + 1], initialisation_of(recipe)};
        specs[count++] = (struct nn_layer_spec){&nn_dense, &dense[i]};
        if (i + 1 == recipe->layers) {
            break;
        }
        specs[count++] = (struct nn_layer_spec){activation_of(recipe), NULL};
        if (recipe->dropout > 0) {
            specs[count++] = (struct nn_layer_spec){&nn_dropout, &dropout};
        }
    }
    specs[count] = (struct nn_layer_spec){NULL, NULL};
    return nn_model_create(&t->model, &t->machine, specs, recipe->widths[0], t->keys[FOR_WEIGHTS],
                           t->error);
}

static struct nn_optimizer make_optimizer(const struct nn_recipe *recipe) {
    static const struct nn_optimizer_type *const types[] = {
        [NN_SGD] = &nn_sgd, [NN_ADAM] = &nn_adam, [NN_ADAMW] = &nn_adamw};
    return (struct nn_optimizer){
        .type = types[recipe->method],
        .learning_rate = recipe->learning_rate,
        .momentum = recipe->momentum,
        .weight_decay = recipe->weight_decay,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
    };
}

/* DIR/NAME, or DIR/NAME.gz where only that is there. */
static struct nn_reader *open_file(struct training *t, const char *set, const char *what) {
    char path[4096];
    const char *directory = t->options->data_dir;
    int length = snprintf(path, sizeof path - 3, "%s/%s-%s-ubyte", directory, set, what);
    if (length < 0 || (size_t)length >= sizeof path - 3) {
        nn_fail(t->error, "the data directory's name is too long");
        return NULL;
    }
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        strcat(path, ".gz");
        if (access(path, F_OK) != 0 && errno == ENOENT) {
            nn_fail(t->error, "%s: no file %s-%s-ubyte or %s-%s-ubyte.gz is there", directory, set,
                    what, set, what);
            return NULL;
        }
    }
    return nn_reader_open(t->machine.heap, path, t->error); /* and says what else is wrong */
}

static int check_directory(struct training *t) {
    struct stat status;
    const char *directory = t->options->data_dir;
    if (stat(directory, &status) != 0) {
        return nn_fail(t->error, "the data directory '%.256s': %s", directory, strerror(errno));
    }
    return S_ISDIR(status.st_mode)
               ? 0
               : nn_fail(t->error, "the data directory '%.256s' is a file", directory);
}

static int open_directory(struct training *t, bool test, struct nn_data *data) {
    const struct nn_idx_options options = {.width = t->recipe->widths[0],
                                           .classes = t->recipe->widths[t->recipe->layers],
                                           .scale = 1.0f / 255,
                                           .shuffle = !test};
    const char *set = test ? "t10k" : "train";
    if (check_directory(t) != 0) {
        return -1;
    }
    struct nn_reader *images = open_file(t, set, "images-idx3");
    struct nn_reader *labels = images ? open_file(t, set, "labels-idx1") : NULL;
    return nn_idx_open_readers(data, &t->machine, images, labels, &options, t->error);
}

static int open_data(struct training *t, bool test, struct nn_data *data) {
    const struct nn_recipe *recipe = t->recipe;
    if (t->options->data_dir) {
        return open_directory(t, test, data);
    }
    switch (recipe->data) {
    case NN_DATA_DIGITS:
        return nn_digits_open(data, &t->machine, test, t->error);
    case NN_DATA_SYNTHETIC:
        if (nn_synthetic_open(data, &t->machine, test ? TEST_EXAMPLES : recipe->examples,
                              recipe->widths[0], recipe->widths[recipe->layers]) != 0) {
            return nn_fail(t->error, "out of memory for the data");
        }
        return 0;
    case NN_DATA_DIRECTORY:
        break;
    }
    return nn_fail(t->error, "model %s needs a directory of IDX files to train on", recipe->name);
}

/* ---- Out of memory --------------------------------------------------------------------------- */

static double mib(size_t bytes) {
    return (double)bytes / (1 << 20);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* What a step needs memory for. */
struct need {
    size_t bytes;
    const char *what;
};

enum { NEED_LOADER, NEED_NETWORK, NEED_BATCH, NEEDS };

static size_t held_by(const struct nn_data *data) {
    return data->type ? nn_data_held(data) : 0;
}

static void find_needs(const struct training *t, const char *batch, struct need needs[NEEDS]) {
    size_t matrices = 2 + t->optimizer.type->states(&t->optimizer);
    size_t inputs = t->batch * nn_model_inputs(&t->model) * sizeof(float);
    needs[NEED_LOADER] = (struct need){held_by(&t->data) + held_by(&t->test), "the data's loader"};
    needs[NEED_NETWORK] = (struct need){t->model.parameter_count * sizeof(float) * matrices,
                                        "parameters, gradients and optimizer state"};
    needs[NEED_BATCH] = (struct need){inputs + nn_model_kept(&t->model, t->batch), batch};
}

static size_t largest_block(const struct training *t) {
    size_t floats = 0;
    const struct nn_parameter *p;
    for (size_t i = 0; i < t->model.count; i++) {
        floats = larger(floats, t->batch * t->model.layers[i].outputs);
    }
    for (size_t i = 0; (p = nn_model_parameter(&t->model, i)); i++) {
        floats = larger(floats, p->rows * p->columns);
    }
    return floats * sizeof(float);
}

/* A block was refused, so the heap has less room than its peak and that block: when what lasts is
 * more, no batch fits. In the update nothing of the batch is live any more, and who is in the way
 * could only be what an arena keeps until the step ends. */
static bool no_batch_fits(const struct training *t, size_t lasting, const struct sw_stats *stats,
                          bool in_update) {
    return t->batch == 1 || lasting > stats->allocated.peak + largest_block(t) ||
           (in_update && lasting > stats->reserved.peak);
}

/* Largest first. */
static void sort_needs(struct need needs[NEEDS]) {
    for (size_t i = 1; i < NEEDS; i++) {
        for (size_t j = i; j > 0 && needs[j].bytes > needs[j - 1].bytes; j--) {
            struct need swapped = needs[j];
            needs[j] = needs[j - 1];
            needs[j - 1] = swapped;
        }
    }
}

/* Of a heap without its ledger it is not known what came together, nor so what was too much. */
static void add_verdict(const struct training *t, size_t lasting, bool in_update) {
    struct sw_stats stats;
    size_t length = strlen(t->error->sentence);
    if (sw_heap_stats(t->machine.heap, &stats, sizeof stats) != 0 || !stats.tracked) {
        return;
    }
    snprintf(t->error->sentence + length, sizeof t->error->sentence - length,
             "; the heap came to %.1f: %s", mib(stats.allocated.peak),
             no_batch_fits(t, lasting, &stats, in_update) ? "a smaller batch cannot help"
                                                          : "the batch is too much for it");
}

static int out_of_memory(struct training *t, bool in_update) {
    struct need needs[NEEDS];
    char batch[64];
    snprintf(batch, sizeof batch, "inputs and activations of a batch of %zu", t->batch);
    find_needs(t, batch, needs);
    size_t lasting = needs[NEED_LOADER].bytes + needs[NEED_NETWORK].bytes;
    sort_needs(needs);
    nn_fail(t->error,
            "out of memory in step %zu: needed are %.1f MiB for %s, %.1f for %s, %.1f for %s",
            t->now.step, mib(needs[0].bytes), needs[0].what, mib(needs[1].bytes), needs[1].what,
            mib(needs[2].bytes), needs[2].what);
    add_verdict(t, lasting, in_update);
    return -1;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

/* Forward and backward of one batch, which is given back as soon as they are done. */
static int learn(struct training *t, struct nn_batch *batch) {
    uint64_t key = nn_key(t->keys[FOR_DROPOUT], t->now.step);
    const float *z = nn_model_forward(&t->model, batch->inputs, batch->rows, true, key);
    if (z && t->options->on_forward) {
        t->options->on_forward(t->options->context);
    }
    int status =
        z ? nn_model_backward(&t->model, &nn_cross_entropy, batch->labels, &t->now.loss) : -1;
    t->epoch_loss += t->now.loss * (double)batch->rows;
    t->epoch_rows += batch->rows;
    nn_batch_release(&t->data, batch);
    return status;
}

static void set_rate(struct training *t) {
    if (t->recipe->decay_rate) {
        double left = 1 - (double)(t->now.step - 1) / (double)t->now.steps;
        t->optimizer.learning_rate = (double)t->recipe->learning_rate * left;
    }
}

static int step(struct training *t) {
    struct nn_batch batch;
    if (nn_data_next(&t->data, t->batch, &batch, t->error) != 0) {
        return -1;
    }
    if (learn(t, &batch) != 0) {
        return out_of_memory(t, false);
    }
    set_rate(t);
    if (nn_optimizer_update(&t->optimizer, &t->model) != 0) {
        return out_of_memory(t, true);
    }
    if (t->options->free_gradients) {
        nn_model_free_gradients(&t->model);
    }
    return 0;
}

static int begin_step(struct training *t) {
    return sw_step_begin(t->machine.heap) == 0 ? 0 : nn_fail(t->error, "%s", sw_error());
}

static void note_time(struct training *t, double ms) {
    t->now.step_ms = ms;
    if (t->now.step > t->now.warmup) {
        t->times[t->timed++ % NN_TIMES_MAX] = ms;
    }
}

static int train_step(struct training *t) {
    double began = milliseconds();
    if (begin_step(t) != 0) {
        return -1;
    }
    int status = step(t);
    sw_step_end(t->machine.heap);
    if (status != 0) {
        return -1;
    }
    note_time(t, milliseconds() - began);
    if (t->options->on_step) {
        t->options->on_step(t->options->context, &t->now);
    }
    return 0;
}

static int begin_epoch(struct training *t) {
    t->epoch_loss = 0;
    t->epoch_rows = 0;
    return nn_data_rewind(&t->data, t->keys[FOR_ORDER], t->now.epoch++, t->error);
}

static int run(struct training *t) {
    for (t->now.step = 1; t->now.step <= t->now.steps; t->now.step++) {
        bool epoch_over = t->now.step == 1 || t->data.taken == t->data.count;
        if ((epoch_over && begin_epoch(t) != 0) || train_step(t) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- Evaluation ------------------------------------------------------------------------------ */

static size_t count_right(const float *z, const struct nn_batch *batch, size_t classes) {
    size_t right = 0;
    for (size_t r = 0; r < batch->rows; r++) {
        const float *row = z + r * classes;
        size_t best = 0;
        for (size_t c = 1; c < classes; c++) {
            best = row[c] > row[best] ? c : best;
        }
        right += best == (size_t)batch->labels[r];
    }
    return right;
}

static int evaluate_batch(struct training *t, size_t *right) {
    struct nn_batch batch;
    if (nn_data_next(&t->test, t->batch, &batch, t->error) != 0) {
        return -1;
    }
    const float *z = nn_model_forward(&t->model, batch.inputs, batch.rows, false, 0);
    if (z) {
        *right += count_right(z, &batch, nn_model_outputs(&t->model));
    }
    nn_model_release(&t->model);
    nn_batch_release(&t->test, &batch);
    return z ? 0 : nn_fail(t->error, "out of memory in evaluation");
}

static int evaluate(struct training *t, double *accuracy) {
    if (nn_data_rewind(&t->test, t->keys[FOR_TEST], 0, t->error) != 0) {
        return -1;
    }
    size_t right = 0;
    while (t->test.taken < t->test.count) {
        if (begin_step(t) != 0) {
            return -1;
        }
        int status = evaluate_batch(t, &right);
        sw_step_end(t->machine.heap);
        if (status != 0) {
            return -1;
        }
    }
    *accuracy = (double)right / (double)t->test.count;
    return 0;
}

/* ---- The whole ------------------------------------------------------------------------------- */

/* Heap sort: in place, and the C library's qsort may call malloc. */
static void sift(double *values, size_t root, size_t count) {
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && values[child + 1] > values[child]) {
            child++;
        }
        if (values[root] >= values[child]) {
            return;
        }
        double swapped = values[root];
        values[root] = values[child];
        values[child] = swapped;
    }
}

static void sort(double *values, size_t count) {
    for (size_t i = count / 2; i-- > 0;) {
        sift(values, i, count);
    }
    for (size_t end = count; end-- > 1;) {
        double largest = values[0];
        values[0] = values[end];
        values[end] = largest;
        sift(values, 0, end);
    }
}

static void summarise(struct training *t, struct nn_result *result) {
    size_t count = t->timed < NN_TIMES_MAX ? t->timed : NN_TIMES_MAX;
    sort(t->times, count);
    result->final_loss = t->epoch_loss / (double)t->epoch_rows;
    result->steps = t->now.steps;
    result->step_ms = (t->times[(count - 1) / 2] + t->times[count / 2]) / 2;
    result->step_ms_min = t->times[0];
    result->step_ms_max = t->times[count - 1];
    result->weights_hash = nn_model_hash(&t->model);
}

static void plan_steps(struct training *t) {
    size_t per_epoch = t->data.count / t->batch + (t->data.count % t->batch != 0);
    t->now.steps = t->options->steps ? t->options->steps : per_epoch * t->recipe->epochs;
    t->now.epochs = t->now.steps / per_epoch + (t->now.steps % per_epoch != 0);
    size_t half = t->now.steps / 2;
    t->now.warmup = t->options->warmup < half ? t->options->warmup : half;
}

/* Not on the heap: what it holds would depend on the number of steps. */
static int take_times(struct training *t) {
    t->times = t->options->times;
    if (t->times) {
        return 0;
    }
    void *mapped =
        mmap(NULL, TIMES_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return nn_fail_memory(t->error, "the times of steps", TIMES_BYTES);
    }
    t->times = mapped;
    return 0;
}

static void release_times(struct training *t) {
    if (t->times && !t->options->times) {
        munmap(t->times, TIMES_BYTES);
    }
}

static int prepare(struct training *t) {
    const struct nn_train_options *options = t->options;
    unsigned threads = options->threads ? options->threads : 1;
    if (nn_machine_start(&t->machine, options->heap, threads, t->error) != 0 ||
        open_data(t, false, &t->data) != 0 ||
        (options->evaluate && open_data(t, true, &t->test) != 0) || make_model(t) != 0) {
        return -1;
    }
    if (!nn_model_takes(&t->model, t->batch)) {
        return nn_fail(t->error, "a batch of %zu is too large", t->batch);
    }
    if (options->batch > t->data.count) {
        return nn_fail(t->error, "a batch of %zu is more than the data has: %zu examples",
                       options->batch, t->data.count);
    }
    t->optimizer = make_optimizer(t->recipe);
    plan_steps(t);
    return take_times(t);
}

static int train(struct training *t, struct nn_result *result) {
    if (prepare(t) != 0 || run(t) != 0) {
        return -1;
    }
    result->accuracy = NAN;
    if (t->options->evaluate && evaluate(t, &result->accuracy) != 0) {
        return -1;
    }
    summarise(t, result);
    return 0;
}

static void release(struct training *t) {
    release_times(t);
    if (t->model.machine) {
        nn_model_destroy(&t->model);
    }
    nn_data_close(&t->test);
    nn_data_close(&t->data);
    nn_machine_stop(&t->machine);
}

static const struct nn_recipe *choose(const struct nn_train_options *options,
                                      struct nn_error *error) {
    const char *name = options->model ? options->model : options->data_dir ? "mnist" : "digits";
    const struct nn_recipe *recipe = nn_recipe_find(name);
    if (recipe) {
        return recipe;
    }
    int length =
        snprintf(error->sentence, sizeof error->sentence, "unknown model '%.64s'; there are", name);
    for (size_t i = 0; (recipe = nn_recipe_at(i)); i++) {
        length += snprintf(error->sentence + length, sizeof error->sentence - (size_t)length,
                           "%s %s", i ? "," : "", recipe->name);
    }
    return NULL;
}

static int check(const struct nn_train_options *options, struct nn_error *error) {
    if (!options->heap) {
        return nn_fail(error, "no heap was given");
    }
    if (options->threads > NN_THREADS_MAX) {
        return nn_fail(error, "%u threads: at most %d are possible", options->threads,
                       NN_THREADS_MAX);
    }
    return 0;
}

int nn_train(const struct nn_train_options *options, struct nn_result *result, char *error,
             size_t error_size) {
    struct nn_error sentence = {""};
    struct training t = {.options = options, .error = &sentence};
    int status = check(options, &sentence);
    if (status == 0 && !(t.recipe = choose(options, &sentence))) {
        status = -1;
    }
    if (status == 0) {
        t.batch = options->batch ? options->batch : t.recipe->batch;
        for (size_t i = 0; i <= FOR_TEST; i++) {
            t.keys[i] = nn_key(options->seed, i);
        }
        status = train(&t, result);
        release(&t);
    }
    if (status != 0 && error_size > 0) {
        snprintf(error, error_size, "%s", sentence.sentence);
    }
    return status;
}
