/*
 * stock.h - what a bin's thread has freed into its closed slabs, to be handed out again first: see
 * slabs.h.
 *
 * A free into a closed slab takes the cache's lock, and mostly finds a slab that nobody has looked at
 * for long; and the next block comes from another such. Large blocks have few to a slab, so most of
 * their slabs are closed. A block that goes by way of the stock costs neither, and is still in the
 * processor's caches when it is handed out again.
 */
#ifndef SW_STOCK_H
#define SW_STOCK_H

#include "slabs.h"

/* Without a lock, by the cache's thread. A block of its closed slab; false when there is no room, or
 * the slab was swept: what is not there may have been freed long ago. */
bool sw__stock_put(struct sw__cache *mine, const struct sw__slab *slab,
                   struct sw__free_block *block);
/* NULL when there is none, or it is being emptied. */
void *sw__stock_take(struct sw__cache *mine, unsigned class);

/* With the cache's lock, by its thread. The block was refused, and goes to its slab. */
void sw__stock_heed_refused(struct sw__cache *mine, unsigned class,
                            const struct sw__free_block *block);
/* The class had no block at hand: it may have more in stock. */
void sw__stock_grow(struct sw__cache *mine, unsigned class);
/* It still has none: its cache is about to have a slab more. Stocks that are not used go back first,
 * when that has come to much: each of their blocks may be all that a slab is there for. */
void sw__stock_give_way(struct sw__cache *mine);
/* All goes back to the slabs, and no stock has room. */
void sw__stock_empty(struct sw__cache *mine);

/* By any thread, without a lock. The stocks of this cache and all older ones are shut to their threads,
 * until they are opened; false when there is nothing in them. */
bool sw__stocks_shut(struct sw__cache *newest);
void sw__stocks_open(struct sw__cache *newest);
/* Between the two, with the cache's lock alone: all goes back, unless the cache's thread is in the midst
 * of it. */
void sw__stock_empty_for(struct sw__cache *cache);

/* Blocks there. From anywhere. */
static inline uint32_t sw__stock_count(const struct sw__stock *stock) {
    uint32_t limit = atomic_load_explicit(&stock->limit, memory_order_relaxed);
    uint32_t room = atomic_load_explicit(&stock->room, memory_order_relaxed);
    return limit > room ? limit - room : 0; /* both may be changing */
}

#endif
