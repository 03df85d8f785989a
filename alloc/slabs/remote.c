/*
 * remote.c - frees from other threads: see remote.h.
 */
#include "remote.h"

#include "bins.h"

/* A remote list in one word: the address of its first block, of 48 bits as the page map has it, and
 * below it the number of its blocks, of 16. */
#define COUNT_BITS 16
_Static_assert(SW__ADDRESS_BITS + COUNT_BITS <= 64, "an address and a count share a word");
_Static_assert(SW__SLAB_BLOCKS_MAX < 1 << COUNT_BITS, "a slab's blocks can be counted");

static uintptr_t chain_of(const struct sw__free_block *first, uint32_t count) {
    return (uintptr_t)first << COUNT_BITS | count;
}

static struct sw__free_block *first_of(uintptr_t chain) {
    return (struct sw__free_block *)(chain >> COUNT_BITS);
}

static uint32_t count_of(uintptr_t chain) {
    return (uint32_t)(chain & (((uintptr_t)1 << COUNT_BITS) - 1));
}

uint32_t sw__remote_count(const struct sw__slab *slab) {
    return count_of(atomic_load_explicit(&slab->remote, memory_order_acquire));
}

/* All blocks that are handed out are in the remote list. For certain only under the owner's lock,
 * and if the slab is not current: then `used` does not rise, and no free is under way. */
static bool is_all_remote(struct sw__slab *slab) {
    uint32_t count = sw__remote_count(slab);
    return count > 0 && count == atomic_load_explicit(&slab->used, memory_order_acquire);
}

void sw__inbox_put(struct sw__cache *owner, struct sw__slab *slab) {
    struct sw__slab *head = atomic_load_explicit(&owner->inbox, memory_order_relaxed);
    do {
        slab->next_in_inbox = head;
    } while (!atomic_compare_exchange_weak_explicit(&owner->inbox, &head, slab,
                                                    memory_order_release, memory_order_relaxed));
}

/* Gives the pages back of a slab whose blocks are all in its remote list. The descriptor stays
 * where the inbox has it, or will. The owner's lock is held. */
static void make_ghost(struct sw__cache *owner, struct sw__slab *slab) {
    if (slab->listed)
        sw__bin_unlist(slab);
    sw__slab_count_out(slab);
    atomic_store_explicit(&slab->remote, 0, memory_order_relaxed);
    slab->is_ghost = true;
    sw__slab_set_owner(slab, NULL);
    sw__lock(&owner->slabs->lock);
    sw__extents_free(owner->slabs->extents, slab->extent);
    slab->extent = NULL;
    sw__unlock(&owner->slabs->lock);
}

/* The ghost is out of the inbox. */
static void bury(struct sw__slabs *slabs, struct sw__slab *slab) {
    sw__lock(&slabs->lock);
    sw__slab_keep_descriptor(slabs, slab);
    sw__unlock(&slabs->lock);
}

/* The owner's lock is held. */
static bool is_reclaimable(const struct sw__cache *owner, struct sw__slab *slab) {
    return sw__slab_owner(slab) == owner && !sw__slab_is_current(slab) && is_all_remote(slab);
}

/* It seems that all blocks of the owner's slab are in its remote list. */
static __attribute__((noinline)) void reclaim(struct sw__cache *owner, struct sw__slab *slab) {
    sw__lock(&owner->lock);
    bool is_empty = is_reclaimable(owner, slab);
    if (is_empty)
        make_ghost(owner, slab);
    sw__unlock(&owner->lock);
    if (is_empty)
        sw__slabs_tell_of_freeable(owner->slabs);
}

/* Owner and keeper may both sleep. The keeper says that it sleeps before it looks into inboxes; here
 * the slab is there before that is read, for the count and the reading are sequentially consistent.
 * What the owner takes over later has been told of by then. */
static void tell_of_inbox(struct sw__cache *owner, size_t slab_size) {
    struct sw__slabs *slabs = owner->slabs;
    if (!slabs->when_freeable)
        return;
    atomic_fetch_add(&owner->inbox_bytes, slab_size);
    slabs->when_freeable(slabs, owner, sw__cache_unswept(owner));
}

/* Puts a block onto the remote list, and a slab that had none there into the inbox. Returns what was
 * there before. `used` is what the slab had handed out by then. It counts as a lock in hand: the child
 * of a fork in between goes on with it. */
