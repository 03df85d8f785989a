/*
 * bins.c - what a cache does with its slabs: see bins.h.
 */
#include "bins.h"

#include "align.h"
#include "remote.h"

/* Blocks over this size are cut from slabs of LARGE_SLAB, so that a slab has eight at least. The
 * first slabs of a bin are a quarter of that: there are many bins and many threads, most need
 * little, and a small slab is soon empty. But one with fewer than FEW_BLOCKS is soon full, too: of
 * those there are less. */
#define SLAB         ((size_t)64 << 10)
#define SLAB_FOR_MAX (SLAB / 8)
#define LARGE_SLAB   (4 * SLAB)
#define FIRST_PART   4
#define FIRST_SLABS  8
#define FEW_BLOCKS   8
#define FIRST_OF_FEW 2

_Static_assert(SLAB / FIRST_PART % SW__SLICE == 0, "slabs are entered in the page map");
_Static_assert(LARGE_SLAB / SW__PAGE <= SW__SLAB_PAGES_MAX &&
                   SLAB / SW_MIN_ALIGNMENT <= SW__SLAB_BLOCKS_MAX,
               "a slab's pages have a bit each, and so have its blocks while it is swept");
_Static_assert(SLAB / FIRST_PART >= SLAB_FOR_MAX && LARGE_SLAB / FIRST_PART >= SW__SMALL_MAX,
               "blocks are aligned as their slabs are");

/* What a cache may keep in slabs with nothing live, beside those it takes blocks from. */
#define MOST_KEPT (4 * SLAB)
/* So much where the current ones have just retired: where the thread goes on it has them again. */
#define MOST_RETIRED (4 * MOST_KEPT)
/* And of either no more than its part of this, or a slab: of many threads most rest. */
#define KEPT_IN_ALL (128 * SLAB)

/* The slab that lingers is no more than such a part of what its cache has, or all that may are no more
 * than that. */
#define LINGERING_SHARE  16
#define LINGERING_IN_ALL (4 * SLAB)

/* Of a cache that never had so much in slabs it is not asked whether it has less. */
#define LEAST_TO_SHRINK (2 * SLAB)

bool sw__slabs_torn_by_fork;

struct sw__slab sw__no_slab = {.alarm = SW__NO_ALARM};

/* ---- Slabs ----------------------------------------------------------------------------------- */

static size_t whole_slab(unsigned class) {
    return sw__class_sizes[class] <= SLAB_FOR_MAX ? SLAB : LARGE_SLAB;
}

/* All are aligned to it: it is no less than a block, and no block is aligned to more than its size.
 */
static size_t first_slab(unsigned class) {
    return whole_slab(class) / FIRST_PART;
}

static bool is_next_a_first(const struct sw__cache *cache, unsigned class) {
    bool has_few = first_slab(class) / sw__class_sizes[class] < FEW_BLOCKS;
    return cache->bins[class].slab_count < (has_few ? FIRST_OF_FEW : FIRST_SLABS);
}

/* A descriptor, spare or new. The heap's lock is held. */
static struct sw__slab *take_descriptor(struct sw__slabs *slabs) {
    struct sw__slab *slab = slabs->spare;
    if (slab) {
        slabs->spare = slab->next;
        return slab;
    }
    slab = sw__extents_meta_alloc(slabs->extents, sizeof *slab);
    if (slab) {
        slab->older = slabs->all;
        slabs->all = slab;
    }
    return slab;
}

void sw__slab_keep_descriptor(struct sw__slabs *slabs, struct sw__slab *slab) {
    slab->extent = NULL;
    slab->is_ghost = false;
    sw__slab_set_owner(slab, NULL);
    slab->next = slabs->spare;
    slabs->spare = slab;
}

/* Of the first slabs of a bin most are hardly used. Where there is no room for a whole one, as near a
 * limit, there may be for one as the first. */
