/*
 * sizeclass - every size rounded up to a class: small blocks from slabs of one class each, with
 * thread caches; large ones as extents of their class. For programs with many small objects and
 * threads.
 *
 * Small (up to 32 KiB): see slabs.h. Large: see extents.h; sizes are rounded as small ones are,
 * eight classes to a doubling, so that blocks of nearly the same size take each other's place
 * exactly. Rounding costs address space; pages of a block that are never touched are not resident.
 */
#include "slabs.h"

#include <string.h>

struct sizeclass {
    struct sw__slabs slabs;
    struct sw__extents extents;
    struct sw__meta meta;
};

static void *create(const struct sw__config *config) {
    struct sizeclass *heap = sw__meta_create(sizeof *heap, offsetof(struct sizeclass, meta));
    if (!heap)
        return NULL;
    sw__extents_init(&heap->extents, &heap->meta, config);
    if (sw__slabs_init(&heap->slabs, &heap->extents))
        return heap;
    struct sw__meta meta = heap->meta;
    sw__meta_release(&meta);
    return NULL;
}

static void destroy(void *state) {
    struct sizeclass *heap = state;
    struct sw__meta meta = heap->meta; /* the heap itself is in it */
    sw__slabs_destroy(&heap->slabs);
    sw__extents_destroy(&heap->extents);
    sw__meta_release(&meta);
}

/* The first class from this one on whose blocks are all aligned; there is one for every power of
 * two up to SW__SMALL_MAX. */
static unsigned aligned_class(size_t size, size_t alignment) {
    unsigned class = sw__class_of(size > alignment ? size : alignment);
    while (sw__class_sizes[class] & (alignment - 1))
        class ++;
    return class;
}

static struct sw__extent *alloc_large(struct sizeclass *heap, size_t size, size_t alignment) {
    return size <= PTRDIFF_MAX / 2
               ? sw__extents_alloc(&heap->extents, sw__round_to_class(size), alignment)
               : NULL;
}

static void *alloc(void *state, size_t size, size_t alignment, enum sw_tag tag) {
    struct sizeclass *heap = state;
    (void)tag;
    if (__builtin_expect(size <= SW__SMALL_MAX && alignment <= SW__SMALL_MAX, 1)) {
        unsigned class =
            alignment <= SW_MIN_ALIGNMENT ? sw__class_of(size) : aligned_class(size, alignment);
        return sw__slabs_alloc(&heap->slabs, class);
    }
    struct sw__extent *extent = alloc_large(heap, size, alignment);
    return extent ? sw__extent_start(extent) : NULL;
}

static void *alloc_zeroed(void *state, size_t size, enum sw_tag tag) {
    if (size <= SW__SMALL_MAX) {
        void *block = alloc(state, size, SW_MIN_ALIGNMENT, tag);
        return block ? memset(block, 0, size) : NULL;
    }
    struct sw__extent *extent = alloc_large(state, size, SW_MIN_ALIGNMENT);
    if (!extent)
        return NULL;
    return extent->zero ? sw__extent_start(extent) : memset(sw__extent_start(extent), 0, size);
}

/* The slab of a small block of this heap; NULL when it is none. */
static struct sw__slab *small_block(const struct sizeclass *heap, const void *block) {
    struct sw__slab *slab = sw__slab_of(block);
    return slab && slab->cache->slabs == &heap->slabs ? slab : NULL;
}

static struct sw__extent *large_block(struct sizeclass *heap, const void *block) {
    struct sw__extent *extent = sw__extents_find(&heap->extents, block);
    if (!extent)
        sw__misuse("free of a pointer that is not a live block of this heap");
    return extent;
}

static void give_back(void *state, void *block) {
    struct sizeclass *heap = state;
    struct sw__slab *slab = small_block(heap, block);
    if (__builtin_expect(slab != NULL, 1))
        sw__slabs_free(&heap->slabs, slab, block);
    else
        sw__extents_free(&heap->extents, large_block(heap, block));
}

static size_t usable_size(void *state, const void *block) {
    struct sizeclass *heap = state;
    struct sw__slab *slab = small_block(heap, block);
    return slab ? slab->block_size : sw__extent_size(large_block(heap, block));
}

/* A block stays where its class stays; a large one may also shrink or grow in place. */
static bool resize(void *state, void *block, size_t size) {
    struct sizeclass *heap = state;
    if (size > PTRDIFF_MAX / 2)
        return false;
    struct sw__slab *slab = small_block(heap, block);
    if (slab)
        return size <= slab->block_size && size > slab->block_size / 2;
    return size > SW__SMALL_MAX &&
           sw__extents_resize(&heap->extents, large_block(heap, block), sw__round_to_class(size));
}

static size_t trim(void *state) {
    struct sizeclass *heap = state;
    sw__slabs_collect(&heap->slabs);
    return sw__extents_trim(&heap->extents);
}

static void stats(void *state, struct sw__strategy_stats *stats) {
    struct sizeclass *heap = state;
    sw__extents_stats(&heap->extents, stats);
    stats->allocated = sw__extents_live(&heap->extents) - sw__slabs_bytes(&heap->slabs) +
                       sw__slabs_allocated(&heap->slabs);
}

static size_t largest_free(void *state) {
    struct sizeclass *heap = state;
    return sw__extents_largest_free(&heap->extents);
}

static void visit_ranges(void *state, sw__range_visitor *visitor, void *context) {
    struct sizeclass *heap = state;
    sw__extents_visit(&heap->extents, visitor, context);
}

const struct sw__strategy sw__strategy_sizeclass = {
    .name = "sizeclass",
    .summary = "slabs of one size class each, cached by thread",
    .create = create,
    .destroy = destroy,
    .alloc = alloc,
    .alloc_zeroed = alloc_zeroed,
    .free = give_back,
    .resize = resize,
    .usable_size = usable_size,
    .trim = trim,
    .stats = stats,
    .largest_free = largest_free,
    .visit_ranges = visit_ranges,
};
