/*
 * compare.c - `stepwell compare`: the same training under each strategy, a fresh process each.
 *
 * Rounds are interleaved: each round runs every strategy once, in an order shuffled anew, so that a
 * machine that grows slower for a while is slow for all. Medians are taken over the rounds. A last
 * round, untimed, counts memory system calls. compare_output.c shows what came out.
 */
#include "compare.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "output.h"
#include "preload.h"
#include "runner.h"
#include "worker.h"

static const char doc[] =
    "Trains the same network under each strategy, each time in a fresh process, and shows time and "
    "memory side by side."
    "\vExamples:\n"
    "  stepwell compare\n"
    "  stepwell compare --strategies system,pool --runs 5\n"
    "  stepwell compare --model mnist --data DIR --steps 200 --json out.json\n"
    "  stepwell compare --csv > out.csv\n"
    "\n"
    "What is measured, medians over the runs:\n"
    "  step       a step's time after the warm-up steps, data loading included\n"
    "  peaks      requested and allocated as the heap counts; resident as the\n"
    "             kernel does: the process's growth since before the heap was\n"
    "             created, file pages left out\n"
    "  overhead   resident peak / requested peak; below 1 where blocks were not\n"
    "             touched\n"
    "  fragm.     internal: 1 - requested/allocated, at the peaks; external:\n"
    "             (free - largest free) / free, after the last step\n"
    "  retention  resident above what is live, parameters alive: at once,\n"
    "             after a second of doing nothing, and after a trim\n"
    "  survivors  blocks born in a step and alive after the last\n"
    "  per step   page faults; and mmap, munmap, mremap, madvise, mprotect\n"
    "             and brk calls, counted in a run of their own, not timed\n"
    "\n"
    "The recommendation: of those within 3 % of the fastest step (or within\n"
    "10 %, where their runs overlap), the least resident peak; of those within\n"
    "3 % (or 64 KiB) of that, the least retention after a second; of those\n"
    "as near to that, the fastest.\n"
    "\n"
    "A strategy that cannot do the training has n/a in its row, and the others\n"
    "go on; it is not recommended, and the words below the table say why.\n"
    "\n"
    "Exit code: 0 done; 1 a training failed (bad data, no memory, killed) or the\n"
    "results could not be written; 2 the command line is wrong; 125 what runs\n"
    "the trainings failed.\n";

enum { OPTION_STRATEGIES = 0x1300, OPTION_RUNS, OPTION_WORKER, OPTION_COUNT_CALLS };

enum { DEFAULT_RUNS = 3 };

static const struct argp_option options[] = {
    {"strategies", OPTION_STRATEGIES, "A,B,...", 0,
     "The strategies to compare (default: all that are to be had here)", 1},
    {"runs", OPTION_RUNS, "N", 0, "Measured runs of each strategy (default 3)", 1},
    {"worker", OPTION_WORKER, "FD", OPTION_HIDDEN, NULL, 0},
    {"count-calls", OPTION_COUNT_CALLS, NULL, OPTION_HIDDEN, NULL, 0},
    {0}};

static const struct argp_child children[] = {
    {&training_argp, 0, NULL, 0}, {&output_argp, 0, NULL, 0}, {0}};

/* What the command line says. */
struct compare_arguments {
    struct comparison comparison;
    int worker_fd; /* -1: this is the parent */
    bool count_calls;
};

static void add_strategy(struct comparison *comparison, const char *name) {
    for (size_t i = 0; i < comparison->count; i++) {
        if (strcmp(comparison->rows[i].strategy, name) == 0) {
            misused("--strategies names '%s' twice", name);
        }
    }
    comparison->rows[comparison->count++].strategy = name;
}

static void add_strategies(struct comparison *comparison, char *list) {
    const char *const *names = strategy_names();
    comparison->count = 0;
    for (char *name; (name = strsep(&list, ","));) {
        if (*name == '\0') {
            misused("--strategies lacks a name: it takes A,B,..., and `stepwell list` names them");
        }
        add_strategy(comparison, names[parse_name("strategy", name, names)]);
    }
    comparison->named = true;
}