static struct sw__extent *alloc_extent(struct sw__extents *extents, unsigned class, bool is_first) {
    size_t alignment = first_slab(class);
    struct sw__extent *whole =
        is_first ? NULL : sw__extents_alloc(extents, whole_slab(class), alignment);
    return whole ? whole : sw__extents_alloc_sparse(extents, alignment, alignment);
}

struct sw__slab *sw__slab_make(struct sw__cache *cache, unsigned class) {
    struct sw__slabs *slabs = cache->slabs;
    size_t block_size = sw__class_sizes[class];
    bool is_first = is_next_a_first(cache, class);
    sw__lock(&slabs->lock);
    struct sw__slab *slab = take_descriptor(slabs);
    struct sw__extent *extent = slab ? alloc_extent(slabs->extents, class, is_first) : NULL;
    if (extent) {
        cache->bins[class].slab_count++;
        sw__slab_set_owner(slab, cache);
        slab->class = (uint16_t) class;
        slab->block_size = (uint32_t)block_size;
        slab->capacity = (uint32_t)(sw__extent_size(extent) / block_size);
        slab->carved = 0;
        slab->absent = 0;
        slab->unswept = 0;
        slab->is_in_queue = false;
        slab->free = NULL;
        slab->listed = slab->kept = false;
        slab->extent = extent;
        sw__slab_count_present(slab, sw__extent_size(extent));
        sw__slab_set_used(slab, 0);
        sw__extents_mark(slabs->extents, extent, (char *)slab + SW__HOLDER_IS_SLAB);
    } else if (slab) {
        sw__slab_keep_descriptor(slabs, slab);
    }
    sw__unlock(&slabs->lock);
    return extent ? slab : NULL;
}

/* Gives the slab's pages back to the extents. The heap's lock is held. */
static void end_slab(struct sw__slabs *slabs, struct sw__slab *slab) {
    sw__extents_free(slabs->extents, slab->extent);
    sw__slab_keep_descriptor(slabs, slab);
}

/* ---- What a cache has in its slabs ----------------------------------------------------------- */

static void put_into_queue(struct sw__cache *cache, struct sw__slab *slab) {
    slab->is_in_queue = true;
    cache->unswept_count++;
    slab->next_unswept = NULL;
    slab->previous_unswept = cache->last_unswept;
    if (cache->last_unswept)
        cache->last_unswept->next_unswept = slab;
    else
        cache->first_unswept = slab;
    cache->last_unswept = slab;
}

static void take_from_queue(struct sw__cache *cache, struct sw__slab *slab) {
    struct sw__slab *next = slab->next_unswept, *previous = slab->previous_unswept;
    slab->is_in_queue = false;
    cache->unswept_count--;
    *(previous ? &previous->next_unswept : &cache->first_unswept) = next;
    *(next ? &next->previous_unswept : &cache->last_unswept) = previous;
}

/* The cache's sum is of slabs in the queue: less than a page is not worth a look. */
void sw__slab_count_unswept(struct sw__slab *slab, size_t more) {
    struct sw__cache *cache = sw__slab_owner(slab);
    size_t all = atomic_load_explicit(&cache->unswept, memory_order_relaxed);
    if (slab->is_in_queue)
        all -= slab->unswept;
    slab->unswept += more;
    bool is_worth_it = slab->unswept >= SW__PAGE;
    if (is_worth_it)
        all += slab->unswept;
    atomic_store_explicit(&cache->unswept, all, memory_order_relaxed);
    if (is_worth_it && !slab->is_in_queue)
        put_into_queue(cache, slab);
    else if (!is_worth_it && slab->is_in_queue)
        take_from_queue(cache, slab);
}

/* A slab is about to leave it. */
void sw__slab_count_out(struct sw__slab *slab) {
    sw__slab_bin(slab)->slab_count--;
    sw__slab_count_present(slab, -sw__slab_present(slab));
    sw__slab_count_unswept(slab, -slab->unswept);
}

void sw__slab_give_back(struct sw__slab *slab) {
    struct sw__cache *cache = sw__slab_owner(slab);
    sw__slab_count_out(slab);
    sw__lock(&cache->slabs->lock);
    end_slab(cache->slabs, slab);
    sw__unlock(&cache->slabs->lock);
}

