/*
 * train.c - `stepwell train`: one training on one heap, and what the heap held.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "command.h"
#include "output.h"
#include "preload.h"
#include "stepwell.h"
#include "table.h"
#include "terminal.h"
#include "training.h"

static const char doc[] =
    "Trains a dense network on a heap of the strategy named, and shows loss, accuracy and what the "
    "heap held."
    "\vExamples:\n"
    "  stepwell train\n"
    "  stepwell train --strategy arena --steps 200 --json\n"
    "  stepwell train --model mnist --data DIR --threads 2\n"
    "  stepwell train --strategy pool --conf huge_pages:never,limit:64M\n"
    "\n"
    "`current` is after the last training step, while the parameters still live.\n"
    "Of a training that failed it is after all was given back; the peaks, and\n"
    "the sentence as \"error\" in the JSON, are what is known.\n"
    "When memory is out, a paragraph on stderr says what is live, by size and\n"
    "tag; --conf=oom_report:0 does without.\n"
    "\n"
    "Exit code: 0 done, 1 the training failed (bad data, no memory), 2 the\n"
    "command line is wrong.\n";

struct train_arguments {
    struct training_options training;
    struct output_options output;
    const char *strategy;
};

/* What on_step() carries along. */
struct watch {
    sw_heap *heap;
    struct progress progress;
    struct nn_progress last; /* the step that was done last */
    struct sw_stats stats;   /* after the last step; where it did not come to that, at the end */
    bool has_stats;
};

/* What came out. */
struct outcome {
    char error[512]; /* "": none */
    struct nn_result result;
};

enum { OPTION_STRATEGY = 0x1200 };

static const struct argp_option options[] = {
    {"strategy", OPTION_STRATEGY, "S", 0,
     "The heap's strategy (default auto); `stepwell list` names them", 1},
    {0}};

static const struct argp_child children[] = {
    {&training_argp, 0, NULL, 0}, {&output_plain_argp, 0, NULL, 0}, {0}};

static error_t parse_train(int key, char *argument, struct argp_state *state) {
    struct train_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->training;
        state->child_inputs[1] = &arguments->output;
        return 0;
    case OPTION_STRATEGY:
        parse_name("strategy", argument, strategy_names());
        arguments->strategy = argument;
        return 0;
    case ARGP_KEY_ARG:
        misused("unexpected argument '%s'", argument);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options, .parser = parse_train, .doc = doc, .children = children};

static void on_step(void *context, const struct nn_progress *now) {
    struct watch *watch = context;
    watch->last = *now;
    if (progress_due(&watch->progress)) {
        progress_show(&watch->progress, "step %zu of %zu, epoch %zu of %zu: loss %.4f, %.2f ms",
                      now->step, now->steps, now->epoch, now->epochs, now->loss, now->step_ms);
    }
    if (now->step == now->steps) {
        watch->has_stats = sw_heap_stats(watch->heap, &watch->stats, sizeof watch->stats) == 0;
    }
}

/* ---- The tables ------------------------------------------------------------------------------ */

/* What of a level is known: of some without a ledger nothing, of others no peak, since nobody watched. */
enum known { KNOWN_NOTHING, KNOWN_CURRENT, KNOWN_ALL };

static enum known known_by_block(const struct sw_stats *stats) {
    return stats->tracked ? KNOWN_ALL : KNOWN_NOTHING;
}

static enum known known_by_looks(const struct sw_stats *stats) {
    return stats->tracked ? KNOWN_ALL : KNOWN_CURRENT;
}

static void level_row(enum known known, struct table *table, const char *name,
                      struct sw_level level) {
    char text[2][32];
    size_t row = table_row(table);
    table_set(table, row, 0, MARK_NONE, "%s", name);
    table_set(table, row, 1, MARK_NONE, "%s",
              known >= KNOWN_CURRENT ? format_mib(text[0], sizeof text[0], level.current) : "n/a");
    table_set(table, row, 2, MARK_NONE, "%s",
              known == KNOWN_ALL ? format_mib(text[1], sizeof text[1], level.peak) : "n/a");
}

