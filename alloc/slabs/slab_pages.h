/*
 * slab_pages.h - the pages inside a slab: how they are cut into blocks, how those with nothing live
 * are given back, and how they come again.
 *
 * A page that was given back is absent. No live block lies on it, whole or in part, and no block
 * that does is in the free list: it is withheld until the last of its pages has come again.
 *
 * What changes anything is called with the lock of the slab's cache, and not the heap's.
 */
#ifndef SW_SLAB_PAGES_H
#define SW_SLAB_PAGES_H

#include "slabs.h"

enum { SW__SLAB_PAGES_MAX = 64, SW__SLAB_BLOCKS_MAX = 4096 };

/* A cache's `missed` is at most `present` divided by this. */
#define SW__MISSED_SHARE 2

/* Ensures a block in the free list: of an absent page that has been cut, or newly cut. False when
 * all are handed out, or there is no memory for more. */
bool sw__slab_ensure_block(struct sw__slabs *slabs, struct sw__slab *slab);

/* Gives back the pages on which nothing is live. Adds to *released, unless that is NULL, the bytes
 * that were there. */
void sw__slab_sweep(struct sw__slabs *slabs, struct sw__slab *slab, size_t *released);

/* Does any of the block lie on an absent page? */
bool sw__slab_is_withheld(const struct sw__slab *slab, const void *block);

static inline bool sw__slab_is_block(const struct sw__slab *slab, const void *pointer) {
    size_t at = (size_t)((const char *)pointer - sw__extent_start(slab->extent));
    return at < (size_t)slab->capacity * slab->block_size && (uint32_t)at % slab->block_size == 0;
}

/* More pages of a slab are there, or fewer. */
static inline void sw__slab_count_present(struct sw__slab *slab, size_t more) {
    struct sw__cache *cache = sw__slab_owner(slab);
    cache->present += more;
    if (more <= PTRDIFF_MAX)
        cache->grown += more;
}

static inline uint32_t sw__slab_carved(const struct sw__slab *slab) {
    return atomic_load_explicit(&slab->carved, memory_order_relaxed);
}

static inline uint64_t sw__slab_absent(const struct sw__slab *slab) {
    return atomic_load_explicit(&slab->absent, memory_order_relaxed);
}

/* Bytes of its pages that are not absent. */
static inline size_t sw__slab_present(const struct sw__slab *slab) {
    uint64_t absent = sw__slab_absent(slab);
    size_t pages = absent ? (size_t)__builtin_popcountll(absent) : 0; /* a call on old processors */
    return sw__extent_size(slab->extent) - (pages << SW__PAGE_SHIFT);
}

/* Nothing to give. */
static inline bool sw__slab_is_full(const struct sw__slab *slab) {
    return !slab->free && sw__slab_absent(slab) == 0 && sw__slab_carved(slab) == slab->capacity;
}

#endif
