/*
 * look.c - what a heap holds: see look.h.
 */
#include "look.h"

#include "align.h"
#include "heaps.h"
#include "os.h"

#include <string.h>

static void add_resident(void *sum, const void *start, size_t size) {
    *(size_t *)sum += sw__os_resident(start, size);
}

static size_t resident_in_ranges(const struct sw_heap *heap) {
    size_t resident = 0;
    heap->strategy->visit_ranges(heap->state, add_resident, &resident);
    return resident;
}

size_t sw__heap_metadata_present(const sw_heap *heap) {
    const struct sw__strategy *strategy = heap->strategy;
    size_t own = strategy->metadata_present ? strategy->metadata_present(heap->state) : 0;
    return own + (heap->ledger ? sw__ledger_metadata_present(heap->ledger) : 0);
}

static size_t resident_when_seen(struct sw_heap *heap) {
    sw__lock(&heap->look_lock);
    size_t resident = heap->resident.current;
    sw__unlock(&heap->look_lock);
    return resident;
}

/* What is present of all heaps and their metadata; of those without known ranges what was seen last, if
 * it is wanted. */
static size_t accounted_for(bool with_seen) {
    size_t accounted = 0;
    for (struct sw_heap *heap = NULL; (heap = sw__heaps_next(heap));) {
        accounted += sw__heap_metadata_present(heap);
        if (heap->strategy->visit_ranges)
            accounted += resident_in_ranges(heap);
        else if (with_seen)
            accounted += resident_when_seen(heap);
    }
    return accounted;
}

/* Anonymous memory of the process that is no heap's of known ranges: libc's, stacks and the like.
 */
static size_t unaccounted(void) {
    size_t accounted = accounted_for(false);
    size_t process = sw__os_process_anonymous();
    return process > accounted ? process - accounted : 0;
}

size_t sw__heap_present(const sw_heap *heap) {
    return heap->strategy->visit_ranges ? resident_in_ranges(heap) : unaccounted();
}

static size_t ask_resident(struct sw_heap *heap, size_t active) {
    if (heap->strategy->visit_ranges)
        return resident_in_ranges(heap);
    size_t now = unaccounted();
    size_t growth = now > heap->unaccounted_before ? now - heap->unaccounted_before : 0;
    return sw__larger(growth, active);
}

static void raise_level(struct sw_level *level, size_t current) {
    level->current = current;
    if (current > level->peak)
        level->peak = current;
}

/* A peak may have come and gone between two looks: where allocated had one meanwhile too, it is taken
 * to have been at the same time. */
static void note_reserved_peak(struct sw_heap *heap, size_t own_peak,
                               const struct sw_level *allocated) {
    size_t peak = sw__larger(own_peak, heap->reserved.current);
    bool had_one = allocated->peak > heap->allocated_peak_before;
    heap->allocated_peak_before = allocated->peak;
    if (peak <= heap->reserved.peak)
        return;
    heap->reserved.peak = peak;
    heap->allocated_at_reserved_peak = had_one ? allocated->peak : allocated->current;
}

/* Fills stats but for the steps and largest_free. */
static void look(struct sw_heap *heap, struct sw_stats *stats) {
    struct sw__strategy_stats own = {0};
    *stats = (struct sw_stats){0};
    heap->strategy->stats(heap->state, &own);
    stats->metadata = own.metadata;
    if (heap->ledger)
        sw__ledger_stats(heap->ledger, stats);
    size_t resident = ask_resident(heap, stats->active.current);

    sw__lock(&heap->look_lock);
    if (!heap->ledger) {
        raise_level(&heap->allocated, own.allocated);
        stats->allocated = heap->allocated;
    }
    raise_level(&heap->resident, resident);
    heap->reserved.current = sw__larger(own.reserved.current, resident);
    note_reserved_peak(heap, own.reserved.peak, &stats->allocated);
    stats->resident = heap->resident;
    stats->reserved = heap->reserved;
    stats->allocated_at_reserved_peak = heap->allocated_at_reserved_peak;
    sw__unlock(&heap->look_lock);
}

void sw__heap_look(sw_heap *heap, struct sw_stats *stats) {
    look(heap, stats);
    if (heap->strategy->visit_ranges)
        stats->largest_free = heap->strategy->largest_free(heap->state);
}

void sw__heap_see(sw_heap *heap) {
    struct sw_stats stats;
    look(heap, &stats);
}

int sw_heap_stats(sw_heap *heap, struct sw_stats *stats, size_t stats_size) {
    struct sw_stats whole;
    look(heap, &whole);
    whole.steps = heap->steps;
    whole.process_resident = sw__os_process_resident();
    whole.accounted = accounted_for(true);
    whole.largest_free = heap->strategy->largest_free(heap->state);
    memset(stats, 0, stats_size);
    memcpy(stats, &whole, stats_size < sizeof whole ? stats_size : sizeof whole);
    return 0;
}
