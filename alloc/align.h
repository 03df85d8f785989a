/*
 * align.h - arithmetic on sizes.
 */
#ifndef SW_ALIGN_H
#define SW_ALIGN_H

#include <stddef.h>

/* Up to a multiple of a power of two. */
static inline size_t sw__align_up(size_t value, size_t alignment) {
    return (value + alignment - 1) & ~(alignment - 1);
}

/* Down to one. */
static inline size_t sw__align_down(size_t value, size_t alignment) {
    return value & ~(alignment - 1);
}

static inline size_t sw__smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t sw__larger(size_t a, size_t b) {
    return a > b ? a : b;
}

#endif
