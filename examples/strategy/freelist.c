/*
 * freelist - a strategy to read first: slots bumped once, then kept in lists by their size.
 *
 * There are four slot sizes to a doubling. A freed slot goes on the list of its size, and an
 * allocation takes the first of that list; only when the list is empty is a slot cut from the
 * newest region. So every call is O(1), up to a fifth of a slot is lost, and a slot never changes
 * its size. Only trim gives back: the regions in which nothing lives. sizeclass and pool are what
 * becomes of this when speed under threads and fragmentation matter.
 *
 *     region   | struct region | slot | slot   | slot | not cut yet ...            |
 *     slot     | (what aligning skips) | header | block                            |
 *
 * Regions are aligned to REGION_SIZE and slots begin in its first REGION_SIZE bytes, so a slot's
 * address tells its region. Invariant: a slot that was cut is live or on the list of its size,
 * never both; region->live counts the former.
 */
#include "align.h"
#include "lock.h"
#include "meta.h"
#include "os.h"
#include "strategy.h"

#include <assert.h>
#include <stdint.h>

#define REGION_SIZE   ((size_t)1 << 20)
#define SMALLEST_SLOT ((size_t)32) /* a header and SW_MIN_ALIGNMENT bytes */
#define LARGEST_SLOT  ((size_t)1 << 46)
#define LISTS         (64 * 4)

struct region {
    struct region *next;
    size_t size, used; /* bytes */
    size_t live;       /* slots */
};

struct slot {
    struct slot *next; /* while it is free */
};

struct header {
    struct slot *slot;
    size_t slot_size;
};

_Static_assert(sizeof(struct header) == SW_MIN_ALIGNMENT, "blocks follow headers directly");
_Static_assert(sizeof(struct region) % SW_MIN_ALIGNMENT == 0, "so that slots are aligned");

/* Everything a heap of this strategy is. All of it is guarded by the lock. */
struct freelist {
    struct sw__lock lock;
    struct region *regions; /* newest first; slots are cut from the newest */
    struct slot *free[LISTS];
    size_t limit; /* of reserved bytes; 0: none */
    size_t live_bytes;
    struct sw_level reserved;
    struct sw__meta meta; /* where this struct lies */
};

static struct header *header_of(const void *block) {
    return (struct header *)block - 1;
}

static struct region *region_of(const struct slot *slot) {
    return (struct region *)((uintptr_t)slot & ~(REGION_SIZE - 1));
}

