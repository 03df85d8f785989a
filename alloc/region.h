/*
 * region.h - what the inside of the page source shares: regions, and the trees of free extents.
 * Only extents.c, supply.c and usage.c include it; all of it is under the lock of the extents.
 */
#ifndef SW_REGION_H
#define SW_REGION_H

#include "extents.h"
#include "pages.h"

#include <assert.h>

struct sw__region {
    char *start;
    size_t size;
    size_t committed;
    struct sw__extents *extents; /* whose it is */
    struct sw__side *side;
    struct sw__region *next;
    struct sw__extent *last;     /* ends at the frontier; NULL while nothing is committed */
    struct sw__extent **by_page; /* the live extent that begins on the page */
    struct sw__pages pages;
};

/* What is read without the lock is written under it alone: no bus is locked for that. */
static inline void sw__extents_count(_Atomic(size_t) *level, size_t more) {
    size_t before = atomic_load_explicit(level, memory_order_relaxed);
    atomic_store_explicit(level, before + more, memory_order_relaxed);
}

static inline struct sw__extent *sw__extent_of(struct sw__treap_node *node) {
    return (struct sw__extent *)node; /* its first member */
}

static inline char *sw__extent_end(const struct sw__extent *extent) {
    return sw__extent_start(extent) + sw__extent_size(extent);
}

static inline bool sw__extent_is_free(const struct sw__extent *extent) {
    return extent && (extent->state == SW__EXTENT_DIRTY || extent->state == SW__EXTENT_CLEAN);
}

/* Is it free, and is [start, end) in it? */
static inline bool sw__extent_is_free_over(const struct sw__extent *extent, const char *start,
                                           const char *end) {
    return sw__extent_is_free(extent) && sw__extent_start(extent) <= start &&
           sw__extent_end(extent) >= end;
}

static inline struct sw__treap_node **sw__extent_tree(const struct sw__extent *extent) {
    struct sw__side *side = extent->region->side;
    return extent->state == SW__EXTENT_DIRTY ? &side->dirty : &side->clean;
}

/* A free extent goes to the tree it belongs to, and comes out of it. */
static inline void sw__extent_plant(struct sw__extent *extent) {
    extent->state = extent->touched ? SW__EXTENT_DIRTY : SW__EXTENT_CLEAN;
    sw__treap_insert(sw__extent_tree(extent), &extent->node);
}

static inline void sw__extent_uproot(struct sw__extent *extent) {
    assert(extent);
    sw__treap_remove(sw__extent_tree(extent), &extent->node);
}

#endif
