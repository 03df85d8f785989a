/*
 * classes.h - size classes: what small requests are rounded up to, so that blocks serve each other.
 */
#ifndef SW_CLASSES_H
#define SW_CLASSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The classes, with spacing in front:
 *     16:   16  32  48  64  80  96 112 128
 *     eight to a doubling, up to 32 KiB (a ninth lost at worst)
 *     16:  144 160 176 192 208 224 240 256       32: 288 320 ... 512     64: 576 640 ... 1024
 *     128: 1152 1280 ... 2048                    256: 2304 2560 ... 4096 ...
 */
enum {
    SW__CLASS_COUNT = 8 + 8 * 8,
    SW__SMALL_MAX = 32 << 10,
    SW__TABLED_MAX = 1024, /* sizes whose class is looked up */
};

extern const uint8_t sw__class_table[SW__TABLED_MAX / 16 + 1];
extern const uint16_t sw__class_sizes[SW__CLASS_COUNT];

/* Is it a block of a class? All others are extents. */
static inline bool sw__is_small(size_t size, size_t alignment) {
    return __builtin_expect(size <= SW__SMALL_MAX && alignment <= SW__SMALL_MAX, 1);
}

/* The class of a size up to SW__SMALL_MAX; 0 is as 1. */
static inline unsigned sw__class_of(size_t size) {
    if (__builtin_expect(size <= SW__TABLED_MAX, 1))
        return sw__class_table[(size + 15) >> 4];
    unsigned doubling = 63 - (unsigned)__builtin_clzll(size - 1); /* 10 for 1025..2048 */
    return (doubling - 10) * 8 + 32 + (unsigned)((size - 1) >> (doubling - 3)) - 8;
}

/* The first class for the size whose blocks are all aligned to a power of two up to SW__SMALL_MAX:
 * there is one for each, as slabs are aligned to more. */
static inline unsigned sw__aligned_class(size_t size, size_t alignment) {
    unsigned class = sw__class_of(size > alignment ? size : alignment);
    while (sw__class_sizes[class] & (alignment - 1))
        class ++;
    return class;
}

/* The size rounded as the classes round, for any size: what a larger block is rounded to. */
size_t sw__round_to_class(size_t size);

#endif
