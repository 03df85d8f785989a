/*
 * collect.c - what a cache gives back when it is told to: slabs with nothing live, and pages inside
 * closed ones. See slabs.h.
 */
#include "align.h"
#include "bins.h"
#include "os.h"
#include "remote.h"
#include "stock.h"

/* A cache sweeps once `present` exceeds `needed` by UNSWEPT_BYTES or a share of it, whichever is
 * more, and by `missed`. `needed` decays by a share of the bytes that are made anew, `missed` by the
 * same share of those that are swept. */
#define UNSWEPT_BYTES ((size_t)1 << 20)
#define UNSWEPT_SHARE 16
#define FORGET_SHARE  8
/* So many slabs are swept at most while one block is waited for, or the lock. */
#define SWEPT_AT_ONCE 32

/* ---- Collecting what has nothing live -------------------------------------------------------- */

static void collect_if_empty(struct sw__slab *slab) {
    if (sw__slab_used(slab) != 0)
        return;
    sw__bin_unlist(slab);
    sw__slab_give_back(slab);
}

/* Only the first of a bin's list (if it was kept) and the last (if it was current a moment ago) can be
 * empty: all others went when they emptied. After a fork any may be. */
static void collect_bin(struct sw__cache *cache, unsigned class) {
    const struct sw__bin *bin = &cache->bins[class];
    sw__bin_retire_current(cache, class);
    for (struct sw__slab *slab = bin->listed, *next; slab; slab = next) {
        next = sw__slabs_torn_by_fork || !slab->next ? slab->next : bin->last_listed;
        collect_if_empty(slab);
    }
}

void sw__cache_collect(struct sw__cache *cache) {
    sw__inbox_empty(cache, false);
    sw__stock_empty(cache);
    sw__cache_settle(cache);
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
        collect_bin(cache, class);
    cache->most_used = sw__cache_used(cache);
}

/* ---- Taking away what is current ------------------------------------------------------------- */

static struct sw__slab *hide(struct sw__cache *cache, unsigned class, unsigned taken_last) {
    struct sw__slab *slab = sw__bin_current(cache, class);
    if (class == taken_last || slab == &sw__no_slab || sw__slab_used(slab) != 0)
        return NULL;
    sw__bin_set_current(cache, class, &sw__no_slab);
    return slab;
}

/* It goes, or is current again: never the one after the other, for that its thread might see. */
static void settle_hidden(struct sw__cache *cache, struct sw__slab *slab, bool may_go) {
    if (may_go && atomic_load_explicit(&slab->used, memory_order_acquire) == 0)
        sw__slab_give_back(slab);
    else
        sw__bin_set_current(cache, slab->class, slab);
}

/* Current slabs with nothing live, but for one of the class that their thread has taken from last: it may
 * be about to. It says so before it looks which slab is current. So they are hidden, every thread of the
 * process comes to see that, and then it finds none of those any more: an asymmetric fence, as in stock.c.
 * Nobody has a block there to free; and what a free has made empty it does not touch again. Where such a
 * fence is a matter of waiting they stay. */
static void take_empty_away(struct sw__cache *cache) {
    struct sw__slab *hidden[SW__CLASS_COUNT];
    unsigned count = 0;
    unsigned taken_last = atomic_load_explicit(&cache->taken_last, memory_order_relaxed);
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
        if ((hidden[count] = hide(cache, class, taken_last)))
            count++;
    if (count == 0)
        return;
    bool all_see = sw__os_fence_all_at_once();
    taken_last = atomic_load_explicit(&cache->taken_last, memory_order_acquire);
    while (count-- > 0)
        settle_hidden(cache, hidden[count], all_see && hidden[count]->class != taken_last);
}

/* ---- Sweeping what is closed ----------------------------------------------------------------- */

/* It is looked at last when blocks are wanted: others have more that is there. */
static void sweep(struct sw__slab *slab, size_t *released) {
    if (sw__slab_used(slab) == 0) {
        collect_if_empty(slab);
        return;
    }
    sw__bin_unlist(slab);
    sw__bin_list(slab);
    sw__slab_count_unswept(slab, -slab->unswept);
    sw__slab_sweep(sw__slab_owner(slab)->slabs, slab, released);
}

/* A few at a time, and so many in all as there were: its thread may want the lock. */
void sw__cache_collect_from_outside(struct sw__cache *cache, bool stocks_are_shut,
                                    size_t *released) {
    sw__lock(&cache->lock);
    cache->missed = 0;
    cache->is_rested = true;
    sw__cache_look(cache);
    take_empty_away(cache);
    sw__inbox_empty(cache, true);
    if (stocks_are_shut)
        sw__stock_empty_for(cache);
    for (uint32_t left = cache->unswept_count; left && cache->first_unswept; left--) {
        sweep(cache->first_unswept, released);
        if (left % SWEPT_AT_ONCE == 0)
            sw__lock_share(&cache->lock);
    }
    atomic_store_explicit(&cache->unswept_seen, 0, memory_order_relaxed);
    sw__unlock(&cache->lock);
}

/* What is enough to have in slabs: what lived there at once, a little more, and as much as was
 * missed after it had been swept. So what one size leaves free serves the next; and where sizes
 * take turns, it stays. What was needed is forgotten by and by as slabs are made. */
static size_t budget_of(struct sw__cache *cache) {
    size_t live = sw__cache_used(cache);
    size_t forgotten = sw__smaller(cache->needed, cache->grown / FORGET_SHARE);
    cache->needed = live > cache->needed - forgotten ? live : cache->needed - forgotten;
    cache->grown = 0;
    size_t share = cache->needed / UNSWEPT_SHARE;
    return cache->needed + sw__larger(share, UNSWEPT_BYTES) + cache->missed;
}

/* Those that have been closed the longest; the next time it goes on. */
static void sweep_down_to(struct sw__cache *cache, size_t budget) {
    size_t before = cache->present;
    cache->is_rested = false;
    for (int i = 0; i < SWEPT_AT_ONCE && cache->present > budget && cache->first_unswept; i++)
        sweep(cache->first_unswept, NULL);
    cache->missed -= sw__smaller(cache->missed, (before - cache->present) / FORGET_SHARE);
}

void sw__slabs_sweep_for_growth(struct sw__slabs *slabs) {
    struct sw__cache *mine = sw__slabs_my_cache(slabs);
    if (!mine)
        return;
    sw__lock(&mine->lock);
    size_t budget = budget_of(mine);
    if (mine->present > budget && mine->first_unswept)
        sweep_down_to(mine, budget - budget / 64);
    sw__unlock(&mine->lock);
}
