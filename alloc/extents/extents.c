/*
 * extents.c - the page source: see extents.h. Its calls but for resize.c's and rest.c's.
 */
#include "extents.h"

#include "align.h"
#include "page_map.h"
#include "placement.h"
#include "supply.h"
#include "zeros.h"

#include <string.h>

/* What was refused is tried again when an eighth more is free, or a hundred times later. */
#define REFUSED_SLACK 8
#define REFUSED_FADES 1024

/* ---- Alloc and free -------------------------------------------------------------------------- */

void sw__extents_init(struct sw__extents *extents, struct sw__meta *meta,
                      const struct sw__config *config) {
    memset(extents, 0, sizeof *extents);
    extents->meta = meta;
    extents->limit = config->limit ? config->limit : SIZE_MAX;
    extents->huge_pages = config->huge_pages;
    extents->budget = SIZE_MAX;
    extents->refusals = sw__os_refusals();
}

void sw__extents_destroy(struct sw__extents *extents) {
    for (struct sw__region *region = NULL; (region = sw__region_after(extents, region));) {
        sw__page_map_set(region->start, region->committed, NULL);
        sw__os_release(region->start, region->size);
    }
}

void *sw__extents_meta_alloc(struct sw__extents *extents, size_t size) {
    sw__lock(&extents->lock);
    void *piece = sw__extents_bookkeep(extents, size);
    if (!piece) {
        sw__placement_release_parked(extents);
        piece = sw__extents_bookkeep(extents, size);
    }
    sw__unlock(&extents->lock);
    return piece;
}

static struct sw__extent *obtain(struct sw__extents *extents, size_t size, size_t alignment,
                                 enum sw__filling filling) {
    struct sw__extent *fresh = filling == SW__ZEROED && sw__supply_wants_fresh(extents, size)
                                   ? sw__placement_obtain_fresh(extents, size)
                                   : NULL;
    return fresh ? fresh : sw__placement_obtain(extents, size, alignment);
}

static struct sw__extent *alloc(struct sw__extents *extents, size_t size, size_t alignment,
                                enum sw__filling filling) {
    size = sw__align_up(size, SW__PAGE);
    if (alignment < SW__PAGE)
        alignment = SW__PAGE;
    if (size > PTRDIFF_MAX || alignment > PTRDIFF_MAX - size)
        return NULL;
    sw__lock(&extents->lock);
    struct sw__extent *extent =
        sw__placement_allowed(extents, size) ? obtain(extents, size, alignment, filling) : NULL;
    if (extent && !sw__supply_furnish(extents, extent, filling)) {
        sw__extent_release(extents, extent);
        extent = NULL;
    }
    if (extent)
        sw__placement_enliven(extents, extent);
    sw__unlock(&extents->lock);
    return extent;
}

struct sw__extent *sw__extents_alloc(struct sw__extents *extents, size_t size, size_t alignment) {
    return alloc(extents, size, alignment, SW__DENSE);
}

struct sw__extent *sw__extents_alloc_sparse(struct sw__extents *extents, size_t size,
                                            size_t alignment) {
    return alloc(extents, size, alignment, SW__SPARSE);
}

void *sw__extents_alloc_zeroed(struct sw__extents *extents, size_t size) {
    struct sw__extent *extent = alloc(extents, size, SW__PAGE, SW__ZEROED);
    if (!extent)
        return NULL;
    if (!extent->zero && !sw__zeros_renew(extents, extent))
        sw__zeros_write(extents, extent);
    return sw__extent_start(extent);
}

void sw__extents_free(struct sw__extents *extents, struct sw__extent *extent) {
    sw__lock(&extents->lock);
    size_t living = extent->marked ? extent->touched : sw__extent_size(extent);
    sw__extents_count(&extents->live, -living);
    sw__placement_retire(extents, extent);
    sw__unlock(&extents->lock);
}

/* ---- Which extent is it ---------------------------------------------------------------------- */