static void print_levels(const struct sw_stats *stats, bool colour) {
    struct table table;
    table_init(&table);
    table_column(&table, "memory", ALIGN_LEFT);
    table_column(&table, "current\nMiB", ALIGN_RIGHT);
    table_column(&table, "peak\nMiB", ALIGN_RIGHT);
    enum known by_block = known_by_block(stats), by_looks = known_by_looks(stats);
    level_row(by_block, &table, "requested", stats->requested);
    level_row(by_looks, &table, "allocated", stats->allocated);
    level_row(by_block, &table, "active", stats->active);
    level_row(by_looks, &table, "resident", stats->resident);
    level_row(KNOWN_ALL, &table, "reserved", stats->reserved);
    level_row(KNOWN_ALL, &table, "metadata", stats->metadata);
    table_print(&table, stdout, colour, output_width(stdout));
    table_free(&table);
}

static void tag_row(struct table *table, const char *name, const struct sw_tag_stats *tag) {
    char text[32];
    size_t row = table_row(table);
    table_set(table, row, 0, MARK_NONE, "%s", name);
    table_set(table, row, 1, MARK_NONE, "%s",
              format_mib(text, sizeof text, tag->requested.current));
    table_set(table, row, 2, MARK_NONE, "%s", format_mib(text, sizeof text, tag->requested.peak));
    table_set(table, row, 3, MARK_NONE, "%s", format_mib(text, sizeof text, tag->allocated.peak));
    table_set(table, row, 4, MARK_NONE, "%zu", tag->blocks.current);
    table_set(table, row, 5, MARK_NONE, "%zu", tag->blocks.peak);
    table_set(table, row, 6, MARK_NONE, "%zu", tag->survivors);
}

static void print_tags(const struct sw_stats *stats, bool colour) {
    struct table table;
    table_init(&table);
    table_column(&table, "tag", ALIGN_LEFT);
    table_column(&table, "requested\ncurrent MiB", ALIGN_RIGHT);
    table_column(&table, "requested\npeak MiB", ALIGN_RIGHT);
    table_column(&table, "allocated\npeak MiB", ALIGN_RIGHT);
    table_column(&table, "blocks\ncurrent", ALIGN_RIGHT);
    table_column(&table, "blocks\npeak", ALIGN_RIGHT);
    table_column(&table, "survivors", ALIGN_RIGHT);
    for (int tag = 0; tag < SW_TAG_COUNT; tag++) {
        if (stats->tags[tag].blocks.peak > 0) {
            tag_row(&table, sw_tag_name(tag), &stats->tags[tag]);
        }
    }
    if (table.rows > 0) {
        table_print(&table, stdout, colour, output_width(stdout));
        putchar('\n');
    }
    table_free(&table);
}

static void print_measures(const struct sw_stats *stats) {
    struct sw_measures measures;
    char digits[4][32];
    char bytes[4][32];
    sw_measure(stats, &measures);
    printf("overhead %s, internal fragmentation %s, external fragmentation %s, utilisation %s\n"
           "of %s free: %s releasable, %s pinned; retention %s",
           format_digits(digits[0], sizeof digits[0], measures.overhead),
           format_digits(digits[1], sizeof digits[1], measures.internal_fragmentation),
           format_digits(digits[2], sizeof digits[2], measures.external_fragmentation),
           format_digits(digits[3], sizeof digits[3], measures.utilisation),
           format_bytes(bytes[0], sizeof bytes[0], measures.free_bytes),
           format_bytes(bytes[1], sizeof bytes[1], measures.releasable),
           format_bytes(bytes[2], sizeof bytes[2], measures.pinned),
           format_bytes(bytes[3], sizeof bytes[3], measures.retention));
    if (!isnan(measures.drift)) { /* it takes some steps */
        printf("; drift %s bytes a step",
               format_digits(digits[0], sizeof digits[0], measures.drift));
    }
    putchar('\n');
}

