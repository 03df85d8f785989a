/*
 * slabs.h - small blocks: slabs of one size class each, cached by thread.
 *
 * Glossary
 *   class   a block size; every small request is rounded up to one
 *   slab    an extent cut into blocks of one class; it belongs to one cache for as long as it lives
 *   cache   a thread's slabs of one heap. When the thread ends, its cache waits for the next thread
 *           that has none ("orphan"), with all that is still live in it. What the thread still
 *           allocates after that, from destructors that come later, is out of a borrowed orphan
 *   bin     a cache's slabs of one class: the current one, which blocks are taken from, and in a
 *           list the others that have free blocks
 *   closed  a slab for which its owner, too, must hold the cache's lock; any other is open. A slab
 *           is closed when it is full, and when it is sparse: no more live blocks than pages, and a
 *           quarter of its blocks free. But the last that became sparse lingers: it is open until the
 *           next does, or it is empty
 *   stock   a bin's blocks that the owner has freed into closed slabs, and takes before those of
 *           another slab than the current one; to their slabs they are handed out all the while
 *   sweep   what any thread may do to a closed slab: pages with nothing live are given back, and
 *           are absent until their blocks are wanted. What is free there and may go is `unswept`
 *
 * Only its thread touches a cache and its open slabs, without a lock, but for a few words, and for empty
 * ones that others take away by a handshake of their own (collect.c). A block freed by another thread
 * goes onto its slab's `remote` list, and the first onto an empty list also puts the slab into the
 * cache's `inbox`. The owner empties the inbox when it runs out of blocks, and when it frees into a
 * closed slab in which others have freed. So a free from another thread costs one atomic exchange, and
 * the first into a slab two or three (after the per-page lists of D. Leijen, B. Zorn, L. de Moura,
 * "Mimalloc: Free List Sharding in Action", 2019).
 *
 * The owner may never come: it waits for others, or has ended. So another thread that frees the
 * last block of a slab which the owner takes none from gives its pages back then and there. That
 * all blocks are in `remote` is told by their number; then nobody has one to free, and the owner
 * does not touch the slab without the cache's lock. The slab's descriptor stays in the inbox, a
 * ghost, until the owner finds it there. What others have freed in an open slab, short of all of it,
 * waits for the owner.
 *
 * Invariants of a slab: used = blocks handed out and not back in `free`, those in `remote` and in
 * stock included; used + length(free) + those cut that lie on absent pages = carved <= capacity;
 * used == 0 implies that remote is empty. An open slab whose `used` falls to its `alarm` is sparse,
 * and is closed or lingers, with an alarm of 0. Only its owner opens one again: a full one, with the
 * first block that it frees there, unless that leaves it sparse; and whichever it makes current, to
 * take blocks from. That one is not sparse, but its thread may be done with the size: when it is empty
 * it is listed, too, once between two looks at the cache from outside (or some more, where its bin soon
 * had another). After that it stays, until others take it away at a rest.
 *
 * Fork: the child finds every cache as its thread's stores had left it, in their order, for a store
 * to a page that the kernel has copied waits for the end of the fork. All but the fast paths are
 * under the cache's lock, which a fork takes. Of the fast paths any prefix will do: it loses one
 * block at worst, or leaves `used` one too high. So the child takes over what all other threads had
 * cached.
 */
#ifndef SW_SLABS_H
#define SW_SLABS_H

#include "classes.h"
#include "extents/extents.h"
#include "extents/page_map.h"

#include <stdatomic.h>

struct sw__free_block {
    struct sw__free_block *next;
};

struct sw__slab {
    /* The owner's. */
    struct sw__free_block *free;
    _Atomic(uint32_t) used;   /* atomic for who counts from outside */
    _Atomic(uint32_t) alarm;  /* see above; atomic for who sets it from outside */
    _Atomic(uintptr_t) owner; /* its cache, with a bit for closed; 0 while nobody's */
    uint32_t block_size;
    uint32_t capacity;
    _Atomic(uint32_t) carved; /* blocks cut so far: pages are touched as they are needed */
    uint16_t class;
    bool listed;  /* in its bin's list */
    bool kept;    /* with nothing live: one of its cache's empty ones, */
    bool retired; /* which was current before */
    struct sw__slab *next, *previous;
    struct sw__extent *extent;
    /* Everybody's. */
    _Alignas(64) _Atomic(uintptr_t) remote; /* a list and its length, packed by remote.c */
    struct sw__slab *next_in_inbox;
    bool is_ghost;          /* in the inbox, or about to be, and the pages are gone */
    bool is_in_queue;       /* of those that are worth sweeping; the owner's, as what follows */
    struct sw__slab *older; /* all slabs of the heap, or spare descriptors */
    /* For slow paths. */
    _Atomic(uint64_t) absent; /* a bit for each page; atomic for who counts from outside */
    size_t unswept; /* bytes that are free and there, of which pages may go, while closed */
    struct sw__slab *next_unswept, *previous_unswept;
};

