/*
 * bins.h - what a cache does with its slabs: it makes them and gives them back, lists them in their
 * bins, opens and closes them, and counts what they hold. The words are those of slabs.h.
 *
 * All of it is called with the lock of the slab's cache, and not the heap's, but where it says
 * otherwise.
 */
#ifndef SW_BINS_H
#define SW_BINS_H

#include "slab_pages.h"
#include "slabs.h"

/* A slab's alarm when there is none to be: the current one's, once it or another was found empty. */
#define SW__NO_ALARM UINT32_MAX

/* Where a bin that emptied had a slab again before somebody looked, one look in so many counts. */
#define SW__LOOKS_AT_BUSY 10

/* In a child of a process with threads: one of them may have stood between a list and its count. */
extern bool sw__slabs_torn_by_fork;

/* A new slab, for the bin to take blocks from; NULL when out of memory. */
struct sw__slab *sw__slab_make(struct sw__cache *cache, unsigned class);
/* Its pages go back to the extents; it is in no list, and nothing of it lives. */
void sw__slab_give_back(struct sw__slab *slab);
/* Its descriptor is for the next slab. The heap's lock is held. */
void sw__slab_keep_descriptor(struct sw__slabs *slabs, struct sw__slab *slab);

/* The cache is about to lose it. */
void sw__slab_count_out(struct sw__slab *slab);
/* So many blocks more are free, each with its page, perhaps. Only of closed slabs it is told. */
void sw__slab_count_freed(struct sw__slab *slab, size_t blocks);
/* So much more of it is unswept. */
void sw__slab_count_unswept(struct sw__slab *slab, size_t more);

/* Into its bin's list, at the end, and out of it. */
void sw__bin_list(struct sw__slab *slab);
void sw__bin_unlist(struct sw__slab *slab);
/* The bin's current slab joins the others; one with nothing to give waits for its first free. */
void sw__bin_retire_current(struct sw__cache *cache, unsigned class);
/* The bin's current slab is empty. */
void sw__bin_heed_emptied(struct sw__slab *slab);
/* The bin has none so far. */
void sw__bin_make_current(struct sw__slab *slab);

/* Of one that is not current. */
void sw__slab_close_if_sparse(struct sw__slab *slab);
/* It came to its alarm: it stays open for a while, in place of the one before. False if that is not for
 * it. */
bool sw__slab_linger(struct sw__slab *slab);
/* No slab of the cache lingers any more. */
void sw__cache_settle(struct sw__cache *cache);
/* Its thread has freed: where it has given back most of its slabs, the current ones retire. */
void sw__cache_heed_shrinking(struct sw__cache *cache);
/* Blocks came back to one that is not current. */
void sw__slab_heed_free(struct sw__slab *slab);
/* Blocks came back to any, and not by its owner's free. */
void sw__slab_heed_returned(struct sw__slab *slab);
/* One more block of a closed slab is free, by its owner's doing: it may be opened. */
void sw__slab_put_closed(struct sw__slab *slab, struct sw__free_block *block);
/* The same of any slab, which stays what it is; by any thread if it is closed. */
void sw__slab_put_back(struct sw__slab *slab, struct sw__free_block *block);

static inline struct sw__bin *sw__slab_bin(const struct sw__slab *slab) {
    return &sw__slab_owner(slab)->bins[slab->class];
}

static inline struct sw__slab *sw__bin_current(const struct sw__cache *cache, unsigned class) {
    return atomic_load_explicit(&cache->current[class], memory_order_relaxed);
}

static inline void sw__bin_set_current(struct sw__cache *cache, unsigned class,
                                       struct sw__slab *slab) {
    atomic_store_explicit(&cache->current[class], slab, memory_order_relaxed);
}

static inline bool sw__slab_is_current(const struct sw__slab *slab) {
    return sw__bin_current(sw__slab_owner(slab), slab->class) == slab;
}

static inline bool sw__slab_is_closed(const struct sw__slab *slab) {
    return !sw__slab_is_open_to(slab, sw__slab_owner(slab));
}

static inline void sw__slab_set_owner(struct sw__slab *slab, struct sw__cache *cache) {
    atomic_store_explicit(&slab->owner, (uintptr_t)cache, memory_order_relaxed);
}

static inline void sw__slab_set_used(struct sw__slab *slab, uint32_t used) {
    atomic_store_explicit(&slab->used, used, memory_order_relaxed);
}

static inline uint32_t sw__slab_used(const struct sw__slab *slab) {
    return atomic_load_explicit(&slab->used, memory_order_relaxed);
}

#endif
