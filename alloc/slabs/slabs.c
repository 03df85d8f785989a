/*
 * slabs.c - small blocks, where the fast paths of slabs.h end. Which thread has which cache is in
 * caches.c.
 */
#include "slabs.h"

#include "align.h"
#include "bins.h"
#include "remote.h"
#include "stock.h"

/* ---- Misuse: what a slab's own counts and links tell, looked at where the path is slow anyway */

/* Of a slab without a free block: all that are cut are handed out, but for absent ones. */
static void check_used_up(const struct sw__slab *slab) {
    bool is_known = sw__slab_absent(slab) == 0 && !sw__slabs_torn_by_fork;
    if (is_known && sw__slab_used(slab) != sw__slab_carved(slab))
        sw__misuse(SW__MISUSE_FREE_LIST, NULL);
}

/* After a free: more frees than blocks handed out bring `used` below zero, and below any alarm. */
static void check_free(const struct sw__slab *slab) {
    if ((int32_t)sw__slab_used(slab) < 0 || !sw__slab_is_block(slab, slab->free))
        sw__misuse_free();
}

/* ---- The slow paths of free ------------------------------------------------------------------ */

static void heed_alarm(struct sw__slab *slab) {
    if (sw__slab_is_current(slab))
        sw__bin_heed_emptied(slab);
    else if (!sw__slab_linger(slab))
        sw__slab_heed_free(slab);
}

void sw__slabs_free_alarm(struct sw__cache *cache, struct sw__slab *slab) {
    sw__lock(&cache->lock);
    if (sw__slab_owner(slab) == cache) { /* else another thread has given it back meanwhile */
        check_free(slab);
        if (sw__inbox_has_any(cache)) /* it may be all that keeps the slab that lingered so far */
            sw__inbox_empty(cache, false);
        if (sw__slab_is_open_to(slab, cache))
            heed_alarm(slab);
        sw__cache_heed_shrinking(cache);
    }
    sw__unlock(&cache->lock);
    sw__slabs_tell_of_freeable(cache->slabs);
}

/* What others have freed there is taken over first: `used` would count it, and leave the slab open to
 * its owner alone. */
static __attribute__((noinline)) void free_under_lock(struct sw__cache *cache,
                                                      struct sw__slab *slab, void *block) {
    sw__lock(&cache->lock);
    if (sw__slab_has_remote(slab))
        sw__inbox_empty(cache, false);
    sw__stock_heed_refused(cache, slab->class, block);
    sw__slab_put_closed(slab, block);
    sw__cache_heed_shrinking(cache);
    sw__unlock(&cache->lock);
    sw__slabs_tell_of_freeable(cache->slabs);
}

void sw__slabs_free_closed(struct sw__cache *cache, struct sw__slab *slab, void *block) {
    if (!sw__stock_put(cache, slab, block))
        free_under_lock(cache, slab, block);
}

void sw__slabs_free_slow(struct sw__slab *slab, void *block) {
    struct sw__cache *owner = sw__slab_owner(slab);
    if (sw__slabs_my_cache(owner->slabs) == owner) {
        sw__slabs_free_closed(owner, slab, block);
        return;
    }
    bool is_stranger = !sw__slabs_know_thread();
    if (is_stranger)
        atomic_fetch_add_explicit(&sw__strangers_within, 1, memory_order_relaxed);
    sw__remote_free(slab, block);
    if (is_stranger)
        atomic_fetch_sub_explicit(&sw__strangers_within, 1, memory_order_release);
}

/* ---- The slow path of alloc ------------------------------------------------------------------ */

static struct sw__free_block *take_block(struct sw__slab *slab) {
    struct sw__free_block *block = slab->free;
    slab->free = block->next;
    sw__slab_set_used(slab, sw__slab_used(slab) + 1);
    return block;
}

/* The first of those listed: all have a block, but where there is no memory for what is absent. */
static struct sw__slab *take_listed(struct sw__slabs *slabs, const struct sw__bin *bin) {
    struct sw__slab *slab = bin->listed;
    if (slab && !sw__slab_ensure_block(slabs, slab))
        while (slab && !slab->free)
            slab = slab->next;
    if (slab)
        sw__bin_unlist(slab);
    return slab;
}

/* A slab for the bin to take blocks from, in place of the current one that has none. */
static bool turn_to_next(struct sw__cache *cache, unsigned class) {
    sw__bin_retire_current(cache, class);
    struct sw__slab *slab = take_listed(cache->slabs, &cache->bins[class]);
    if (!slab) {
        sw__stock_give_way(cache);
        slab = sw__slab_make(cache, class);
    }
    if (!slab)
        return false;
    sw__bin_make_current(slab);
    return sw__slab_ensure_block(cache->slabs, slab);
}