static void print_result(const struct train_arguments *arguments, const struct nn_result *result) {
    char ms[3][32];
    printf("%s on %s: %zu steps, loss %.6f, accuracy %.2f %%\n",
           chosen_recipe(&arguments->training)->name, arguments->strategy, result->steps,
           result->final_loss, 100 * result->accuracy);
    printf("step %s ms (%s to %s)\n\n", format_digits(ms[0], sizeof ms[0], result->step_ms),
           format_digits(ms[1], sizeof ms[1], result->step_ms_min),
           format_digits(ms[2], sizeof ms[2], result->step_ms_max));
}

static void print_failure(const struct train_arguments *arguments, const struct watch *watch) {
    printf("%s on %s: failed after %zu step%s", chosen_recipe(&arguments->training)->name,
           arguments->strategy, watch->last.step, watch->last.step == 1 ? "" : "s");
    if (watch->last.step > 0) {
        printf(", the last with loss %.6f", watch->last.loss);
    }
    printf("\n\n");
}

static void print_memory(const struct sw_stats *stats, bool colour) {
    print_levels(stats, colour);
    putchar('\n');
    print_tags(stats, colour);
    print_measures(stats);
}

/* Of a training that failed before its first step there is nothing to show. */
static void print_outcome(const struct train_arguments *arguments, const struct watch *watch,
                          const struct outcome *outcome) {
    if (!*outcome->error) {
        print_result(arguments, &outcome->result);
    } else if (watch->has_stats && watch->stats.steps > 0) {
        print_failure(arguments, watch);
    } else {
        return;
    }
    print_memory(&watch->stats, wants_colour(stdout, arguments->output.colour));
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void add_level(enum known known, cJSON *object, const char *name, struct sw_level level) {
    char key[64];
    snprintf(key, sizeof key, "%s_peak", name);
    add_number(object, name, known >= KNOWN_CURRENT ? (double)level.current : NAN);
    add_number(object, key, known == KNOWN_ALL ? (double)level.peak : NAN);
}

static cJSON *tags_json(const struct sw_stats *stats) {
    cJSON *array = cJSON_CreateArray();
    for (int i = 0; i < SW_TAG_COUNT && stats->tracked; i++) {
        const struct sw_tag_stats *tag = &stats->tags[i];
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "tag", sw_tag_name(i));
        add_level(KNOWN_ALL, object, "requested", tag->requested);
        add_level(KNOWN_ALL, object, "allocated", tag->allocated);
        add_level(KNOWN_ALL, object, "blocks", tag->blocks);
        add_bytes(object, "survivors", tag->survivors);
        add_bytes(object, "survivor_bytes", tag->survivor_bytes);
        cJSON_AddItemToArray(array, object);
    }
    return array;
}

static void add_stats(cJSON *json, const struct sw_stats *stats) {
    struct sw_measures measures;
    sw_measure(stats, &measures);
    add_level(known_by_block(stats), json, "requested", stats->requested);
    add_level(known_by_looks(stats), json, "allocated", stats->allocated);
    add_level(known_by_block(stats), json, "active", stats->active);
    add_level(known_by_looks(stats), json, "resident", stats->resident);
    add_level(KNOWN_ALL, json, "reserved", stats->reserved);
    add_level(KNOWN_ALL, json, "metadata", stats->metadata);
    add_level(known_by_block(stats), json, "blocks", stats->blocks);
    add_bytes(json, "largest_free", stats->largest_free);
    add_number(json, "survivors", stats->tracked ? (double)stats->survivors : NAN);
    add_number(json, "survivor_bytes", stats->tracked ? (double)stats->survivor_bytes : NAN);
    add_number(json, "overhead", measures.overhead);
    add_number(json, "internal_fragmentation", measures.internal_fragmentation);
    add_number(json, "external_fragmentation", measures.external_fragmentation);
    add_number(json, "utilisation", measures.utilisation);
    add_number(json, "utilisation_of_peaks", measures.utilisation_of_peaks);
    add_number(json, "free", measures.free_bytes);
    add_number(json, "releasable", measures.releasable);
    add_number(json, "pinned", measures.pinned);
    add_number(json, "retention", measures.retention);
    add_number(json, "unseen", measures.unseen);
    add_number(json, "drift", measures.drift);
    cJSON_AddItemToObject(json, "tags", tags_json(stats));
}