struct sw__bin {
    struct sw__slab *listed, *last_listed; /* the last only where there is any */
    uint32_t slab_count;                   /* the current one, listed ones, and full ones */
    bool has_emptied;                      /* the current one, since a look that counts */
    uint8_t looks;                         /* that did not, at the slab taken since then */
};

struct sw__stock {
    struct sw__free_block *first;
    _Atomic(uint32_t) limit; /* so many blocks it may have, */
    _Atomic(uint32_t) room;  /* and so many more; atomic for who counts from outside */
    bool is_used;            /* blocks were taken since somebody looked, */
    bool was_full;           /* and one was refused since it last grew */
};

struct sw__cache {
    /* Each bin's current slab, never NULL: sw__no_slab, which has no block, stands for none. Read
     * without the lock, by its thread, which first says of which class. */
    _Atomic(struct sw__slab *) current[SW__CLASS_COUNT];
    _Atomic(unsigned) taken_last;
    atomic_bool has_emptied; /* one of them, as its bin has it */
    struct sw__bin bins[SW__CLASS_COUNT];
    size_t bytes_kept, bytes_retired; /* in slabs with nothing live: see `kept` and `retired` */
    size_t present;                   /* bytes of all its slabs, but for absent pages */
    size_t grown;                     /* bytes added to `present` since budget_of() last looked */
    size_t most_used; /* the most that sw__cache_used() was, since all current slabs retired */
    size_t needed;    /* the most bytes that lived at once; decays */
    size_t missed;    /* bytes that were swept for growth and came again; decays */
    bool is_rested;   /* the last sweep was at a rest: what comes again is not missed */
    struct sw__slab *lingering;   /* the last that became sparse, or what has become of it */
    uint32_t unswept_count;       /* slabs that are worth sweeping */
    _Atomic(size_t) unswept;      /* of those; atomic for who asks from outside */
    _Atomic(size_t) unswept_seen; /* by sw__cache_has_more_unswept() */
    struct sw__slab *first_unswept, *last_unswept; /* closed the longest ago, and the last */
    struct sw__stock stocks[SW__CLASS_COUNT];      /* of its bins */
    _Atomic(size_t) stock_bytes; /* what all of them may have; atomic for the same */
    size_t present_at_look;      /* `present` when it was looked which stocks are used */
    unsigned stock_turn;     /* of the bins, the last that was to give another some of its own */
    atomic_bool is_at_stock; /* its thread is */
    atomic_int stock_shuts;  /* so many others have shut them to it */
    struct sw__slabs *slabs;
    struct sw__lock lock; /* held by whoever does more than the fast paths: mostly its thread */
    struct sw__cache *next_orphan;
    struct sw__cache *older; /* all caches of the heap */
    _Alignas(64) _Atomic(struct sw__slab *) inbox;
    _Atomic(size_t) inbox_bytes; /* of the slabs that came there since it was emptied, nearly */
};

/* The slabs of one heap. */
struct sw__slabs {
    struct sw__extents *extents;
    unsigned slot;                       /* of its caches in every thread's table */
    struct sw__lock lock;                /* guards what follows, and whatever an orphan holds */
    _Atomic(struct sw__cache *) orphans; /* read without the lock, to see whether there are any */
    struct sw__slab *all;                /* in use and spare */
    _Atomic(struct sw__cache *) caches;  /* all; grows under the lock of all threads' tables */
    _Atomic(uint32_t) cache_count;       /* of those */
    struct sw__slab *spare;
    bool is_in_front;
    /* Optional. when_made: so many bytes of new slabs, or of absent pages, came; no lock is held.
     * when_freeable: memory became free, up to `unswept` bytes of it inside the cache's slabs (NULL:
     * of none); the lock of all threads' tables may be held, and no other. */
    void (*when_made)(struct sw__slabs *slabs, size_t bytes);
    void (*when_freeable)(struct sw__slabs *slabs, struct sw__cache *cache, size_t unswept);
};

#define SW__UNSWEPT_PART ((size_t)64 << 10)

/* How many heaps with slabs may exist at once. */
enum { SW__SLOTS = 504 };

