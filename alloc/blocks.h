/*
 * blocks.h - small blocks in slabs, large ones as extents: a heap for any size and any thread,
 * which sizeclass and auto are made of. They differ in how large sizes are rounded and what is
 * kept.
 */
#ifndef SW_BLOCKS_H
#define SW_BLOCKS_H

#include "slabs/slabs.h"

struct sw__blocks {
    struct sw__slabs slabs;
    struct sw__extents extents;
    struct sw__meta meta;
    size_t (*round_large)(size_t size); /* of extents; at most PTRDIFF_MAX / 2 */
};

/* A heap's state of so many bytes that begins with a struct sw__blocks. NULL when out of memory. */
void *sw__blocks_create(size_t state_size, const struct sw__config *config,
                        size_t (*round_large)(size_t));

/* The slots of a strategy whose state begins with a struct sw__blocks; see strategy.h. */
void sw__blocks_destroy(void *state);
void *sw__blocks_alloc(void *state, size_t size, size_t alignment, enum sw_tag tag);
void *sw__blocks_alloc_zeroed(void *state, size_t size, enum sw_tag tag);
void sw__blocks_free(void *state, void *block);
/* Frees a small block and returns NULL; of a large one it returns the extent, to be freed. */
struct sw__extent *sw__blocks_free_small(struct sw__blocks *blocks, void *block);
/* Would a block of that size take as many pages as this large block has? */
bool sw__blocks_suits(struct sw__blocks *blocks, const void *large, size_t size);
/* Does a large block stay one with that size? Near SW__SMALL_MAX it is not copied with each change.
 * What it leaves behind it is too small for other large blocks, so that is to be little. */
static inline bool sw__blocks_stays_large(const struct sw__extent *large, size_t size) {
    return size > SW__SMALL_MAX ||
           (size > SW__SMALL_MAX / 2 && size >= sw__extent_size(large) / 4 * 3);
}
void *sw__blocks_resize(void *state, void *block, size_t size);
size_t sw__blocks_usable_size(void *state, const void *block);
/* The same; a pointer that is no live block is misuse of what it was brought to. */
size_t sw__blocks_size_to(struct sw__blocks *blocks, const void *block, enum sw__misuse otherwise);
size_t sw__blocks_trim(void *state);
void sw__blocks_stats(void *state, struct sw__strategy_stats *stats);
size_t sw__blocks_largest_free(void *state);
size_t sw__blocks_metadata_present(void *state);
void sw__blocks_visit_ranges(void *state, sw__range_visitor *visitor, void *context);
void sw__blocks_visit_sizes(void *state, sw__size_visitor *visitor, void *context);
void sw__blocks_visit_locks(void *state, sw__lock_visitor *visitor, void *context);

#endif
