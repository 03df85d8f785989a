/*
 * worker.c - see worker.h.
 *
 * The order of things is what makes the numbers comparable:
 *   1. A rehearsal (training.h).
 *   2. The baseline: memory of the process, room for the steps' times included, and its peak reset.
 *   3. The heap and the training. From the end of the warm-up steps to the end of the last one,
 *      page faults are counted.
 *   4. In the last on_step(), with parameters alive and all else of the step freed: the peak, the
 *      heap's statistics, then retention at once, after a second of doing nothing, and after a trim.
 *
 * Resident memory is what the kernel counts for the process, less the baseline, and so counts
 * everything a strategy keeps, its bookkeeping included: anonymous and shared memory (RssAnon +
 * RssShmem) for the present, VmHWM less the growth of file pages for the peak.
 */
#include "worker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"
#include "clock.h"
#include "command.h"
#include "measures.h"
#include "output.h"
#include "process.h"
#include "syscalls.h"

enum { WARMUP_STEPS = 10, IDLE_MS = 1000 };

static const double report_seconds = 0.1;

static double step_times[NN_TIMES_MAX];

struct watch {
    const struct worker_options *options;
    sw_heap *heap;
    struct run *run;
    struct process_memory baseline;
    bool peak_was_reset;
    size_t faults; /* when the steady steps began */
    size_t steady_steps;
    double last_report;
};

static double growth(size_t now, size_t before) {
    return now > before ? (double)(now - before) : 0;
}

static double anonymous_growth(const struct watch *watch) {
    struct process_memory now;
    return read_process_memory(&now) ? growth(now.anonymous, watch->baseline.anonymous) : NAN;
}

/* Without a reset of the peak, the highest of what the heap saw at its own looks stands in. */
static double peak_growth(const struct watch *watch, const struct process_memory *now,
                          const struct sw_stats *stats) {
    double present = growth(now->anonymous, watch->baseline.anonymous);
    double peak = (double)stats->resident.peak;
    if (watch->peak_was_reset) {
        peak =
            growth(now->peak, watch->baseline.resident) - growth(now->file, watch->baseline.file);
    }
    return fmax(peak, present);
}

/* sw_measure() with resident as the process has it, so that every strategy is held to the same. */
static double retention_now(const struct watch *watch, const struct sw_stats *stats) {
    struct sw_stats of_process = *stats;
    struct sw_measures measures;
    double resident = anonymous_growth(watch);
    if (isnan(resident)) {
        return NAN;
    }
    of_process.resident.current = (size_t)resident;
    sw_measure(&of_process, &measures);
    return measures.retention;
}

static void idle(void) {
    struct timespec wait = {IDLE_MS / 1000, 1000000L * (IDLE_MS % 1000)};
    while (nanosleep(&wait, &wait) != 0) {
    }
}

static void measure_retention(struct watch *watch, const struct sw_stats *stats) {
    double *values = watch->run->values;
    values[MEASURE_retention_0ms] = retention_now(watch, stats);
    idle();
    values[MEASURE_retention_1000ms] = retention_now(watch, stats);
    sw_trim(watch->heap);
    values[MEASURE_retention_after_trim] = retention_now(watch, stats);
}

/* A heap without its ledger does not know these: n/a rather than 0. */
static double if_tracked(const struct sw_stats *stats, double value) {
    return stats->tracked ? value : NAN;
}

/* Internal fragmentation where it matters, at the peaks; external at the end of the step, when what
 * is free has nothing to do with what is being computed. */
static void measure_heap(struct watch *watch, const struct sw_stats *stats, double resident_peak) {
    double *values = watch->run->values;
    struct sw_measures measures;
    sw_measure(stats, &measures);
    values[MEASURE_external_fragmentation] = measures.external_fragmentation;
    values[MEASURE_utilisation] = measures.utilisation;
    values[MEASURE_utilisation_of_peaks] = measures.utilisation_of_peaks;
    values[MEASURE_releasable] = measures.releasable;
    values[MEASURE_pinned] = measures.pinned;
    values[MEASURE_unseen] = measures.unseen;
    values[MEASURE_drift] = measures.drift;

    struct sw_stats at_peak = *stats;
    at_peak.requested.current = stats->requested.peak;
    at_peak.allocated.current = stats->allocated.peak;
    at_peak.resident.peak = (size_t)resident_peak;
    sw_measure(&at_peak, &measures);
    values[MEASURE_internal_fragmentation] = measures.internal_fragmentation;
    values[MEASURE_overhead] = measures.overhead;

    values[MEASURE_requested_peak] = if_tracked(stats, (double)stats->requested.peak);
    values[MEASURE_allocated_peak] = if_tracked(stats, (double)stats->allocated.peak);
    values[MEASURE_active_peak] = if_tracked(stats, (double)stats->active.peak);
    values[MEASURE_resident_peak] = resident_peak;
    values[MEASURE_reserved_peak] = (double)stats->reserved.peak;
    values[MEASURE_metadata_peak] = (double)stats->metadata.peak;
    values[MEASURE_survivors] = if_tracked(stats, (double)stats->survivors);
}

