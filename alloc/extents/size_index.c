/*
 * size_index.c - see size_index.h.
 */
#include "size_index.h"

#include "os.h"

/* Sizes of fewer pages have a shelf each. */
#define EXACT_SHIFT 6
#define EXACT       (1u << EXACT_SHIFT)

/* Grows with the size. The last shelf has all that is larger still. */
static unsigned shelf_of(size_t size) {
    size_t pages = size >> SW__PAGE_SHIFT;
    if (pages < EXACT)
        return (unsigned)pages;
    unsigned doubling = 63 - (unsigned)__builtin_clzll(pages);
    unsigned half = (unsigned)(pages >> (doubling - 1)) & 1;
    unsigned shelf = EXACT + 2 * (doubling - EXACT_SHIFT) + half;
    return shelf < SW__SHELVES ? shelf : SW__SHELVES - 1;
}

static uint64_t bit_of(unsigned shelf) {
    return UINT64_C(1) << (shelf % 64);
}

/* The first filled shelf above that one, SW__SHELVES where there is none; */
static unsigned filled_above(const struct sw__size_index *index, unsigned shelf) {
    unsigned word = shelf / 64;
    uint64_t filled = index->filled[word] & -(2 * bit_of(shelf));
    while (!filled && word < SW__SHELVES / 64 - 1)
        filled = index->filled[++word];
    return filled ? 64 * word + (unsigned)__builtin_ctzll(filled) : SW__SHELVES;
}

/* and the last one below it. */
static unsigned filled_below(const struct sw__size_index *index, unsigned shelf) {
    unsigned word = shelf / 64;
    uint64_t filled = index->filled[word] & (bit_of(shelf) - 1);
    while (!filled && word > 0)
        filled = index->filled[--word];
    return filled ? 64 * word + 63 - (unsigned)__builtin_clzll(filled) : SW__SHELVES;
}

void sw__size_index_insert(struct sw__size_index *index, struct sw__treap_node *node) {
    unsigned shelf = shelf_of(node->size);
    if (index->shelves[shelf]) { /* mostly there is none, and no place to find for it */
        sw__treap_insert(&index->shelves[shelf], node);
        return;
    }
    node->left = node->right = NULL;
    index->shelves[shelf] = node;
    index->filled[shelf / 64] |= bit_of(shelf);
}

void sw__size_index_remove(struct sw__size_index *index, struct sw__treap_node *node) {
    unsigned shelf = shelf_of(node->size);
    sw__treap_remove(&index->shelves[shelf], node);
    if (!index->shelves[shelf])
        index->filled[shelf / 64] &= ~bit_of(shelf);
}

struct sw__treap_node *sw__size_index_at_least(const struct sw__size_index *index, size_t size,
                                               uintptr_t address) {
    unsigned shelf = shelf_of(size);
    struct sw__treap_node *node = sw__treap_at_least(index->shelves[shelf], size, address);
    if (node)
        return node;
    shelf = filled_above(index, shelf);
    return shelf < SW__SHELVES ? sw__treap_at_least(index->shelves[shelf], size, 0) : NULL;
}

struct sw__treap_node *sw__size_index_below(const struct sw__size_index *index, size_t size,
                                            uintptr_t address) {
    unsigned shelf = shelf_of(size);
    struct sw__treap_node *node = sw__treap_below(index->shelves[shelf], size, address);
    if (node)
        return node;
    shelf = filled_below(index, shelf);
    return shelf < SW__SHELVES ? sw__treap_below(index->shelves[shelf], size, 0) : NULL;
}
