/*
 * resize.c - a live extent becomes larger or smaller: sw__extents_resize() of extents.h.
 */
#include "align.h"
#include "placement.h"
#include "supply.h"

/* Of a smaller extent that moves the contents are copied: pages would cost as much. */
#define MOVED_LEAST ((size_t)1 << 20)
/* An extent that moves has a quarter of its size free behind it: too little for another of its
 * size, which so does not come there. */
#define ROOM_SHARE 4

static void shrink(struct sw__extents *extents, struct sw__extent *extent, size_t size) {
    sw__extents_count(&extents->live, size - sw__extent_size(extent));
    sw__extent_release(extents, sw__extent_cut(extents, extent, size));
}

/* Takes what is missing from a free extent behind, moving the frontier for it if need be. */
static bool extend(struct sw__extents *extents, struct sw__extent *extent, size_t size) {
    size_t missing = size - sw__extent_size(extent);
    if (!sw__placement_allowed(extents, missing))
        return false;
    struct sw__region *region = extent->region;
    size_t behind = sw__extent_is_free(extent->after) ? sw__extent_size(extent->after) : 0;
    if (behind < missing) {
        bool at_frontier = region->last == extent || (behind && region->last == extent->after);
        if (!at_frontier || missing - behind > region->size - region->committed ||
            !sw__region_move_frontier(extents, region, missing - behind))
            return false;
    }
    struct sw__extent *tail = extent->after;
    sw__extent_uproot(tail);
    if (tail->node.size > missing)
        sw__extent_plant(sw__extent_cut(extents, tail, missing));
    sw__extents_forget(extents, tail);
    sw__extent_join(extents, extent);
    sw__extents_count(&extents->live, missing);
    if (sw__supply_furnish_more(extents, extent, sw__extent_end(extent) - missing))
        return true;
    shrink(extents, extent, size - missing);
    return false;
}

/* To a size of whole pages, where it stands. */
static bool resize(struct sw__extents *extents, struct sw__extent *extent, size_t size) {
    if (size == sw__extent_size(extent))
        return true;
    if (!sw__extents_ensure_spares(extents, 2))
        return false;
    if (size > sw__extent_size(extent))
        return extend(extents, extent, size);
    shrink(extents, extent, size);
    return true;
}

static bool can_move(const struct sw__extent *extent) {
    return sw__extent_size(extent) >= MOVED_LEAST;
}

/* Would it be a large extent among small ones? It stays all the same while the pages behind it are
 * there. */
static bool outgrows_its_side(const struct sw__extents *extents, const struct sw__extent *extent,
                              size_t size) {
    if (size <= SW__SMALL_EXTENT || size <= sw__extent_size(extent) ||
        extent->region->side != &extents->sides[SW__SIDE_SMALL])
        return false;
    size_t missing = size - sw__extent_size(extent);
    const char *end = sw__extent_end(extent);
    return !sw__extent_is_free_over(extent->after, end, end + missing) ||
           sw__extent_touched_in(extent->after, 0, missing) < missing;
}

/* For a block that has grown, which will grow again: the largest dirty extent, if it is there and
 * has room for more; or where more is free behind it. */
static struct sw__extent *obtain_roomy(struct sw__extents *extents, size_t size, size_t alignment) {
    if (!sw__extents_ensure_spares(extents, 2))
        return NULL;
    struct sw__treap_node *largest = sw__size_index_largest(&extents->sides[SW__SIDE_LARGE].dirty);
    if (largest && largest->size / 2 >= size + alignment &&
        sw__placement_missing(sw__extent_of(largest), size, alignment) == 0)
        return sw__placement_carve(extents, sw__extent_of(largest), size, alignment);
    size_t roomy = sw__align_up(size + size / ROOM_SHARE, SW__PAGE);
    struct sw__extent *extent = sw__placement_obtain_free(extents, roomy, alignment);
    if (!extent)
        return sw__placement_obtain_free(extents, size, alignment);
    extent->state = SW__EXTENT_LIVE; /* what is free behind it does not join it */
    struct sw__extent *room =
        sw__extents_ensure_spares(extents, 1) ? sw__extent_cut(extents, extent, size) : NULL;
    sw__extent_release(extents, room ? room : extent);
    return room ? extent : NULL;
}

/* A place of that size, in no index, for what is in another extent. For its pages to move as they
 * are it is at the same offset in a huge page, or in a unit where the extent is smaller. */
static struct sw__extent *obtain_for(struct sw__extents *extents, const struct sw__extent *extent,
                                     size_t size) {
    if (!can_move(extent))
        return obtain_roomy(extents, size, SW__PAGE);
    size_t alike = sw__extent_size(extent) < SW__HUGE_PAGE ? SW__UNIT : SW__HUGE_PAGE;
    size_t offset = extent->node.address & (alike - 1);
    struct sw__extent *place = obtain_roomy(extents, offset + size, alike);
    if (!place || offset == 0)
        return place;
    struct sw__extent *rest =
        sw__extents_ensure_spares(extents, 1) ? sw__extent_cut(extents, place, offset) : NULL;
    sw__extent_release(extents, place);
    return rest;
}

static bool furnish_from(struct sw__extents *extents, struct sw__extent *from,
                         struct sw__extent *place) {
    return (can_move(from) && sw__supply_relocate(extents, from, place)) ||
           sw__supply_furnish(extents, place, SW__DENSE);
}

/* The larger extent that a live one becomes. What of it has not moved there is in the old one
 * still, which is counted out. NULL, with nothing changed, when there is none. */
static struct sw__extent *relocate(struct sw__extents *extents, struct sw__extent *extent,
                                   size_t size) {
    size_t old_size = sw__extent_size(extent);
    if (size <= old_size || size > PTRDIFF_MAX - SW__HUGE_PAGE ||
        !sw__placement_allowed(extents, size - old_size))
        return NULL;
    struct sw__extent *place = obtain_for(extents, extent, size);
    if (place && !furnish_from(extents, extent, place)) {
        sw__extent_release(extents, place);
        return NULL;
    }
    if (place) {
        sw__extents_count(&extents->live, -old_size);
        sw__placement_enliven(extents, place);
    }
    return place;
}

/* Where the block is from now on, NULL when it is as it was. */
static struct sw__extent *resize_or_relocate(struct sw__extents *extents, struct sw__extent *extent,
                                             size_t size) {
    sw__placement_release_parked(extents);
    bool outgrows = outgrows_its_side(extents, extent, size);
    if (!outgrows && resize(extents, extent, size))
        return extent;
    struct sw__extent *place = NULL;
    if (outgrows || can_move(extent))
        place = relocate(extents, extent, size);
    if (!place && outgrows && resize(extents, extent, size))
        return extent;
    return place;
}

void *sw__extents_resize(struct sw__extents *extents, struct sw__extent *extent, size_t size) {
    sw__lock(&extents->lock);
    sw__extents_provide_spares(extents);
    struct sw__extent *place = resize_or_relocate(extents, extent, sw__align_up(size, SW__PAGE));
    sw__unlock(&extents->lock);
    if (!place || place == extent)
        return place ? sw__extent_start(place) : NULL;
    sw__supply_copy_rest(extent, place);
    sw__lock(&extents->lock);
    sw__placement_retire(extents, extent);
    if (extents->held > extents->limit) {
        sw__placement_release_parked(extents);
        sw__supply_purge_above(extents, extents->limit);
    }
    sw__unlock(&extents->lock);
    return sw__extent_start(place);
}
