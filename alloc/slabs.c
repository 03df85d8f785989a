/*
 * slabs.c - small blocks: see slabs.h. Here is what a cache does off the fast paths; which thread
 * has which cache is in caches.c.
 */
#include "slabs.h"

#include "align.h"
#include "slab_pages.h"

#include <sched.h>

#define NEVER UINT32_MAX

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

/* A cache sweeps once `present` exceeds `needed` by UNSWEPT_BYTES or a share of it, whichever is
 * more, and by `missed`. `needed` decays by a share of the bytes that are made anew, `missed` by the
 * same share of those that are swept. */
#define UNSWEPT_BYTES ((size_t)1 << 20)
#define UNSWEPT_SHARE 16
#define FORGET_SHARE  8
/* So many slabs are swept at most while one block is waited for, or the lock. */
#define SWEPT_AT_ONCE 32
/* Whenever slabs of so many bytes have come into an inbox, the keeper is woken. */
#define TOLD_OF_INBOX ((size_t)1 << 20)

struct sw__slab sw__no_slab = {.alarm = NEVER};

/* ---- The classes ----------------------------------------------------------------------------- */

#define FOUR(base, step)                                                                           \
    (base) + (step), (base) + 2 * (step), (base) + 3 * (step), (base) + 4 * (step)
#define EIGHT(base) FOUR(base, (base) / 8), FOUR((base) + (base) / 2, (base) / 8)

const uint16_t sw__class_sizes[SW__CLASS_COUNT] = {
    FOUR(0, 16), FOUR(64, 16), /* by 16 from 16 on, */
    EIGHT(128),  EIGHT(256),   EIGHT(512),  EIGHT(1024),
    EIGHT(2048), EIGHT(4096),  EIGHT(8192), EIGHT(16384),
};

#define RUN_OF_4(class)       class, (class) + 1, (class) + 2, (class) + 3
#define RUN_OF_8(class)       RUN_OF_4(class), RUN_OF_4((class) + 4)
#define TWICE(class)          class, class
#define FOUR_TIMES(class)     TWICE(class), TWICE(class)
#define EACH_OF_4(how, class) how(class), how((class) + 1), how((class) + 2), how((class) + 3)
#define EACH_OF_8(how, class) EACH_OF_4(how, class), EACH_OF_4(how, (class) + 4)

/* By (size + 15) / 16. */
const uint8_t sw__class_table[SW__TABLED_MAX / 16 + 1] = {
    0, /* size 0 counts as 1 */
    RUN_OF_8(0),
    RUN_OF_8(8),               /* to 256 */
    EACH_OF_8(TWICE, 16),      /* to 512 */
    EACH_OF_8(FOUR_TIMES, 24), /* to 1024 */
};

size_t sw__round_to_class(size_t size) {
    if (size <= SW__SMALL_MAX)
        return sw__class_sizes[sw__class_of(size)];
    size_t spacing = (size_t)1 << (63 - __builtin_clzll(size - 1) - 3);
    return sw__align_up(size, spacing);
}

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
    return cache->slab_counts[class] < (has_few ? FIRST_OF_FEW : FIRST_SLABS);
}

static void set_owner(struct sw__slab *slab, struct sw__cache *cache) {
    atomic_store_explicit(&slab->owner, (uintptr_t)cache, memory_order_relaxed);
}

/* A descriptor, spare or new. The heap's lock is held. */
static struct sw__slab *take_descriptor(struct sw__slabs *slabs) {
    struct sw__slab *slab = slabs->spare;
    if (slab) {
        slabs->spare = slab->next;
        return slab;
    }
    sw__lock(&slabs->extents->lock); /* which guards the metadata */
    slab = sw__meta_alloc(slabs->extents->meta, sizeof *slab);
    sw__unlock(&slabs->extents->lock);
    if (slab) {
        slab->older = slabs->all;
        slabs->all = slab;
    }
    return slab;
}

