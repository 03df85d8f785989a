/*
 * align.h - rounding up to a power of two.
 */
#ifndef SW_ALIGN_H
#define SW_ALIGN_H

#include <stddef.h>

static inline size_t sw__align_up(size_t value, size_t alignment) {
    return (value + alignment - 1) & ~(alignment - 1);
}

#endif
