/*
 * meta.h - memory for a heap's own bookkeeping.
 *
 * Pieces are cut from blocks of a fixed size and never given back one by one; a caller keeps its
 * own list of spares of one type. All of it goes when the heap goes. Everything starts as zero. Not
 * locked: its owner is.
 */
#ifndef SW_META_H
#define SW_META_H

#include <stddef.h>

#include "stepwell.h"

struct sw__meta {
    struct meta_block *blocks; /* newest first; pieces are cut from the newest */
    size_t used;               /* bytes cut from the newest */
    struct sw_level bytes;     /* committed */
};

/* A piece of size bytes, aligned to 64 when it is at least that large, else to 16. NULL when out of
 * memory. */
void *sw__meta_alloc(struct sw__meta *meta, size_t size);

/* The same out of what is there: the system is not asked. */
void *sw__meta_cut(struct sw__meta *meta, size_t size);
/* Pieces are cut from that memory from now on, which is all zero and stays the caller's: not for a meta
 * that is released. */
void sw__meta_feed(struct sw__meta *meta, void *start, size_t size);

/* Bytes of it that are physically present. */
size_t sw__meta_present(const struct sw__meta *meta);

/* Gives everything back, the meta itself as well where it lies in a piece of its own. */
void sw__meta_release(struct sw__meta *meta);

/* A first piece that holds the meta itself: the usual way to begin a heap's state, whose member at
 * meta_offset is its struct sw__meta. NULL when out of memory. */
void *sw__meta_create(size_t size, size_t meta_offset);

void sw__level_add(struct sw_level *level, size_t amount);

#endif
