/*
 * sizeclass - every size rounded up to a class: small blocks from slabs of one class each, with
 * thread caches; large ones as extents of their class. For programs with many small objects and
 * threads.
 *
 * Small (up to 32 KiB): see slabs.h. Large: see extents.h; sizes are rounded as small ones are,
 * eight classes to a doubling, so that blocks of nearly the same size take each other's place
 * exactly. Rounding costs address space; pages of a block that are never touched are not resident.
 */
#include "blocks.h"

static void *create(const struct sw__config *config) {
    return sw__blocks_create(sizeof(struct sw__blocks), config, sw__round_to_class);
}

const struct sw__strategy sw__strategy_sizeclass = {
    .info.name = "sizeclass",
    .info.summary = "slabs of one size class each, cached by thread",
    .create = create,
    .destroy = sw__blocks_destroy,
    .alloc = sw__blocks_alloc,
    .alloc_zeroed = sw__blocks_alloc_zeroed,
    .free = sw__blocks_free,
    .resize = sw__blocks_resize,
    .usable_size = sw__blocks_usable_size,
    .trim = sw__blocks_trim,
    .stats = sw__blocks_stats,
    .largest_free = sw__blocks_largest_free,
    .metadata_present = sw__blocks_metadata_present,
    .visit_ranges = sw__blocks_visit_ranges,
    .visit_sizes = sw__blocks_visit_sizes,
    .visit_locks = sw__blocks_visit_locks,
    .in_page_map = true,
    .small_in_slabs = true,
};
