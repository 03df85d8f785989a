/*
 * stock.c - what a bin's thread has freed into its closed slabs: see stock.h.
 *
 * A stock begins with no room, and has twice as much whenever its class runs out of blocks after it had
 * no room for one, up to what a class and a cache may have. Where the cache's is used up, it comes from
 * a bin that has more.
 *
 * Whose cache it is works on a stock without a lock, and says so meanwhile. Who wants it empty shuts
 * it, lets every thread of the process come to see that, and then looks whether somebody is at it: an
 * asymmetric fence, which costs whose cache it is nothing (D. Dice, H. Huang, M. Yang, "Asymmetric
 * Dekker Synchronization", 2001).
 */
#include "stock.h"

#include "align.h"
#include "bins.h"
#include "os.h"
#include "remote.h"

/* Blocks are stocked from this size on: slabs of smaller ones are mostly open. */
#define LEAST_BLOCK 1024
/* So much may be in the stock of one bin, and in those of a cache such a part of what it has in
 * slabs. */
#define MOST_OF_BIN ((size_t)128 << 10)
#define SHARE       8
/* When a cache has so much more in slabs, and such a part, it is looked which stocks are used. */
#define MUCH       ((size_t)256 << 10)
#define MUCH_SHARE 32

static bool is_stocked(size_t block_size) {
    return block_size >= LEAST_BLOCK;
}

static size_t bytes_of(const struct sw__cache *cache, unsigned class) {
    return (size_t)cache->stocks[class].limit * sw__class_sizes[class];
}

/* ---- Its thread's, without a lock ------------------------------------------------------------ */

/* False when another thread is about to empty it. */
static bool enter(struct sw__cache *mine) {
    atomic_store_explicit(&mine->is_at_stock, true, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); /* the rest of a fence is done by who shuts it */
    if (!atomic_load_explicit(&mine->stock_shuts, memory_order_acquire))
        return true;
    atomic_store_explicit(&mine->is_at_stock, false, memory_order_release);
    return false;
}

static void leave(struct sw__cache *mine) {
    atomic_store_explicit(&mine->is_at_stock, false, memory_order_release);
}

static uint32_t room_of(const struct sw__stock *stock) {
    return atomic_load_explicit(&stock->room, memory_order_relaxed);
}

static void set_room(struct sw__stock *stock, uint32_t room) {
    atomic_store_explicit(&stock->room, room, memory_order_relaxed);
}

/* The list before the count: see Fork in slabs.h. */
static void push(struct sw__stock *stock, struct sw__free_block *block) {
    block->next = stock->first;
    atomic_signal_fence(memory_order_release);
    stock->first = block;
    set_room(stock, room_of(stock) - 1);
}

/* Out of the way of who puts a block there. */
static __attribute__((noinline)) void tell_of_freeable(const struct sw__cache *mine) {
    sw__slabs_tell_of_freeable(mine->slabs);
}

/* Freed into the slab a moment ago. Whoever holds the lock may be at its list: then this tells
 * nothing. */
static __attribute__((no_sanitize("thread"))) bool is_first_free(const struct sw__slab *slab,
                                                                 const void *block) {
    return block == *(void *const volatile *)&slab->free;
}

bool sw__stock_put(struct sw__cache *mine, const struct sw__slab *slab,
                   struct sw__free_block *block) {
    unsigned class = slab->class; /* once it is stocked, the slab may be another one's descriptor */
    struct sw__stock *stock = &mine->stocks[class];
    if (!is_stocked(slab->block_size) || room_of(stock) == 0 || sw__slab_absent(slab) != 0 ||
        !enter(mine))
        return false;
    if (block == stock->first || is_first_free(slab, block) || sw__slab_used(slab) == 0 ||
        !sw__slab_is_block(slab, block))
        sw__misuse_free();
    uint32_t room = room_of(stock); /* it may have been emptied until now */
    if (room > 0)
        push(stock, block);
    leave(mine);
    if (room == 1 && bytes_of(mine, class) >= SW__UNSWEPT_PART) /* of little nobody is told */
        tell_of_freeable(mine);
    return room > 0;
}

void *sw__stock_take(struct sw__cache *mine, unsigned class) {
    struct sw__stock *stock = &mine->stocks[class];
    if (!is_stocked(sw__class_sizes[class]) || sw__stock_count(stock) == 0 || !enter(mine))
        return NULL;
    struct sw__free_block *block = stock->first;
    if (block) {
        stock->first = block->next;
        set_room(stock, room_of(stock) + 1);
        stock->is_used = true;
    }
    leave(mine);
    return block;
}

/* ---- Back to the slabs, under the lock ------------------------------------------------------- */

static struct sw__slab *slab_of(const struct sw__cache *cache, const struct sw__free_block *block) {
    struct sw__slab *slab = sw__slab_of(block);
    if (!slab || sw__slab_owner(slab) != cache)
        sw__misuse(SW__MISUSE_FREE_LIST, NULL);
    return slab;
}

/* Who counts from outside is not to see too many meanwhile. */
static void set_limit(struct sw__cache *cache, unsigned class, uint32_t limit, uint32_t count) {
    struct sw__stock *stock = &cache->stocks[class];
    bool rises = limit > stock->limit;
    size_t others = cache->stock_bytes - bytes_of(cache, class);
    if (rises)
        set_room(stock, limit - count);
    atomic_store_explicit(&stock->limit, limit, memory_order_release);
    set_room(stock, limit - count);
    atomic_store_explicit(&cache->stock_bytes, others + bytes_of(cache, class),
                          memory_order_relaxed);
}

