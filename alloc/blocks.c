/*
 * blocks.c - small blocks in slabs, large ones as extents: see blocks.h.
 */
#include "blocks.h"

#include "align.h"

#include <string.h>

void *sw__blocks_create(size_t state_size, const struct sw__config *config,
                        size_t (*round_large)(size_t)) {
    struct sw__blocks *blocks = sw__meta_create(state_size, offsetof(struct sw__blocks, meta));
    if (!blocks)
        return NULL;
    blocks->round_large = round_large;
    sw__extents_init(&blocks->extents, &blocks->meta, config);
    if (sw__slabs_init(&blocks->slabs, &blocks->extents))
        return blocks;
    sw__meta_release(&blocks->meta);
    return NULL;
}

void sw__blocks_destroy(void *state) {
    struct sw__blocks *blocks = state;
    sw__slabs_destroy(&blocks->slabs);
    sw__extents_destroy(&blocks->extents);
    sw__meta_release(&blocks->meta);
}

/* ---- Alloc ----------------------------------------------------------------------------------- */

/* More than any machine has, and rounding it up cannot overflow. */
#define MOST ((size_t)PTRDIFF_MAX / 2)

void *sw__blocks_alloc(void *state, size_t size, size_t alignment, enum sw_tag tag) {
    struct sw__blocks *blocks = state;
    (void)tag;
    if (sw__is_small(size, alignment))
        return sw__slabs_alloc(&blocks->slabs, sw__aligned_class(size, alignment));
    if (size > MOST)
        return NULL;
    struct sw__extent *extent =
        sw__extents_alloc(&blocks->extents, blocks->round_large(size), alignment);
    return extent ? sw__extent_start(extent) : NULL;
}

void *sw__blocks_alloc_zeroed(void *state, size_t size, enum sw_tag tag) {
    if (size <= SW__SMALL_MAX) {
        void *block = sw__blocks_alloc(state, size, SW_MIN_ALIGNMENT, tag);
        return block ? memset(block, 0, size) : NULL;
    }
    struct sw__blocks *blocks = state;
    return size > MOST ? NULL
                       : sw__extents_alloc_zeroed(&blocks->extents, blocks->round_large(size));
}

/* ---- Free, resize ---------------------------------------------------------------------------- */

/* The slab of a small block of this heap; NULL when it is none. */
static struct sw__slab *small_block_by(const struct sw__blocks *blocks, void *entry) {
    struct sw__slab *slab = sw__slab_in(entry);
    struct sw__cache *owner = slab ? sw__slab_owner(slab) : NULL;
    return owner && owner->slabs == &blocks->slabs ? slab : NULL;
}

static struct sw__slab *small_block(const struct sw__blocks *blocks, const void *block) {
    return small_block_by(blocks, sw__page_map_get(block));
}

struct sw__extent *sw__blocks_free_small(struct sw__blocks *blocks, void *block) {
    void *entry = sw__page_map_get(block);
    struct sw__slab *slab = small_block_by(blocks, entry);
    if (slab) {
        sw__slabs_free(&blocks->slabs, slab, block);
        return NULL;
    }
    struct sw__extent *large = sw__extents_find_by(&blocks->extents, entry, block);
    if (!large)
        sw__misuse_free();
    return large;
}

void sw__blocks_free(void *state, void *block) {
    struct sw__blocks *blocks = state;
    struct sw__extent *large = sw__blocks_free_small(blocks, block);
    if (large)
        sw__extents_free(&blocks->extents, large);
}

bool sw__blocks_suits(struct sw__blocks *blocks, const void *large, size_t size) {
    const struct sw__extent *extent = sw__extents_find(&blocks->extents, large);
    return extent && sw__blocks_stays_large(extent, size) && size <= sw__extent_size(extent) &&
           sw__align_up(blocks->round_large(size), SW__PAGE) == sw__extent_size(extent);
}

void *sw__blocks_resize(void *state, void *block, size_t size) {
    struct sw__blocks *blocks = state;
    struct sw__slab *slab = small_block(blocks, block);
    if (slab)
        return sw__slab_suits(slab, size) ? block : NULL;
    struct sw__extent *extent = sw__extents_block_to(&blocks->extents, block, SW__MISUSE_REALLOC);
    if (size > MOST || !sw__blocks_stays_large(extent, size))
        return NULL;
    return sw__extents_resize(&blocks->extents, extent, blocks->round_large(size));
}

size_t sw__blocks_size_to(struct sw__blocks *blocks, const void *block, enum sw__misuse otherwise) {
    struct sw__slab *slab = small_block(blocks, block);
    if (slab)
        return slab->block_size;
    return sw__extent_size(sw__extents_block_to(&blocks->extents, block, otherwise));
}

size_t sw__blocks_usable_size(void *state, const void *block) {
    return sw__blocks_size_to(state, block, SW__MISUSE_USABLE_SIZE);
}

/* ---- The rest -------------------------------------------------------------------------------- */

size_t sw__blocks_trim(void *state) {
    struct sw__blocks *blocks = state;
    size_t swept = 0;
    sw__slabs_collect(&blocks->slabs, &swept);
    return swept + sw__extents_trim(&blocks->extents);
}

void sw__blocks_stats(void *state, struct sw__strategy_stats *stats) {
    struct sw__blocks *blocks = state;
    sw__extents_stats(&blocks->extents, stats);
    stats->allocated = sw__slabs_allocated(&blocks->slabs);
}

size_t sw__blocks_largest_free(void *state) {
    struct sw__blocks *blocks = state;
    size_t small = sw__slabs_largest_free(&blocks->slabs);
    size_t large = sw__extents_largest_free(&blocks->extents);
    return sw__larger(small, large);
}

size_t sw__blocks_metadata_present(void *state) {
    struct sw__blocks *blocks = state;
    return sw__extents_metadata_present(&blocks->extents);
}

void sw__blocks_visit_ranges(void *state, sw__range_visitor *visitor, void *context) {
    struct sw__blocks *blocks = state;
    sw__extents_visit(&blocks->extents, visitor, context);
}

void sw__blocks_visit_sizes(void *state, sw__size_visitor *visitor, void *context) {
    struct sw__blocks *blocks = state;
    sw__slabs_visit_sizes(&blocks->slabs, visitor, context);
    sw__extents_visit_sizes(&blocks->extents, visitor, context);
}

void sw__blocks_visit_locks(void *state, sw__lock_visitor *visitor, void *context) {
    struct sw__blocks *blocks = state;
    sw__slabs_visit_locks(&blocks->slabs, visitor, context);
    visitor(context, &blocks->extents.lock);
}
