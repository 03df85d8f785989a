/*
 * misuse.h - what the programs of this folder are written in. Each does one thing wrong, and is
 * built twice: against malloc, to be run with the library preloaded, and LINKED, with a heap of its
 * own.
 *
 * The first line of a program is what it does wrong, and what a checked heap says to it: one of
 * alloc/misuse.h, or NOTHING. `run` reads it.
 */
#ifndef MISUSE_H
#define MISUSE_H

#include <stdint.h>
#include <stdlib.h>

#ifdef LINKED

#include <stdio.h>

#include "stepwell.h"

static sw_heap *heap;

static inline sw_heap *new_heap(void) {
    sw_heap *made = sw_heap_create(getenv("STEPWELL_STRATEGY"), getenv("STEPWELL_CONF"));
    if (!made) {
        fprintf(stderr, "%s\n", sw_error());
        exit(125);
    }
    return made;
}

#define TAKE(size)                    sw_alloc(heap, size, SW_TAG_OTHER)
#define TAKE_ZEROED(size)             sw_alloc_zeroed(heap, 1, size, SW_TAG_OTHER)
#define TAKE_ALIGNED(alignment, size) sw_alloc_aligned(heap, alignment, size, SW_TAG_OTHER)
#define RESIZE(block, size)           sw_realloc(heap, block, size)
#define GIVE_BACK(block)              sw_free(heap, block)
#define SIZE_OF(block)                sw_usable_size(heap, block)

#else

#include <malloc.h>

#define TAKE(size)                    malloc(size)
#define TAKE_ZEROED(size)             calloc(1, size)
#define TAKE_ALIGNED(alignment, size) aligned_alloc(alignment, size)
#define RESIZE(block, size)           realloc(block, size)
#define GIVE_BACK(block)              free(block)
#define SIZE_OF(block)                malloc_usable_size(block)

#endif

#define SMALL ((size_t)100)
#define LARGE ((size_t)1 << 20)

/* So that the compiler does not see what is coming. */
static inline void *hidden(const void *pointer) {
    void *volatile seen_by_nobody = (void *)pointer;
    return seen_by_nobody;
}

/* As in most programs a small block lives: of an empty slab more is seen. */
static void *volatile lives;

__attribute__((constructor)) static void begin(void) {
#ifdef LINKED
    heap = new_heap();
#endif
    lives = TAKE(SMALL);
}

static inline void set(volatile char *byte) {
    *byte = 1;
}

#endif