static void keep_descriptor(struct sw__slabs *slabs, struct sw__slab *slab) {
    slab->extent = NULL;
    slab->is_ghost = false;
    set_owner(slab, NULL);
    slab->next = slabs->spare;
    slabs->spare = slab;
}

static void set_used(struct sw__slab *slab, uint32_t used) {
    atomic_store_explicit(&slab->used, used, memory_order_relaxed);
}

static uint32_t used_of(const struct sw__slab *slab) {
    return atomic_load_explicit(&slab->used, memory_order_relaxed);
}

/* Of the first slabs of a bin most are hardly used. */
static struct sw__extent *alloc_extent(struct sw__extents *extents, unsigned class, bool is_first) {
    size_t alignment = first_slab(class);
    return is_first ? sw__extents_alloc_sparse(extents, alignment, alignment)
                    : sw__extents_alloc(extents, whole_slab(class), alignment);
}

static struct sw__slab *make_slab(struct sw__cache *cache, unsigned class) {
    struct sw__slabs *slabs = cache->slabs;
    size_t block_size = sw__class_sizes[class];
    bool is_first = is_next_a_first(cache, class);
    sw__lock(&slabs->lock);
    struct sw__slab *slab = take_descriptor(slabs);
    struct sw__extent *extent = slab ? alloc_extent(slabs->extents, class, is_first) : NULL;
    if (extent) {
        cache->slab_counts[class]++;
        set_owner(slab, cache);
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
        set_used(slab, 0);
        sw__extents_mark(slabs->extents, extent, (char *)slab + SW__HOLDER_IS_SLAB);
    } else if (slab) {
        keep_descriptor(slabs, slab);
    }
    sw__unlock(&slabs->lock);
    return extent ? slab : NULL;
}

