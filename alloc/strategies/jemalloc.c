/*
 * jemalloc - the real one, through its own API: an arena per heap, a thread cache per heap and
 * thread, mallctl for its numbers. A baseline, and not to be handicapped.
 *
 * This file is a library of its own, libstepwell-jemalloc.so, with jemalloc linked into it and
 * nothing exported but the table below. So jemalloc's malloc stands in nobody's way and `system` is
 * still libc in the same process; and as jemalloc wants 2.6 KB of initial-exec TLS, which a library
 * loaded late cannot have, nothing else of Stepwell carries that burden. (libjemalloc 5.3)
 *
 * The arena's extent hooks are jemalloc's defaults, wrapped in two places to note which address
 * ranges it holds: that is how the kernel can be asked what of them is resident. The thread's
 * automatic cache belongs to another arena, so each thread has an explicit one.
 */
#include "lock.h"
#include "meta.h"
#include "os.h"
#include "strategy.h"

#include <jemalloc/jemalloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct range {
    char *start;
    size_t size;
    struct range *next;
};

/* One thread's cache of one heap. */
struct cache {
    struct heap *heap;
    unsigned id;
    struct cache *next, **link;
};

struct heap {
    extent_hooks_t hooks; /* ours; jemalloc hands its address back to each hook */
    const extent_hooks_t *defaults;
    unsigned arena;
    bool ending; /* what jemalloc would keep for a later arena goes back: it would lose track of it
                  */
    pthread_key_t cache_key;
    struct cache *caches; /* under the lock of all caches */
    /* The rest is under ranges_lock. */
    struct range *ranges;
    struct range *spare_ranges;
    struct sw_level reserved; /* as last asked */
    struct sw__meta meta;
};

/* ---- Ranges: what the arena holds ------------------------------------------------------------ */

/* One for all heaps, so that a fork can hold it. jemalloc may call a hook with locks of its own
 * held, so nothing of jemalloc is called under it. */
static struct sw__lock ranges_lock;

static struct range *take_range(struct heap *heap) {
    struct range *range = heap->spare_ranges;
    if (range)
        heap->spare_ranges = range->next;
    else
        range = sw__meta_alloc(&heap->meta, sizeof *range);
    return range;
}

/* Without memory for the note the range goes unseen: resident is then told too low, nothing else.
 */
static void note_range(struct heap *heap, char *start, size_t size) {
    sw__lock(&ranges_lock);
    struct range *range = size ? take_range(heap) : NULL;
    if (range) {
        *range = (struct range){start, size, heap->ranges};
        heap->ranges = range;
    }
    sw__unlock(&ranges_lock);
}

/* jemalloc splits and merges what it holds: a range that goes may be part of one, or of several. */
static void forget_range(struct heap *heap, char *start, size_t size) {
    char *end = start + size;
    sw__lock(&ranges_lock);
    struct range **link = &heap->ranges;
    struct range *tails = NULL;
    while (*link) {
        struct range *range = *link;
        char *range_end = range->start + range->size;
        if (range->start >= end || range_end <= start) {
            link = &range->next;
            continue;
        }
        struct range *tail = range_end > end ? take_range(heap) : NULL;
        if (tail) {
            *tail = (struct range){end, (size_t)(range_end - end), tails};
            tails = tail;
        }
        range->size = range->start < start ? (size_t)(start - range->start) : 0;
        if (range->size) {
            link = &range->next;
        } else {
            *link = range->next;
            range->next = heap->spare_ranges;
            heap->spare_ranges = range;
        }
    }
    *link = tails;
    sw__unlock(&ranges_lock);
}

static struct heap *heap_of(extent_hooks_t *hooks) {
    return (struct heap *)hooks; /* its first member */
}

static void *hook_alloc(extent_hooks_t *hooks, void *wanted, size_t size, size_t alignment,
                        bool *zero, bool *commit, unsigned arena) {
    struct heap *heap = heap_of(hooks);
    extent_hooks_t *defaults = (extent_hooks_t *)heap->defaults;
    void *start = defaults->alloc(defaults, wanted, size, alignment, zero, commit, arena);
    if (start)
        note_range(heap, start, size);
    return start;
}

