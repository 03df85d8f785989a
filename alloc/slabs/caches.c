/*
 * caches.c - which thread has which cache: see slabs.h.
 *
 * Order of the file: a thread's table, what becomes of its caches when it ends, how it comes to a
 * cache, collecting, forks, and the life of a heap's slabs.
 */
#include "slabs.h"

#include "keeper.h"
#include "stock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

_Thread_local struct sw__thread_caches *sw__my_caches SW__OWN_OF_THREAD;

struct sw__cache sw__no_cache = {.current = {[0 ... SW__CLASS_COUNT - 1] = &sw__no_slab}};
_Thread_local struct sw__cache *sw__front_cache SW__OWN_OF_THREAD = &sw__no_cache;
size_t sw__front_max;

/* What sw__my_caches is once the thread has left its caches behind: no cache of any heap. */
static struct sw__thread_caches none_any_more;

atomic_int sw__strangers_within;

/* So many tables are kept for threads to come. */
#define MOST_SPARE 16

bool sw__slabs_know_thread(void) {
    return sw__my_caches && sw__my_caches != &none_any_more;
}

/* All threads' tables, and which slots are taken. */
static struct {
    struct sw__lock lock;
    struct sw__thread_caches *first;
    struct sw__slabs *slots[SW__SLOTS];
    struct sw__thread_caches *spare; /* tables, for the next threads: a page each that is there */
    int spare_count;
} threads;

static pthread_key_t exit_key;
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

/* ---- Leaving --------------------------------------------------------------------------------- */

/* It waits for the next thread. */
static void leave_cache(struct sw__cache *cache) {
    sw__lock(&cache->slabs->lock);
    cache->next_orphan = cache->slabs->orphans;
    cache->slabs->orphans = cache;
    sw__unlock(&cache->slabs->lock);
}

static void leave_collected(struct sw__cache *cache) {
    sw__lock(&cache->lock);
    sw__cache_collect(cache);
    sw__unlock(&cache->lock);
    leave_cache(cache);
}

/* For the next thread, if few are kept already. The lock is held. */
static bool keep_spare(struct sw__thread_caches *table) {
    if (threads.spare_count == MOST_SPARE)
        return false;
    table->next = threads.spare;
    threads.spare = table;
    threads.spare_count++;
    return true;
}

/* Hands a thread's caches over to who comes next, without what has nothing live. All under the
 * lock: a heap that another thread destroys meanwhile either has its cache back before, or takes it
 * away. */
static void leave_caches(void *argument) {
    struct sw__thread_caches *mine = argument;
    sw__lock(&threads.lock);
    for (unsigned slot = 0; slot < SW__SLOTS; slot++)
        if (mine->by_slot[slot]) {
            leave_collected(mine->by_slot[slot]);
            sw__slabs_tell_of_freeable(threads.slots[slot]);
        }
    *mine->link = mine->next;
    if (mine->next)
        mine->next->link = mine->link;
    bool was_last = !threads.first, is_kept = keep_spare(mine);
    sw__front_cache = &sw__no_cache; /* while the caches are nobody else's */
    sw__my_caches = &none_any_more;  /* not NULL: destructors may still come, and be the last */
    sw__unlock(&threads.lock);
    if (!is_kept)
        sw__os_release(mine, sizeof *mine);
    if (was_last)
        sw__keeper_let_go();
}

/* ---- Coming to a cache ----------------------------------------------------------------------- */

/* Not the key 0: that is what a static one is before its owner makes it, and whoever asks for it so
 * early is to find nothing. */
static void make_exit_key(void) {
    pthread_key_t first;
    int error = pthread_key_create(&first, leave_caches);
    exit_key = first;
    if (error == 0 && first == 0) {
        error = pthread_key_create(&exit_key, leave_caches);
        pthread_key_delete(first);
    }
    if (error != 0)
        abort(); /* only when a program has used up all 1,024 keys before its first allocation */
}

static struct sw__thread_caches *take_spare(void) {
    sw__lock(&threads.lock);
    struct sw__thread_caches *table = threads.spare;
    if (table) {
        threads.spare = table->next;
        threads.spare_count--;
    }
    sw__unlock(&threads.lock);
    return table ? memset(table, 0, sizeof *table) : NULL;
}