/* A thread's caches, by the slot of the heap. */
struct sw__thread_caches {
    struct sw__cache *by_slot[SW__SLOTS];
    struct sw__thread_caches *next, **link;
};

/* One load. The two, and the few counts and flags of locks and forks, are all that the library asks of
 * static TLS, so that a late dlopen has it. */
extern _Thread_local struct sw__thread_caches *sw__my_caches SW__OWN_OF_THREAD;
/* The thread's cache of the heap that was put in front, without a look at the table; sw__no_cache,
 * which has no block, where there is none. */
extern _Thread_local struct sw__cache *sw__front_cache SW__OWN_OF_THREAD;

extern struct sw__slab sw__no_slab;
extern struct sw__cache sw__no_cache;
/* Larger blocks are not the front's. 0 where no heap is there: threads that all turned to sw__no_cache
 * first would write what is everybody's. Set with the first block of a process, which has one thread
 * then. */
extern size_t sw__front_max;

/* False when there are SW__SLOTS heaps with slabs already. */
bool sw__slabs_init(struct sw__slabs *slabs, struct sw__extents *extents);
/* To be called before the extents end, with no thread in the heap. */
void sw__slabs_destroy(struct sw__slabs *slabs);

/* Puts the heap in front, of which there may be one, and which is not to be destroyed. */
void sw__slabs_put_in_front(struct sw__slabs *slabs);

/* For a thread without a cache, which adopts or makes one. NULL when out of memory. */
void *sw__slabs_alloc_without_cache(struct sw__slabs *slabs, unsigned class);
/* For this thread's cache, whose current slab has no free block. NULL when out of memory. Takes the
 * cache's lock, as the next two do. */
void *sw__slabs_alloc_slow(struct sw__cache *cache, unsigned class);
/* The same, of a cache that is somebody's for this one call: not of its stock. */
void *sw__slabs_alloc_locked(struct sw__cache *cache, unsigned class);
/* This thread's open slab has come to its alarm. */
void sw__slabs_free_alarm(struct sw__cache *cache, struct sw__slab *slab);
/* A block of this thread's closed slab, */
void sw__slabs_free_closed(struct sw__cache *cache, struct sw__slab *slab, void *block);
/* and of that or another thread's. */
void sw__slabs_free_slow(struct sw__slab *slab, void *block);

/* Everything of a cache that has nothing live goes back to the extents, the current slabs too. Its
 * lock is held. */
void sw__cache_collect(struct sw__cache *cache);
/* Somebody looks at it: see Invariants above. Its lock is held. */
void sw__cache_look(struct sw__cache *cache);
/* What any thread may do for a cache, and holds its lock now and then for: the same of its closed slabs,
 * and of the current ones, but for that of the class it took from last. Closed ones that stay are swept.
 * Its stocks are emptied if they are shut. Adds to *released, unless that is NULL, the bytes that were
 * there of what was swept. */
void sw__cache_collect_from_outside(struct sw__cache *cache, bool stocks_are_shut,
                                    size_t *released);
/* sw__cache_collect() for this thread's cache and for orphans, sw__cache_collect_from_outside() for all.
 * The pages of whole slabs stay with the extents: trim those. All four are called without a lock. */
void sw__slabs_collect(struct sw__slabs *slabs, size_t *released);
/* The same without this thread's cache: for a rest of the work, from any thread. */
void sw__slabs_collect_at_rest(struct sw__slabs *slabs, size_t *released);
/* sw__cache_collect_from_outside() alone, for all; the lock of all threads' tables may be held. */
void sw__slabs_collect_from_outside(struct sw__slabs *slabs, size_t *released);
/* To be called now and then: of what empties from then on more can be collected. */
void sw__slabs_look(struct sw__slabs *slabs);
/* The orphans alone. */
void sw__slabs_collect_orphans(struct sw__slabs *slabs);

/* This thread has come to need more slabs: its sparse ones are swept where it holds more than it
 * needed of late, and more than what is missed again and again. Takes its cache's lock. */
void sw__slabs_sweep_for_growth(struct sw__slabs *slabs);
/* Bytes that sweeping all closed slabs might give back, and emptying the stocks. */
size_t sw__slabs_unswept(struct sw__slabs *slabs);

/* The lock over all threads' tables, and while it is held those of a heap: see strategy.h. */
struct sw__lock *sw__slabs_lock_of_threads(void);
void sw__slabs_visit_locks(struct sw__slabs *slabs, sw__lock_visitor *visitor, void *context);
/* In the child, with every lock held: makes orphans of all caches but this thread's, */
void sw__slabs_adopt_after_fork(void);
/* and puts a heap's slabs in order, whose inboxes are empty; */
void sw__slabs_mend(struct sw__slabs *slabs);
/* then, with no lock held, gives back what those caches have that is empty. */
void sw__slabs_collect_after_fork(void);

