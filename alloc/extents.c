/*
 * extents.c - the page source: see extents.h.
 *
 * Order of the file: making and unmaking extents, growth, placement, then the public calls: alloc
 * and free, resize, the rest.
 * Whatever may fail comes before anything is changed. Where pages come from and go: supply.h.
 */
#include "extents.h"

#include "align.h"
#include "page_map.h"
#include "supply.h"

#include <string.h>

#define FIRST_REGION ((size_t)64 << 20)
#define LAST_REGION  ((size_t)4 << 30)
/* The frontier moves at least so far where it can: a system call per MiB, not per slab. */
#define FRONTIER_STEP ((size_t)1 << 20)
/* How many best fits are tried for a large alignment before one of size + alignment is sought. */
#define ALIGNED_TRIES 16
/* How many more fits are looked at for one that is warm. */
#define WARM_TRIES 32
/* Of a smaller extent that moves the contents are copied: pages would cost as much. */
#define MOVED_LEAST ((size_t)1 << 20)
/* One that moves is to have such a share of it as room behind it: too little for its like. */
#define ROOM_SHARE 4
/* A larger one is not parked: it is worth more where it joins its neighbours. */
#define PARKED_MAX ((size_t)1 << 20)

static struct sw__extent **page_entry(const struct sw__region *region, const void *address) {
    return &region->by_page[(size_t)((const char *)address - region->start) >> SW__PAGE_SHIFT];
}

/* ---- Extents: spare ones, trees, cutting and joining ----------------------------------------- */

/* Ensures so many spare extents, so that what follows cannot fail. */
static bool ensure_spares(struct sw__extents *extents, int count) {
    for (struct sw__extent *spare = extents->spare_extents; spare && count; spare = spare->after)
        count--;
    for (; count > 0; count--) {
        struct sw__extent *extent = sw__meta_alloc(extents->meta, sizeof *extent);
        if (!extent)
            return false;
        extent->after = extents->spare_extents;
        extents->spare_extents = extent;
    }
    return true;
}

static struct sw__extent *take_spare(struct sw__extents *extents) {
    struct sw__extent *extent = extents->spare_extents;
    extents->spare_extents = extent->after;
    memset(extent, 0, sizeof *extent);
    return extent;
}

static void keep_spare(struct sw__extents *extents, struct sw__extent *extent) {
    extent->after = extents->spare_extents;
    extents->spare_extents = extent;
}

/* Touched bytes of a part of an extent: mostly all or nothing, and then nothing is counted. */
static size_t touched_in(const struct sw__extent *extent, size_t offset, size_t size) {
    if (extent->touched == 0 || extent->touched == sw__extent_size(extent))
        return extent->touched ? size : 0;
    return sw__pages_touched(&extent->region->pages, sw__extent_start(extent) + offset, size);
}

/* Cuts an extent that is in no tree in two; the front keeps the extent, the tail is returned. */
static struct sw__extent *cut(struct sw__extents *extents, struct sw__extent *extent,
                              size_t front) {
    struct sw__extent *tail = take_spare(extents);
    tail->node.address = extent->node.address + front;
    tail->node.size = extent->node.size - front;
    tail->touched = front < tail->node.size ? extent->touched - touched_in(extent, 0, front)
                                            : touched_in(extent, front, tail->node.size);
    extent->touched -= tail->touched;
    tail->region = extent->region;
    tail->before = extent;
    tail->after = extent->after;
    if (tail->after)
        tail->after->before = tail;
    else
        tail->region->last = tail;
    extent->after = tail;
    extent->node.size = front;
    return tail;
}

/* Joins the extent behind to the one in front; both are in no tree. */
static void join(struct sw__extents *extents, struct sw__extent *extent) {
    struct sw__extent *behind = extent->after;
    extent->node.size += behind->node.size;
    extent->touched += behind->touched;
    extent->after = behind->after;
    if (extent->after)
        extent->after->before = extent;
    else
        extent->region->last = extent;
    keep_spare(extents, behind);
}

