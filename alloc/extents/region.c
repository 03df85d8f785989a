/*
 * region.c - regions, and the extents that tile them: see region.h.
 */
#include "region.h"

#include "align.h"
#include "page_map.h"

#include <string.h>

#define FIRST_REGION ((size_t)64 << 20)
#define LAST_REGION  ((size_t)4 << 30)
/* The frontier moves at least so far where it can: a system call per MiB, not per slab. */
#define FRONTIER_STEP ((size_t)1 << 20)

/* So much is lent to the metadata at once: as much as small blocks in all that is free will take. So it is
 * mostly once, and in front of them, where it keeps no end of a region from going. */
#define LEAST_LENT ((size_t)64 << 10)
#define MOST_LENT  ((size_t)4 << 20)
#define LENT_SHARE 256

/* ---- Extents: spare ones, cutting and joining ------------------------------------------------ */

static void keep_spare(struct sw__extents *extents, struct sw__extent *extent) {
    extent->after = extents->spare_extents;
    extents->spare_extents = extent;
    extents->spare_count++;
}

/* Of the system, or of what has been lent: not for a region's descriptor, which is read when others have
 * gone. */
static void *alloc_metadata(struct sw__extents *extents, size_t size) {
    void *piece = sw__meta_alloc(extents->meta, size);
    return piece ? piece : sw__meta_cut(&extents->lent, size);
}

bool sw__extents_make_spares(struct sw__extents *extents, size_t count) {
    while (extents->spare_count < count) {
        struct sw__extent *extent = alloc_metadata(extents, sizeof *extent);
        if (!extent)
            return false;
        keep_spare(extents, extent);
    }
    return true;
}

static struct sw__extent *take_spare(struct sw__extents *extents) {
    struct sw__extent *extent = extents->spare_extents;
    extents->spare_extents = extent->after;
    extents->spare_count--;
    memset(extent, 0, sizeof *extent);
    return extent;
}