static void *alloc_from_next(struct sw__cache *cache, unsigned class) {
    if (sw__inbox_has_any(cache))
        sw__inbox_empty(cache, false);
    struct sw__slab *current = sw__bin_current(cache, class);
    if (current != &sw__no_slab) {
        if (!current->free)
            check_used_up(current);
        if (sw__slab_ensure_block(cache->slabs, current))
            return take_block(current);
    }
    return turn_to_next(cache, class) ? take_block(sw__bin_current(cache, class)) : NULL;
}

void *sw__slabs_alloc_locked(struct sw__cache *cache, unsigned class) {
    struct sw__slabs *slabs = cache->slabs;
    sw__lock(&cache->lock);
    size_t before = cache->grown;
    void *block = alloc_from_next(cache, class);
    sw__stock_grow(cache, class);
    cache->most_used = sw__larger(cache->most_used, sw__cache_used(cache));
    size_t grown = cache->grown - before;
    sw__unlock(&cache->lock);
    if (grown && slabs->when_made)
        slabs->when_made(slabs, grown);
    return block;
}

void *sw__slabs_alloc_slow(struct sw__cache *cache, unsigned class) {
    void *block = sw__stock_take(cache, class);
    return block ? block : sw__slabs_alloc_locked(cache, class);
}

/* ---- Fork ------------------------------------------------------------------------------------ */

/* Threads may have stood between a free and its alarm, and between a block's way to a remote list
 * and its slab's to the inbox, which caches.c has emptied. */
void sw__slabs_mend(struct sw__slabs *slabs) {
    sw__slabs_torn_by_fork = true;
    for (struct sw__slab *slab = slabs->all; slab; slab = slab->older) {
        if (slab->is_ghost)
            sw__slab_keep_descriptor(slabs, slab);
        if (!slab->extent)
            continue;
        if (sw__slab_has_remote(slab))
            sw__inbox_put(sw__slab_owner(slab), slab);
        if (!sw__slab_is_current(slab))
            sw__slab_close_if_sparse(slab);
    }
}

/* ---- What there is --------------------------------------------------------------------------- */

/* Blocks handed out and not freed: those in the remote list are. */
static size_t live_blocks(const struct sw__slab *slab) {
    size_t used = sw__slab_used(slab);
    size_t remote = sw__remote_count(slab);
    return used > remote ? used - remote : 0; /* the owner may be taking them over */
}

/* Bytes of a class in all stocks: free, though not to their slabs. Their threads may be at them. */
static size_t stocked(const struct sw__slabs *slabs, unsigned class) {
    size_t blocks = 0;
    for (const struct sw__cache *cache = slabs->caches; cache; cache = cache->older)
        blocks += sw__stock_count(&cache->stocks[class]);
    return blocks * sw__class_sizes[class];
}

size_t sw__slabs_allocated(struct sw__slabs *slabs) {
    sw__lock(&slabs->lock);
    size_t allocated = sw__extents_live(slabs->extents);
    for (struct sw__slab *slab = slabs->all; slab; slab = slab->older)
        if (slab->extent)
            allocated -= sw__slab_present(slab) - live_blocks(slab) * slab->block_size;
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
        allocated -= sw__smaller(stocked(slabs, class), allocated);
    sw__unlock(&slabs->lock);
    return allocated;
}

void sw__slabs_visit_sizes(struct sw__slabs *slabs, sw__size_visitor *visitor, void *context) {
    size_t live[SW__CLASS_COUNT] = {0};
    sw__lock(&slabs->lock);
    for (struct sw__slab *slab = slabs->all; slab; slab = slab->older)
        if (slab->extent)
            live[slab->class] += live_blocks(slab) * slab->block_size;
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++) {
        size_t bytes = live[class] - sw__smaller(stocked(slabs, class), live[class]);
        if (bytes)
            visitor(context, sw__class_sizes[class], bytes);
    }
    sw__unlock(&slabs->lock);
}

/* One that has been cut, and is there. */
static bool has_free_block(const struct sw__slab *slab) {
    size_t live = live_blocks(slab);
    return live < sw__slab_carved(slab) && sw__slab_present(slab) >= (live + 1) * slab->block_size;
}

size_t sw__slabs_largest_free(struct sw__slabs *slabs) {
    size_t largest = 0;
    sw__lock(&slabs->lock);
    for (struct sw__slab *slab = slabs->all; slab; slab = slab->older)
        if (slab->extent && slab->block_size > largest && has_free_block(slab))
            largest = slab->block_size;
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
        if (sw__class_sizes[class] > largest && stocked(slabs, class))
            largest = sw__class_sizes[class];
    sw__unlock(&slabs->lock);
    return largest;
}
