/*
 * deep.c - a library to be bound deeply: its malloc is libc's whatever is preloaded. It gives its
 * blocks away.
 */
#include <stdlib.h>
#include <string.h>

void *deep_give(size_t size) {
    void *block = malloc(size);
    return block ? memset(block, 0x5a, size) : NULL;
}

void *deep_give_aligned(size_t alignment, size_t size) {
    void *block;
    return posix_memalign(&block, alignment, size) == 0 ? memset(block, 0x5a, size) : NULL;
}
