/*
 * fast.h - malloc and free as far as no lock, no other thread and no large block is concerned, for
 * everything that ends in them: C's family and C++'s operators.
 */
#ifndef SW_FAST_H
#define SW_FAST_H

#include "process.h"

/* Our malloc, whoever else has one by that name. */
__attribute__((visibility("hidden"))) void *sw__own_malloc(size_t size);
void *sw__malloc_slow(size_t size);
void sw__free_slow(void *block);

static inline void *sw__malloc(size_t size) {
    void *block = sw__front_alloc(size);
    return __builtin_expect(block != NULL, 1) ? block : sw__malloc_slow(size);
}

static inline void sw__free(void *block) {
    if (__builtin_expect(!sw__front_free(block), 0))
        sw__free_slow(block);
}

#endif