static error_t parse_compare(int key, char *argument, struct argp_state *state) {
    struct compare_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->comparison.training;
        state->child_inputs[1] = &arguments->comparison.output;
        return 0;
    case OPTION_STRATEGIES:
        add_strategies(&arguments->comparison, argument);
        return 0;
    case OPTION_RUNS:
        arguments->comparison.runs = parse_count("--runs", argument, 1, RUNS_MOST);
        return 0;
    case OPTION_WORKER:
        arguments->worker_fd = (int)parse_count("--worker", argument, 0, 1 << 20);
        return 0;
    case OPTION_COUNT_CALLS:
        arguments->count_calls = true;
        return 0;
    case ARGP_KEY_ARG:
        misused("unexpected argument '%s'", argument);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options, .parser = parse_compare, .doc = doc, .children = children};

/* ---- Which strategies ------------------------------------------------------------------------ */

/* A strategy that cannot be had is an error when it was named, and left out when it was not. */
static void add_available(struct comparison *comparison) {
    for (const char *const *name = strategy_names(); *name; name++) {
        sw_heap *heap = sw_heap_create(*name, comparison->training.conf);
        if (heap) {
            complain_if_unheeded(*name, comparison->training.conf);
            add_strategy(comparison, *name);
        } else if (errno == EINVAL) { /* the conf's fault, not the strategy's */
            misused("%s", sw_error());
        } else if (!comparison->output.quiet) {
            complain("%s is left out: %s", *name, sw_error());
        }
        sw_heap_destroy(heap);
    }
}

static void check_named(const struct comparison *comparison) {
    for (size_t i = 0; i < comparison->count; i++) {
        sw_heap_destroy(create_heap(comparison->rows[i].strategy, comparison->training.conf));
    }
}

/* ---- The runs -------------------------------------------------------------------------------- */

