/*
 * libc_below.h - libc's own malloc family, for the strategy that is libc.
 *
 * Where Stepwell does not stand in malloc's place these are the plain names. In the preload
 * library, whose malloc is ours, they are libc's behind it: glibc exports some of them under names
 * of their own, and of the rest the dynamic linker is asked when they are first needed (see
 * preload/libc_below.c).
 */
#ifndef SW_LIBC_BELOW_H
#define SW_LIBC_BELOW_H

#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef SW_PRELOAD

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

#define sw__libc_malloc   __libc_malloc
#define sw__libc_calloc   __libc_calloc
#define sw__libc_realloc  __libc_realloc
#define sw__libc_memalign __libc_memalign
#define sw__libc_free     __libc_free

size_t sw__libc_usable_size(void *block);
int sw__libc_trim(size_t pad);
int sw__libc_mallopt(int parameter, int value);
struct mallinfo2 sw__libc_mallinfo2(void);
int sw__libc_malloc_info(int options, FILE *stream);

/* What would have been called without us, where that is not libc's: a library that brings an
 * allocator of its own. NULL otherwise, and before the constructors. */
struct sw__behind {
    void (*free)(void *block);
    void *(*realloc)(void *block, size_t size);
    size_t (*usable_size)(void *block);
};
extern struct sw__behind sw__behind;

#else

#define sw__libc_malloc      malloc
#define sw__libc_calloc      calloc
#define sw__libc_realloc     realloc
#define sw__libc_memalign    memalign
#define sw__libc_free        free
#define sw__libc_usable_size malloc_usable_size
#define sw__libc_trim        malloc_trim
#define sw__libc_mallinfo2   mallinfo2
#define sw__libc_malloc_info malloc_info

#endif
#endif
