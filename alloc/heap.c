/*
 * heap.c - the public interface: arguments are checked here once, the strategy does the work, the
 * ledger writes it down.
 *
 * Order matters where several threads use one heap. A block enters the ledger after the strategy
 * gave it and leaves before the strategy gets it back, so an address is never in the ledger twice.
 */
#include "heap.h"

#include "checked.h"
#include "error.h"
#include "heaps.h"
#include "look.h"
#include "options.h"
#include "os.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *sw_version(void) {
    return SW_VERSION;
}

const char *sw_tag_name(enum sw_tag tag) {
    static const char *const names[] = {
#define TAG_NAME(upper, lower) #lower,
        SW_TAGS(TAG_NAME)
#undef TAG_NAME
    };
    return (unsigned)tag < SW_TAG_COUNT ? names[tag] : NULL;
}

/* ---- Life of a heap -------------------------------------------------------------------------- */

static struct sw_heap *map_heap(const struct sw__strategy *strategy) {
    struct sw_heap *heap = sw__os_map(SW__PAGE);
    if (heap)
        heap->strategy = strategy;
    return heap;
}

/* In bytes; 0 also where the strategy does not heed one. */
static size_t limit_of(const struct sw__strategy *strategy, const struct sw__config *config) {
    return strategy->in_page_map ? config->limit : 0;
}

/* The strategy's state, and the layer over it if the heap is to be checked. */
static bool create_state(struct sw_heap *heap, const struct sw__config *config) {
    heap->state = heap->strategy->create(config);
    if (!heap->state || !config->checked)
        return heap->state != NULL;
    heap->checked = sw__checked_create(heap->strategy, heap->state, config->quarantine,
                                       limit_of(heap->strategy, config));
    if (!heap->checked) {
        heap->strategy->destroy(heap->state);
        return false;
    }
    heap->strategy = sw__checked_strategy(heap->checked);
    heap->state = heap->checked;
    sw__heaps_mind_misuse();
    return true;
}

static sw_heap *create(const struct sw__strategy *strategy, const struct sw__config *config) {
    struct sw_heap *heap = map_heap(strategy);
    if (!heap)
        return NULL;
    heap->ledger = config->tracking ? sw__ledger_create() : NULL;
    if ((config->tracking && !heap->ledger) || !create_state(heap, config)) {
        if (heap->ledger)
            sw__ledger_destroy(heap->ledger);
        sw__os_release(heap, SW__PAGE);
        return NULL;
    }
    heap->oom_report.is_wanted = config->oom_report;
    heap->oom_report.limit = limit_of(strategy, config);
    if (!strategy->visit_ranges)
        heap->unaccounted_before = sw__heap_present(heap);
    sw__heaps_add(heap);
    return heap;
}

sw_heap *sw__heap_create(const char *name, const struct sw__config *config) {
    const struct sw__strategy *strategy = sw__strategy_find(name);
    if (!strategy)
        return NULL;
    if (strategy->in_page_map && !sw__os_page_size_fits())
        return sw__fail(ENOTSUP,
                        "this kernel's pages are not the 4 KiB that Stepwell was built for");
    sw__heaps_mind_forks();
    sw_heap *heap = create(strategy, config);
    return heap ? heap
                : sw__fail(ENOMEM, "no room for a new heap: out of memory, or too many heaps");
}

sw_heap *sw_heap_create(const char *name, const char *conf) {
    struct sw__config config;
    if (!name)
        return sw__fail(EINVAL, "sw_heap_create: no strategy was named");
    sw__options_defaults(&config);
    if (!sw__options_parse(conf, &config, sw__error_text(), SW__ERROR_SIZE)) {
        errno = EINVAL;
        return NULL;
    }
    return sw__heap_create(name, &config);
}

static int free_by_itself(const struct sw_block *block, void *context) {
    struct sw_heap *heap = context;
    heap->strategy->free(heap->state, (void *)block->address);
    return 0;
}

