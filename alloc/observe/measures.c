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
 * once and stays, as the first step's optimizer state does, does not tilt it. */
static double drift_over(const struct sw_step_end *ends, size_t count) {
    double slopes[SW_STEP_ENDS * (SW_STEP_ENDS - 1) / 2];
    size_t pairs = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            slopes[pairs++] = ((double)ends[j].requested - (double)ends[i].requested) /
                              (double)(ends[j].step - ends[i].step);
    if (pairs == 0)
        return __builtin_nan("");
    sort(slopes, pairs);
    return (slopes[(pairs - 1) / 2] + slopes[pairs / 2]) / 2;
}

/* 0 when nothing is live. Untracked heaps know what is allocated of it and not what was requested.
 */
static double internal_fragmentation(const struct sw_stats *stats) {
    if (stats->allocated.current == 0)
        return 0;
    return stats->requested.peak ? 1 - share(stats->requested.current, stats->allocated.current)
                                 : __builtin_nan("");
}

void sw_measure(const struct sw_stats *stats, struct sw_measures *measures) {
    size_t free_bytes = above(stats->resident.current, stats->allocated.current);
    size_t largest = stats->largest_free < free_bytes ? stats->largest_free : free_bytes;
    *measures = (struct sw_measures){
        .internal_fragmentation = internal_fragmentation(stats),
        .external_fragmentation = free_bytes ? share(free_bytes - largest, free_bytes) : 0,
        .utilisation = ratio(stats->allocated_at_reserved_peak, stats->reserved.peak),
        .utilisation_of_peaks = ratio(stats->allocated.peak, stats->reserved.peak),
        .overhead = ratio(stats->resident.peak, stats->requested.peak),
        .free_bytes = free_bytes,
        .releasable = above(stats->resident.current, stats->active.current),
        .pinned = above(stats->active.current, stats->allocated.current),
        .unseen = above(stats->process_resident, stats->accounted),
        .retention = above(stats->resident.current, stats->requested.current),
        .drift = drift_over(stats->step_ends, stats->step_end_count),
    };
}