/* ---- Bins ------------------------------------------------------------------------------------ */

/* At the end: until its turn comes more of its blocks will have come back. */
void sw__bin_list(struct sw__slab *slab) {
    struct sw__bin *bin = sw__slab_bin(slab);
    slab->listed = true;
    slab->next = NULL;
    slab->previous = bin->listed ? bin->last_listed : NULL;
    if (bin->listed)
        bin->last_listed->next = slab;
    else
        bin->listed = slab;
    bin->last_listed = slab;
}

/* Empty ones are counted apart: what was current a moment ago leaves the others their room. */
static size_t *bytes_kept(const struct sw__slab *slab, bool is_retired) {
    struct sw__cache *cache = sw__slab_owner(slab);
    return is_retired ? &cache->bytes_retired : &cache->bytes_kept;
}

void sw__bin_unlist(struct sw__slab *slab) {
    struct sw__bin *bin = sw__slab_bin(slab);
    slab->listed = false;
    if (slab->kept)
        *bytes_kept(slab, slab->retired) -= sw__extent_size(slab->extent);
    slab->kept = false;
    if (slab->previous)
        slab->previous->next = slab->next;
    else
        bin->listed = slab->next;
    if (slab->next)
        slab->next->previous = slab->previous;
    else
        bin->last_listed = slab->previous;
}

static bool is_only_one_listed(const struct sw__bin *bin, const struct sw__slab *slab) {
    return bin->listed == slab && !slab->next;
}

/* Of the heap, this one among them. */
static size_t count_caches(const struct sw__cache *cache) {
    return atomic_load_explicit(&cache->slabs->cache_count, memory_order_relaxed);
}

static size_t most_kept(const struct sw__cache *cache, bool is_retired) {
    size_t part = sw__larger(KEPT_IN_ALL / count_caches(cache), SLAB);
    return sw__smaller(is_retired ? MOST_RETIRED : MOST_KEPT, part);
}

static bool may_be_kept(const struct sw__slab *slab, bool is_retired) {
    size_t most = most_kept(sw__slab_owner(slab), is_retired);
    return *bytes_kept(slab, is_retired) + sw__extent_size(slab->extent) <= most &&
           sw__slab_absent(slab) == 0;
}

/* A listed slab with nothing live goes back, unless the bin would have no other to turn to: a slab
 * that fills and empties in turn would come and go each time. A cache keeps few of those: there are
 * many bins, and many threads. */
static void consider_giving_back(struct sw__slab *slab, bool is_retired) {
    if (sw__slab_used(slab) != 0 || slab->kept)
        return;
    if (is_only_one_listed(sw__slab_bin(slab), slab) && may_be_kept(slab, is_retired)) {
        slab->kept = true;
        slab->retired = is_retired;
        *bytes_kept(slab, is_retired) += sw__extent_size(slab->extent);
        return;
    }
    sw__bin_unlist(slab);
    sw__slab_give_back(slab);
}

/* ---- Open and closed ------------------------------------------------------------------------- */

static void close_slab(struct sw__slab *slab) {
    uintptr_t cache = (uintptr_t)sw__slab_owner(slab);
    atomic_store_explicit(&slab->owner, cache | SW__SLAB_IS_CLOSED, memory_order_relaxed);
}

static void set_alarm(struct sw__slab *slab, uint32_t alarm) {
    atomic_store_explicit(&slab->alarm, alarm, memory_order_relaxed);
}

/* Only by its owner, or where that is nobody. */
static void open_slab(struct sw__slab *slab, uint32_t alarm) {
    if (slab->unswept)
        sw__slab_count_unswept(slab, -slab->unswept);
    set_alarm(slab, alarm);
    sw__slab_set_owner(slab, sw__slab_owner(slab));
}

/* It is sparse with so many live blocks: each may leave its page free. Of blocks larger than a page
 * any may, and most are to be freed without a lock. */