static struct sw__thread_caches *make_table(void) {
    _Static_assert(sizeof(struct sw__thread_caches) <= SW__PAGE, "a table is one page");
    struct sw__thread_caches *mine = take_spare();
    if (!mine)
        mine = sw__os_map(SW__PAGE);
    if (!mine)
        return NULL;
    sw__lock(&threads.lock);
    mine->next = threads.first;
    mine->link = &threads.first;
    if (mine->next)
        mine->next->link = &mine->next;
    threads.first = mine;
    sw__unlock(&threads.lock);
    sw__my_caches = mine; /* before setspecific, which may allocate */
    pthread_once(&exit_key_once, make_exit_key);
    if (pthread_setspecific(exit_key, mine) != 0)
        leave_caches(mine); /* its end would go unnoticed: from now on it borrows */
    return sw__my_caches;
}

bool sw__slabs_mind_end_of_thread(void) {
    if (!sw__my_caches)
        make_table();
    return sw__slabs_know_thread();
}

static struct sw__cache *adopt_orphan(struct sw__slabs *slabs) {
    sw__lock(&slabs->lock);
    struct sw__cache *cache = slabs->orphans;
    if (cache)
        slabs->orphans = cache->next_orphan;
    sw__unlock(&slabs->lock);
    return cache;
}

static struct sw__cache *make_cache(struct sw__slabs *slabs) {
    struct sw__cache *cache = sw__extents_meta_alloc(slabs->extents, sizeof *cache);
    if (cache) {
        cache->slabs = slabs;
        for (int class = 0; class < SW__CLASS_COUNT; class ++)
            cache->current[class] = &sw__no_slab;
        cache->older = slabs->caches;
        slabs->caches = cache;
        slabs->cache_count++;
    }
    return cache;
}

/* sw__slabs_collect_orphans() takes all orphans off for a while, under the same lock. */
static struct sw__cache *adopt_or_make(struct sw__slabs *slabs) {
    sw__lock(&threads.lock);
    struct sw__cache *cache = adopt_orphan(slabs);
    if (!cache)
        cache = make_cache(slabs);
    sw__unlock(&threads.lock);
    return cache;
}

/* From a cache that is this thread's for the one call. */
static void *alloc_borrowed(struct sw__slabs *slabs, unsigned class) {
    atomic_fetch_add_explicit(&sw__strangers_within, 1, memory_order_relaxed);
    struct sw__cache *cache = adopt_or_make(slabs);
    void *block = cache ? sw__slabs_alloc_locked(cache, class) : NULL;
    if (cache)
        leave_cache(cache);
    atomic_fetch_sub_explicit(&sw__strangers_within, 1, memory_order_release);
    return block;
}

void *sw__slabs_alloc_without_cache(struct sw__slabs *slabs, unsigned class) {
    struct sw__thread_caches *mine = sw__my_caches ? sw__my_caches : make_table();
    if (!mine)
        return NULL;
    if (mine == &none_any_more)
        return alloc_borrowed(slabs, class);
    /* Making the table may have allocated, and come here before. */
    if (!mine->by_slot[slabs->slot])
        mine->by_slot[slabs->slot] = adopt_or_make(slabs);
    if (slabs->is_in_front && mine->by_slot[slabs->slot])
        sw__front_cache = mine->by_slot[slabs->slot];
    return mine->by_slot[slabs->slot] ? sw__slabs_alloc(slabs, class) : NULL;
}

void sw__slabs_put_in_front(struct sw__slabs *slabs) {
    slabs->is_in_front = true;
    sw__front_max = SW__SMALL_MAX;
    struct sw__cache *mine = sw__slabs_my_cache(slabs);
    if (mine)
        sw__front_cache = mine;
}

/* ---- Collecting ------------------------------------------------------------------------------ */

/* Under the lock that keeps forks away, and threads from leaving theirs meanwhile. */
void sw__slabs_collect_orphans(struct sw__slabs *slabs) {
    sw__lock(&threads.lock);
    sw__lock(&slabs->lock);
    struct sw__cache *orphans = slabs->orphans;
    slabs->orphans = NULL;
    sw__unlock(&slabs->lock);
    while (orphans) {
        struct sw__cache *cache = orphans;
        orphans = cache->next_orphan;
        leave_collected(cache);
    }
    sw__unlock(&threads.lock);
}

/* Of all threads: none ever goes before the heap does. */
static struct sw__cache *newest_cache(struct sw__slabs *slabs) {
    return atomic_load_explicit(&slabs->caches, memory_order_acquire);
}

void sw__slabs_look(struct sw__slabs *slabs) {
    for (struct sw__cache *cache = newest_cache(slabs); cache; cache = cache->older) {
        if (!atomic_load_explicit(&cache->has_emptied, memory_order_relaxed))
            continue; /* most rest, where there are thousands */
        sw__lock(&cache->lock);
        sw__cache_look(cache);
        sw__unlock(&cache->lock);
    }
}

