/*
 * remote.h - blocks that are freed by another thread than the owner of their slab: how they get
 * there, by way of the slab's remote list and its cache's inbox, and how they are taken over. See
 * slabs.h.
 */
#ifndef SW_REMOTE_H
#define SW_REMOTE_H

#include "slabs.h"

/* To be called by any thread but the owner, without a lock. */
void sw__remote_free(struct sw__slab *slab, struct sw__free_block *block);
/* The same with the owner's lock, of a block from its stock. */
void sw__remote_put_back(struct sw__slab *slab, struct sw__free_block *block);
/* How many blocks are in the slab's remote list. From anywhere. */
uint32_t sw__remote_count(const struct sw__slab *slab);

/* The slab has something in its remote list. Without a lock. */
void sw__inbox_put(struct sw__cache *owner, struct sw__slab *slab);
static inline bool sw__inbox_has_any(const struct sw__cache *cache) {
    return atomic_load_explicit(&cache->inbox, memory_order_relaxed) != NULL;
}
/* The owner takes all of it over; another thread, with only_closed, leaves open slabs there. With
 * the cache's lock. */
void sw__inbox_empty(struct sw__cache *cache, bool only_closed);

#endif