static bool write_train_json(const struct train_arguments *arguments, const struct watch *watch,
                             const struct outcome *outcome) {
    const struct nn_result *result = &outcome->result;
    const struct training_options *training = &arguments->training;
    const struct nn_recipe *recipe = chosen_recipe(training);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "stepwell", sw_version());
    cJSON_AddStringToObject(json, "strategy", arguments->strategy);
    cJSON_AddStringToObject(json, "model", recipe->name);
    add_bytes(json, "steps", result->steps);
    add_bytes(json, "batch", training->batch ? training->batch : recipe->batch);
    add_bytes(json, "threads", training->threads);
    add_bytes(json, "seed", training->seed);
    add_number(json, "final_loss", result->final_loss);
    add_number(json, "accuracy", result->accuracy);
    add_number(json, "step_ms", result->step_ms);
    add_number(json, "step_ms_min", result->step_ms_min);
    add_number(json, "step_ms_max", result->step_ms_max);
    if (*outcome->error) {
        cJSON_AddNullToObject(json, "weights_hash");
    } else {
        add_hash(json, "weights_hash", result->weights_hash);
    }
    add_sentence(json, "error", outcome->error);
    if (watch->has_stats) {
        add_stats(json, &watch->stats);
    }
    bool good = write_json(arguments->output.json, json);
    cJSON_Delete(json);
    return good;
}

/* One heap in a process of its own: where memory is out, its report is not noise. What --conf says
 * comes behind, and wins. */
static sw_heap *create_reporting_heap(const struct train_arguments *arguments) {
    char *conf = NULL;
    const char *given = arguments->training.conf;
    if (asprintf(&conf, "oom_report:1%s%s", given ? "," : "", given ? given : "") < 0) {
        abort();
    }
    complain_if_system_is_ours(arguments->strategy);
    sw_heap *heap = create_heap(arguments->strategy, conf);
    free(conf);
    return heap;
}

/* Of a failure the steps that were done are known, and what the heap held until then. */
static void note_failure(struct watch *watch, struct outcome *outcome) {
    outcome->result = (struct nn_result){.final_loss = NAN,
                                         .accuracy = NAN,
                                         .steps = watch->last.step,
                                         .step_ms = NAN,
                                         .step_ms_min = NAN,
                                         .step_ms_max = NAN};
    if (!watch->has_stats) {
        watch->has_stats = sw_heap_stats(watch->heap, &watch->stats, sizeof watch->stats) == 0;
    }
}

static void train_on(struct watch *watch, const struct train_arguments *arguments,
                     struct outcome *outcome) {
    struct nn_train_options train = train_options(&arguments->training);
    train.heap = watch->heap;
    train.evaluate = true;
    train.on_step = on_step;
    train.context = watch;
    bool failed = nn_train(&train, &outcome->result, outcome->error, sizeof outcome->error) != 0;
    progress_end(&watch->progress);
    if (!failed && !watch->has_stats) {
        snprintf(outcome->error, sizeof outcome->error, "the heap gave no statistics");
        failed = true;
    }
    if (failed) {
        note_failure(watch, outcome);
    }
}

int command_train(int argc, char **argv) {
    struct train_arguments arguments = {.training = training_defaults, .strategy = "auto"};
    struct outcome outcome = {.error = ""};
    parse_arguments(&argp, argc, argv, &arguments);
    check_training(&arguments.training);

    if (!output_check(arguments.output.json)) {
        return EXIT_FAILED;
    }
    rehearse(&arguments.training);
    struct watch watch = {.heap = create_reporting_heap(&arguments)};
    progress_start(&watch.progress, arguments.output.quiet);
    train_on(&watch, &arguments, &outcome);
    sw_heap_destroy(watch.heap);
    if (*outcome.error) {
        complain("%s", outcome.error);
    }
    if (wants_table(&arguments.output)) {
        print_outcome(&arguments, &watch, &outcome);
    }
    bool written = !arguments.output.json || write_train_json(&arguments, &watch, &outcome);
    return written && !*outcome.error ? EXIT_OK : EXIT_FAILED;
}