/* Of threads without a table, which never allocated a small block or are past their end, so many
 * are in the midst of a call: a fork may find one there. */
extern atomic_int sw__strangers_within;
/* Has this thread a table, and is not past its end? */
bool sw__slabs_know_thread(void);

/* This thread's end will be noticed, even if it never has a small block: with the last such thread
 * the keeper goes. False when the thread is past that, or there is no memory. */
bool sw__slabs_mind_end_of_thread(void);

/* Usable bytes of live blocks: what lives in the extents, less what slabs have free. */
size_t sw__slabs_allocated(struct sw__slabs *slabs);
/* The same, by size. */
void sw__slabs_visit_sizes(struct sw__slabs *slabs, sw__size_visitor *visitor, void *context);
/* The size of the largest free block that has been cut. */
size_t sw__slabs_largest_free(struct sw__slabs *slabs);

static inline struct sw__cache *sw__slabs_my_cache(const struct sw__slabs *slabs) {
    struct sw__thread_caches *mine = sw__my_caches;
    return __builtin_expect(mine != NULL, 1) ? mine->by_slot[slabs->slot] : NULL;
}

/* What may go of it, with slabs in its inbox: those count whole, and so does what a stock may have. */
static inline size_t sw__cache_unswept(const struct sw__cache *cache) {
    return atomic_load_explicit(&cache->unswept, memory_order_relaxed) +
           atomic_load_explicit(&cache->stock_bytes, memory_order_relaxed) +
           atomic_load_explicit(&cache->inbox_bytes, memory_order_relaxed);
}

/* Bytes of its slabs, without what may go of closed ones. */
static inline size_t sw__cache_used(const struct sw__cache *cache) {
    size_t unswept = atomic_load_explicit(&cache->unswept, memory_order_relaxed);
    return unswept < cache->present ? cache->present - unswept : 0;
}

/* Has the cache, with so much unswept, a part more than at the last yes, or the least since then? */
static inline bool sw__cache_has_more_unswept(struct sw__cache *cache, size_t unswept) {
    size_t seen = atomic_load_explicit(&cache->unswept_seen, memory_order_relaxed);
    bool has_more = unswept >= seen + SW__UNSWEPT_PART;
    if (has_more || unswept < seen)
        atomic_store_explicit(&cache->unswept_seen, unswept, memory_order_relaxed);
    return has_more;
}

/* What this thread did may have left something to give back. */
static inline void sw__slabs_tell_of_freeable(struct sw__slabs *slabs) {
    if (!slabs->when_freeable)
        return;
    struct sw__cache *mine = sw__slabs_my_cache(slabs);
    slabs->when_freeable(slabs, mine, mine ? sw__cache_unswept(mine) : 0);
}

/* A block of the cache's current slab; NULL when that has none. */
static inline void *sw__cache_take(struct sw__cache *cache, unsigned class) {
    atomic_store_explicit(&cache->taken_last, class, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst); /* see take_empty_away() in collect.c */
    struct sw__slab *slab = atomic_load_explicit(&cache->current[class], memory_order_relaxed);
    struct sw__free_block *block = slab->free;
    if (__builtin_expect(!block, 0))
        return NULL;
    slab->free = block->next;
    uint32_t used = atomic_load_explicit(&slab->used, memory_order_relaxed);
    atomic_store_explicit(&slab->used, used + 1, memory_order_relaxed);
    return block;
}

#define SW__SLAB_IS_CLOSED ((uintptr_t)1)

static inline struct sw__cache *sw__slab_owner(const struct sw__slab *slab) {
    uintptr_t owner = atomic_load_explicit(&slab->owner, memory_order_relaxed);
    return (struct sw__cache *)(owner & ~SW__SLAB_IS_CLOSED);
}

/* Has anybody else freed a block there, which the owner has not taken over? */
static inline bool sw__slab_has_remote(const struct sw__slab *slab) {
    return atomic_load_explicit(&slab->remote, memory_order_relaxed) != 0;
}

/* Is it the cache's, and not closed? Then its thread may free there without a lock. */
static inline bool sw__slab_is_open_to(const struct sw__slab *slab, const struct sw__cache *mine) {
    return atomic_load_explicit(&slab->owner, memory_order_relaxed) == (uintptr_t)mine;
}