/* splitmix64: the order of the runs, the same for the same seed. */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void shuffle(size_t *order, size_t count, uint64_t *random) {
    for (size_t i = 0; i < count; i++) {
        order[i] = i;
    }
    for (size_t i = count; i > 1; i--) {
        size_t j = next_random(random) % i;
        size_t kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
}

/* What a strategy cannot do says nothing of the others. Medians of some of its runs would not be
 * those of the comparison, so it has none. */
static void note_failure(struct row *row, const char *why) {
    snprintf(row->failed, sizeof row->failed, "%s", why);
    row->count = 0;
}

static void note_run(struct comparison *comparison, struct row *row,
                     const struct run_result *result, struct progress *progress) {
    comparison->peak_was_reset = comparison->peak_was_reset && result->peak_was_reset;
    row->runs[row->count++] = result->run;
    if (!comparison->begun) {
        comparison->begun = true;
        progress_end(progress);
        begin_comparison(comparison);
    }
}

static int run_round(struct comparison *comparison, const size_t *order, size_t round,
                     struct progress *progress) {
    for (size_t i = 0; i < comparison->count; i++) {
        struct row *row = &comparison->rows[order[i]];
        struct run_result result;
        char label[128];
        if (has_failed(row)) {
            continue;
        }
        snprintf(label, sizeof label, "run %zu of %zu, %s (%zu of %zu)", round + 1,
                 comparison->runs, row->strategy, i + 1, comparison->count);
        progress_show(progress, "%s", label);
        run_measured(&comparison->training, row->strategy, progress, label, &result);
        if (result.outcome == RUN_DONE) {
            note_run(comparison, row, &result, progress);
            continue;
        }
        progress_end(progress);
        complain("%s: %s", row->strategy, result.why);
        if (result.outcome == RUN_BROKEN) {
            return EXIT_MACHINERY;
        }
        note_failure(row, result.why);
    }
    return EXIT_OK;
}

static int run_rounds(struct comparison *comparison, struct progress *progress) {
    size_t order[STRATEGIES_MOST] = {0};
    uint64_t random = comparison->training.seed;
    for (size_t round = 0; round < comparison->runs; round++) {
        shuffle(order, comparison->count, &random);
        int code = run_round(comparison, order, round, progress);
        if (code != EXIT_OK) {
            return code;
        }
    }
    return EXIT_OK;
}

/* The count is the same in every run of a strategy's row: it was taken once. */
static void set_calls(struct row *row, double calls) {
    for (size_t i = 0; i < row->count; i++) {
        row->runs[i].values[MEASURE_memory_system_calls_per_step] = calls;
    }
}

/* A machine that refuses ptrace or seccomp costs the column, not the comparison; a run that fails
 * only now costs its own row's. */
static void count_calls(struct comparison *comparison, struct progress *progress) {
    for (size_t i = 0; i < comparison->count; i++) {
        struct row *row = &comparison->rows[i];
        struct run_result result;
        if (has_failed(row)) {
            continue;
        }
        progress_show(progress, "counting memory system calls, %s (%zu of %zu)", row->strategy,
                      i + 1, comparison->count);
        double calls = run_counted(&comparison->training, row->strategy, &result);
        if (isnan(calls)) {
            progress_end(progress);
            complain("memory_system_calls_per_step is n/a%s%s: %s",
                     result.outcome == RUN_FAILED ? " of " : "",
                     result.outcome == RUN_FAILED ? row->strategy : "", result.why);
        }
        if (result.outcome == RUN_BROKEN) {
            return;
        }
        set_calls(row, calls);
    }
}

static bool allocate_runs(struct comparison *comparison) {
    for (size_t i = 0; i < comparison->count; i++) {
        comparison->rows[i].runs = calloc(comparison->runs, sizeof *comparison->rows[i].runs);
        if (!comparison->rows[i].runs) {
            return false;
        }
    }
    return true;
}

static void free_runs(struct comparison *comparison) {
    for (size_t i = 0; i < comparison->count; i++) {
        free(comparison->rows[i].runs);
    }
}

static int run_all(struct comparison *comparison) {
    struct progress progress;
    progress_start(&progress, comparison->output.quiet);
    int code = run_rounds(comparison, &progress);
    if (code == EXIT_OK) {
        count_calls(comparison, &progress);
    }
    progress_end(&progress);
    for (size_t i = 0; i < comparison->count; i++) {
        summarise_row(&comparison->rows[i]);
    }
    if (code == EXIT_OK && comparison->begun && !comparison->peak_was_reset) {
        complain("the kernel does not reset VmHWM: resident_peak is the highest of the heap's own "
                 "looks");
    }
    return code;
}

static bool any_failed(const struct comparison *comparison) {
    for (size_t i = 0; i < comparison->count; i++) {
        if (has_failed(&comparison->rows[i])) {
            return true;
        }
    }
    return false;
}

static int compare(struct comparison *comparison) {
    check_training(&comparison->training);
    check_named(comparison);
    if (!comparison->named) {
        add_available(comparison);
    }
    if (comparison->count == 0) {
        complain("no strategy is to be had here: `stepwell doctor` says why");
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < comparison->count; i++) {
        complain_if_system_is_ours(comparison->rows[i].strategy);
    }
    if (!output_check(comparison->output.json) || !output_check(comparison->output.csv)) {
        return EXIT_FAILED;
    }
    if (!allocate_runs(comparison)) {
        complain("no memory for %zu runs", comparison->runs);
        free_runs(comparison);
        return EXIT_MACHINERY;
    }
    int code = run_all(comparison);
    if (code == EXIT_OK && (!show_comparison(comparison) || any_failed(comparison))) {
        code = EXIT_FAILED;
    }
    free_runs(comparison);
    return code;
}

int command_compare(int argc, char **argv) {
    struct compare_arguments arguments = {
        .comparison = {.training = training_defaults, .runs = DEFAULT_RUNS, .peak_was_reset = true},
        .worker_fd = -1};
    parse_arguments(&argp, argc, argv, &arguments);
    if (arguments.worker_fd < 0) {
        /* Who started us may ignore it; then the kernel would not keep the workers' exit codes. */
        sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        return compare(&arguments.comparison);
    }
    struct worker_options worker = {.training = arguments.comparison.training,
                                    .strategy = arguments.comparison.rows[0].strategy,
                                    .fd = arguments.worker_fd,
                                    .count_calls = arguments.count_calls};
    return worker.strategy ? run_worker(&worker) : EXIT_MISUSED;
}