static uint32_t sparse_at(const struct sw__slab *slab) {
    uint32_t pages = (uint32_t)(sw__extent_size(slab->extent) >> SW__PAGE_SHIFT);
    uint32_t most = slab->capacity - slab->capacity / 4;
    return pages < most ? pages : most;
}

/* What is free, and there. */
static size_t present_free(const struct sw__slab *slab) {
    size_t present = sw__slab_present(slab), used = (size_t)sw__slab_used(slab) * slab->block_size;
    return present > used ? present - used : 0;
}

/* So many blocks more are free, each with its page, perhaps. Only of closed slabs it is told. */
void sw__slab_count_freed(struct sw__slab *slab, size_t blocks) {
    size_t each = sw__larger(slab->block_size, SW__PAGE);
    size_t most = present_free(slab);
    if (slab->unswept < most && sw__slab_is_closed(slab))
        sw__slab_count_unswept(slab, sw__smaller(blocks * each, most - slab->unswept));
}

/* Of one that is not current. */
void sw__slab_close_if_sparse(struct sw__slab *slab) {
    if (sw__slab_is_closed(slab))
        return;
    uint32_t alarm = sparse_at(slab);
    set_alarm(slab, alarm);
    if (sw__slab_used(slab) <= alarm) {
        close_slab(slab);
        sw__slab_count_freed(slab, slab->capacity);
    }
}

/* Its descriptor may be another slab's by now, or nobody's: then this does no more than is due to that
 * one. */
void sw__cache_settle(struct sw__cache *cache) {
    struct sw__slab *slab = cache->lingering;
    cache->lingering = NULL;
    if (slab && sw__slab_is_open_to(slab, cache) && !sw__slab_is_current(slab))
        sw__slab_close_if_sparse(slab);
}

/* Nobody sweeps it meanwhile: that is to be little beside what the cache has, or all caches together. */
static bool may_linger(const struct sw__cache *cache, size_t size) {
    return size <= SLAB && (size <= cache->present / LINGERING_SHARE ||
                            count_caches(cache) * size <= LINGERING_IN_ALL);
}

/* What frees many blocks in a row often frees all that a slab has. So that not each of the last ones
 * takes the lock, one slab of a cache stays open until it is empty, or the next becomes sparse. */
bool sw__slab_linger(struct sw__slab *slab) {
    struct sw__cache *cache = sw__slab_owner(slab);
    if (sw__slab_used(slab) == 0 || !may_linger(cache, sw__extent_size(slab->extent)))
        return false;
    if (cache->lingering != slab)
        sw__cache_settle(cache);
    cache->lingering = slab;
    set_alarm(slab, 0);
    return true;
}

/* The current slab joins the others; one with nothing to give waits for its first free. */
void sw__bin_retire_current(struct sw__cache *cache, unsigned class) {
    struct sw__slab *slab = sw__bin_current(cache, class);
    sw__bin_set_current(cache, class, &sw__no_slab);
    if (slab == &sw__no_slab)
        return;
    if (sw__slab_is_full(slab)) {
        close_slab(slab);
    } else {
        sw__bin_list(slab);
        sw__slab_close_if_sparse(slab);
    }
}

/* The bin has none. */
void sw__bin_make_current(struct sw__slab *slab) {
    open_slab(slab, sw__slab_bin(slab)->has_emptied ? SW__NO_ALARM : 0);
    sw__bin_set_current(sw__slab_owner(slab), slab->class, slab);
}

/* Blocks came back to one that is not current. */
void sw__slab_heed_free(struct sw__slab *slab) {
    if (!slab->listed)
        sw__bin_list(slab); /* was full */
    sw__slab_close_if_sparse(slab);
    consider_giving_back(slab, false);
}

void sw__slab_heed_returned(struct sw__slab *slab) {
    if (!sw__slab_is_current(slab))
        sw__slab_heed_free(slab);
}