static bool hook_dalloc(extent_hooks_t *hooks, void *start, size_t size, bool committed,
                        unsigned arena) {
    struct heap *heap = heap_of(hooks);
    extent_hooks_t *defaults = (extent_hooks_t *)heap->defaults;
    if (heap->ending) {
        forget_range(heap, start, size);
        sw__os_release(start, size);
        return false;
    }
    /* First: what is unmapped may at once be another thread's, which notes it. */
    forget_range(heap, start, size);
    bool kept = defaults->dalloc(defaults, start, size, committed, arena);
    if (kept)
        note_range(heap, start, size);
    return kept;
}

static void hook_destroy(extent_hooks_t *hooks, void *start, size_t size, bool committed,
                         unsigned arena) {
    struct heap *heap = heap_of(hooks);
    extent_hooks_t *defaults = (extent_hooks_t *)heap->defaults;
    forget_range(heap, start, size);
    defaults->destroy(defaults, start, size, committed, arena);
}

/* ---- Thread caches --------------------------------------------------------------------------- */

/* A thread may end while its heap does: caches therefore belong to none, and are not given back.
 * One lock for all; it is taken when a thread or a heap begins or ends. */
static struct {
    struct sw__lock lock;
    struct sw__meta meta;
    struct cache *spare;
} caches;

static void end_cache_locked(struct cache *cache) {
    mallctl("tcache.destroy", NULL, NULL, &cache->id, sizeof cache->id);
    *cache->link = cache->next;
    if (cache->next)
        cache->next->link = cache->link;
    cache->heap = NULL;
}

/* The thread ends. Its heap may have ended before, even just now: then nobody waits for the cache.
 */
static void end_cache(void *argument) {
    struct cache *cache = argument;
    sw__lock(&caches.lock);
    if (cache->heap) {
        end_cache_locked(cache);
        cache->next = caches.spare;
        caches.spare = cache;
    }
    sw__unlock(&caches.lock);
}

static struct cache *take_cache(void) {
    struct cache *cache = caches.spare;
    if (cache)
        caches.spare = cache->next;
    else
        cache = sw__meta_alloc(&caches.meta, sizeof *cache);
    return cache;
}

static struct cache *make_cache_locked(struct heap *heap) {
    unsigned id;
    size_t size = sizeof id;
    struct cache *cache = take_cache();
    if (!cache)
        return NULL;
    if (mallctl("tcache.create", &id, &size, NULL, 0) != 0) {
        cache->next = caches.spare;
        caches.spare = cache;
        return NULL;
    }
    *cache = (struct cache){heap, id, heap->caches, &heap->caches};
    if (cache->next)
        cache->next->link = &cache->next;
    heap->caches = cache;
    return cache;
}

/* mallocx's flags for this thread's cache; without one if there is none to be had. */
static int make_cache(struct heap *heap) {
    sw__lock(&caches.lock);
    struct cache *cache = make_cache_locked(heap);
    sw__unlock(&caches.lock);
    if (!cache)
        return MALLOCX_TCACHE_NONE;
    if (pthread_setspecific(heap->cache_key, cache) != 0) {
        end_cache(cache);
        return MALLOCX_TCACHE_NONE;
    }
    return MALLOCX_TCACHE(cache->id);
}

static int cache_flags(struct heap *heap) {
    const struct cache *cache = pthread_getspecific(heap->cache_key);
    return __builtin_expect(cache != NULL, 1) ? MALLOCX_TCACHE(cache->id) : make_cache(heap);
}

/* ---- Fork: a child must find both locks free ------------------------------------------------- */

static void lock_ranges(void) {
    sw__lock(&ranges_lock);
}

static void unlock_ranges(void) {
    sw__unlock(&ranges_lock);
}

static void lock_caches(void) {
    sw__lock(&caches.lock);
}

static void unlock_caches(void) {
    sw__unlock(&caches.lock);
}