/* Makes an extent that is in no tree free, joined with its free neighbours. */
static void release(struct sw__extents *extents, struct sw__extent *extent) {
    if (sw__extent_is_free(extent->after)) {
        sw__extent_uproot(extent->after);
        join(extents, extent);
    }
    if (sw__extent_is_free(extent->before)) {
        extent = extent->before;
        sw__extent_uproot(extent);
        join(extents, extent);
    }
    sw__extent_plant(extent);
}

static void release_parked(struct sw__extents *extents) {
    if (extents->parked)
        release(extents, extents->parked);
    extents->parked = NULL;
}

static void park(struct sw__extents *extents, struct sw__extent *extent) {
    extent->state = SW__EXTENT_PARKED;
    extents->parked = extent;
}

/* ---- Growth ---------------------------------------------------------------------------------- */

/* A region descriptor with its tables for a region of that size. */
static struct sw__region *make_region(struct sw__extents *extents, size_t size) {
    for (struct sw__region **link = &extents->spare_regions; *link; link = &(*link)->next) {
        if ((*link)->size == size) {
            struct sw__region *spare = *link;
            *link = spare->next;
            return spare;
        }
    }
    size_t by_page = (size >> SW__PAGE_SHIFT) * sizeof(struct sw__extent *);
    struct sw__region *region =
        sw__meta_alloc(extents->meta, sizeof *region + by_page + sw__pages_tables_size(size));
    if (!region)
        return NULL;
    region->by_page = (struct sw__extent **)(region + 1);
    sw__pages_init(&region->pages, (char *)region->by_page + by_page, size);
    region->size = size;
    region->extents = extents;
    return region;
}

static void keep_spare_region(struct sw__extents *extents, struct sw__region *region) {
    region->start = NULL;
    region->next = extents->spare_regions;
    extents->spare_regions = region;
}

static struct sw__region *reserve_region(struct sw__extents *extents, struct sw__side *side,
                                         size_t size) {
    struct sw__region *region = make_region(extents, size);
    if (!region)
        return NULL;
    region->start = sw__os_reserve(size, SW__HUGE_PAGE);
    if (region->start && !sw__page_map_prepare(region->start, size)) {
        sw__os_release(region->start, size);
        region->start = NULL;
    }
    if (!region->start) {
        keep_spare_region(extents, region);
        return NULL;
    }
    region->committed = 0;
    region->last = NULL;
    sw__pages_reset(&region->pages, region->start, size);
    /* Never by the kernel's own idea, even where it is to give huge pages always. */
    sw__os_advise_huge(region->start, size, extents->huge_pages == SW__HUGE_ALWAYS);
    region->side = side;
    region->next = side->regions;
    side->regions = region;
    return region;
}

/* A region with room for size: twice as large as the one before, or for what is very large with
 * room to grow; just large enough where address space is short. */
static struct sw__region *add_region(struct sw__extents *extents, struct sw__side *side,
                                     size_t size) {
    size_t least = sw__align_up(size, SW__HUGE_PAGE);
    size_t wanted = side->regions ? 2 * side->regions->size : FIRST_REGION;
    if (wanted > LAST_REGION)
        wanted = LAST_REGION;
    while (least > LAST_REGION / 2 && wanted < least + least / 2 && wanted <= SIZE_MAX / 2)
        wanted *= 2;
    struct sw__region *region = reserve_region(extents, side, wanted > least ? wanted : least);
    return region || wanted <= least ? region : reserve_region(extents, side, least);
}

/* Moves a region's frontier up by so many bytes at least, free ones from then on. */
static bool move_frontier(struct sw__extents *extents, struct sw__region *region, size_t bytes) {
    size_t least = sw__align_up(bytes, SW__SLICE);
    size_t step = sw__align_up(bytes, FRONTIER_STEP);
    if (step > region->size - region->committed)
        step = least;
    char *frontier = region->start + region->committed;
    if (!ensure_spares(extents, 1) || !sw__os_commit(frontier, step))
        return false;
    sw__page_map_set(frontier, step, region);
    region->committed += step;
    sw__level_add(&extents->reserved, step);
    sw__pages_note_seam(&region->pages, frontier);

    struct sw__extent *extent = take_spare(extents);
    extent->node.address = (uintptr_t)frontier;
    extent->node.size = step;
    extent->region = region;
    extent->before = region->last;
    if (region->last)
        region->last->after = extent;
    region->last = extent;
    release(extents, extent);
    return true;
}

