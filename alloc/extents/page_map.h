/*
 * page_map.h - from an address to who holds it, for all heaps of the process.
 *
 * Two levels over slices of 16 KiB: 48 bits of address = 17 (root) + 17 (leaf) + 14 (in the slice).
 * Reading takes two loads and no lock. A leaf covers 2 GiB; it is made when a range in it is first
 * entered and stays. An entry is a pointer whose lowest bits tell what it points to; NULL is "not
 * ours", which is how a foreign pointer is told.
 */
#ifndef SW_PAGE_MAP_H
#define SW_PAGE_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW__ADDRESS_BITS 48
#define SW__SLICE_SHIFT  14
#define SW__SLICE        ((size_t)1 << SW__SLICE_SHIFT)
/* Root and leaf are smaller than a huge page each, so that neither comes as one. */
#define SW__LEAF_SHIFT   17
#define SW__ROOT_ENTRIES (1 << (SW__ADDRESS_BITS - SW__SLICE_SHIFT - SW__LEAF_SHIFT))
#define SW__LEAF_MASK    (((uintptr_t)1 << SW__LEAF_SHIFT) - 1)

/* What a holder's pointer has in its lowest bits: neither for a region. */
enum { SW__HOLDER_IS_SLAB = 1, SW__HOLDER_IS_SEGMENT = 2, SW__HOLDER_BITS = 3 };

typedef _Atomic(void *) sw__page_map_entry;

extern _Atomic(sw__page_map_entry *) sw__page_map_root[SW__ROOT_ENTRIES];

static inline void *sw__page_map_get(const void *address) {
    uintptr_t slice = (uintptr_t)address >> SW__SLICE_SHIFT;
    uintptr_t index = slice >> SW__LEAF_SHIFT;
    if (__builtin_expect(index >= SW__ROOT_ENTRIES, 0))
        return NULL;
    sw__page_map_entry *leaf =
        atomic_load_explicit(&sw__page_map_root[index], memory_order_acquire);
    if (__builtin_expect(!leaf, 0))
        return NULL;
    return atomic_load_explicit(&leaf[slice & SW__LEAF_MASK], memory_order_acquire);
}

/* Makes room for entries over the range (multiples of SW__SLICE). False when out of memory. */
bool sw__page_map_prepare(const void *start, size_t size);
/* Enters holder for the whole range, which has been prepared. */
void sw__page_map_set(const void *start, size_t size, void *holder);

#endif
