/*
 * page_map.c - from an address to who holds it: see page_map.h.
 */
#include "page_map.h"

#include "os.h"

#define LEAF_SIZE (sizeof(sw__page_map_entry) << SW__LEAF_SHIFT)

_Atomic(sw__page_map_entry *) sw__page_map_root[SW__ROOT_ENTRIES];

static bool make_leaf(size_t index) {
    if (atomic_load_explicit(&sw__page_map_root[index], memory_order_acquire))
        return true;
    void *leaf = sw__os_map(LEAF_SIZE);
    if (!leaf)
        return false;
    sw__page_map_entry *nobody = NULL;
    /* Two heaps may come here at once: one leaf stays. */
    if (!atomic_compare_exchange_strong(&sw__page_map_root[index], &nobody, leaf))
        sw__os_release(leaf, LEAF_SIZE);
    return true;
}

bool sw__page_map_prepare(const void *start, size_t size) {
    size_t first = (uintptr_t)start >> SW__SLICE_SHIFT;
    size_t last = ((uintptr_t)start + size - 1) >> SW__SLICE_SHIFT;
    if (last >> (SW__ADDRESS_BITS - SW__SLICE_SHIFT))
        return false; /* only ever handed out on explicit request */
    for (size_t index = first >> SW__LEAF_SHIFT; index <= last >> SW__LEAF_SHIFT; index++)
        if (!make_leaf(index))
            return false;
    return true;
}

void sw__page_map_set(const void *start, size_t size, void *holder) {
    size_t first = (uintptr_t)start >> SW__SLICE_SHIFT;
    for (size_t slice = first; slice < first + (size >> SW__SLICE_SHIFT); slice++) {
        sw__page_map_entry *leaf =
            atomic_load_explicit(&sw__page_map_root[slice >> SW__LEAF_SHIFT], memory_order_relaxed);
        atomic_store_explicit(&leaf[slice & SW__LEAF_MASK], holder, memory_order_release);
    }
}