static inline bool sw__slab_is_closed_to(const struct sw__slab *slab,
                                         const struct sw__cache *mine) {
    return atomic_load_explicit(&slab->owner, memory_order_relaxed) ==
           ((uintptr_t)mine | SW__SLAB_IS_CLOSED);
}

/* A block goes back to its slab, which is open to this thread's cache. Once `used` tells so the
 * slab is not touched: all other blocks may be in `remote`. */
static inline void sw__slab_put(struct sw__cache *cache, struct sw__slab *slab, void *pointer) {
    struct sw__free_block *block = pointer;
    if (__builtin_expect(block == slab->free, 0)) /* the most usual double free: twice in a row */
        sw__misuse_free();
    block->next = slab->free;
    atomic_signal_fence(memory_order_release); /* see Fork above */
    slab->free = block;
    uint32_t alarm = atomic_load_explicit(&slab->alarm, memory_order_relaxed);
    uint32_t used = atomic_load_explicit(&slab->used, memory_order_relaxed) - 1;
    atomic_store_explicit(&slab->used, used, memory_order_release);
    if (__builtin_expect((int32_t)used <= (int32_t)alarm, 0)) /* or below zero */
        sw__slabs_free_alarm(cache, slab);
}

static inline void *sw__slabs_alloc(struct sw__slabs *slabs, unsigned class) {
    struct sw__cache *cache = sw__slabs_my_cache(slabs);
    if (__builtin_expect(!cache, 0))
        return sw__slabs_alloc_without_cache(slabs, class);
    void *block = sw__cache_take(cache, class);
    return __builtin_expect(block != NULL, 1) ? block : sw__slabs_alloc_slow(cache, class);
}

/* The slab that an entry of the page map names, NULL if it names none. */
static inline struct sw__slab *sw__slab_in(void *entry) {
    uintptr_t holder = (uintptr_t)entry;
    if (!(holder & SW__HOLDER_IS_SLAB))
        return NULL;
    struct sw__slab *slab = (struct sw__slab *)(holder - SW__HOLDER_IS_SLAB);
    if (!slab)
        __builtin_unreachable(); /* so whoever is given one does not ask again */
    return slab;
}

/* The slab that holds the address, NULL if none does. */
static inline struct sw__slab *sw__slab_of(const void *address) {
    return sw__slab_in(sw__page_map_get(address));
}

/* A small block stays while more than half of it is used. */
static inline bool sw__slab_suits(const struct sw__slab *slab, size_t size) {
    return size <= slab->block_size && size > slab->block_size / 2;
}

static inline void sw__slabs_free(struct sw__slabs *slabs, struct sw__slab *slab, void *block) {
    struct sw__cache *mine = sw__slabs_my_cache(slabs);
    if (__builtin_expect(sw__slab_is_open_to(slab, mine), 1))
        sw__slab_put(mine, slab, block);
    else
        sw__slabs_free_slow(slab, block);
}

/* The fast paths of the heap in front: about twenty instructions each. NULL, and false, leave it to
 * the paths above. Size 0 counts as 1. */
static inline void *sw__front_alloc(size_t size) {
    if (__builtin_expect(size > sw__front_max, 0))
        return NULL;
    return sw__cache_take(sw__front_cache, sw__class_of(size));
}

/* Where that had none: of the thread's cache, if it has one. */
static inline void *sw__front_alloc_slow(struct sw__slabs *slabs, size_t size) {
    struct sw__cache *cache = sw__front_cache;
    unsigned class = sw__class_of(size);
    return __builtin_expect(cache != &sw__no_cache, 1) ? sw__slabs_alloc_slow(cache, class)
                                                       : sw__slabs_alloc(slabs, class);
}

/* As sw__front_alloc(), aligned to a power of two. */
static inline void *sw__front_alloc_aligned(size_t size, size_t alignment) {
    if (size > sw__front_max || !sw__is_small(size, alignment))
        return NULL;
    return sw__cache_take(sw__front_cache, sw__aligned_class(size, alignment));
}

static inline bool sw__front_free(void *block) {
    struct sw__slab *slab = sw__slab_of(block);
    struct sw__cache *mine = sw__front_cache;
    if (__builtin_expect(!slab, 0))
        return false;
    if (__builtin_expect(sw__slab_is_open_to(slab, mine), 1)) {
        sw__slab_put(mine, slab, block);
        return true;
    }
    if (!sw__slab_is_closed_to(slab, mine))
        return false;
    sw__slabs_free_closed(mine, slab, block);
    return true;
}

#endif
