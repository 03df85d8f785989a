/*
 * placement.h - which extent becomes live, and what becomes of it after: the rules of placement in
 * extents.h, and the parked extent. Only the page source calls this, under its lock.
 */
#ifndef SW_PLACEMENT_H
#define SW_PLACEMENT_H

#include "region.h"

/* Bytes that are not there where an extent of that size would be placed in a free one. */
size_t sw__placement_missing(const struct sw__extent *extent, size_t size, size_t alignment);
/* Cuts the wanted part out of a free extent that has room for it. Takes two spares. */
struct sw__extent *sw__placement_carve(struct sw__extents *extents, struct sw__extent *extent,
                                       size_t size, size_t alignment);
/* An extent of that size in no index, cut out of a free one. NULL when out of memory. */
struct sw__extent *sw__placement_obtain_free(struct sw__extents *extents, size_t size,
                                             size_t alignment);
/* The same, of which nothing is there. NULL where there is no more address space for it, either. */
struct sw__extent *sw__placement_obtain_fresh(struct sw__extents *extents, size_t size);
/* What is live no longer, and has been counted out, becomes free. */
void sw__placement_retire(struct sw__extents *extents, struct sw__extent *extent);
/* Sets the parked extent free, if there is one. */
void sw__placement_release_parked(struct sw__extents *extents);

/* As obtain_free, or the parked one. */
static inline struct sw__extent *sw__placement_obtain(struct sw__extents *extents, size_t size,
                                                      size_t alignment) {
    struct sw__extent *parked = extents->parked;
    if (!parked || sw__extent_size(parked) != size || sw__extent_gap(parked, alignment))
        return sw__placement_obtain_free(extents, size, alignment);
    extents->parked = NULL;
    return parked;
}

/* What was obtained, and furnished, is live from now on. */
static inline void sw__placement_enliven(struct sw__extents *extents, struct sw__extent *extent) {
    extent->state = SW__EXTENT_LIVE;
    extent->roomy = extent->marked = false;
    extent->holder = NULL;
    *sw__region_entry(extent->region, sw__extent_start(extent)) = extent;
    sw__extents_count(&extents->live, sw__extent_size(extent));
}

/* May so much more live? What is free counts for nothing: it moves, or goes. */
static inline bool sw__placement_allowed(struct sw__extents *extents, size_t more) {
    extents->at_limit = more > extents->limit - sw__extents_live(extents);
    return !extents->at_limit;
}

#endif
