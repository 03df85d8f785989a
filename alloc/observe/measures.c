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

void sw_measure(const struct sw_stats *stats, struct sw_measures *measures) {
    size_t free_bytes = above(stats->resident.current, stats->allocated.current);
    size_t largest = stats->largest_free < free_bytes ? stats->largest_free : free_bytes;
    *measures = (struct sw_measures){
        .internal_fragmentation =
            stats->allocated.current ? 1 - share(stats->requested.current, stats->allocated.current)
                                     : 0,
        .external_fragmentation = free_bytes ? share(free_bytes - largest, free_bytes) : 0,
        .utilisation = ratio(stats->allocated_at_reserved_peak, stats->reserved.peak),
        .utilisation_of_peaks = ratio(stats->allocated.peak, stats->reserved.peak),
        .overhead = ratio(stats->resident.peak, stats->requested.peak),
        .free_bytes = free_bytes,
        .releasable = above(stats->resident.current, stats->active.current),
        .pinned = above(stats->active.current, stats->allocated.current),
        .retention = above(stats->resident.current, stats->requested.current),
    };
}