/* How far the frontier has to move for a free extent of that size and alignment to end there. */
static size_t missing_at_frontier(const struct sw__region *region, size_t size, size_t alignment) {
    size_t free_bytes = sw__extent_is_free(region->last) ? sw__extent_size(region->last) : 0;
    uintptr_t start = (uintptr_t)region->start + region->committed - free_bytes;
    return (-start & (alignment - 1)) + size - free_bytes;
}

/* A free extent with room for that size and alignment at a frontier. */
static struct sw__extent *grow(struct sw__extents *extents, struct sw__side *side, size_t size,
                               size_t alignment) {
    struct sw__region *region = side->regions;
    while (region && sw__align_up(missing_at_frontier(region, size, alignment), SW__SLICE) >
                         region->size - region->committed)
        region = region->next;
    if (!region)
        region = add_region(extents, side,
                            alignment > SW__HUGE_PAGE ? size + alignment - SW__PAGE : size);
    if (!region || !move_frontier(extents, region, missing_at_frontier(region, size, alignment)))
        return NULL;
    return region->last;
}

/* ---- Placement ------------------------------------------------------------------------------- */

static size_t gap_before(const struct sw__extent *extent, size_t alignment) {
    return -extent->node.address & (alignment - 1);
}

/* The best fit in a tree. A few of the smallest are tried for a large alignment; one with room for
 * the worst case ends the search. */
static struct sw__extent *best_fit(struct sw__treap_node *tree, size_t size, size_t alignment) {
    uintptr_t from = 0;
    size_t least = size;
    for (int tries = 0; tries < ALIGNED_TRIES; tries++) {
        struct sw__treap_node *node = sw__treap_at_least(tree, least, from);
        if (!node)
            return NULL;
        if (gap_before(sw__extent_of(node), alignment) + size <= node->size)
            return sw__extent_of(node);
        least = node->size;
        from = node->address + 1;
    }
    struct sw__treap_node *node = sw__treap_at_least(tree, size + alignment - SW__PAGE, 0);
    return node ? sw__extent_of(node) : NULL;
}

/* Bytes that are not there where the extent would be placed. */
static size_t missing_bytes(const struct sw__extent *extent, size_t size, size_t alignment) {
    return size - touched_in(extent, gap_before(extent, alignment), size);
}

/* Of the smallest fits the first that is all there, or the one of which the most is. For when the
 * budget is used up: a place that is warm costs no page, however large the hole round it. So work
 * that repeats itself comes to places it has been before, and nothing has to move. */
static struct sw__extent *warmest_fit(struct sw__extent *extent, size_t size, size_t alignment) {
    struct sw__extent *warmest = extent;
    size_t missing = missing_bytes(extent, size, alignment);
    struct sw__treap_node *node = &extent->node;
    for (int tries = 0; missing && tries < WARM_TRIES; tries++) {
        node = sw__treap_at_least(extent->region->side->dirty, node->size, node->address + 1);
        if (!node)
            break;
        if (gap_before(sw__extent_of(node), alignment) + size > node->size)
            continue;
        size_t here = missing_bytes(sw__extent_of(node), size, alignment);
        if (here < missing) {
            missing = here;
            warmest = sw__extent_of(node);
        }
    }
    return warmest;
}

static struct sw__extent *find_fit(struct sw__extents *extents, struct sw__side *side, size_t size,
                                   size_t alignment) {
    struct sw__extent *extent = best_fit(side->dirty, size, alignment);
    /* Where there is room for all of it, what is missing need not be counted. */
    if (extent && sw__supply_over_budget(extents, size) &&
        sw__supply_over_budget(extents, missing_bytes(extent, size, alignment)))
        extent = warmest_fit(extent, size, alignment);
    if (!extent)
        extent = best_fit(side->clean, size, alignment);
    return extent ? extent : grow(extents, side, size, alignment);
}

