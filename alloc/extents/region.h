/*
 * region.h - the inside of the page source, at its lowest: regions, the extents that tile them, and
 * the indexes of free ones. What is above: moves.h and supply.h (their pages), placement.h (which extent
 * becomes live), zeros.h, extents.c, resize.c and rest.c (the calls). All of it is under the lock of the
 * extents, but for zeros.c, which takes it by itself.
 *
 * Whatever may fail comes before anything is changed: spare extents are ensured, then cut from.
 */
#ifndef SW_REGION_H
#define SW_REGION_H

#include "extents.h"
#include "pages.h"

#include <assert.h>

struct sw__region {
    char *start;
    size_t size;
    size_t capacity; /* its tables are for so large a one */
    size_t committed;
    struct sw__extents *extents; /* whose it is */
    struct sw__side *side;
    struct sw__region *next;
    bool is_being_filled;        /* does not go */
    struct sw__extent *last;     /* ends at the frontier; NULL while nothing is committed */
    struct sw__extent **by_page; /* the live extent that begins on the page */
    struct sw__pages pages;
};

/* All regions, side by side: the first after NULL, and NULL after the last. */
static inline struct sw__region *sw__region_after(const struct sw__extents *extents,
                                                  const struct sw__region *region) {
    struct sw__region *next = region ? region->next : extents->sides[0].regions;
    const struct sw__side *side = region ? region->side : extents->sides;
    while (!next && ++side < extents->sides + SW__SIDES)
        next = side->regions;
    return next;
}

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

static inline struct sw__size_index *sw__extent_index(const struct sw__extent *extent) {
    struct sw__side *side = extent->region->side;
    return extent->state == SW__EXTENT_DIRTY ? &side->dirty : &side->clean;
}

/* An extent is taken: it is not to be brought after a rest, nor does it wait any longer. */
static inline void sw__extents_forget(struct sw__extents *extents,
                                      const struct sw__extent *extent) {
    if (__builtin_expect(atomic_load_explicit(&extents->noted, memory_order_relaxed) > 0, 0))
        sw__extents_count(&extents->noted,
                          -sw__pages_forget(&extent->region->pages, sw__extent_start(extent),
                                            sw__extent_end(extent)));
}

/* The pages of a range are about to go: whether they were used is asked once more. */
static inline void sw__extents_close_witnesses(struct sw__extents *extents, const char *start,
                                               size_t size) {
    sw__usage_close(&extents->usage, start, size);
    sw__usage_close(&extents->zeroed_usage, start, size);
}

/* Where the last huge page ends of which something behind the address is touched; or the extent. */
static inline char *sw__extent_touched_end(const struct sw__extent *extent, char *from) {
    char *end = sw__extent_end(extent);
    char *touched_end =
        sw__huge_page_from(sw__pages_touched_end(&extent->region->pages, from, end));
    return touched_end < end ? touched_end : end;
}

/* A free extent is entered into the index it belongs to, and taken out of it. */
static inline void sw__extent_plant(struct sw__extent *extent) {
    extent->state = extent->touched ? SW__EXTENT_DIRTY : SW__EXTENT_CLEAN;
    sw__size_index_insert(sw__extent_index(extent), &extent->node);
}

static inline void sw__extent_uproot(struct sw__extent *extent) {
    assert(extent);
    sw__size_index_remove(sw__extent_index(extent), &extent->node);
}

/* The live extent that begins on the page of the address. */
static inline struct sw__extent **sw__region_entry(const struct sw__region *region,
                                                   const void *address) {
    return &region->by_page[(size_t)((const char *)address - region->start) >> SW__PAGE_SHIFT];
}

/* Bytes in front of where an extent would begin at that alignment. */
static inline size_t sw__extent_gap(const struct sw__extent *extent, size_t alignment) {
    return -extent->node.address & (alignment - 1);
}

/* Touched bytes of a part of an extent: mostly all or nothing, and then nothing is counted. */
static inline size_t sw__extent_touched_in(const struct sw__extent *extent, size_t offset,
                                           size_t size) {
    if (extent->touched == 0 || extent->touched == sw__extent_size(extent))
        return extent->touched ? size : 0;
    return sw__pages_touched(&extent->region->pages, sw__extent_start(extent) + offset, size);
}

/* sw__extents_meta_alloc(), for who has the lock. */
void *sw__extents_bookkeep(struct sw__extents *extents, size_t size);

/* Makes as many as are missing of so many. False when out of memory. */
bool sw__extents_make_spares(struct sw__extents *extents, size_t count);
/* At the beginning of a call, where nobody knows of a free extent: for this may cut any, if the system has
 * no more. Makes enough for the call, or as many as there is room for. */
void sw__extents_fetch_spares(struct sw__extents *extents);
#define SW__SPARES_PROVIDED 6
static inline void sw__extents_provide_spares(struct sw__extents *extents) {
    if (__builtin_expect(extents->spare_count < SW__SPARES_PROVIDED, 0))
        sw__extents_fetch_spares(extents);
}
/* Ensures so many spare extents, so that what follows cannot fail. One more stays, with which an extent is
 * cut to make others. */
static inline bool sw__extents_ensure_spares(struct sw__extents *extents, size_t count) {
    return extents->spare_count > count || sw__extents_make_spares(extents, count + 1);
}
/* Cuts an extent that is in no index in two, which takes a spare one; the front keeps the extent,
 * the tail is returned. */
struct sw__extent *sw__extent_cut(struct sw__extents *extents, struct sw__extent *extent,
                                  size_t front);
/* Joins the extent behind to the one in front; both are in no index. */
void sw__extent_join(struct sw__extents *extents, struct sw__extent *extent);
/* Makes an extent that is in no index free, joined with its free neighbours. */
void sw__extent_release(struct sw__extents *extents, struct sw__extent *extent);

/* Moves a region's frontier up by so many bytes at least, free ones from then on. False, with
 * nothing changed, when out of memory. */
bool sw__region_move_frontier(struct sw__extents *extents, struct sw__region *region, size_t bytes);
/* A free extent with room for that size and alignment at a frontier, or beyond where it was; NULL
 * when out of memory. */
struct sw__extent *sw__region_grow(struct sw__extents *extents, struct sw__side *side, size_t size,
                                   size_t alignment, bool beyond);
/* Takes a region that is one free extent out of its side, and gives it back to the system. */
void sw__region_give_back(struct sw__extents *extents, struct sw__region **link);
/* Gives back what of a region lies behind so many bytes (whole huge pages): free, and untouched. */
void sw__region_cut_off(struct sw__extents *extents, struct sw__region *region, size_t size);

/* Into how many mappings more the heap may be cut, by moves and by advice on parts of it. The kernel
 * grants a process so many, and the program is to have the half. */
size_t sw__extents_cuts_left(struct sw__extents *extents);

#endif