void sw_heap_destroy(sw_heap *heap) {
    if (!heap)
        return;
    sw__heaps_remove(heap);
    if (heap->strategy->blocks_outlive_state && heap->ledger)
        sw__ledger_visit(heap->ledger, free_by_itself, heap);
    heap->strategy->destroy(heap->state);
    if (heap->ledger)
        sw__ledger_destroy(heap->ledger);
    sw__os_release(heap, SW__PAGE);
}

const char *sw_heap_strategy(const sw_heap *heap) {
    return heap->strategy->info.name;
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

static const char out_of_memory[] = "out of memory: more bytes were asked for than there can be";

static __attribute__((noinline, cold)) void *refuse(struct sw_heap *heap, size_t size,
                                                    size_t alignment) {
    sw__oom_note(&heap->oom_report, heap, size, alignment);
    errno = ENOMEM;
    if (heap->oom_report.limit)
        snprintf(sw__error_text(), SW__ERROR_SIZE,
                 "out of memory: %zu bytes were asked for of a heap with limit:%zu", size,
                 heap->oom_report.limit);
    else
        snprintf(sw__error_text(), SW__ERROR_SIZE, "out of memory: %zu bytes were asked for", size);
    return NULL;
}

/* What is kept free may be all that is wanting: pages, their address space, or room under a limit.
 * Not for what nobody can have: programs ask for that to see whether they can. */
static __attribute__((noinline, cold)) bool trim_for(struct sw_heap *heap, size_t size,
                                                     size_t alignment) {
    if (!heap->strategy->trim || !sw__os_could_serve(heap->oom_report.limit, size, alignment))
        return false;
    heap->strategy->trim(heap->state);
    return true;
}

/* Writes a new block down; where the ledger has no room for it, the block goes back. */
static void *enter(struct sw_heap *heap, void *block, size_t size, enum sw_tag tag) {
    struct sw_block entry = {.address = block,
                             .requested = size,
                             .allocated = heap->strategy->usable_size(heap->state, block),
                             .tag = tag};
    if (sw__ledger_add(heap->ledger, &entry) ||
        (trim_for(heap, size, SW_MIN_ALIGNMENT) && sw__ledger_add(heap->ledger, &entry)))
        return block;
    heap->strategy->free(heap->state, block);
    return refuse(heap, size, SW_MIN_ALIGNMENT);
}

static void *allocate_zeroed(struct sw_heap *heap, size_t size, enum sw_tag tag) {
    const struct sw__strategy *strategy = heap->strategy;
    if (strategy->alloc_zeroed)
        return strategy->alloc_zeroed(heap->state, size, tag);
    void *block = strategy->alloc(heap->state, size, SW_MIN_ALIGNMENT, tag);
    return block ? memset(block, 0, size) : NULL;
}

static inline void *ask(struct sw_heap *heap, size_t size, size_t alignment, enum sw_tag tag,
                        bool zeroed) {
    return zeroed ? allocate_zeroed(heap, size, tag)
                  : heap->strategy->alloc(heap->state, size, alignment, tag);
}

/* A block that is in no ledger, or NULL when there is no memory left. */
static inline void *obtain(struct sw_heap *heap, size_t size, size_t alignment, enum sw_tag tag,
                           bool zeroed) {
    void *block = ask(heap, size, alignment, tag, zeroed);
    if (__builtin_expect(!block, 0) && trim_for(heap, size, alignment))
        block = ask(heap, size, alignment, tag, zeroed);
    return block;
}

static inline void *allocate(struct sw_heap *heap, size_t size, size_t alignment, enum sw_tag tag,
                             bool zeroed) {
    size += size == 0;
    if (__builtin_expect(size > PTRDIFF_MAX, 0))
        return sw__fail(ENOMEM, out_of_memory);
    if (__builtin_expect((unsigned)tag >= SW_TAG_COUNT, 0))
        return sw__fail(EINVAL, "sw_alloc: that value is no tag");
    void *block = obtain(heap, size, alignment, tag, zeroed);
    if (__builtin_expect(!block, 0))
        return refuse(heap, size, alignment);
    return heap->ledger ? enter(heap, block, size, tag) : block;
}

void *sw_alloc(sw_heap *heap, size_t size, enum sw_tag tag) {
    return allocate(heap, size, SW_MIN_ALIGNMENT, tag, false);
}

void *sw_alloc_zeroed(sw_heap *heap, size_t count, size_t size, enum sw_tag tag) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return sw__fail(ENOMEM, out_of_memory);
    return allocate(heap, bytes, SW_MIN_ALIGNMENT, tag, true);
}