/* As the rules of placement have it; where that cannot be, anywhere. */
static struct sw__extent *find_place(struct sw__extents *extents, size_t size, size_t *alignment) {
    int side = size > SW__SMALL_EXTENT ? SW__SIDE_LARGE : SW__SIDE_SMALL;
    size_t asked = *alignment;
    if (size >= SW__HUGE_PAGE && (size & (SW__HUGE_PAGE - 1)) == 0 && asked < SW__HUGE_PAGE)
        *alignment = SW__HUGE_PAGE;
    struct sw__extent *extent = find_fit(extents, &extents->sides[side], size, *alignment);
    if (extent)
        return extent;
    *alignment = asked;
    extent = find_fit(extents, &extents->sides[side], size, asked);
    return extent ? extent : find_fit(extents, &extents->sides[!side], size, asked);
}

/* Cuts the wanted part out of a free extent. Needs two spares. */
static struct sw__extent *carve(struct sw__extents *extents, struct sw__extent *extent, size_t size,
                                size_t alignment) {
    size_t gap = gap_before(extent, alignment);
    sw__extent_uproot(extent);
    if (gap) {
        struct sw__extent *rest = cut(extents, extent, gap);
        sw__extent_plant(extent);
        extent = rest;
    }
    if (extent->node.size > size)
        sw__extent_plant(cut(extents, extent, size));
    return extent;
}

static struct sw__extent *take_parked(struct sw__extents *extents, size_t size, size_t alignment) {
    struct sw__extent *extent = extents->parked;
    if (!extent || sw__extent_size(extent) != size || gap_before(extent, alignment))
        return NULL;
    extents->parked = NULL;
    return extent;
}

/* An extent of that size in no tree, cut out of a free one. */
static struct sw__extent *obtain_free(struct sw__extents *extents, size_t size, size_t alignment) {
    release_parked(extents);
    if (!ensure_spares(extents, 2))
        return NULL;
    struct sw__extent *extent = find_place(extents, size, &alignment);
    /* Growing may have used a spare; without two there is still the plain failure. */
    return extent && ensure_spares(extents, 2) ? carve(extents, extent, size, alignment) : NULL;
}

/* The same, or the parked one. */
static inline struct sw__extent *obtain(struct sw__extents *extents, size_t size,
                                        size_t alignment) {
    struct sw__extent *extent = take_parked(extents, size, alignment);
    return extent ? extent : obtain_free(extents, size, alignment);
}

static void enliven(struct sw__extents *extents, struct sw__extent *extent) {
    extent->state = SW__EXTENT_LIVE;
    extent->marked = false;
    extent->holder = NULL;
    *page_entry(extent->region, sw__extent_start(extent)) = extent;
    sw__extents_count(&extents->live, sw__extent_size(extent));
}

/* ---- Alloc and free -------------------------------------------------------------------------- */

void sw__extents_init(struct sw__extents *extents, struct sw__meta *meta,
                      const struct sw__config *config) {
    memset(extents, 0, sizeof *extents);
    extents->meta = meta;
    extents->limit = config->limit ? config->limit : SIZE_MAX;
    extents->huge_pages = config->huge_pages;
    extents->budget = SIZE_MAX;
}

void sw__extents_destroy(struct sw__extents *extents) {
    for (int side = 0; side < SW__SIDES; side++)
        for (struct sw__region *region = extents->sides[side].regions; region;
             region = region->next) {
            sw__page_map_set(region->start, region->committed, NULL);
            sw__os_release(region->start, region->size);
        }
}

/* May so much more live? What is free counts for nothing: it moves, or goes. */
static bool may_live(struct sw__extents *extents, size_t more) {
    extents->at_limit = more > extents->limit - sw__extents_live(extents);
    return !extents->at_limit;
}

