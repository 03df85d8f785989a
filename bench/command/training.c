/*
 * training.c - see training.h.
 */
#include "training.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "command.h"
#include "options.h" /* the library's */
#include "workers.h" /* nn's */

enum { MOST_MODELS = 32, GROUP_TRAINING = 1, REHEARSAL_STEPS = 2 };

/* One that gives all its memory back when it is destroyed. */
static const char rehearsal_strategy[] = "pool";

static const unsigned long long most_steps = 1000000000;
static const unsigned long long most_batch = 1000000;

const struct training_options training_defaults = {.threads = 1, .seed = 1};

enum {
    OPTION_MODEL = 0x1100,
    OPTION_DATA,
    OPTION_STEPS,
    OPTION_BATCH,
    OPTION_THREADS,
    OPTION_SEED,
    OPTION_CONF
};

#define KEY_AND_RANGE(name, kind, initially, preloaded, range, unit, heeded, sentence)             \
    " " #name ":" range

static const struct argp_option options[] = {
    {"model", OPTION_MODEL, "MODEL", 0, "The network; those there are stand below", GROUP_TRAINING},
    {"data", OPTION_DATA, "DIR", 0,
     "IDX files {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz] to train on", GROUP_TRAINING},
    {"steps", OPTION_STEPS, "N", 0, "Train for N steps (default: the model's epochs)",
     GROUP_TRAINING},
    {"batch", OPTION_BATCH, "B", 0, "Samples in a step (default: the model's)", GROUP_TRAINING},
    {"threads", OPTION_THREADS, "T", 0, "Threads that compute (default 1)", GROUP_TRAINING},
    {"seed", OPTION_SEED, "N", 0, "Seed of weights, shuffle and dropout (default 1)",
     GROUP_TRAINING},
    {"conf", OPTION_CONF, "KEY:VALUE,...", 0,
     "Options of the heap, as `stepwell run --help` lists them:" SW_OPTIONS(KEY_AND_RANGE),
     GROUP_TRAINING},
    {0}};

static const char *check_model(const char *word) {
    const char *names[MOST_MODELS + 1] = {NULL};
    const struct nn_recipe *recipe;
    for (size_t i = 0; i < MOST_MODELS && (recipe = nn_recipe_at(i)); i++) {
        names[i] = recipe->name;
    }
    parse_name("model", word, names);
    return word;
}

static error_t parse_training(int key, char *argument, struct argp_state *state) {
    struct training_options *training = state->input;
    switch (key) {
    case OPTION_MODEL:
        training->model = check_model(argument);
        return 0;
    case OPTION_DATA:
        if (!*argument) {
            misused("--data= lacks a directory: --data=DIR");
        }
        training->data_dir = argument;
        return 0;
    case OPTION_STEPS:
        training->steps = parse_count("--steps", argument, 1, most_steps);
        return 0;
    case OPTION_BATCH:
        training->batch = parse_count("--batch", argument, 1, most_batch);
        return 0;
    case OPTION_THREADS:
        training->threads = (unsigned)parse_count("--threads", argument, 1, NN_THREADS_MAX);
        return 0;
    case OPTION_SEED:
        training->seed = parse_count("--seed", argument, 0, UINT64_MAX);
        return 0;
    case OPTION_CONF:
        training->conf = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Puts the models into --help, from the one list of them. */
static char *list_models(int key, const char *text, void *input) {
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC) {
        return (char *)text;
    }
    char *all = strdup("Models:\n");
    const struct nn_recipe *recipe;
    for (size_t i = 0; all && (recipe = nn_recipe_at(i)); i++) {
        char *longer = NULL;
        if (asprintf(&longer, "%s  %-10s %s\n", all, recipe->name, recipe->summary) < 0) {
            longer = NULL;
        }
        free(all);
        all = longer;
    }
    return all;
}

const struct argp training_argp = {
    .options = options, .parser = parse_training, .doc = "\v ", .help_filter = list_models};

const struct nn_recipe *chosen_recipe(const struct training_options *training) {
    const char *fallback = training->data_dir ? "mnist" : "digits";
    return nn_recipe_find(training->model ? training->model : fallback);
}

void check_training(const struct training_options *training) {
    const struct nn_recipe *recipe = chosen_recipe(training);
    if (recipe->data == NN_DATA_DIRECTORY && !training->data_dir) {
        misused("model '%s' trains on IDX files: --data=DIR says where they are", recipe->name);
    }
}

struct nn_train_options train_options(const struct training_options *training) {
    return (struct nn_train_options){.model = training->model,
                                     .data_dir = training->data_dir,
                                     .steps = training->steps,
                                     .batch = training->batch,
                                     .threads = training->threads,
                                     .seed = training->seed};
}

/* What was forbidden to the training is so to its rehearsal: of the conf, the limit. */
static sw_heap *create_rehearsal_heap(const char *conf) {
    struct sw__config config;
    char limit[64] = "";
    char why[320];
    sw__options_defaults(&config);
    if (conf && sw__options_parse(conf, &config, why, sizeof why) && config.limit > 0) {
        snprintf(limit, sizeof limit, "limit:%zu", config.limit);
    }
    return sw_heap_create(rehearsal_strategy, limit);
}

void rehearse(const struct training_options *training) {
    char error[256];
    struct nn_result result;
    struct nn_train_options train = train_options(training);
    train.heap = create_rehearsal_heap(training->conf);
    train.steps = REHEARSAL_STEPS;
    if (train.heap) {
        (void)nn_train(&train, &result, error, sizeof error);
        sw_heap_destroy(train.heap);
        malloc_trim(0);
    }
}

void complain_if_unheeded(const char *strategy, const char *conf) {
    struct sw__config config;
    char why[320];
    sw__options_defaults(&config);
    if (sw__options_parse(conf, &config, why, sizeof why) &&
        !sw__options_are_heeded(&config, strategy, why, sizeof why)) {
        complain("%s", why);
    }
}

sw_heap *create_heap(const char *strategy, const char *conf) {
    sw_heap *heap = sw_heap_create(strategy, conf);
    if (!heap) {
        int code = errno == EINVAL ? EXIT_MISUSED : EXIT_FAILED;
        complain("%s", sw_error());
        exit(code);
    }
    complain_if_unheeded(strategy, conf);
    return heap;
}
