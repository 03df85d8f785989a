/*
 * freelist - a strategy to read first: powers of two, bumped once, kept in lists for ever.
 *
 * The size of a slot is a power of two. A freed slot goes on the list of its size, and an
 * allocation takes the first of that list; only when the list is empty is a slot cut from the
 * newest region. So every call is O(1), up to half of each slot is lost, and nothing is joined or
 * given back before the heap ends. sizeclass and pool are what becomes of this when those losses
 * matter.
 *
 *     region   | slot 64 | slot 128       | slot 64 | not cut yet ...                 |
 *     slot     | ... | header | block (aligned) ...                                   |
 *
 * The header tells the slot that a block lies in. Invariant: a slot is live or on the list of its
 * size, never both; live_bytes is the sum of the usable sizes of the live ones.
 */
#include "lock.h"
#include "meta.h"
#include "os.h"
#include "strategy.h"

#include <assert.h>
#include <stdint.h>

#define REGION_SIZE  ((size_t)1 << 20)
#define SMALLEST     32 /* a header and a block of SW_MIN_ALIGNMENT bytes */
#define LARGEST_SLOT ((size_t)1 << 46)

struct slot {
    struct slot *next; /* while it is free */
};

struct header {
    struct slot *slot;
    size_t slot_size;
};

_Static_assert(sizeof(struct header) == SW_MIN_ALIGNMENT, "blocks follow headers directly");

struct region {
    struct region *next;
    char *start;
    size_t size, used;
};

/* Everything a heap of this strategy is. All of it is guarded by the lock. */
struct freelist {
    struct sw__lock lock;
    struct region *regions; /* newest first; slots are cut from the newest */
    struct slot *free[64];  /* by the slot size's power of two */
    size_t limit;           /* of reserved bytes; 0: none */
    size_t live_bytes;
    struct sw_level reserved;
    struct sw__meta meta; /* where this struct and the regions lie */
};

static struct header *header_of(const void *block) {
    return (struct header *)block - 1;
}

static size_t usable_bytes(const void *block) {
    const struct header *header = header_of(block);
    return (size_t)((char *)header->slot + header->slot_size - (const char *)block);
}

static unsigned power_of(size_t slot_size) {
    return (unsigned)__builtin_ctzl(slot_size);
}

/* The least power of two that holds size bytes, a header and what aligning may skip; 0 if none. */
static size_t slot_size_for(size_t size, size_t alignment) {
    if (size > LARGEST_SLOT / 2 || alignment > LARGEST_SLOT / 4)
        return 0;
    size_t need = size + sizeof(struct header) + (alignment - SW_MIN_ALIGNMENT);
    return need <= SMALLEST ? SMALLEST : (size_t)1 << (64 - __builtin_clzl(need - 1));
}

/* ---- The slow path: address space from the system -------------------------------------------- */

static struct region *add_region(struct freelist *freelist, size_t size) {
    if (freelist->limit && freelist->reserved.current + size > freelist->limit)
        return NULL;
    char *start = sw__os_reserve(size, SW__PAGE);
    if (!start)
        return NULL;
    struct region *region = sw__meta_alloc(&freelist->meta, sizeof *region);
    if (!region || !sw__os_commit(start, size)) {
        sw__os_release(start, size);
        return NULL;
    }
    *region = (struct region){freelist->regions, start, size, 0};
    freelist->regions = region;
    sw__level_add(&freelist->reserved, size);
    return region;
}

static struct slot *cut_slot(struct freelist *freelist, size_t slot_size) {
    struct region *region = freelist->regions;
    if (!region || region->size - region->used < slot_size)
        region = add_region(freelist, slot_size > REGION_SIZE ? slot_size : REGION_SIZE);
    if (!region)
        return NULL;
    struct slot *slot = (struct slot *)(region->start + region->used);
    region->used += slot_size;
    return slot;
}

/* ---- The slots of the table ------------------------------------------------------------------ */

static void *create(const struct sw__config *config) {
    struct freelist *freelist = sw__meta_create(sizeof *freelist, offsetof(struct freelist, meta));
    if (freelist)
        freelist->limit = config->limit;
    return freelist;
}

static void destroy(void *state) {
    struct freelist *freelist = state;
    struct sw__meta meta = freelist->meta; /* the state itself is in it */
    for (struct region *region = freelist->regions; region; region = region->next)
        sw__os_release(region->start, region->size);
    sw__meta_release(&meta);
}

static void *alloc(void *state, size_t size, size_t alignment, enum sw_tag tag) {
    struct freelist *freelist = state;
    (void)tag;
    assert(size > 0 && alignment >= SW_MIN_ALIGNMENT);
    size_t slot_size = slot_size_for(size, alignment);
    if (!slot_size)
        return NULL;
    sw__lock(&freelist->lock);
    void *block = NULL;
    struct slot **list = &freelist->free[power_of(slot_size)];
    struct slot *slot = *list;
    if (slot)
        *list = slot->next;
    else
        slot = cut_slot(freelist, slot_size);
    if (slot) {
        uintptr_t lowest = (uintptr_t)slot + sizeof(struct header);
        block = (void *)((lowest + alignment - 1) & ~(alignment - 1));
        *header_of(block) = (struct header){slot, slot_size};
        freelist->live_bytes += usable_bytes(block);
    }
    sw__unlock(&freelist->lock);
    return block;
}

static void give_back(void *state, void *block) {
    struct freelist *freelist = state;
    sw__lock(&freelist->lock);
    struct header header = *header_of(block);
    freelist->live_bytes -= usable_bytes(block);
    struct slot **list = &freelist->free[power_of(header.slot_size)];
    header.slot->next = *list;
    *list = header.slot;
    sw__unlock(&freelist->lock);
}

static size_t usable_size(void *state, const void *block) {
    (void)state;
    return usable_bytes(block);
}

static bool resize(void *state, void *block, size_t size) {
    return size <= usable_size(state, block);
}

static void stats(void *state, struct sw__strategy_stats *stats) {
    struct freelist *freelist = state;
    sw__lock(&freelist->lock);
    stats->reserved = freelist->reserved;
    stats->metadata = freelist->meta.bytes;
    stats->allocated = freelist->live_bytes;
    sw__unlock(&freelist->lock);
}

static size_t largest_free(void *state) {
    struct freelist *freelist = state;
    size_t largest = 0;
    sw__lock(&freelist->lock);
    for (unsigned power = 0; power < 64; power++)
        if (freelist->free[power])
            largest = (size_t)1 << power;
    sw__unlock(&freelist->lock);
    return largest;
}

static void visit_ranges(void *state, sw__range_visitor *visitor, void *context) {
    struct freelist *freelist = state;
    sw__lock(&freelist->lock);
    for (struct region *region = freelist->regions; region; region = region->next)
        visitor(context, region->start, region->size);
    sw__unlock(&freelist->lock);
}

const struct sw__strategy sw__strategy_freelist = {
    .name = "freelist",
    .summary = "powers of two in lists, never given back",
    .create = create,
    .destroy = destroy,
    .alloc = alloc,
    .free = give_back,
    .resize = resize,
    .usable_size = usable_size,
    .stats = stats,
    .largest_free = largest_free,
    .visit_ranges = visit_ranges,
};