static struct sw__extent *alloc(struct sw__extents *extents, size_t size, size_t alignment,
                                bool dense) {
    size = sw__align_up(size, SW__PAGE);
    if (alignment < SW__PAGE)
        alignment = SW__PAGE;
    if (size > PTRDIFF_MAX || alignment > PTRDIFF_MAX - size)
        return NULL;
    sw__lock(&extents->lock);
    struct sw__extent *extent = may_live(extents, size) ? obtain(extents, size, alignment) : NULL;
    if (extent && !sw__supply_furnish(extents, extent, dense)) {
        release(extents, extent);
        extent = NULL;
    }
    if (extent)
        enliven(extents, extent);
    sw__unlock(&extents->lock);
    return extent;
}

struct sw__extent *sw__extents_alloc(struct sw__extents *extents, size_t size, size_t alignment) {
    return alloc(extents, size, alignment, true);
}

void *sw__extents_alloc_zeroed(struct sw__extents *extents, size_t size) {
    struct sw__extent *extent = alloc(extents, size, SW__PAGE, false);
    if (!extent)
        return NULL;
    if (extent->zero || sw__supply_renew(extents, extent))
        return sw__extent_start(extent);
    return memset(sw__extent_start(extent), 0, size);
}

/* The region's entries in the page map again, where a holder had marked the slices as its own. */
static void unmark(struct sw__extent *extent) {
    if (extent->marked)
        sw__page_map_set(sw__extent_start(extent), sw__extent_size(extent), extent->region);
    extent->marked = false;
}

/* What is live no longer, and has been counted out, becomes free. */
static void retire(struct sw__extents *extents, struct sw__extent *extent) {
    unmark(extent);
    *page_entry(extent->region, sw__extent_start(extent)) = NULL;
    release_parked(extents);
    if (sw__extent_size(extent) <= PARKED_MAX)
        park(extents, extent);
    else
        release(extents, extent);
}

void sw__extents_free(struct sw__extents *extents, struct sw__extent *extent) {
    sw__lock(&extents->lock);
    sw__extents_count(&extents->live, -sw__extent_size(extent));
    retire(extents, extent);
    sw__unlock(&extents->lock);
}

/* ---- Resize ---------------------------------------------------------------------------------- */

static void shrink(struct sw__extents *extents, struct sw__extent *extent, size_t size) {
    sw__extents_count(&extents->live, size - sw__extent_size(extent));
    release(extents, cut(extents, extent, size));
}

/* Takes what is missing from a free extent behind, moving the frontier for it if need be. */
static bool extend(struct sw__extents *extents, struct sw__extent *extent, size_t size) {
    size_t missing = size - sw__extent_size(extent);
    if (!may_live(extents, missing))
        return false;
    struct sw__region *region = extent->region;
    size_t behind = sw__extent_is_free(extent->after) ? sw__extent_size(extent->after) : 0;
    if (behind < missing) {
        bool at_frontier = region->last == extent || (behind && region->last == extent->after);
        if (!at_frontier || missing - behind > region->size - region->committed ||
            !move_frontier(extents, region, missing - behind))
            return false;
    }
    struct sw__extent *tail = extent->after;
    sw__extent_uproot(tail);
    if (tail->node.size > missing)
        sw__extent_plant(cut(extents, tail, missing));
    join(extents, extent);
    sw__extents_count(&extents->live, missing);
    if (sw__supply_furnish(extents, extent, true))
        return true;
    shrink(extents, extent, size - missing);
    return false;
}

/* To a size of whole pages, where it stands. */
static bool resize(struct sw__extents *extents, struct sw__extent *extent, size_t size) {
    if (size == sw__extent_size(extent))
        return true;
    if (!ensure_spares(extents, 2))
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
           touched_in(extent->after, 0, missing) < missing;
}

/* For a block that has grown, which will grow again: the largest dirty extent, if it is there and
 * has room for more; or where more is free behind it. */
