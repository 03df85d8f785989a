/*
 * measures.c - the formulas: the only place where they are written. See struct sw_measures.
 */
#include "stepwell.h"

static size_t above(size_t value, size_t floor) {
    return value > floor ? value - floor : 0;
}

static double share(size_t part, size_t whole) {
    return (double)part / (double)whole;
}

/* 0/0 is NAN: not defined. */
static double ratio(size_t a, size_t b) {
    return b ? share(a, b) : __builtin_nan("");
}

/* Shell sort: qsort() may call malloc, which may be ours. */
static void sort(double *values, size_t count) {
    for (size_t gap = count / 2; gap > 0; gap /= 2) {
        for (size_t i = gap; i < count; i++) {
            double value = values[i];
            size_t at = i;
            for (; at >= gap && values[at - gap] > value; at -= gap)
                values[at] = values[at - gap];
            values[at] = value;
        }
    }
}

/* P. K. Sen, "Estimates of the Regression Coefficient Based on Kendall's Tau", 1968: what grows
 * once and stays, as the first step's optimizer state does, does not tilt it. Never inlined: it
 * takes 16 KiB of stack, which not every thread has that reads a heap's measures. */
static __attribute__((noinline)) double drift_over(const struct sw_step_end *ends, size_t count) {
    double slopes[SW_STEP_ENDS * (SW_STEP_ENDS - 1) / 2];
    size_t pairs = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            slopes[pairs++] = ((double)ends[j].requested - (double)ends[i].requested) /
                              (double)(ends[j].step - ends[i].step);
    sort(slopes, pairs);
    return (slopes[(pairs - 1) / 2] + slopes[pairs / 2]) / 2;
}

/* The formulas, for a heap that knows all of it. 0 when nothing is live. */
static struct sw_measures measures_of(const struct sw_stats *stats) {
    size_t live = stats->allocated.current;
    size_t free_bytes = above(stats->resident.current, live);
    size_t largest = stats->largest_free < free_bytes ? stats->largest_free : free_bytes;
    return (struct sw_measures){
        .internal_fragmentation = live ? 1 - share(stats->requested.current, live) : 0,
        .external_fragmentation = free_bytes ? share(free_bytes - largest, free_bytes) : 0,
        .utilisation = ratio(stats->allocated_at_reserved_peak, stats->reserved.peak),
        .utilisation_of_peaks = ratio(stats->allocated.peak, stats->reserved.peak),
        .overhead = ratio(stats->resident.peak, stats->requested.peak),
        .free_bytes = (double)free_bytes,
        .releasable = (double)above(stats->resident.current, stats->active.current),
        .pinned = (double)above(stats->active.current, live),
        .unseen = (double)above(stats->process_resident, stats->accounted),
        .retention = (double)above(stats->resident.current, stats->requested.current),
        .drift = stats->step_end_count < 2 ? __builtin_nan("")
                                           : drift_over(stats->step_ends, stats->step_end_count),
    };
}

static void forget(double *const measures[], size_t count) {
    for (size_t i = 0; i < count; i++)
        *measures[i] = __builtin_nan("");
}

/* What takes requested or active, or allocated at its peak. */
static void forget_untracked(struct sw_measures *measures) {
    double *const unknown[] = {&measures->internal_fragmentation,
                               &measures->utilisation,
                               &measures->utilisation_of_peaks,
                               &measures->overhead,
                               &measures->releasable,
                               &measures->pinned,
                               &measures->retention};
    forget(unknown, sizeof unknown / sizeof *unknown);
}

/* What takes allocated. */
static void forget_uncounted(struct sw_measures *measures) {
    double *const unknown[] = {&measures->external_fragmentation, &measures->free_bytes};
    forget(unknown, sizeof unknown / sizeof *unknown);
}

void sw_measure(const struct sw_stats *stats, struct sw_measures *measures) {
    *measures = measures_of(stats);
    if (!stats->tracked)
        forget_untracked(measures);
    if (!stats->tracked && stats->allocated.peak == 0)
        forget_uncounted(measures);
}
