/*
 * oom_report.h - what is said when memory is out: one paragraph on stderr, once in a heap's life.
 *
 * Programs ask for sizes that nobody can have, to see whether they can, and are content with NULL;
 * of those nothing is said. The paragraph is for the request that a user would have expected to be
 * served: no larger than the machine's memory and RLIMIT_AS. One larger than the heap's own limit
 * is told of too: it is what the limit was set for.
 */
#ifndef SW_OOM_REPORT_H
#define SW_OOM_REPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "stepwell.h"

struct sw__oom_report {
    bool is_wanted;
    size_t limit; /* the heap's; 0: none */
    atomic_bool done;
};

/* A request of so many bytes was refused. Allocates nothing; no lock of the heap may be held. */
void sw__oom_note(struct sw__oom_report *report, sw_heap *heap, size_t size, size_t alignment);

#endif