static struct sw__extent *obtain_roomy(struct sw__extents *extents, size_t size, size_t alignment) {
    struct sw__treap_node *largest = sw__treap_largest(extents->sides[SW__SIDE_LARGE].dirty);
    if (!ensure_spares(extents, 2))
        return NULL;
    if (largest && largest->size / 2 >= size + alignment &&
        missing_bytes(sw__extent_of(largest), size, alignment) == 0)
        return carve(extents, sw__extent_of(largest), size, alignment);
    size_t roomy = sw__align_up(size + size / ROOM_SHARE, SW__PAGE);
    struct sw__extent *extent = obtain_free(extents, roomy, alignment);
    if (!extent)
        return obtain_free(extents, size, alignment);
    extent->state = SW__EXTENT_LIVE; /* what is free behind it does not join it */
    struct sw__extent *room = ensure_spares(extents, 1) ? cut(extents, extent, size) : NULL;
    release(extents, room ? room : extent);
    return room ? extent : NULL;
}

/* A place of that size, in no tree, for what is in another extent. For its pages to move as they
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
    struct sw__extent *rest = ensure_spares(extents, 1) ? cut(extents, place, offset) : NULL;
    release(extents, place);
    return rest;
}

static bool furnish_from(struct sw__extents *extents, struct sw__extent *from,
                         struct sw__extent *place) {
    return (can_move(from) && sw__supply_relocate(extents, from, place)) ||
           sw__supply_furnish(extents, place, true);
}

/* The larger extent that a live one becomes. What of it has not moved there is in the old one
 * still, which is counted out. NULL, with nothing changed, when there is none. */
static struct sw__extent *relocate(struct sw__extents *extents, struct sw__extent *extent,
                                   size_t size) {
    size_t old_size = sw__extent_size(extent);
    if (size <= old_size || size > PTRDIFF_MAX - SW__HUGE_PAGE ||
        !may_live(extents, size - old_size))
        return NULL;
    struct sw__extent *place = obtain_for(extents, extent, size);
    if (place && !furnish_from(extents, extent, place)) {
        release(extents, place);
        return NULL;
    }
    if (place) {
        sw__extents_count(&extents->live, -old_size);
        enliven(extents, place);
    }
    return place;
}

/* Where the block is from now on, NULL when it is as it was. */
static struct sw__extent *resize_or_relocate(struct sw__extents *extents, struct sw__extent *extent,
                                             size_t size) {
    release_parked(extents);
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
    struct sw__extent *place = resize_or_relocate(extents, extent, sw__align_up(size, SW__PAGE));
    sw__unlock(&extents->lock);
    if (!place || place == extent)
        return place ? sw__extent_start(place) : NULL;
    sw__supply_copy_rest(extent, place);
    sw__lock(&extents->lock);
    retire(extents, extent);
    if (extents->held > extents->limit) {
        release_parked(extents);
        sw__supply_purge_above(extents, extents->limit);
    }
    sw__unlock(&extents->lock);
    return sw__extent_start(place);
}

/* ---- The rest -------------------------------------------------------------------------------- */

struct sw__extent *sw__extents_find_by(struct sw__extents *extents, void *entry,
                                       const void *address) {
    struct sw__region *region = entry;
    if (!region || ((uintptr_t)region & SW__HOLDER_BITS) || region->extents != extents ||
        ((uintptr_t)address & (SW__PAGE - 1)) != 0)
        return NULL;
    return *page_entry(region, address);
}

struct sw__extent *sw__extents_find(struct sw__extents *extents, const void *address) {
    return sw__extents_find_by(extents, sw__page_map_get(address), address);
}

struct sw__extent *sw__extents_block_to(struct sw__extents *extents, const void *block,
                                        enum sw__misuse otherwise) {
    struct sw__extent *extent = sw__extents_find(extents, block);
    if (!extent)
        sw__misuse(otherwise, NULL);
    return extent;
}

struct sw__extent *sw__extents_block(struct sw__extents *extents, const void *block) {
    return sw__extents_block_to(extents, block, SW__MISUSE_FREE);
}

void sw__extents_mark(struct sw__extents *extents, struct sw__extent *extent, void *holder) {
    sw__lock(&extents->lock);
    sw__page_map_set(sw__extent_start(extent), sw__extent_size(extent), holder);
    extent->marked = true;
    sw__unlock(&extents->lock);
}