struct sw__extent *sw__extent_cut(struct sw__extents *extents, struct sw__extent *extent,
                                  size_t front) {
    struct sw__extent *tail = take_spare(extents);
    tail->node.address = extent->node.address + front;
    tail->node.size = extent->node.size - front;
    tail->touched = front < tail->node.size
                        ? extent->touched - sw__extent_touched_in(extent, 0, front)
                        : sw__extent_touched_in(extent, front, tail->node.size);
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

void sw__extent_join(struct sw__extents *extents, struct sw__extent *extent) {
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

void sw__extent_release(struct sw__extents *extents, struct sw__extent *extent) {
    if (sw__extent_is_free(extent->after)) {
        sw__extent_uproot(extent->after);
        sw__extent_join(extents, extent);
    }
    if (sw__extent_is_free(extent->before)) {
        extent = extent->before;
        sw__extent_uproot(extent);
        sw__extent_join(extents, extent);
    }
    sw__extent_plant(extent);
}

/* ---- Metadata in pages of our own ------------------------------------------------------------ */

/* What is there already comes first. */
static struct sw__extent *find_free(struct sw__extents *extents, size_t size) {
    struct sw__treap_node *node = NULL;
    for (int side = 0; side < SW__SIDES && !node; side++)
        node = sw__size_index_at_least(&extents->sides[side].dirty, size, 0);
    for (int side = 0; side < SW__SIDES && !node; side++)
        node = sw__size_index_at_least(&extents->sides[side].clean, size, 0);
    return node ? sw__extent_of(node) : NULL;
}

static size_t worth_lending(const struct sw__extents *extents) {
    size_t used = sw__extents_live(extents) + extents->lent.bytes.current;
    size_t share = (extents->reserved.current - used) / LENT_SHARE;
    return sw__align_up(sw__smaller(sw__larger(share, LEAST_LENT), MOST_LENT), LEAST_LENT);
}

static bool lend(struct sw__extents *extents, size_t size) {
    struct sw__extent *extent = find_free(extents, size);
    if (!extent || extents->held + size > extents->limit ||
        (extents->spare_count == 0 && sw__extent_size(extent) > size))
        return false;
    char *start = sw__extent_start(extent);
    sw__extent_uproot(extent);
    if (sw__extent_size(extent) > size)
        sw__extent_plant(sw__extent_cut(extents, extent, size));
    sw__extents_forget(extents, extent);
    extent->state = SW__EXTENT_LENT;
    if (extents->huge_pages == SW__HUGE_AUTO)
        sw__pages_decline_shared(&extent->region->pages, start, start + size);
    if (extent->touched > 0)
        memset(start, 0, size);
    sw__pages_mark(&extent->region->pages, start, size, true);
    sw__extents_count(&extents->held, size - extent->touched);
    extent->touched = size;
    sw__meta_feed(&extents->lent, start, size);
    return true;
}

static bool lend_free_pages(struct sw__extents *extents) {
    return lend(extents, worth_lending(extents)) || lend(extents, LEAST_LENT);
}

void *sw__extents_bookkeep(struct sw__extents *extents, size_t size) {
    void *piece = alloc_metadata(extents, size);
    if (!piece && size <= LEAST_LENT / 2 && lend_free_pages(extents))
        piece = alloc_metadata(extents, size);
    return piece;
}

void sw__extents_fetch_spares(struct sw__extents *extents) {
    if (!sw__extents_make_spares(extents, SW__SPARES_PROVIDED) && lend_free_pages(extents))
        sw__extents_make_spares(extents, SW__SPARES_PROVIDED);
}

/* ---- Growth ---------------------------------------------------------------------------------- */

/* The spare descriptor with the smallest tables that are large enough, taken out; or NULL. */
static struct sw__region *take_spare_region(struct sw__extents *extents, size_t size) {
    struct sw__region **best = NULL;
    for (struct sw__region **link = &extents->spare_regions; *link; link = &(*link)->next)
        if ((*link)->capacity >= size && (!best || (*link)->capacity < (*best)->capacity))
            best = link;
    struct sw__region *spare = best ? *best : NULL;
    if (spare)
        *best = spare->next;
    return spare;
}

static void keep_spare_region(struct sw__extents *extents, struct sw__region *region) {
    region->next = extents->spare_regions;
    extents->spare_regions = region;
}

/* Of so many sizes there are tables: of 4 in each doubling. So regions of ever other sizes, as where
 * address space is short, do with a few descriptors. */
static size_t capacity_for(size_t size) {
    size_t highest = (size_t)1 << (63 - __builtin_clzl(size));
    return sw__align_up(size, highest / 4 > SW__HUGE_PAGE ? highest / 4 : SW__HUGE_PAGE);
}

/* A region descriptor with its tables for a region of that size. */
static struct sw__region *make_region(struct sw__extents *extents, size_t size) {
    struct sw__region *region = take_spare_region(extents, size);
    if (region)
        return region;
    size_t capacity = capacity_for(size);
    size_t by_page = (capacity >> SW__PAGE_SHIFT) * sizeof(struct sw__extent *);
    region =
        sw__meta_alloc(extents->meta, sizeof *region + by_page + sw__pages_tables_size(capacity));
    if (!region)
        return NULL;
    region->by_page = (struct sw__extent **)(region + 1);
    sw__pages_init(&region->pages, (char *)region->by_page + by_page, capacity);
    region->capacity = capacity;
    region->extents = extents;
    return region;
}

/* More than the kernel would ever let anybody use is found out before there are tables for it. */
static bool may_be_committed(char *start, size_t size) {
    return size <= LAST_REGION || sw__os_commit(start, size);
}

static struct sw__region *open_region(struct sw__extents *extents, char *start, size_t size,
                                      size_t needed) {
    if (!may_be_committed(start, needed) || !sw__page_map_prepare(start, size))
        return NULL;
    struct sw__region *region = make_region(extents, size);
    if (!region)
        return NULL;
    if (region->start) /* tables that have never been used are zero */
        sw__pages_reset(&region->pages, start, size);
    region->pages.start = region->start = start;
    region->size = size;
    region->committed = 0;
    region->last = NULL;
    return region;
}

static struct sw__region *reserve_region(struct sw__extents *extents, struct sw__side *side,
                                         size_t size, size_t needed) {
    char *start = sw__os_reserve(size, SW__HUGE_PAGE);
    if (!start)
        return NULL;
    struct sw__region *region = open_region(extents, start, size, needed);
    if (!region) {
        sw__os_release(start, size);
        return NULL;
    }
    /* Never by the kernel's own idea, even where it is to give huge pages always. */
    sw__os_advise_huge(start, size, extents->huge_pages == SW__HUGE_ALWAYS);
    region->side = side;
    region->next = side->regions;
    side->regions = region;
    return region;
}

/* Takes a region out of its side, and gives its address space back. */
static void close_region(struct sw__extents *extents, struct sw__region **link) {
    struct sw__region *region = *link;
    *link = region->next;
    sw__os_release(region->start, region->size);
    keep_spare_region(extents, region);
}

/* The newest, unless its end was given back. */
static size_t largest_region(const struct sw__side *side) {
    size_t largest = 0;
    for (const struct sw__region *region = side->regions; region; region = region->next)
        largest = sw__larger(largest, region->size);
    return largest;
}

/* A region with room for size: twice as large as the largest before, or for what is very large with
 * room to grow; just large enough where address space is short. */
static struct sw__region *add_region(struct sw__extents *extents, struct sw__side *side,
                                     size_t size) {
    size_t least = sw__align_up(size, SW__HUGE_PAGE);
    size_t wanted = side->regions ? 2 * largest_region(side) : FIRST_REGION;
    if (wanted > LAST_REGION)
        wanted = LAST_REGION;
    while (least > LAST_REGION / 2 && wanted < least + least / 2 && wanted <= SIZE_MAX / 2)
        wanted *= 2;
    struct sw__region *region = reserve_region(extents, side, sw__larger(wanted, least), least);
    return region || wanted <= least ? region : reserve_region(extents, side, least, least);
}

bool sw__region_move_frontier(struct sw__extents *extents, struct sw__region *region,
                              size_t bytes) {
    size_t least = sw__align_up(bytes, SW__SLICE);
    size_t step = sw__align_up(bytes, FRONTIER_STEP);
    if (step > region->size - region->committed)
        step = least;
    char *frontier = region->start + region->committed;
    if (!sw__extents_ensure_spares(extents, 1) || !sw__os_commit(frontier, step))
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
    sw__extent_release(extents, extent);
    return true;
}

/* How far the frontier has to move for a free extent of that size and alignment to end there; or to
 * lie beyond where it is. */
static size_t missing_at_frontier(const struct sw__region *region, size_t size, size_t alignment,
                                  bool beyond) {
    bool is_free = sw__extent_is_free(region->last) && !beyond;
    size_t free_bytes = is_free ? sw__extent_size(region->last) : 0;
    uintptr_t start = (uintptr_t)region->start + region->committed - free_bytes;
    size_t needed = (-start & (alignment - 1)) + size;
    return needed > free_bytes ? needed - free_bytes : 0;
}

/* The newest region, if nothing of it could be committed: address space that holds nothing. */
static void close_unused(struct sw__extents *extents, struct sw__side *side) {
    if (side->regions && side->regions->committed == 0)
        close_region(extents, &side->regions);
}

struct sw__extent *sw__region_grow(struct sw__extents *extents, struct sw__side *side, size_t size,
                                   size_t alignment, bool beyond) {
    struct sw__region *region = side->regions;
    while (region && sw__align_up(missing_at_frontier(region, size, alignment, beyond), SW__SLICE) >
                         region->size - region->committed)
        region = region->next;
    if (!region)
        region = add_region(extents, side,
                            alignment > SW__HUGE_PAGE ? size + alignment - SW__PAGE : size);
    size_t missing = region ? missing_at_frontier(region, size, alignment, beyond) : 0;
    if (region && (missing == 0 || sw__region_move_frontier(extents, region, missing)))
        return region->last;
    close_unused(extents, side);
    return NULL;
}

void sw__region_give_back(struct sw__extents *extents, struct sw__region **link) {
    struct sw__region *region = *link;
    sw__extent_uproot(region->last);
    keep_spare(extents, region->last);
    extents->reserved.current -= region->committed;
    sw__page_map_set(region->start, region->committed, NULL);
    close_region(extents, link);
}

/* The last extent, which is free, ends so much earlier, or is no more. */
static void shorten_last(struct sw__extents *extents, struct sw__region *region, size_t less) {
    struct sw__extent *last = region->last;
    sw__extent_uproot(last);
    last->node.size -= less;
    if (last->node.size > 0) {
        sw__extent_plant(last);
        return;
    }
    region->last = last->before;
    region->last->after = NULL; /* a region that is all free goes whole */
    keep_spare(extents, last);
}

void sw__region_cut_off(struct sw__extents *extents, struct sw__region *region, size_t size) {
    char *end = region->start + size;
    if (region->committed > size) {
        size_t less = region->committed - size;
        shorten_last(extents, region, less);
        extents->reserved.current -= less;
        sw__page_map_set(end, less, NULL);
        region->committed = size;
    }
    sw__pages_cut_off(&region->pages, size, region->size);
    sw__os_release(end, region->size - size);
    region->size = size;
}

/* ---- Cuts ------------------------------------------------------------------------------------ */

size_t sw__extents_cuts_left(struct sw__extents *extents) {
    size_t cuts = 0;
    if (!extents->most_cuts)
        extents->most_cuts = sw__os_most_mappings() / 2 + 1;
    for (struct sw__region *region = NULL; (region = sw__region_after(extents, region));)
        cuts += sw__pages_cuts(&region->pages);
    return cuts < extents->most_cuts ? extents->most_cuts - cuts : 0;
}