static const extent_hooks_t *default_hooks(void) {
    extent_hooks_t *hooks = NULL;
    size_t size = sizeof hooks;
    return mallctl("arena.0.extent_hooks", &hooks, &size, NULL, 0) == 0 ? hooks : NULL;
}

/* A fork takes the locks in the order that threads do: that of the caches, jemalloc's own, that of
 * the ranges. What is registered last is called first, and jemalloc registers its handlers when it
 * starts, which the first call of it does. */
static void mind_forks(void) {
    pthread_atfork(lock_ranges, unlock_ranges, unlock_ranges);
    default_hooks();
    pthread_atfork(lock_caches, unlock_caches, unlock_caches);
}

/* Before jemalloc's own constructor, which has no priority. */
__attribute__((constructor(101))) static void mind_forks_once(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, mind_forks);
}

/* ---- Its numbers ----------------------------------------------------------------------------- */

/* 0 where there is no such number. */
static size_t number(const char *name) {
    size_t value = 0;
    size_t size = sizeof value;
    return mallctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

static size_t arena_number(const struct heap *heap, const char *what) {
    char name[80];
    snprintf(name, sizeof name, "stats.arenas.%u.%s", heap->arena, what);
    return number(name);
}

static void refresh_numbers(void) {
    uint64_t epoch = 1;
    mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
}

static void arena_command(const struct heap *heap, const char *what) {
    char name[40];
    snprintf(name, sizeof name, "arena.%u.%s", heap->arena, what);
    mallctl(name, NULL, NULL, NULL, 0);
}

/* ---- The slots ------------------------------------------------------------------------------- */

static bool make_arena(struct heap *heap) {
    extent_hooks_t *hooks = &heap->hooks;
    size_t size = sizeof heap->arena;
    heap->defaults = default_hooks();
    if (!heap->defaults)
        return false;
    heap->hooks = *heap->defaults;
    heap->hooks.alloc = hook_alloc;
    heap->hooks.dalloc = hook_dalloc;
    heap->hooks.destroy = hook_destroy;
    return mallctl("arenas.create", &heap->arena, &size, &hooks, sizeof hooks) == 0;
}

static void *create(const struct sw__config *config) {
    (void)config;
    mind_forks_once(); /* a program may allocate before any constructor */
    struct heap *heap = sw__meta_create(sizeof *heap, offsetof(struct heap, meta));
    if (!heap)
        return NULL;
    if (pthread_key_create(&heap->cache_key, end_cache) == 0) {
        if (make_arena(heap))
            return heap;
        pthread_key_delete(heap->cache_key);
    }
    sw__meta_release(&heap->meta);
    return NULL;
}

static void destroy(void *state) {
    struct heap *heap = state;
    pthread_key_delete(heap->cache_key);
    sw__lock(&caches.lock);
    while (heap->caches)
        end_cache_locked(heap->caches);
    sw__unlock(&caches.lock);
    heap->ending = true;
    arena_command(heap, "destroy");
    sw__meta_release(&heap->meta);
}

/* Of itself jemalloc aligns 8 bytes to 8, and all else to 16. */
static int flags_for(struct heap *heap, size_t size, size_t alignment) {
    int flags = (int)MALLOCX_ARENA(heap->arena) | cache_flags(heap);
    bool aligned = alignment <= SW_MIN_ALIGNMENT && size > SW_MIN_ALIGNMENT / 2;
    return aligned ? flags : flags | MALLOCX_ALIGN(alignment);
}

static void *alloc(void *state, size_t size, size_t alignment, enum sw_tag tag) {
    (void)tag;
    return mallocx(size, flags_for(state, size, alignment));
}

static void *alloc_zeroed(void *state, size_t size, enum sw_tag tag) {
    (void)tag;
    return mallocx(size, flags_for(state, size, SW_MIN_ALIGNMENT) | MALLOCX_ZERO);
}

static void give_back(void *state, void *block) {
    dallocx(block, cache_flags(state));
}

static void *resize(void *state, void *block, size_t size) {
    return rallocx(block, size, flags_for(state, size, SW_MIN_ALIGNMENT));
}

static size_t usable_size(void *state, const void *block) {
    (void)state;
    return sallocx((void *)block, 0);
}

static size_t trim(void *state) {
    struct heap *heap = state;
    const struct cache *cache = pthread_getspecific(heap->cache_key);
    unsigned id;
    if (cache) {
        id = cache->id;
        mallctl("tcache.flush", NULL, NULL, &id, sizeof id);
    }
    arena_command(heap, "purge");
    return 0;
}

static void stats(void *state, struct sw__strategy_stats *stats) {
    struct heap *heap = state;
    refresh_numbers();
    stats->allocated =
        arena_number(heap, "small.allocated") + arena_number(heap, "large.allocated");
    size_t mapped = arena_number(heap, "mapped");
    size_t internal = arena_number(heap, "base") + arena_number(heap, "internal");
    sw__lock(&ranges_lock);
    heap->reserved.current = mapped;
    if (mapped > heap->reserved.peak)
        heap->reserved.peak = mapped;
    stats->reserved = heap->reserved;
    stats->metadata = heap->meta.bytes;
    sw__unlock(&ranges_lock);
    stats->metadata.current += internal;
    stats->metadata.peak += internal;
}

/* Of its own jemalloc says what is in use. */
static size_t metadata_present(void *state) {
    struct heap *heap = state;
    refresh_numbers();
    sw__lock(&ranges_lock);
    size_t present = sw__meta_present(&heap->meta);
    sw__unlock(&ranges_lock);
    return present + arena_number(heap, "base") + arena_number(heap, "internal");
}

static size_t extents_number(const struct heap *heap, unsigned class, const char *what) {
    char name[40];
    snprintf(name, sizeof name, "extents.%u.%s", class, what);
    return arena_number(heap, name);
}

/* The mean of the dirty extents in the largest page size class that has any: exact where there is
 * one, and less than a class away otherwise. */
static size_t largest_free(void *state) {
    struct heap *heap = state;
    refresh_numbers();
    for (unsigned class = 200; class -- > 0;) {
        size_t count = extents_number(heap, class, "ndirty");
        if (count)
            return extents_number(heap, class, "dirty_bytes") / count;
    }
    return 0;
}

/* All classes of one kind, "bin" or "lextent"; how many blocks of a class live is `count`. */
static void visit_classes(struct heap *heap, const char *kind, const char *count,
                          sw__size_visitor *visitor, void *context) {
    char name[56]; /* and in front of it comes the arena's */
    unsigned classes = 0;
    size_t size = sizeof classes;
    snprintf(name, sizeof name, "arenas.n%ss", kind);
    mallctl(name, &classes, &size, NULL, 0);
    for (unsigned class = 0; class < classes; class ++) {
        snprintf(name, sizeof name, "arenas.%s.%u.size", kind, class);
        size = number(name);
        snprintf(name, sizeof name, "%ss.%u.%s", kind, class, count);
        visitor(context, size, size * arena_number(heap, name));
    }
}

static void visit_sizes(void *state, sw__size_visitor *visitor, void *context) {
    refresh_numbers();
    visit_classes(state, "bin", "curregs", visitor, context);
    visit_classes(state, "lextent", "curlextents", visitor, context);
}

static void visit_ranges(void *state, sw__range_visitor *visitor, void *context) {
    struct heap *heap = state;
    sw__lock(&ranges_lock);
    for (const struct range *range = heap->ranges; range; range = range->next)
        visitor(context, range->start, range->size);
    sw__unlock(&ranges_lock);
}

__attribute__((visibility("default"))) const struct sw__strategy sw__strategy_jemalloc = {
    .info.name = "jemalloc",
    .info.summary = "jemalloc itself through its own API, an arena per heap",
    .create = create,
    .destroy = destroy,
    .alloc = alloc,
    .alloc_zeroed = alloc_zeroed,
    .free = give_back,
    .realloc = resize,
    .usable_size = usable_size,
    .trim = trim,
    .trim_unknown = true,
    .stats = stats,
    .metadata_present = metadata_present,
    .largest_free = largest_free,
    .visit_ranges = visit_ranges,
    .visit_sizes = visit_sizes,
};
