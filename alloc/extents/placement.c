/*
 * placement.c - which extent becomes live: see placement.h.
 */
#include "placement.h"

#include "align.h"
#include "page_map.h"
#include "supply.h"

/* How many best fits are tried for a large alignment before one of size + alignment is sought. */
#define ALIGNED_TRIES 16
/* How many more fits are looked at for one that is warm. */
#define WARM_TRIES 32
/* An extent may leave such a share of the budget as a hole in front of it, to begin on a huge page;
 * and such a share where nothing of that is there. */
#define HOLE_SHARE       256
#define EMPTY_HOLE_SHARE 32
/* A larger one is not parked: it is worth more where it joins its neighbours. */
#define PARKED_MAX ((size_t)1 << 20)

/* ---- A place for an extent ------------------------------------------------------------------- */

/* The best fit in an index. A few of the smallest are tried for a large alignment; one with room for
 * the worst case ends the search. */
static struct sw__extent *best_fit(const struct sw__size_index *index, size_t size,
                                   size_t alignment) {
    uintptr_t from = 0;
    size_t least = size;
    for (int tries = 0; tries < ALIGNED_TRIES; tries++) {
        struct sw__treap_node *node = sw__size_index_at_least(index, least, from);
        if (!node)
            return NULL;
        if (sw__extent_gap(sw__extent_of(node), alignment) + size <= node->size)
            return sw__extent_of(node);
        least = node->size;
        from = node->address + 1;
    }
    struct sw__treap_node *node = sw__size_index_at_least(index, size + alignment - SW__PAGE, 0);
    return node ? sw__extent_of(node) : NULL;
}

/* Bytes that are not there of what begins so far into an extent. */
static size_t missing_at(const struct sw__extent *extent, size_t gap, size_t size) {
    return size - sw__extent_touched_in(extent, gap, size);
}

size_t sw__placement_missing(const struct sw__extent *extent, size_t size, size_t alignment) {
    return missing_at(extent, sw__extent_gap(extent, alignment), size);
}

/* How far into a free extent: of its front, where its touched part begins, and its end, the first at
 * which the least is missing. So a block that is a little larger than the last, as one that grows by
 * being copied, comes to where that was and not to what is empty in front of it. A small one begins
 * at the front: it is no larger than what moves, and to look would take as long as to place it. */
static size_t warmest_gap(const struct sw__extent *extent, size_t size, size_t alignment) {
    size_t warmest = sw__extent_gap(extent, alignment);
    if (size <= SW__SMALL_EXTENT || extent->touched == 0)
        return warmest;
    size_t least = missing_at(extent, warmest, size);
    if (least == 0)
        return warmest;
    char *start = sw__extent_start(extent), *end = sw__extent_end(extent);
    char *touched = sw__pages_first_touched(&extent->region->pages, start, end);
    uintptr_t last = sw__align_down((uintptr_t)end - size, alignment);
    uintptr_t first = sw__align_up((uintptr_t)touched, alignment);
    const uintptr_t places[] = {first < last ? first : last, last};
    for (int i = 0; i < 2; i++) {
        size_t gap = places[i] - (uintptr_t)start, missing = missing_at(extent, gap, size);
        if (missing < least) {
            least = missing;
            warmest = gap;
        }
    }
    return warmest;
}

/* Bytes that are not there of what begins at the warmest gap. */
static size_t least_missing(const struct sw__extent *extent, size_t size, size_t alignment) {
    return missing_at(extent, warmest_gap(extent, size, alignment), size);
}

/* Of the smallest fits the first that is all there, or the one of which the most is. For when the
 * budget is used up: a place that is warm costs no page, however large the hole round it. So work
 * that repeats itself comes to places it has been before, and nothing has to move. */
static struct sw__extent *warmest_fit(struct sw__extent *extent, size_t size, size_t alignment) {
    struct sw__extent *warmest = extent;
    size_t missing = least_missing(extent, size, alignment);
    struct sw__treap_node *node = &extent->node;
    for (int tries = 0; missing && tries < WARM_TRIES; tries++) {
        node = sw__size_index_after(&extent->region->side->dirty, node);
        if (!node)
            break;
        if (sw__extent_gap(sw__extent_of(node), alignment) + size > node->size)
            continue;
        size_t here = least_missing(sw__extent_of(node), size, alignment);
        if (here < missing) {
            missing = here;
            warmest = sw__extent_of(node);
        }
    }
    return warmest;
}

static struct sw__extent *find_fit(struct sw__extents *extents, struct sw__side *side, size_t size,
                                   size_t alignment) {
    struct sw__extent *extent = best_fit(&side->dirty, size, alignment);
    /* Where there is room for all of it, what is missing need not be counted. */
    if (extent && sw__supply_over_budget(extents, size) &&
        sw__supply_over_budget(extents, sw__placement_missing(extent, size, alignment)))
        extent = warmest_fit(extent, size, alignment);
    if (!extent)
        extent = best_fit(&side->clean, size, alignment);
    return extent ? extent : sw__region_grow(extents, side, size, alignment, false);
}

/* An extent whose size is a multiple of a huge page begins on one, */
static size_t preferred_alignment(size_t size, size_t asked) {
    bool is_whole = size >= SW__HUGE_PAGE && (size & (SW__HUGE_PAGE - 1)) == 0;
    return is_whole && asked < SW__HUGE_PAGE ? SW__HUGE_PAGE : asked;
}