void sw__extents_keep_budget(struct sw__extents *extents) {
    size_t budget = atomic_load_explicit(&extents->budget, memory_order_relaxed);
    size_t held = atomic_load_explicit(&extents->held, memory_order_relaxed);
    if (held <= budget || held - budget <= sw__extents_tolerated(budget))
        return;
    sw__lock(&extents->lock);
    release_parked(extents);
    sw__supply_purge_above(extents, budget);
    sw__unlock(&extents->lock);
}

static void release_free_regions(struct sw__extents *extents, struct sw__side *side) {
    for (struct sw__region **link = &side->regions; *link;) {
        struct sw__region *region = *link;
        bool all_free = sw__extent_is_free(region->last) && !region->last->before;
        if (!all_free) {
            link = &region->next;
            continue;
        }
        *link = region->next;
        sw__extent_uproot(region->last);
        sw__supply_gone(extents, region->last, region->start, region->committed);
        sw__usage_dismiss(&extents->usage, region);
        sw__usage_dismiss(&extents->zeroed_usage, region);
        keep_spare(extents, region->last);
        extents->reserved.current -= region->committed;
        sw__page_map_set(region->start, region->committed, NULL);
        sw__os_release(region->start, region->size);
        keep_spare_region(extents, region);
    }
}

size_t sw__extents_trim(struct sw__extents *extents) {
    size_t released = 0;
    sw__lock(&extents->lock);
    release_parked(extents);
    for (int side = 0; side < SW__SIDES; side++) {
        released += sw__supply_purge_side(extents, &extents->sides[side]);
        release_free_regions(extents, &extents->sides[side]);
    }
    sw__unlock(&extents->lock);
    return released;
}

void sw__extents_visit(struct sw__extents *extents, sw__range_visitor *visitor, void *context) {
    sw__lock(&extents->lock);
    for (int side = 0; side < SW__SIDES; side++)
        for (struct sw__region *region = extents->sides[side].regions; region;
             region = region->next)
            visitor(context, region->start, region->committed);
    sw__unlock(&extents->lock);
}

static void visit_sizes(const struct sw__region *region, sw__size_visitor *visitor, void *context) {
    for (struct sw__extent *extent = region->last; extent; extent = extent->before)
        if (extent->state == SW__EXTENT_LIVE && !extent->marked)
            visitor(context, sw__extent_size(extent), sw__extent_size(extent));
}

void sw__extents_visit_sizes(struct sw__extents *extents, sw__size_visitor *visitor,
                             void *context) {
    sw__lock(&extents->lock);
    for (int side = 0; side < SW__SIDES; side++)
        for (struct sw__region *region = extents->sides[side].regions; region;
             region = region->next)
            visit_sizes(region, visitor, context);
    sw__unlock(&extents->lock);
}

/* The most that is physically present of one free extent, if it is above `most`. The kernel is
 * asked only of those that may have it. */
static size_t most_present(struct sw__treap_node *node, size_t most) {
    if (!node)
        return most;
    const struct sw__extent *extent = sw__extent_of(node);
    char *start = sw__extent_start(extent);
    size_t size = sw__extent_size(extent);
    if (extent->touched > most) {
        size_t present = sw__os_resident(start, size);
        most = present > most ? present : most;
    }
    return most_present(node->right, most_present(node->left, most));
}

size_t sw__extents_largest_free(struct sw__extents *extents) {
    size_t most = 0;
    sw__lock(&extents->lock);
    release_parked(extents);
    for (int side = 0; side < SW__SIDES; side++)
        most = most_present(extents->sides[side].dirty, most);
    sw__unlock(&extents->lock);
    return most;
}

void sw__extents_stats(struct sw__extents *extents, struct sw__strategy_stats *stats) {
    sw__lock(&extents->lock);
    stats->reserved = extents->reserved;
    stats->metadata = extents->meta->bytes;
    stats->at_limit = extents->at_limit;
    sw__unlock(&extents->lock);
}