static void measure_end(struct watch *watch) {
    struct process_memory now;
    struct sw_stats stats;
    watch->run->values[MEASURE_page_faults_per_step] =
        (double)(count_page_faults() - watch->faults) / (double)watch->steady_steps;
    if (!read_process_memory(&now) || sw_heap_stats(watch->heap, &stats, sizeof stats) != 0) {
        return;
    }
    measure_heap(watch, &stats, peak_growth(watch, &now, &stats));
    measure_retention(watch, &stats);
}

static void report_step(struct watch *watch, const struct nn_progress *now) {
    double seconds = clock_seconds();
    if (seconds - watch->last_report >= report_seconds) {
        watch->last_report = seconds;
        dprintf(watch->options->fd, "step %zu %zu\n", now->step, now->steps);
    }
}

static void begin_steady(struct watch *watch) {
    watch->faults = count_page_faults();
    if (watch->options->count_calls) {
        mark_counting(true);
    }
}

static void on_step(void *context, const struct nn_progress *now) {
    struct watch *watch = context;
    bool counting = watch->options->count_calls;
    watch->steady_steps += now->step > now->warmup;
    if (now->step == now->steps && counting) {
        mark_counting(false);
    } else if (now->step == now->steps) {
        measure_end(watch);
    } else if (now->step == now->warmup) {
        begin_steady(watch);
    } else if (!counting) {
        report_step(watch, now); /* nobody reads the pipe while calls are counted */
    }
}

static void write_result(const struct watch *watch) {
    const struct run *run = watch->run;
    cJSON *json = cJSON_CreateObject();
    for (int measure = 0; measure < MEASURE_COUNT; measure++) {
        add_number(json, measure_infos[measure].key, run->values[measure]);
    }
    add_number(json, "final_loss", run->final_loss);
    add_number(json, "accuracy", run->accuracy);
    add_hash(json, "weights_hash", run->weights_hash);
    add_bytes(json, "steady_steps", watch->steady_steps);
    cJSON_AddBoolToObject(json, "peak_was_reset", watch->peak_was_reset);
    char *text = cJSON_PrintUnformatted(json);
    dprintf(watch->options->fd, "%s\n", text ? text : "error no memory for the result");
    cJSON_free(text);
    cJSON_Delete(json);
}

static bool train_and_measure(struct watch *watch, char *error, size_t error_size) {
    struct nn_result result;
    struct nn_train_options train = train_options(&watch->options->training);
    train.heap = watch->heap;
    train.warmup = WARMUP_STEPS;
    train.times = step_times;
    train.evaluate = !watch->options->count_calls;
    train.on_step = on_step;
    train.context = watch;
    begin_steady(watch); /* and anew after the warm-up, if the steps are enough for one */
    if (nn_train(&train, &result, error, error_size) != 0) {
        return false;
    }
    watch->run->values[MEASURE_step_ms] = result.step_ms;
    watch->run->final_loss = result.final_loss;
    watch->run->accuracy = result.accuracy;
    watch->run->weights_hash = result.weights_hash;
    return true;
}

int run_worker(const struct worker_options *options) {
    struct run run;
    struct watch watch = {.options = options, .run = &run};
    char error[512];
    for (int measure = 0; measure < MEASURE_COUNT; measure++) {
        run.values[measure] = NAN;
    }
    rehearse(&options->training);
    for (size_t i = 0; i < NN_TIMES_MAX; i++) {
        step_times[i] = NAN; /* its pages are there */
    }
    watch.peak_was_reset = reset_peak_memory();
    read_process_memory(&watch.baseline);
    watch.heap = sw_heap_create(options->strategy, options->training.conf);
    if (!watch.heap) {
        dprintf(options->fd, "error %s\n", sw_error());
        return EXIT_FAILED;
    }
    bool trained = train_and_measure(&watch, error, sizeof error);
    sw_heap_destroy(watch.heap);
    if (!trained) {
        dprintf(options->fd, "error %s\n", error);
        return EXIT_FAILED;
    }
    write_result(&watch);
    if (options->count_calls) {
        _exit(EXIT_OK); /* a leak checker at exit cannot trace who is traced already */
    }
    return EXIT_OK;
}