static size_t usable_bytes(const void *block) {
    const struct header *header = header_of(block);
    return (size_t)((char *)header->slot + header->slot_size - (const char *)block);
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

static unsigned highest_bit(size_t size) {
    return 63 - (unsigned)__builtin_clzl(size);
}

/* The least slot that holds size bytes, a header, and what aligning may skip; 0 if there is none.
 */
static size_t slot_size_for(size_t size, size_t alignment) {
    if (size > LARGEST_SLOT / 2 || alignment > LARGEST_SLOT / 4)
        return 0;
    size_t need = size + sizeof(struct header) + (alignment - SW_MIN_ALIGNMENT);
    if (need <= SMALLEST_SLOT)
        return SMALLEST_SLOT;
    size_t step = (size_t)1 << (highest_bit(need - 1) - 2);
    if (step < SW_MIN_ALIGNMENT)
        step = SW_MIN_ALIGNMENT;
    return sw__align_up(need, step);
}

static struct slot **list_of(struct freelist *freelist, size_t slot_size) {
    unsigned highest = highest_bit(slot_size);
    return &freelist->free[highest * 4 + (slot_size >> (highest - 2) & 3)];
}

/* ---- Regions: the slow path ------------------------------------------------------------------ */

static struct region *add_region(struct freelist *freelist, size_t slot_size) {
    size_t size = sizeof(struct region) + slot_size;
    size = size <= REGION_SIZE ? REGION_SIZE : sw__align_up(size, SW__PAGE);
    if (freelist->limit && freelist->reserved.current + size > freelist->limit)
        return NULL;
    struct region *region = sw__os_reserve(size, REGION_SIZE);
    if (!region)
        return NULL;
    if (!sw__os_commit(region, size)) {
        sw__os_release(region, size);
        return NULL;
    }
    region->size = size;
    region->used = sizeof *region;
    region->next = freelist->regions;
    freelist->regions = region;
    sw__level_add(&freelist->reserved, size);
    return region;
}

static bool has_room(const struct region *region, size_t slot_size) {
    return region->used < REGION_SIZE && region->size - region->used >= slot_size;
}

static struct slot *cut_slot(struct freelist *freelist, size_t slot_size) {
    struct region *region = freelist->regions;
    if (!region || !has_room(region, slot_size))
        region = add_region(freelist, slot_size);
    if (!region)
        return NULL;
    struct slot *slot = (struct slot *)((char *)region + region->used);
    region->used += slot_size;
    return slot;
}

/* Takes the slots of regions in which nothing lives off their lists. */
static void forget_idle_slots(struct freelist *freelist) {
    for (size_t i = 0; i < LISTS; i++) {
        struct slot **link = &freelist->free[i];
        while (*link) {
            if (region_of(*link)->live == 0)
                *link = (*link)->next;
            else
                link = &(*link)->next;
        }
    }
}

/* ---- The table's functions ------------------------------------------------------------------- */

static void *create(const struct sw__config *config) {
    struct freelist *freelist = sw__meta_create(sizeof *freelist, offsetof(struct freelist, meta));
    if (freelist)
        freelist->limit = config->limit;
    return freelist;
}

static void destroy(void *state) {
    struct freelist *freelist = state;
    while (freelist->regions) {
        struct region *region = freelist->regions;
        freelist->regions = region->next;
        sw__os_release(region, region->size);
    }
    sw__meta_release(&freelist->meta);
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
    struct slot **list = list_of(freelist, slot_size);
    struct slot *slot = *list;
    if (slot)
        *list = slot->next;
    else
        slot = cut_slot(freelist, slot_size);
    if (slot) {
        uintptr_t lowest = (uintptr_t)slot + sizeof(struct header);
        block = (void *)sw__align_up(lowest, alignment);
        *header_of(block) = (struct header){slot, slot_size};
        region_of(slot)->live++;
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
    region_of(header.slot)->live--;
    struct slot **list = list_of(freelist, header.slot_size);
    header.slot->next = *list;
    *list = header.slot;
    sw__unlock(&freelist->lock);
}

static size_t usable_size(void *state, const void *block) {
    (void)state;
    return usable_bytes(block);
}

static void *resize(void *state, void *block, size_t size) {
    return size <= usable_size(state, block) ? block : NULL;
}

static size_t trim(void *state) {
    struct freelist *freelist = state;
    size_t released = 0;
    sw__lock(&freelist->lock);
    forget_idle_slots(freelist);
    struct region **link = &freelist->regions;
    while (*link) {
        struct region *region = *link;
        if (region->live) {
            link = &region->next;
            continue;
        }
        *link = region->next;
        released += sw__os_resident(region, region->size);
        freelist->reserved.current -= region->size;
        sw__os_release(region, region->size);
    }
    sw__unlock(&freelist->lock);
    return released;
}

static void stats(void *state, struct sw__strategy_stats *stats) {
    struct freelist *freelist = state;
    sw__lock(&freelist->lock);
    stats->reserved = freelist->reserved;
    stats->metadata = freelist->meta.bytes;
    stats->allocated = freelist->live_bytes;
    sw__unlock(&freelist->lock);
}

/* Slots are never joined, so the largest free piece is a slot. What was not cut yet is untouched
 * and so not held. */
static size_t largest_free(void *state) {
    struct freelist *freelist = state;
    size_t largest = 0;
    sw__lock(&freelist->lock);
    for (size_t i = 0; i < LISTS; i++) {
        for (const struct slot *slot = freelist->free[i]; slot; slot = slot->next) {
            size_t present = sw__os_resident(slot, (4 + i % 4) << (i / 4 - 2));
            largest = present > largest ? present : largest;
        }
    }
    sw__unlock(&freelist->lock);
    return largest;
}

static void visit_ranges(void *state, sw__range_visitor *visitor, void *context) {
    struct freelist *freelist = state;
    sw__lock(&freelist->lock);
    for (struct region *region = freelist->regions; region; region = region->next)
        visitor(context, region, region->size);
    sw__unlock(&freelist->lock);
}

const struct sw__strategy sw__strategy_freelist = {
    .info.name = "freelist",
    .info.summary = "slots of a few sizes in lists, given back by trim",
    .create = create,
    .destroy = destroy,
    .alloc = alloc,
    .free = give_back,
    .resize = resize,
    .usable_size = usable_size,
    .trim = trim,
    .stats = stats,
    .largest_free = largest_free,
    .visit_ranges = visit_ranges,
};
