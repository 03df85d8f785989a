/*
 * page_map.h - from an address to who holds it, for all heaps of the process.
 *
 * Two levels over slices of 64 KiB: 48 bits of address = 16 (root) + 16 (leaf) + 16 (in the slice).
 * Reading takes two loads and no lock. A leaf covers 4 GiB; it is made when a range in it is first
 * entered and stays. An entry is a pointer whose lowest bits tell what it points to; NULL is "not
 * ours", which is how a foreign pointer is told.
 */
#ifndef SW_PAGE_MAP_H
#define SW_PAGE_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW__SLICE_SHIFT 16
#define SW__SLICE       ((size_t)1 << SW__SLICE_SHIFT)

/* What a holder's pointer has in its lowest bits: neither for a region. */
enum { SW__HOLDER_IS_SLAB = 1, SW__HOLDER_IS_SEGMENT = 2, SW__HOLDER_BITS = 3 };

typedef _Atomic(void *) sw__page_map_entry;

extern _Atomic(sw__page_map_entry *) sw__page_map_root[1 << 16];

static inline void *sw__page_map_get(const void *address) {
    uintptr_t slice = (uintptr_t)address >> SW__SLICE_SHIFT;
    if (__builtin_expect(slice >> 32, 0))
        return NULL;
    sw__page_map_entry *leaf =
        atomic_load_explicit(&sw__page_map_root[slice >> 16], memory_order_acquire);
    if (__builtin_expect(!leaf, 0))
        return NULL;
    return atomic_load_explicit(&leaf[slice & 0xffff], memory_order_acquire);
}

/* Makes room for entries over the range (multiples of SW__SLICE). False when out of memory. */
bool sw__page_map_prepare(const void *start, size_t size);
/* Enters holder for the whole range, which has been prepared. */
void sw__page_map_set(const void *start, size_t size, void *holder);

#endif