/* Of an open slab only its thread may touch what is free: to it the block goes as from another. */
static void put_back(struct sw__stock *stock, struct sw__slab *slab, struct sw__free_block *block,
                     bool only_closed) {
    set_room(stock, room_of(stock) + 1);
    if (only_closed && !sw__slab_is_closed(slab))
        sw__remote_put_back(slab, block);
    else
        sw__slab_put_back(slab, block);
}

/* What came last stays, up to the limit. The list tells how many there are: a thread that a fork has
 * left out may have stood between it and the count. */
static void lower_limit(struct sw__cache *cache, unsigned class, uint32_t limit, bool only_closed) {
    struct sw__stock *stock = &cache->stocks[class];
    struct sw__free_block *rest = stock->first, **end = &stock->first;
    uint32_t count = 0, seen = 0;
    while (rest) {
        struct sw__free_block *block = rest;
        struct sw__slab *slab = slab_of(cache, block);
        rest = rest->next;
        if (++seen > stock->limit)
            sw__misuse(SW__MISUSE_FREE_LIST, NULL); /* freed twice, it is a circle */
        if (count < limit) {
            *end = block;
            end = &block->next;
            count++;
        } else {
            put_back(stock, slab, block, only_closed);
        }
    }
    *end = NULL;
    set_limit(cache, class, limit, count);
}

static void empty(struct sw__cache *cache, bool only_closed) {
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
        if (cache->stocks[class].limit)
            lower_limit(cache, class, 0, only_closed);
}

void sw__stock_empty(struct sw__cache *mine) {
    empty(mine, false);
}

/* ---- By another thread ----------------------------------------------------------------------- */

bool sw__stocks_shut(struct sw__cache *newest) {
    bool has_any = false;
    for (struct sw__cache *cache = newest; cache; cache = cache->older) {
        atomic_fetch_add(&cache->stock_shuts, 1);
        has_any |= atomic_load_explicit(&cache->stock_bytes, memory_order_relaxed) > 0;
    }
    if (has_any)
        sw__os_fence_all();
    return has_any;
}

/* A child of a fork begins with all open, and may be in the midst of this. */
static void open_again(struct sw__cache *cache) {
    int shuts = atomic_load(&cache->stock_shuts);
    while (shuts > 0 && !atomic_compare_exchange_weak(&cache->stock_shuts, &shuts, shuts - 1))
        continue;
}

void sw__stocks_open(struct sw__cache *newest) {
    for (struct sw__cache *cache = newest; cache; cache = cache->older)
        open_again(cache);
}

void sw__stock_empty_for(struct sw__cache *cache) {
    if (!atomic_load_explicit(&cache->is_at_stock, memory_order_acquire))
        empty(cache, true);
}

/* ---- Giving way ------------------------------------------------------------------------------ */

static void put_unused_back(struct sw__cache *mine, unsigned class) {
    struct sw__stock *stock = &mine->stocks[class];
    if (stock->first && !stock->is_used)
        lower_limit(mine, class, 0, false);
    stock->is_used = false;
}

void sw__stock_give_way(struct sw__cache *mine) {
    size_t much = sw__larger(MUCH, mine->present / MUCH_SHARE);
    mine->present_at_look = sw__smaller(mine->present_at_look, mine->present);
    if (mine->present - mine->present_at_look < much)
        return;
    mine->present_at_look = mine->present;
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
        put_unused_back(mine, class);
}

/* ---- Growing --------------------------------------------------------------------------------- */

/* The next bin in turn that has more than so much gives half of it. */
static void take_from_others(struct sw__cache *mine, size_t above) {
    for (unsigned tries = 0; tries < SW__CLASS_COUNT; tries++) {
        unsigned class = mine->stock_turn = (mine->stock_turn + 1) % SW__CLASS_COUNT;
        if (bytes_of(mine, class) > above && mine->stocks[class].limit > 1) {
            lower_limit(mine, class, mine->stocks[class].limit / 2, false);
            return;
        }
    }
}

static void grow(struct sw__cache *mine, unsigned class) {
    uint32_t limit = mine->stocks[class].limit, more = limit ? limit : 1;
    size_t bytes = bytes_of(mine, class), added = more * (size_t)sw__class_sizes[class];
    size_t most = mine->present / SHARE;
    if (bytes + added > sw__smaller(MOST_OF_BIN, most))
        return;
    if (mine->stock_bytes + added > most)
        take_from_others(mine, bytes);
    if (mine->stock_bytes + added <= most)
        set_limit(mine, class, limit + more, sw__stock_count(&mine->stocks[class]));
}

void sw__stock_grow(struct sw__cache *mine, unsigned class) {
    if (mine->stocks[class].was_full)
        grow(mine, class);
    mine->stocks[class].was_full = false;
}

/* Of a cache that is mostly free, it may be all that many slabs are there for. */
static bool is_mostly_free(const struct sw__cache *cache) {
    return cache->unswept > cache->present / 2;
}

/* One block is not much, and where a malloc follows each free it is enough. */
void sw__stock_heed_refused(struct sw__cache *mine, unsigned class,
                            const struct sw__free_block *block) {
    struct sw__stock *stock = &mine->stocks[class];
    if (block == stock->first)
        sw__misuse_free();
    if (is_mostly_free(mine)) {
        if (mine->stock_bytes)
            sw__stock_empty(mine);
        return;
    }
    stock->was_full |= is_stocked(sw__class_sizes[class]) && room_of(stock) == 0;
    if (stock->limit == 0)
        sw__stock_grow(mine, class);
}
