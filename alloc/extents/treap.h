/*
 * treap.h - an ordered set of free pieces by (size, address): the search behind every best fit.
 *
 * A binary search tree whose nodes are also a heap by a pseudo-random priority, so that its depth
 * is O(log n) expected whatever the order of insertion (R. Seidel, C. Aragon, Randomized Search
 * Trees, 1996). The priority is a hash of the address: nothing is stored and runs repeat. Nodes
 * live inside what they describe. Of equal sizes the lowest address comes first, which keeps holes
 * together.
 */
#ifndef SW_TREAP_H
#define SW_TREAP_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw__treap_node {
    struct sw__treap_node *left, *right;
    size_t size;
    uintptr_t address;
};

static inline uint64_t sw__treap_priority(const struct sw__treap_node *node) {
    uint64_t hash = node->address * UINT64_C(0x9e3779b97f4a7c15);
    return (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
}

static inline bool sw__treap_less(const struct sw__treap_node *a, const struct sw__treap_node *b) {
    return a->size != b->size ? a->size < b->size : a->address < b->address;
}

static inline void sw__treap_insert(struct sw__treap_node **link, struct sw__treap_node *node) {
    uint64_t priority = sw__treap_priority(node);
    while (*link && sw__treap_priority(*link) >= priority)
        link = sw__treap_less(*link, node) ? &(*link)->right : &(*link)->left;
    /* Split what hangs here into what is less than node and what is more. */
    struct sw__treap_node *rest = *link, **less = &node->left, **more = &node->right;
    while (rest) {
        if (sw__treap_less(rest, node)) {
            *less = rest;
            less = &rest->right;
            rest = rest->right;
        } else {
            *more = rest;
            more = &rest->left;
            rest = rest->left;
        }
    }
    *less = *more = NULL;
    *link = node;
}

static inline void sw__treap_remove(struct sw__treap_node **link, struct sw__treap_node *node) {
    while (*link != node) {
        assert(*link); /* node is in the tree */
        link = sw__treap_less(*link, node) ? &(*link)->right : &(*link)->left;
    }
    struct sw__treap_node *left = node->left, *right = node->right;
    while (left && right) {
        if (sw__treap_priority(left) >= sw__treap_priority(right)) {
            *link = left;
            link = &left->right;
            left = left->right;
        } else {
            *link = right;
            link = &right->left;
            right = right->left;
        }
    }
    *link = left ? left : right;
}

/* The least node of at least that size, and of at least that address among those of the size. */
static inline struct sw__treap_node *sw__treap_at_least(struct sw__treap_node *root, size_t size,
                                                        uintptr_t address) {
    struct sw__treap_node *best = NULL;
    while (root) {
        if (root->size > size || (root->size == size && root->address >= address)) {
            best = root;
            root = root->left;
        } else {
            root = root->right;
        }
    }
    return best;
}

/* The largest node below that size, or of that size and below that address. */
static inline struct sw__treap_node *sw__treap_below(struct sw__treap_node *root, size_t size,
                                                     uintptr_t address) {
    struct sw__treap_node *best = NULL;
    while (root) {
        if (root->size < size || (root->size == size && root->address < address)) {
            best = root;
            root = root->right;
        } else {
            root = root->left;
        }
    }
    return best;
}

#endif
