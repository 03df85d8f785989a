/*
 * heap.h - a heap from inside: what is behind the handle of stepwell.h. For heap.c, for who looks at
 * heaps (heaps.c, look.c, oom_report.c), and for the preload library, which calls the strategy without
 * heap.c between.
 */
#ifndef SW_HEAP_H
#define SW_HEAP_H

#include "lock.h"
#include "observe/ledger.h"
#include "oom_report.h"
#include "option_list.h"
#include "stepwell.h"
#include "strategy.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_heap {
    const struct sw__strategy *strategy;
    void *state;
    struct sw__ledger *ledger;   /* NULL without tracking */
    struct sw__checked *checked; /* NULL unless checked: then strategy and state are its */

    bool in_step; /* the caller serialises steps; others may ask how many there were */
    _Atomic(uint64_t) steps;

    struct sw__lock look_lock; /* guards what follows: what was seen when the kernel was asked */
    struct sw_level resident;
    struct sw_level reserved;
    struct sw_level allocated; /* the strategy's own count, without tracking */
    size_t allocated_at_reserved_peak;
    size_t allocated_peak_before; /* as of the last look */
    size_t unaccounted_before;    /* for strategies that don't tell their ranges */

    struct sw__oom_report oom_report;

    struct sw_heap *next; /* heaps.c's, as what follows */
    unsigned pins;        /* so many threads ask it what it holds: it does not end meanwhile */
    bool is_leaving;      /* and no more will */
};

/* As sw_heap_create(), of options that have been parsed. */
sw_heap *sw__heap_create(const char *strategy, const struct sw__config *config);

#endif