void *sw_alloc_aligned(sw_heap *heap, size_t alignment, size_t size, enum sw_tag tag) {
    if (alignment == 0 || (alignment & (alignment - 1)) != 0)
        return sw__fail(EINVAL, "sw_alloc_aligned: the alignment is no power of two");
    if (alignment > PTRDIFF_MAX / 2)
        return sw__fail(ENOMEM, out_of_memory);
    return allocate(heap, size, alignment < SW_MIN_ALIGNMENT ? SW_MIN_ALIGNMENT : alignment, tag,
                    false);
}

static void *move(struct sw_heap *heap, void *block, size_t size, enum sw_tag tag) {
    const struct sw__strategy *strategy = heap->strategy;
    void *moved = obtain(heap, size, SW_MIN_ALIGNMENT, tag, false);
    if (!moved)
        return NULL;
    size_t usable = strategy->usable_size(heap->state, block);
    memcpy(moved, block, usable < size ? usable : size);
    strategy->free(heap->state, block);
    return moved;
}

/* By a strategy that resizes by itself; asked once more, as one that allocates is. */
static void *resize_by_itself(struct sw_heap *heap, void *block, size_t size) {
    const struct sw__strategy *strategy = heap->strategy;
    void *resized = strategy->realloc(heap->state, block, size);
    if (!resized && trim_for(heap, size, SW_MIN_ALIGNMENT))
        resized = strategy->realloc(heap->state, block, size);
    return resized;
}

static void *resize(struct sw_heap *heap, void *block, size_t size, enum sw_tag tag) {
    const struct sw__strategy *strategy = heap->strategy;
    if (strategy->realloc)
        return resize_by_itself(heap, block, size);
    void *resized = strategy->resize ? strategy->resize(heap->state, block, size) : NULL;
    if (!resized)
        resized = move(heap, block, size, tag);
    /* Who makes a block smaller, perhaps because memory is out, is not refused. */
    if (!resized && size <= strategy->usable_size(heap->state, block))
        resized = block;
    return resized;
}

static enum sw__taken take_from_ledger(struct sw_heap *heap, const void *block, size_t size,
                                       bool stays, struct sw_block *entry) {
    enum sw__taken taken;
    while ((taken = sw__ledger_take(heap->ledger, block, size, stays, entry)) ==
           SW__TAKEN_LOOK_FIRST)
        sw__heap_see(heap);
    return taken;
}

/* Without room in the ledger for another place a block can still become smaller in its own. */
static void *shrink_tracked(struct sw_heap *heap, void *block, size_t size) {
    struct sw_block entry;
    if (heap->strategy->realloc || size > heap->strategy->usable_size(heap->state, block))
        return NULL;
    if (take_from_ledger(heap, block, size, true, &entry) == SW__TAKEN_UNKNOWN)
        sw__misuse(SW__MISUSE_REALLOC, NULL); /* another thread has freed it meanwhile */
    entry.requested = size;
    sw__ledger_put_back(heap->ledger, &entry);
    return block;
}