/* Gives the slab's pages back to the extents. The heap's lock is held. */
static void end_slab(struct sw__slabs *slabs, struct sw__slab *slab) {
    sw__extents_free(slabs->extents, slab->extent);
    keep_descriptor(slabs, slab);
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
static void count_unswept(struct sw__slab *slab, size_t more) {
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
static void count_out(struct sw__slab *slab) {
    sw__slab_owner(slab)->slab_counts[slab->class]--;
    sw__slab_count_present(slab, -sw__slab_present(slab));
    count_unswept(slab, -slab->unswept);
}

static void give_slab_back(struct sw__slab *slab) {
    struct sw__cache *cache = sw__slab_owner(slab);
    count_out(slab);
    sw__lock(&cache->slabs->lock);
    end_slab(cache->slabs, slab);
    sw__unlock(&cache->slabs->lock);
}

/* ---- Misuse: what a slab's own counts and links tell, looked at where the path is slow anyway */

/* In a child of a process with threads: one of them may have stood between a list and its count. */
static bool torn_by_fork;

/* Without the division that certainty takes. */
static bool may_be_block_of(const struct sw__slab *slab, const void *pointer) {
    size_t at = (size_t)((const char *)pointer - sw__extent_start(slab->extent));
    return at < sw__extent_size(slab->extent) && at % SW_MIN_ALIGNMENT == 0;
}

/* Of a slab without a free block: all that are cut are handed out, but for absent ones. */
static void check_used_up(const struct sw__slab *slab) {
    bool is_known = sw__slab_absent(slab) == 0 && !torn_by_fork;
    if (is_known && used_of(slab) != sw__slab_carved(slab))
        sw__misuse(SW__MISUSE_FREE_LIST, NULL);
}

/* After a free: more frees than blocks handed out bring `used` below zero, to NEVER, which is a
 * current slab's alarm. */
static void check_free(const struct sw__slab *slab) {
    if (used_of(slab) == NEVER || !sw__slab_is_block(slab, slab->free))
        sw__misuse_free();
}

/* ---- Bins ------------------------------------------------------------------------------------ */

static struct sw__bin *bin_of(const struct sw__slab *slab) {
    return &sw__slab_owner(slab)->bins[slab->class];
}

/* At the end: until its turn comes more of its blocks will have come back. */
static void list(struct sw__slab *slab) {
    struct sw__bin *bin = bin_of(slab);
    struct sw__slab **last = &sw__slab_owner(slab)->last_listed[slab->class];
    slab->listed = true;
    slab->next = NULL;
    slab->previous = bin->listed ? *last : NULL;
    if (bin->listed)
        (*last)->next = slab;
    else
        bin->listed = slab;
    *last = slab;
}

static void unlist(struct sw__slab *slab) {
    struct sw__cache *cache = sw__slab_owner(slab);
    slab->listed = false;
    if (slab->kept)
        cache->bytes_kept -= sw__extent_size(slab->extent);
    slab->kept = false;
    if (slab->previous)
        slab->previous->next = slab->next;
    else
        bin_of(slab)->listed = slab->next;
    if (slab->next)
        slab->next->previous = slab->previous;
    else
        cache->last_listed[slab->class] = slab->previous;
}

static bool is_only_one_listed(const struct sw__bin *bin, const struct sw__slab *slab) {
    return bin->listed == slab && !slab->next;
}

/* A listed slab with nothing live goes back, unless the bin would have no other to turn to: a slab
 * that fills and empties in turn would come and go each time. A cache keeps few of those: there are
 * many bins, and many threads. */
static void consider_giving_back(struct sw__slab *slab) {
    struct sw__cache *cache = sw__slab_owner(slab);
    size_t size = sw__extent_size(slab->extent);
    if (used_of(slab) != 0 || slab->kept)
        return;
    if (is_only_one_listed(bin_of(slab), slab) && cache->bytes_kept + size <= MOST_KEPT &&
        sw__slab_absent(slab) == 0) {
        slab->kept = true;
        cache->bytes_kept += size;
        return;
    }
    unlist(slab);
    give_slab_back(slab);
}

/* ---- Open and closed ------------------------------------------------------------------------- */

static bool is_closed(const struct sw__slab *slab) {
    return !sw__slab_is_open_to(slab, sw__slab_owner(slab));
}

static void close_slab(struct sw__slab *slab) {
    uintptr_t cache = (uintptr_t)sw__slab_owner(slab);
    atomic_store_explicit(&slab->owner, cache | SW__SLAB_IS_CLOSED, memory_order_relaxed);
}

/* Only by its owner, or where that is nobody. */
static void open_slab(struct sw__slab *slab, uint32_t alarm) {
    if (slab->unswept)
        count_unswept(slab, -slab->unswept);
    slab->alarm = alarm;
    set_owner(slab, sw__slab_owner(slab));
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
    size_t present = sw__slab_present(slab), used = (size_t)used_of(slab) * slab->block_size;
    return present > used ? present - used : 0;
}

/* So many blocks more are free, each with its page, perhaps. Only of closed slabs it is told. */
static void count_freed(struct sw__slab *slab, size_t blocks) {
    size_t each = sw__larger(slab->block_size, SW__PAGE);
    size_t most = present_free(slab);
    if (slab->unswept < most && is_closed(slab))
        count_unswept(slab, sw__smaller(blocks * each, most - slab->unswept));
}

/* Of one that is not current. */
static void close_if_sparse(struct sw__slab *slab) {
    if (is_closed(slab))
        return;
    slab->alarm = sparse_at(slab);
    if (used_of(slab) <= slab->alarm) {
        close_slab(slab);
        count_freed(slab, slab->capacity);
    }
}

/* The current slab joins the others; one with nothing to give waits for its first free. */
static void retire_current(struct sw__bin *bin) {
    struct sw__slab *slab = bin->current;
    bin->current = &sw__no_slab;
    if (slab == &sw__no_slab)
        return;
    if (sw__slab_is_full(slab)) {
        close_slab(slab);
    } else {
        list(slab);
        close_if_sparse(slab);
    }
}

/* The bin has none. */
static void make_current(struct sw__slab *slab) {
    open_slab(slab, NEVER);
    bin_of(slab)->current = slab;
}

/* Blocks came back to one that is not current. */
static void heed_free(struct sw__slab *slab) {
    if (!slab->listed)
        list(slab); /* was full */
    close_if_sparse(slab);
    consider_giving_back(slab);
}

void sw__slabs_free_alarm(struct sw__cache *cache, struct sw__slab *slab) {
    sw__lock(&cache->lock);
    if (sw__slab_owner(slab) == cache) { /* else another thread has given it back meanwhile */
        check_free(slab);
        heed_free(slab);
    }
    sw__unlock(&cache->lock);
    sw__slabs_tell_of_freeable(cache->slabs);
}

/* The bin has a current slab, which has nothing to give, and nothing waits in its remote list. */
static bool is_current_used_up(const struct sw__bin *bin) {
    const struct sw__slab *slab = bin->current;
    return slab != &sw__no_slab && sw__slab_is_full(slab) &&
           !atomic_load_explicit(&slab->remote, memory_order_relaxed);
}

/* One more block of a closed slab is free. If the slab was full and the bin has no block at hand, it
 * becomes the current one: where a malloc follows each free, it need not be listed first. */
static void put_closed(struct sw__slab *slab, struct sw__free_block *block) {
    bool is_withheld = sw__slab_absent(slab) != 0 && sw__slab_is_withheld(slab, block);
    if (is_withheld || used_of(slab) == 0 || block == slab->free || !sw__slab_is_block(slab, block))
        sw__misuse_free();
    bool was_full = !slab->listed;
    block->next = slab->free;
    slab->free = block;
    set_used(slab, used_of(slab) - 1);
    if (was_full && used_of(slab) > 0 && is_current_used_up(bin_of(slab))) {
        retire_current(bin_of(slab));
        make_current(slab);
        return;
    }
    count_freed(slab, 1);
    if (used_of(slab) > sparse_at(slab))
        open_slab(slab, sparse_at(slab)); /* was full */
    heed_free(slab);
}

static void free_closed(struct sw__cache *cache, struct sw__slab *slab, void *block) {
    sw__lock(&cache->lock);
    put_closed(slab, block);
    sw__unlock(&cache->lock);
    sw__slabs_tell_of_freeable(cache->slabs);
}

/* ---- Frees from other threads ---------------------------------------------------------------- */

/* A remote list in one word: the address of its first block, of 48 bits as the page map has it, and
 * below it the number of its blocks, of 16. */
#define COUNT_BITS 16
_Static_assert(SW__ADDRESS_BITS + COUNT_BITS <= 64, "an address and a count share a word");
_Static_assert(SLAB / SW_MIN_ALIGNMENT < 1 << COUNT_BITS, "a slab's blocks can be counted");

static uintptr_t chain_of(const struct sw__free_block *first, uint32_t count) {
    return (uintptr_t)first << COUNT_BITS | count;
}

static struct sw__free_block *first_of(uintptr_t chain) {
    return (struct sw__free_block *)(chain >> COUNT_BITS);
}

static uint32_t count_of(uintptr_t chain) {
    return (uint32_t)(chain & (((uintptr_t)1 << COUNT_BITS) - 1));
}

/* All blocks that are handed out are in the remote list. For certain only under the owner's lock,
 * and if the slab is not current: then `used` does not rise, and no free is under way. */
static bool is_all_remote(struct sw__slab *slab) {
    uint32_t count = count_of(atomic_load_explicit(&slab->remote, memory_order_acquire));
    return count > 0 && count == atomic_load_explicit(&slab->used, memory_order_acquire);
}

static void put_into_inbox(struct sw__cache *owner, struct sw__slab *slab) {
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
        unlist(slab);
    count_out(slab);
    atomic_store_explicit(&slab->remote, 0, memory_order_relaxed);
    slab->is_ghost = true;
    set_owner(slab, NULL);
    sw__lock(&owner->slabs->lock);
    sw__extents_free(owner->slabs->extents, slab->extent);
    slab->extent = NULL;
    sw__unlock(&owner->slabs->lock);
}

/* The ghost is out of the inbox. */
static void bury(struct sw__slabs *slabs, struct sw__slab *slab) {
    sw__lock(&slabs->lock);
    keep_descriptor(slabs, slab);
    sw__unlock(&slabs->lock);
}

/* It seems that all blocks of the owner's slab are in its remote list. */
static __attribute__((noinline)) void reclaim(struct sw__cache *owner, struct sw__slab *slab) {
    sw__lock(&owner->lock);
    bool is_empty =
        sw__slab_owner(slab) == owner && bin_of(slab)->current != slab && is_all_remote(slab);
    if (is_empty)
        make_ghost(owner, slab);
    sw__unlock(&owner->lock);
    if (is_empty)
        sw__slabs_tell_of_freeable(owner->slabs);
}

/* Owner and keeper may both sleep: the keeper is woken each time another MiB of slabs has come. It
 * says that it sleeps before it looks into inboxes; here the slab is there before that is read, for
 * the count and the reading are sequentially consistent. */
static void tell_of_inbox(struct sw__cache *owner, size_t slab_size) {
    struct sw__slabs *slabs = owner->slabs;
    if (!slabs->when_freeable)
        return;
    size_t before = atomic_fetch_add(&owner->inbox_bytes, slab_size), bytes = before + slab_size;
    if (before / TOLD_OF_INBOX != bytes / TOLD_OF_INBOX)
        slabs->when_freeable(slabs, owner, bytes);
}

static void free_remote(struct sw__slab *slab, struct sw__free_block *block) {
    /* While the block is ours the slab is its owner's; afterwards it may become anybody's. */
    struct sw__cache *owner = sw__slab_owner(slab);
    uint32_t capacity = slab->capacity, used;
    size_t size = capacity * (size_t)slab->block_size;
    uintptr_t before = atomic_load_explicit(&slab->remote, memory_order_relaxed);
    do {
        used = used_of(slab);
        if (count_of(before) >= capacity)
            sw__misuse_free();
        block->next = first_of(before);
    } while (!atomic_compare_exchange_weak_explicit(&slab->remote, &before,
                                                    chain_of(block, count_of(before) + 1),
                                                    memory_order_acq_rel, memory_order_relaxed));
    if (!before) { /* else the slab is in the inbox already */
        put_into_inbox(owner, slab);
        tell_of_inbox(owner, size);
    }
    if (count_of(before) + 1 == used)
        reclaim(owner, slab);
}

void sw__slabs_free_slow(struct sw__slab *slab, void *block) {
    struct sw__cache *owner = sw__slab_owner(slab);
    if (sw__slabs_my_cache(owner->slabs) == owner) {
        free_closed(owner, slab, block);
        return;
    }
    bool is_stranger = !sw__slabs_know_thread();
    if (is_stranger)
        atomic_fetch_add_explicit(&sw__strangers_within, 1, memory_order_relaxed);
    free_remote(slab, block);
    if (is_stranger)
        atomic_fetch_sub_explicit(&sw__strangers_within, 1, memory_order_release);
}

/* Takes the slab's remote list over. The slab is off the inbox: from the exchange on, another
 * thread may put it there again. */
static void take_remote(struct sw__slab *slab) {
    uintptr_t chain = atomic_exchange_explicit(&slab->remote, 0, memory_order_acq_rel);
    struct sw__free_block *last = first_of(chain);
    uint32_t count = 1;
    while (may_be_block_of(slab, last) && last->next && count++ < count_of(chain))
        last = last->next;
    if (!sw__slab_is_block(slab, last) || last->next || count != count_of(chain) ||
        count > used_of(slab))
        sw__misuse(SW__MISUSE_FREE_LIST, NULL);
    last->next = slab->free;
    slab->free = first_of(chain);
    set_used(slab, used_of(slab) - count);
    count_freed(slab, count);
    if (bin_of(slab)->current != slab)
        heed_free(slab);
}

/* The owner takes all of it over; another thread, with only_closed, leaves open slabs there. */
static void empty_inbox(struct sw__cache *cache, bool only_closed) {
    if (!atomic_load_explicit(&cache->inbox, memory_order_relaxed))
        return;
    struct sw__slab *slab = atomic_exchange_explicit(&cache->inbox, NULL, memory_order_acquire);
    atomic_store_explicit(&cache->inbox_bytes, 0, memory_order_relaxed);
    while (slab) {
        struct sw__slab *next = slab->next_in_inbox; /* before take_remote opens it to others */
        if (slab->is_ghost)
            bury(cache->slabs, slab);
        else if (only_closed && !is_closed(slab))
            put_into_inbox(cache, slab);
        else
            take_remote(slab);
        slab = next;
    }
}

/* ---- Collecting what has nothing live -------------------------------------------------------- */

static void collect_if_empty(struct sw__slab *slab) {
    if (used_of(slab) != 0)
        return;
    unlist(slab);
    give_slab_back(slab);
}

/* Only the first of a bin's list (if it was kept) and the last (if it was current a moment ago) can be
 * empty: all others went when they emptied. After a fork any may be. */
static void collect_bin(struct sw__cache *cache, unsigned class) {
    struct sw__bin *bin = &cache->bins[class];
    retire_current(bin);
    for (struct sw__slab *slab = bin->listed, *next; slab; slab = next) {
        next = torn_by_fork || !slab->next ? slab->next : cache->last_listed[class];
        collect_if_empty(slab);
    }
}

void sw__cache_collect(struct sw__cache *cache) {
    empty_inbox(cache, false);
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
        collect_bin(cache, class);
}

/* ---- Sweeping what is closed ----------------------------------------------------------------- */

/* It is looked at last when blocks are wanted: others have more that is there. */
static void sweep(struct sw__slab *slab, size_t *released) {
    if (used_of(slab) == 0) {
        collect_if_empty(slab);
        return;
    }
    unlist(slab);
    list(slab);
    count_unswept(slab, -slab->unswept);
    sw__slab_sweep(sw__slab_owner(slab)->slabs, slab, released);
}

/* A few at a time, and so many in all as there were: its thread may want the lock. */
void sw__cache_collect_closed(struct sw__cache *cache, size_t *released) {
    sw__lock(&cache->lock);
    cache->missed = 0;
    cache->is_rested = true;
    empty_inbox(cache, true);
    for (uint32_t left = cache->unswept_count; left && cache->first_unswept; left--) {
        sweep(cache->first_unswept, released);
        if (left % SWEPT_AT_ONCE == 0) {
            sw__unlock(&cache->lock);
            sched_yield();
            sw__lock(&cache->lock);
        }
    }
    atomic_store_explicit(&cache->unswept_seen, 0, memory_order_relaxed);
    sw__unlock(&cache->lock);
}

/* What is enough to have in slabs: what lived there at once, a little more, and as much as was
 * missed after it had been swept. So what one size leaves free serves the next; and where sizes
 * take turns, it stays. What was needed is forgotten by and by as slabs are made. */
static size_t budget_of(struct sw__cache *cache) {
    size_t unswept = atomic_load_explicit(&cache->unswept, memory_order_relaxed);
    size_t live = cache->present - sw__smaller(unswept, cache->present);
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

/* ---- The slow path of alloc ------------------------------------------------------------------ */

static struct sw__free_block *take_block(struct sw__slab *slab) {
    struct sw__free_block *block = slab->free;
    slab->free = block->next;
    set_used(slab, used_of(slab) + 1);
    return block;
}

/* The first of those listed: all have a block, but where there is no memory for what is absent. */
static struct sw__slab *take_listed(struct sw__slabs *slabs, struct sw__bin *bin) {
    struct sw__slab *slab = bin->listed;
    if (slab && !sw__slab_ensure_block(slabs, slab))
        while (slab && !slab->free)
            slab = slab->next;
    if (slab)
        unlist(slab);
    return slab;
}

/* A slab for the bin to take blocks from, in place of the current one that has none. */
static bool turn_to_next(struct sw__cache *cache, unsigned class) {
    struct sw__bin *bin = &cache->bins[class];
    retire_current(bin);
    struct sw__slab *slab = take_listed(cache->slabs, bin);
    if (!slab)
        slab = make_slab(cache, class);
    if (!slab)
        return false;
    make_current(slab);
    return sw__slab_ensure_block(cache->slabs, slab);
}

static void *alloc_from_next(struct sw__cache *cache, unsigned class) {
    struct sw__bin *bin = &cache->bins[class];
    empty_inbox(cache, false);
    if (bin->current != &sw__no_slab) {
        if (!bin->current->free)
            check_used_up(bin->current);
        if (sw__slab_ensure_block(cache->slabs, bin->current))
            return take_block(bin->current);
    }
    return turn_to_next(cache, class) ? take_block(bin->current) : NULL;
}

void *sw__slabs_alloc_slow(struct sw__cache *cache, unsigned class) {
    struct sw__slabs *slabs = cache->slabs;
    sw__lock(&cache->lock);
    size_t before = cache->grown;
    bool takes_over = atomic_load_explicit(&cache->inbox, memory_order_relaxed) != NULL;
    void *block = alloc_from_next(cache, class);
    bool has_grown = cache->grown > before;
    sw__unlock(&cache->lock);
    if (has_grown && slabs->when_made)
        slabs->when_made(slabs);
    if (takes_over)
        sw__slabs_tell_of_freeable(slabs);
    return block;
}

/* ---- Fork ------------------------------------------------------------------------------------ */

/* Threads may have stood between a free and its alarm, and between a block's way to a remote list
 * and its slab's to the inbox, which caches.c has emptied. */
void sw__slabs_mend(struct sw__slabs *slabs) {
    torn_by_fork = true;
    for (struct sw__slab *slab = slabs->all; slab; slab = slab->older) {
        if (slab->is_ghost)
            keep_descriptor(slabs, slab);
        if (!slab->extent)
            continue;
        if (slab->remote)
            put_into_inbox(sw__slab_owner(slab), slab);
        if (bin_of(slab)->current != slab)
            close_if_sparse(slab);
    }
}

/* ---- What there is --------------------------------------------------------------------------- */

/* Blocks handed out and not freed: those in the remote list are. */
static size_t live_blocks(const struct sw__slab *slab) {
    size_t used = used_of(slab);
    size_t remote = count_of(atomic_load_explicit(&slab->remote, memory_order_relaxed));
    return used > remote ? used - remote : 0; /* the owner may be taking them over */
}

size_t sw__slabs_allocated(struct sw__slabs *slabs) {
    sw__lock(&slabs->lock);
    size_t allocated = sw__extents_live(slabs->extents);
    for (struct sw__slab *slab = slabs->all; slab; slab = slab->older)
        if (slab->extent)
            allocated -= sw__slab_present(slab) - live_blocks(slab) * slab->block_size;
    sw__unlock(&slabs->lock);
    return allocated;
}

void sw__slabs_visit_sizes(struct sw__slabs *slabs, sw__size_visitor *visitor, void *context) {
    sw__lock(&slabs->lock);
    for (struct sw__slab *slab = slabs->all; slab; slab = slab->older)
        if (slab->extent)
            visitor(context, slab->block_size, live_blocks(slab) * slab->block_size);
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
    sw__unlock(&slabs->lock);
    return largest;
}