static inline uintptr_t put(struct sw__cache *owner, struct sw__slab *slab,
                            struct sw__free_block *block, uint32_t *used) {
    uint32_t capacity = slab->capacity;
    sw__lock_count(1);
    uintptr_t before = atomic_load_explicit(&slab->remote, memory_order_relaxed);
    do {
        *used = sw__slab_used(slab);
        if (count_of(before) >= capacity) {
            sw__lock_count(-1); /* the program may handle the abort, and fork */
            sw__misuse_free();
        }
        block->next = first_of(before);
    } while (!atomic_compare_exchange_weak_explicit(&slab->remote, &before,
                                                    chain_of(block, count_of(before) + 1),
                                                    memory_order_acq_rel, memory_order_relaxed));
    if (!before) /* else it is there already */
        sw__inbox_put(owner, slab);
    sw__lock_count(-1);
    return before;
}

void sw__remote_free(struct sw__slab *slab, struct sw__free_block *block) {
    /* While the block is ours the slab is its owner's; afterwards it may become anybody's. */
    struct sw__cache *owner = sw__slab_owner(slab);
    size_t size = slab->capacity * (size_t)slab->block_size;
    uint32_t used;
    uintptr_t before = put(owner, slab, block, &used);
    if (!before)
        tell_of_inbox(owner, size);
    if (count_of(before) + 1 == used)
        reclaim(owner, slab);
}

void sw__remote_put_back(struct sw__slab *slab, struct sw__free_block *block) {
    struct sw__cache *owner = sw__slab_owner(slab);
    uint32_t used;
    put(owner, slab, block, &used);
    if (is_reclaimable(owner, slab))
        make_ghost(owner, slab);
}

/* Without the division that certainty takes. */
static bool may_be_block_of(const struct sw__slab *slab, const void *pointer) {
    size_t at = (size_t)((const char *)pointer - sw__extent_start(slab->extent));
    return at < sw__extent_size(slab->extent) && at % SW_MIN_ALIGNMENT == 0;
}

/* The way along a remote list that has been taken from its slab. */
struct walk {
    struct sw__slab *slab;
    struct sw__free_block *first, *last; /* the last so far, */
    uint32_t left;                       /* and so many more */
};

/* Each link is in the cache of the processor that wrote it, and only then known: so many lists are
 * followed side by side, and their waits overlap. */
enum { WALKS = 16 };

/* The slab is off the inbox: from the exchange on, another thread may put it there again. */
static struct walk begin_walk(struct sw__slab *slab) {
    uintptr_t chain = atomic_exchange_explicit(&slab->remote, 0, memory_order_acq_rel);
    uint32_t count = count_of(chain);
    if (count > sw__slab_used(slab))
        sw__misuse(SW__MISUSE_FREE_LIST, NULL);
    sw__slab_set_used(slab, sw__slab_used(slab) - count); /* now, for who counts from outside */
    sw__slab_count_freed(slab, count);
    return (struct walk){slab, first_of(chain), first_of(chain), count - 1};
}

/* False at the end, or where the list is not what it should be. */
static inline bool go_on(struct walk *walk) {
    if (walk->left == 0 || !may_be_block_of(walk->slab, walk->last) || !walk->last->next)
        return false;
    walk->last = walk->last->next;
    walk->left--;
    return true;
}

/* The slab takes over what the walk has been along. */
static void end_walk(const struct walk *walk) {
    struct sw__slab *slab = walk->slab;
    if (walk->left > 0 || !sw__slab_is_block(slab, walk->last) || walk->last->next)
        sw__misuse(SW__MISUSE_FREE_LIST, NULL);
    walk->last->next = slab->free;
    slab->free = walk->first;
    sw__slab_heed_returned(slab);
}

static void walk_all(struct walk *walks, unsigned count) {
    while (count > 0) {
        for (unsigned i = 0; i < count; i++) {
            if (!go_on(&walks[i])) {
                end_walk(&walks[i]);
                walks[i--] = walks[--count];
            }
        }
    }
}

void sw__inbox_empty(struct sw__cache *cache, bool only_closed) {
    if (!sw__inbox_has_any(cache))
        return;
    struct walk walks[WALKS];
    unsigned count = 0;
    struct sw__slab *slab = atomic_exchange_explicit(&cache->inbox, NULL, memory_order_acquire);
    atomic_store_explicit(&cache->inbox_bytes, 0, memory_order_relaxed);
    while (slab) {
        struct sw__slab *next = slab->next_in_inbox; /* before begin_walk opens it to others */
        /* Its owner may have freed the last block: nobody else looks then. */
        if (!slab->is_ghost && only_closed && is_reclaimable(cache, slab))
            make_ghost(cache, slab);
        if (slab->is_ghost)
            bury(cache->slabs, slab);
        else if (only_closed && !sw__slab_is_closed(slab))
            sw__inbox_put(cache, slab);
        else
            walks[count++] = begin_walk(slab);
        slab = next;
        if (count == WALKS || !slab) {
            walk_all(walks, count);
            count = 0;
        }
    }
}