void sw__slabs_collect_from_outside(struct sw__slabs *slabs, size_t *released) {
    struct sw__cache *newest = newest_cache(slabs);
    bool stocks_are_shut = sw__stocks_shut(newest);
    for (struct sw__cache *cache = newest; cache; cache = cache->older)
        sw__cache_collect_from_outside(cache, stocks_are_shut, released);
    sw__stocks_open(newest);
}

void sw__slabs_collect_at_rest(struct sw__slabs *slabs, size_t *released) {
    sw__slabs_collect_orphans(slabs);
    sw__slabs_collect_from_outside(slabs, released);
}

void sw__slabs_collect(struct sw__slabs *slabs, size_t *released) {
    struct sw__cache *mine = sw__slabs_my_cache(slabs);
    if (mine) {
        sw__lock(&mine->lock);
        sw__cache_collect(mine);
        sw__unlock(&mine->lock);
    }
    sw__slabs_collect_at_rest(slabs, released);
}

size_t sw__slabs_unswept(struct sw__slabs *slabs) {
    size_t unswept = 0;
    for (struct sw__cache *cache = newest_cache(slabs); cache; cache = cache->older)
        unswept += sw__cache_unswept(cache);
    return unswept;
}

/* ---- Fork ------------------------------------------------------------------------------------ */

struct sw__lock *sw__slabs_lock_of_threads(void) {
    return &threads.lock;
}

void sw__slabs_visit_locks(struct sw__slabs *slabs, sw__lock_visitor *visitor, void *context) {
    for (struct sw__cache *cache = slabs->caches; cache; cache = cache->older)
        visitor(context, &cache->lock);
    visitor(context, &slabs->lock);
}

/* Threads that are gone may have had an orphan in their hands, or a slab on its way to an inbox: both
 * lists are made anew. They may have been at their stocks. */
static void mend_after_fork(struct sw__slabs *slabs, const struct sw__cache *mine) {
    slabs->orphans = NULL;
    for (struct sw__cache *cache = slabs->caches; cache; cache = cache->older) {
        cache->inbox = NULL;
        cache->inbox_bytes = 0;
        if (cache != mine) {
            cache->is_at_stock = false;
            cache->next_orphan = slabs->orphans;
            slabs->orphans = cache;
        }
    }
    sw__slabs_mend(slabs);
}

/* Whoever had shut them, even a thread that has no table, is not here. */
static void open_stocks(void) {
    for (unsigned slot = 0; slot < SW__SLOTS; slot++)
        for (struct sw__cache *cache = threads.slots[slot] ? threads.slots[slot]->caches : NULL;
             cache; cache = cache->older)
            if (cache->stock_shuts) /* else the child would have a page of its own for it */
                cache->stock_shuts = 0;
}

void sw__slabs_adopt_after_fork(void) {
    open_stocks();
    struct sw__thread_caches *mine = sw__slabs_know_thread() ? sw__my_caches : NULL;
    bool alone = threads.first == mine && (!mine || !mine->next);
    if (alone && !sw__strangers_within)
        return; /* nobody else was at anything */
    sw__strangers_within = 0;
    for (unsigned slot = 0; slot < SW__SLOTS; slot++)
        if (threads.slots[slot])
            mend_after_fork(threads.slots[slot], mine ? mine->by_slot[slot] : NULL);
    for (struct sw__thread_caches *each = threads.first, *next; each; each = next) {
        next = each->next;
        if (each != mine)
            sw__os_release(each, sizeof *each);
    }
    threads.first = mine;
    if (mine) {
        mine->next = NULL;
        mine->link = &threads.first;
    }
}

void sw__slabs_collect_after_fork(void) {
    for (unsigned slot = 0; slot < SW__SLOTS; slot++)
        if (threads.slots[slot] && threads.slots[slot]->orphans)
            sw__slabs_collect_orphans(threads.slots[slot]);
}

/* ---- Life ------------------------------------------------------------------------------------ */

bool sw__slabs_init(struct sw__slabs *slabs, struct sw__extents *extents) {
    memset(slabs, 0, sizeof *slabs);
    slabs->extents = extents;
    sw__lock(&threads.lock);
    while (slabs->slot < SW__SLOTS && threads.slots[slabs->slot])
        slabs->slot++;
    bool found = slabs->slot < SW__SLOTS;
    if (found)
        threads.slots[slabs->slot] = slabs;
    sw__unlock(&threads.lock);
    return found;
}

void sw__slabs_destroy(struct sw__slabs *slabs) {
    sw__lock(&threads.lock);
    for (struct sw__thread_caches *each = threads.first; each; each = each->next)
        each->by_slot[slabs->slot] = NULL;
    threads.slots[slabs->slot] = NULL;
    sw__unlock(&threads.lock);
}