static void *resize_tracked(struct sw_heap *heap, void *block, size_t size) {
    struct sw_block entry;
    enum sw__taken taken = take_from_ledger(heap, block, size, false, &entry);
    if (taken == SW__TAKEN_UNKNOWN)
        sw__misuse(SW__MISUSE_REALLOC, NULL);
    if (taken == SW__TAKEN_NO_ROOM)
        return shrink_tracked(heap, block, size);
    void *resized = resize(heap, block, size, entry.tag);
    if (resized) {
        entry.address = resized;
        entry.requested = size;
        entry.allocated = heap->strategy->usable_size(heap->state, resized);
    }
    sw__ledger_put_back(heap->ledger, &entry);
    return resized;
}

void *sw_realloc(sw_heap *heap, void *block, size_t size) {
    if (!block)
        return sw_alloc(heap, size, SW_TAG_OTHER);
    size += size == 0;
    void *resized = NULL;
    if (size <= PTRDIFF_MAX)
        resized = heap->ledger ? resize_tracked(heap, block, size)
                               : resize(heap, block, size, SW_TAG_OTHER);
    return resized ? resized : refuse(heap, size, SW_MIN_ALIGNMENT);
}

_Noreturn static void misuse_of_free(struct sw_heap *heap, const void *block) {
    if (heap->checked)
        sw__checked_misuse_free(heap->checked, block);
    sw__misuse_free();
}

static void strike_out(struct sw_heap *heap, void *block) {
    enum sw__taken taken;
    while ((taken = sw__ledger_remove(heap->ledger, block)) == SW__TAKEN_LOOK_FIRST)
        sw__heap_see(heap);
    if (taken == SW__TAKEN_UNKNOWN)
        misuse_of_free(heap, block);
}

void sw_free(sw_heap *heap, void *block) {
    if (!block)
        return;
    int kept = errno;
    if (heap->ledger)
        strike_out(heap, block);
    heap->strategy->free(heap->state, block);
    errno = kept;
}

size_t sw_usable_size(sw_heap *heap, const void *block) {
    if (!block)
        return 0;
    if (heap->ledger && !sw__ledger_knows(heap->ledger, block))
        sw__misuse(SW__MISUSE_USABLE_SIZE, NULL);
    return heap->strategy->usable_size(heap->state, block);
}

/* ---- Steps ----------------------------------------------------------------------------------- */

int sw_step_begin(sw_heap *heap) {
    if (heap->in_step) {
        sw__fail(EINVAL, "sw_step_begin: a step is open already");
        return -1;
    }
    heap->in_step = true;
    if (heap->ledger)
        sw__ledger_step_begin(heap->ledger, heap->steps + 1);
    if (heap->strategy->step_begin)
        heap->strategy->step_begin(heap->state);
    return 0;
}

int sw_step_end(sw_heap *heap) {
    if (!heap->in_step) {
        sw__fail(EINVAL, "sw_step_end: no step is open");
        return -1;
    }
    heap->in_step = false;
    heap->steps++;
    if (heap->ledger)
        sw__ledger_step_end(heap->ledger);
    if (heap->strategy->step_end)
        heap->strategy->step_end(heap->state);
    return 0;
}

/* ---- What the heap holds --------------------------------------------------------------------- */

size_t sw_trim(sw_heap *heap) {
    const struct sw__strategy *strategy = heap->strategy;
    if (!strategy->trim)
        return 0;
    if (!strategy->trim_unknown)
        return strategy->trim(heap->state);
    size_t before = sw__heap_present(heap);
    strategy->trim(heap->state);
    size_t after = sw__heap_present(heap);
    return before > after ? before - after : 0;
}

int sw_heap_visit(sw_heap *heap, int (*visitor)(const struct sw_block *, void *), void *context) {
    if (!heap->ledger) {
        sw__fail(ENOTSUP, "sw_heap_visit: the heap was created with tracking:0");
        return -1;
    }
    return sw__ledger_visit(heap->ledger, visitor, context);
}