struct sw__extent *sw__extents_find_by(struct sw__extents *extents, void *entry,
                                       const void *address) {
    struct sw__region *region = entry;
    if (!region || ((uintptr_t)region & SW__HOLDER_BITS) || region->extents != extents ||
        ((uintptr_t)address & (SW__PAGE - 1)) != 0)
        return NULL;
    return *sw__region_entry(region, address);
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

void sw__extents_mark_segment(struct sw__extents *extents, struct sw__extent *extent,
                              void *holder) {
    extent->holder = holder;
    sw__extents_mark(extents, extent, (char *)extent + SW__HOLDER_IS_SEGMENT);
}

struct sw__extent *sw__extents_segment(const void *holder, const void *address) {
    uintptr_t entry = (uintptr_t)sw__page_map_get(address);
    struct sw__extent *segment = (struct sw__extent *)(entry - SW__HOLDER_IS_SEGMENT);
    return (entry & SW__HOLDER_BITS) == SW__HOLDER_IS_SEGMENT && segment->holder == holder ? segment
                                                                                           : NULL;
}

/* ---- Giving back ----------------------------------------------------------------------------- */

bool sw__extents_give_part_back(struct sw__extents *extents, struct sw__extent *extent, char *start,
                                size_t size, size_t *released) {
    sw__lock(&extents->lock);
    size_t resident = released ? sw__os_resident(start, size) : 0;
    bool went = sw__supply_purge_part(extents, extent, start, size);
    if (went)
        sw__extents_count(&extents->live, -size);
    if (went && released)
        *released += resident;
    sw__unlock(&extents->lock);
    return went;
}

bool sw__extents_bring_part(struct sw__extents *extents, struct sw__extent *extent, char *start,
                            size_t size) {
    sw__lock(&extents->lock);
    if (extents->held > extents->limit - sw__smaller(size, extents->limit))
        sw__placement_release_parked(extents); /* its pages are to make room */
    bool came = sw__placement_allowed(extents, size);
    came = came && sw__supply_bring_part(extents, extent, start, size);
    if (came)
        sw__extents_count(&extents->live, size);
    sw__unlock(&extents->lock);
    return came;
}

/* As much of what is above the budget as others may wait for. False when no more is, or will go. */
static bool purge_a_little(struct sw__extents *extents) {
    sw__placement_release_parked(extents);
    size_t budget = atomic_load_explicit(&extents->budget, memory_order_relaxed);
    size_t held = extents->held;
    size_t down_to = held > SW__PURGED_AT_ONCE ? held - SW__PURGED_AT_ONCE : 0;
    size_t refused = sw__supply_purge_above(extents, sw__larger(budget, down_to));
    sw__extents_count(&extents->purged, held - extents->held);
    if (refused == 0 || extents->held == held)
        extents->refused = refused + refused / REFUSED_SLACK;
    return extents->held < held && extents->held > budget;
}

/* What the kernel would not take, as of a process that locks all its memory, is not tried again with
 * each block: only when there is more, and now and then. */
static bool may_go(struct sw__extents *extents) {
    if (sw__extents_kept(extents) > extents->refused)
        return true;
    extents->refused -= extents->refused / REFUSED_FADES;
    return false;
}

static __attribute__((noinline)) void purge_in_parts(struct sw__extents *extents) {
    sw__lock(&extents->lock);
    if (may_go(extents))
        while (purge_a_little(extents))
            sw__lock_share(&extents->lock);
    sw__unlock(&extents->lock);
}

void sw__extents_keep_budget(struct sw__extents *extents) {
    size_t budget = atomic_load_explicit(&extents->budget, memory_order_relaxed);
    size_t held = atomic_load_explicit(&extents->held, memory_order_relaxed);
    if (held > budget && held - budget > sw__extents_tolerated(budget))
        purge_in_parts(extents);
}

/* ---- Looking at it --------------------------------------------------------------------------- */

size_t sw__extents_metadata_present(struct sw__extents *extents) {
    sw__lock(&extents->lock);
    struct sw__meta now = *extents->meta;
    sw__unlock(&extents->lock);
    return sw__meta_present(&now); /* no block of it ever changes, or goes before the heap does */
}

/* A part of the address space. The kernel takes its time to tell what of it is there, and is asked
 * without the lock: others may have changed it meanwhile, or given it back. */
struct range {
    char *start;
    size_t size;
};

/* What is committed of the first region that starts above the address; of no size if none does. */
static struct range range_above(struct sw__extents *extents, const char *address) {
    struct range next = {0};
    sw__lock(&extents->lock);
    for (struct sw__region *region = NULL; (region = sw__region_after(extents, region));)
        if (region->start > address && (!next.size || region->start < next.start))
            next = (struct range){region->start, region->committed};
    sw__unlock(&extents->lock);
    return next;
}

void sw__extents_visit(struct sw__extents *extents, sw__range_visitor *visitor, void *context) {
    for (struct range range = {0}; (range = range_above(extents, range.start)).size;)
        visitor(context, range.start, range.size);
}

static void visit_sizes(const struct sw__region *region, sw__size_visitor *visitor, void *context) {
    for (struct sw__extent *extent = region->last; extent; extent = extent->before)
        if (extent->state == SW__EXTENT_LIVE && !extent->marked)
            visitor(context, sw__extent_size(extent), sw__extent_size(extent));
}

void sw__extents_visit_sizes(struct sw__extents *extents, sw__size_visitor *visitor,
                             void *context) {
    sw__lock(&extents->lock);
    for (struct sw__region *region = NULL; (region = sw__region_after(extents, region));)
        visit_sizes(region, visitor, context);
    sw__unlock(&extents->lock);
}

/* The largest free extent of a side below another in size or, of the same, in address, of which more
 * than that may be there; of no size if there is none. */
static struct range free_below(struct sw__extents *extents, const struct sw__side *side,
                               struct range other, size_t most) {
    struct range found = {0};
    sw__lock(&extents->lock);
    sw__placement_release_parked(extents);
    struct sw__treap_node *node =
        sw__size_index_below(&side->dirty, other.size, (uintptr_t)other.start);
    while (node && node->size > most && sw__extent_of(node)->touched <= most)
        node = sw__size_index_below(&side->dirty, node->size, node->address);
    if (node && node->size > most)
        found = (struct range){(char *)node->address, node->size};
    sw__unlock(&extents->lock);
    return found;
}

size_t sw__extents_largest_free(struct sw__extents *extents) {
    size_t most = 0;
    for (int side = 0; side < SW__SIDES; side++)
        for (struct range range = {.size = SIZE_MAX};
             (range = free_below(extents, &extents->sides[side], range, most)).size;)
            most = sw__larger(sw__os_resident(range.start, range.size), most);
    return most;
}

void sw__extents_stats(struct sw__extents *extents, struct sw__strategy_stats *stats) {
    sw__lock(&extents->lock);
    stats->reserved = extents->reserved;
    stats->metadata = extents->meta->bytes;
    sw__level_add(&stats->metadata, extents->lent.bytes.current);
    stats->at_limit = extents->at_limit;
    sw__unlock(&extents->lock);
}