/* where the hole in front is little: pages that are in a hole while the most lives are above the
 * budget, and would move out of it and back in every step. It may be larger where nothing is yet; but
 * over the budget, pages would have to come from where the extent might be as well. */
static bool is_worth_its_hole(const struct sw__extents *extents, const struct sw__side *side,
                              const struct sw__extent *extent, size_t size, size_t alignment,
                              size_t asked) {
    size_t budget = atomic_load_explicit(&extents->budget, memory_order_relaxed);
    size_t hole = sw__extent_gap(extent, alignment) - sw__extent_gap(extent, asked);
    if (extent->touched > 0)
        return hole <= budget / HOLE_SHARE;
    bool is_needed = !sw__supply_over_budget(extents, size) || !best_fit(&side->dirty, size, asked);
    return is_needed && hole <= budget / EMPTY_HOLE_SHARE;
}

/* As the rules of placement have it; where that cannot be, anywhere. */
static struct sw__extent *find_place(struct sw__extents *extents, size_t size, size_t *alignment) {
    int at = size > SW__SMALL_EXTENT ? SW__SIDE_LARGE : SW__SIDE_SMALL;
    struct sw__side *side = &extents->sides[at], *other = &extents->sides[!at];
    size_t asked = *alignment;
    *alignment = preferred_alignment(size, asked);
    struct sw__extent *extent = find_fit(extents, side, size, *alignment);
    if (extent &&
        (*alignment == asked || is_worth_its_hole(extents, side, extent, size, *alignment, asked)))
        return extent;
    struct sw__extent *nearer = find_fit(extents, side, size, asked);
    if (extent && !nearer) /* it is not among the first that were tried */
        return extent;
    *alignment = asked;
    return nearer ? nearer : find_fit(extents, other, size, asked);
}

static struct sw__extent *carve_at(struct sw__extents *extents, struct sw__extent *extent,
                                   size_t gap, size_t size) {
    sw__extent_uproot(extent);
    if (gap) {
        struct sw__extent *rest = sw__extent_cut(extents, extent, gap);
        sw__extent_plant(extent);
        extent = rest;
    }
    if (extent->node.size > size)
        sw__extent_plant(sw__extent_cut(extents, extent, size));
    sw__extents_forget(extents, extent);
    return extent;
}

struct sw__extent *sw__placement_carve(struct sw__extents *extents, struct sw__extent *extent,
                                       size_t size, size_t alignment) {
    return carve_at(extents, extent, sw__extent_gap(extent, alignment), size);
}

void sw__placement_release_parked(struct sw__extents *extents) {
    if (extents->parked)
        sw__extent_release(extents, extents->parked);
    extents->parked = NULL;
}

struct sw__extent *sw__placement_obtain_free(struct sw__extents *extents, size_t size,
                                             size_t alignment) {
    sw__placement_release_parked(extents);
    sw__extents_provide_spares(extents);
    if (!sw__extents_ensure_spares(extents, 2))
        return NULL;
    struct sw__extent *extent = find_place(extents, size, &alignment);
    /* Growing may have used a spare; without two there is still the plain failure. */
    return extent && sw__extents_ensure_spares(extents, 2)
               ? carve_at(extents, extent, warmest_gap(extent, size, alignment), size)
               : NULL;
}

/* From the end of the newest free extent at a frontier: what lies in front may be there. */
static struct sw__extent *carve_beyond(struct sw__extents *extents, size_t size, size_t alignment) {
    struct sw__side *side = &extents->sides[SW__SIDE_LARGE];
    struct sw__extent *extent = sw__region_grow(extents, side, size, alignment, true);
    if (!extent || !sw__extents_ensure_spares(extents, 2))
        return NULL;
    uintptr_t start = sw__align_down(extent->node.address + extent->node.size - size, alignment);
    return carve_at(extents, extent, start - extent->node.address, size);
}

struct sw__extent *sw__placement_obtain_fresh(struct sw__extents *extents, size_t size) {
    sw__placement_release_parked(extents);
    size_t alignment = preferred_alignment(size, SW__PAGE);
    sw__extents_provide_spares(extents);
    if (!sw__extents_ensure_spares(extents, 2))
        return NULL;
    struct sw__extent *clean = best_fit(&extents->sides[SW__SIDE_LARGE].clean, size, alignment);
    return clean ? sw__placement_carve(extents, clean, size, alignment)
                 : carve_beyond(extents, size, alignment);
}

/* ---- After it was live ----------------------------------------------------------------------- */

static void park(struct sw__extents *extents, struct sw__extent *extent) {
    extent->state = SW__EXTENT_PARKED;
    extents->parked = extent;
}

/* The region's entries in the page map again, where a holder had marked the slices as its own. */
static void unmark(struct sw__extent *extent) {
    if (extent->marked)
        sw__page_map_set(sw__extent_start(extent), sw__extent_size(extent), extent->region);
    extent->marked = false;
}

void sw__placement_retire(struct sw__extents *extents, struct sw__extent *extent) {
    unmark(extent);
    *sw__region_entry(extent->region, sw__extent_start(extent)) = NULL;
    sw__placement_release_parked(extents);
    if (sw__extent_size(extent) <= PARKED_MAX)
        park(extents, extent);
    else
        sw__extent_release(extents, extent);
}