/* It may not be needed any more: one with nothing live is kept, or goes. */
static void retire_for_good(struct sw__cache *cache, unsigned class) {
    struct sw__slab *slab = sw__bin_current(cache, class);
    sw__bin_retire_current(cache, class);
    if (slab->listed)
        consider_giving_back(slab, true);
}

/* Once: where one slab fills and empties in turn, that is not to be a matter of locks and lists each
 * time. */
void sw__bin_heed_emptied(struct sw__slab *slab) {
    sw__slab_bin(slab)->has_emptied = true;
    atomic_store_explicit(&sw__slab_owner(slab)->has_emptied, true, memory_order_relaxed);
    retire_for_good(sw__slab_owner(slab), slab->class);
}

/* It may have been long ago that the bin's current slab emptied, so the next time is heeded; but not each
 * time of one that is wanted all the while. A current slab that is empty now stays. */
static void look_at_emptied(struct sw__cache *cache, unsigned class) {
    struct sw__bin *bin = &cache->bins[class];
    struct sw__slab *taken_since = sw__bin_current(cache, class);
    bool is_busy = taken_since != &sw__no_slab;
    if (is_busy && ++bin->looks < SW__LOOKS_AT_BUSY)
        return;
    bin->has_emptied = false;
    bin->looks = 0;
    if (is_busy)
        set_alarm(taken_since, 0);
}

void sw__cache_look(struct sw__cache *cache) {
    bool is_any_left = false;
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++) {
        if (cache->bins[class].has_emptied)
            look_at_emptied(cache, class);
        is_any_left |= cache->bins[class].has_emptied;
    }
    atomic_store_explicit(&cache->has_emptied, is_any_left, memory_order_relaxed);
}

/* A thread that frees most of what it has may sleep for long afterwards, and nobody sweeps its current
 * slabs, one for each size: they are listed before their last blocks are freed. */
void sw__cache_heed_shrinking(struct sw__cache *cache) {
    if (sw__cache_used(cache) >= cache->most_used / 2 || cache->most_used < LEAST_TO_SHRINK)
        return;
    if (sw__inbox_has_any(cache))
        sw__inbox_empty(cache, false);
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
        retire_for_good(cache, class);
    cache->most_used = sw__cache_used(cache);
}

/* The bin has a current slab, which has nothing to give, and nothing waits in its remote list. */
static bool is_current_used_up(const struct sw__cache *cache, unsigned class) {
    const struct sw__slab *slab = sw__bin_current(cache, class);
    return slab != &sw__no_slab && sw__slab_is_full(slab) && !sw__slab_has_remote(slab);
}

static void link_free(struct sw__slab *slab, struct sw__free_block *block) {
    bool is_withheld = sw__slab_absent(slab) != 0 && sw__slab_is_withheld(slab, block);
    if (is_withheld || sw__slab_used(slab) == 0 || block == slab->free ||
        !sw__slab_is_block(slab, block))
        sw__misuse_free();
    block->next = slab->free;
    slab->free = block;
    sw__slab_set_used(slab, sw__slab_used(slab) - 1);
}

void sw__slab_put_back(struct sw__slab *slab, struct sw__free_block *block) {
    link_free(slab, block);
    sw__slab_count_freed(slab, 1);
    sw__slab_heed_returned(slab);
}

/* If the slab was full and the bin has no block at hand, it becomes the current one: where a malloc
 * follows each free, it need not be listed first. */
void sw__slab_put_closed(struct sw__slab *slab, struct sw__free_block *block) {
    bool was_full = !slab->listed;
    link_free(slab, block);
    struct sw__cache *cache = sw__slab_owner(slab);
    if (was_full && sw__slab_used(slab) > 0 && is_current_used_up(cache, slab->class)) {
        sw__bin_retire_current(cache, slab->class);
        sw__bin_make_current(slab);
        return;
    }
    sw__slab_count_freed(slab, 1);
    if (sw__slab_used(slab) > sparse_at(slab))
        open_slab(slab, sparse_at(slab)); /* was full */
    sw__slab_heed_free(slab);
}
