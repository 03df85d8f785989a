/*
 * size_index.h - free extents by (size, address): the search behind every best fit.
 *
 * A treap (treap.h) for each size up to 63 pages, and for each half of a doubling above, as the tree
 * bins of Doug Lea's malloc 2.8 are; a bit says which have any. Of a few hundred free extents a
 * shelf holds one or two, so that to enter one, take it out or find the next larger needs no walk.
 * The order is that of one treap: of equal sizes the lowest address comes first, which keeps holes
 * together.
 */
#ifndef SW_SIZE_INDEX_H
#define SW_SIZE_INDEX_H

#include "treap.h"

#define SW__SHELVES 128

/* All zero, it is empty. */
struct sw__size_index {
    uint64_t filled[SW__SHELVES / 64]; /* a bit for each shelf */
    struct sw__treap_node *shelves[SW__SHELVES];
};

void sw__size_index_insert(struct sw__size_index *index, struct sw__treap_node *node);
void sw__size_index_remove(struct sw__size_index *index, struct sw__treap_node *node);
/* The least of at least that size, and of at least that address among those of the size. NULL where
 * there is none; so for all that follow. */
struct sw__treap_node *sw__size_index_at_least(const struct sw__size_index *index, size_t size,
                                               uintptr_t address);
/* The next in order. */
static inline struct sw__treap_node *sw__size_index_after(const struct sw__size_index *index,
                                                          const struct sw__treap_node *node) {
    return sw__size_index_at_least(index, node->size, node->address + 1);
}
/* The largest below that size, or of that size and below that address. */
struct sw__treap_node *sw__size_index_below(const struct sw__size_index *index, size_t size,
                                            uintptr_t address);
static inline struct sw__treap_node *sw__size_index_largest(const struct sw__size_index *index) {
    return sw__size_index_below(index, SIZE_MAX, 0);
}

#endif
