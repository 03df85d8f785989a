/*
 * heap.c - the public interface: arguments are checked here once, the strategy does the work, the
 * ledger writes it down.
 *
 * Order matters where several threads use one heap. A block enters the ledger after the strategy
 * gave it and leaves before the strategy gets it back, so an address is never in the ledger twice.
 */
#include "stepwell.h"

#include "checked.h"
#include "keeper.h"
#include "lock.h"
#include "meta.h"
#include "observe/ledger.h"
#include "observe/oom_report.h"
#include "options.h"
#include "os.h"
#include "slabs.h"
#include "strategy.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "strategies.h"

struct sw_heap {
    const struct sw__strategy *strategy;
    void *state;
    struct sw__ledger *ledger;   /* NULL without tracking */
    struct sw__checked *checked; /* NULL unless checked: then strategy and state are its */

    bool in_step; /* the caller serialises steps; others may ask how many there were */
    _Atomic(uint64_t) steps;

    struct sw__lock look_lock; /* guards what follows: what was seen when the kernel was asked */
    struct sw_level resident;
    struct sw_level reserved;
    struct sw_level allocated; /* the strategy's own count, without tracking */
    size_t allocated_at_reserved_peak;
    size_t unaccounted_before; /* for strategies that don't tell their ranges */

    struct sw__oom_report oom_report;

    struct sw_heap *next; /* in all_heaps */
};

/* Every heap of the process: what one accounts for is taken off what libc holds. */
static struct {
    struct sw__lock lock;
    struct sw_heap *first;
} all_heaps;

static _Thread_local char last_error[320];

/* ---- Errors ---------------------------------------------------------------------------------- */

const char *sw_version(void) {
    return SW_VERSION;
}

const char *sw_error(void) {
    return last_error;
}

static void *fail(int code, const char *sentence) {
    snprintf(last_error, sizeof last_error, "%s", sentence);
    errno = code;
    return NULL;
}

static void say(const char *sentence) {
    char line[200];
    int length = snprintf(line, sizeof line, "stepwell: %s\n", sentence);
    sw__os_write(sw__os_stderr(), line, (size_t)length);
}

_Noreturn void sw__stop(const char *sentence) {
    say(sentence);
    abort();
}

_Noreturn void sw__misuse(enum sw__misuse what, const char *details) {
    static const char *const sentences[] = {
#define SENTENCE(name, sentence) sentence,
        SW_MISUSES(SENTENCE)
#undef SENTENCE
    };
    say(sentences[what]);
    if (details)
        say(details);
    abort();
}

_Noreturn void sw__misuse_free(void) {
    sw__misuse(SW__MISUSE_FREE, NULL);
}

/* ---- The list of strategies ------------------------------------------------------------------ */

#define DECLARE(name) extern const struct sw__strategy sw__strategy_##name;
#define NOTHING(...)
SW_STRATEGIES(DECLARE, NOTHING)
#undef DECLARE

struct listed {
    const struct sw__strategy *built_in; /* NULL: in a library of its own */
    struct sw_strategy_info info;        /* of a separate one, known without loading it */
};

static const struct listed strategies[] = {
#define BUILT_IN(name)          {&sw__strategy_##name, {0}},
#define SEPARATE(name, summary) {NULL, {#name, summary}},
    SW_STRATEGIES(BUILT_IN, SEPARATE)
#undef BUILT_IN
#undef SEPARATE
};

enum { STRATEGY_COUNT = sizeof strategies / sizeof strategies[0] };

const struct sw_strategy_info *sw_strategy_info(size_t index) {
    static _Thread_local struct sw_strategy_info info;
    if (index >= STRATEGY_COUNT)
        return NULL;
    const struct listed *listed = &strategies[index];
    if (!listed->built_in)
        return &listed->info;
    info = (struct sw_strategy_info){listed->built_in->name, listed->built_in->summary};
    return &info;
}

const char *sw_tag_name(enum sw_tag tag) {
    static const char *const names[] = {
#define TAG_NAME(upper, lower) #lower,
        SW_TAGS(TAG_NAME)
#undef TAG_NAME
    };
    return (unsigned)tag < SW_TAG_COUNT ? names[tag] : NULL;
}

/* A separate strategy is the one symbol of libstepwell-NAME.so. The library stays loaded. Behind
 * malloc nothing may be loaded: there it has to be in LD_PRELOAD beside us. */
static const struct sw__strategy *find_symbol(const char *name) {
    char text[64];
    snprintf(text, sizeof text, "sw__strategy_%s", name);
    const struct sw__strategy *strategy = dlsym(RTLD_DEFAULT, text);
#ifndef SW_PRELOAD
    char file[64];
    snprintf(file, sizeof file, "libstepwell-%s.so", name);
    void *library = strategy ? NULL : dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library)
        strategy = dlsym(library, text);
#endif
    return strategy;
}

static const struct sw__strategy *load_separate(const char *name) {
    const struct sw__strategy *strategy = find_symbol(name);
    if (!strategy) {
        const char *reason = dlerror();
        snprintf(last_error, sizeof last_error,
                 "strategy '%s' is not to be had here: %s (link the program with -lstepwell-%s, or "
                 "preload libstepwell-%s.so)",
                 name, reason ? reason : "its library is not loaded", name, name);
        errno = ENOTSUP;
    }
    return strategy;
}

static const struct sw__strategy *explain_unknown_strategy(const char *name) {
    const char *names[STRATEGY_COUNT + 1] = {0};
    for (size_t i = 0; i < STRATEGY_COUNT; i++)
        names[i] = strategies[i].built_in ? strategies[i].built_in->name : strategies[i].info.name;
    sw__explain_unknown("strategy", name, strlen(name), names, last_error, sizeof last_error);
    errno = EINVAL;
    return NULL;
}

static const struct sw__strategy *find_strategy(const char *name) {
    for (size_t i = 0; i < STRATEGY_COUNT; i++) {
        const struct listed *listed = &strategies[i];
        if (listed->built_in && strcmp(name, listed->built_in->name) == 0)
            return listed->built_in;
        if (!listed->built_in && strcmp(name, listed->info.name) == 0)
            return load_separate(name);
    }
    return explain_unknown_strategy(name);
}

/* ---- Asking the kernel ----------------------------------------------------------------------- */

static void add_resident(void *sum, const void *start, size_t size) {
    *(size_t *)sum += sw__os_resident(start, size);
}

static size_t resident_in_ranges(const struct sw_heap *heap) {
    size_t resident = 0;
    heap->strategy->visit_ranges(heap->state, add_resident, &resident);
    return resident;
}

static size_t metadata_of(const struct sw_heap *heap) {
    struct sw__strategy_stats own = {0};
    struct sw_stats ledger = {0};
    if (heap->strategy->visit_ranges)
        heap->strategy->stats(heap->state, &own);
    if (heap->ledger)
        sw__ledger_stats(heap->ledger, &ledger);
    return own.metadata.current + ledger.metadata.current;
}

static size_t resident_when_seen(struct sw_heap *heap) {
    sw__lock(&heap->look_lock);
    size_t resident = heap->resident.current;
    sw__unlock(&heap->look_lock);
    return resident;
}

/* Resident and metadata of all heaps; of those without known ranges what was seen last, if it is
 * wanted. */
static size_t accounted_for(bool with_seen) {
    size_t accounted = 0;
    sw__lock(&all_heaps.lock);
    for (struct sw_heap *heap = all_heaps.first; heap; heap = heap->next) {
        accounted += metadata_of(heap);
        if (heap->strategy->visit_ranges)
            accounted += resident_in_ranges(heap);
        else if (with_seen)
            accounted += resident_when_seen(heap);
    }
    sw__unlock(&all_heaps.lock);
    return accounted;
}

/* Anonymous memory of the process that is no heap's of known ranges: libc's, stacks and the like.
 */
static size_t unaccounted(void) {
    size_t accounted = accounted_for(false);
    size_t process = sw__os_process_anonymous();
    return process > accounted ? process - accounted : 0;
}

static size_t ask_resident(struct sw_heap *heap, size_t active) {
    if (heap->strategy->visit_ranges)
        return resident_in_ranges(heap);
    size_t now = unaccounted();
    size_t growth = now > heap->unaccounted_before ? now - heap->unaccounted_before : 0;
    return growth > active ? growth : active;
}

static void raise_level(struct sw_level *level, size_t current) {
    level->current = current;
    if (current > level->peak)
        level->peak = current;
}

/* Asks how things stand and keeps the peaks. Fills stats but for the steps and largest_free. */
static void look(struct sw_heap *heap, struct sw_stats *stats) {
    struct sw__strategy_stats own = {0};
    *stats = (struct sw_stats){0};
    heap->strategy->stats(heap->state, &own);
    stats->metadata = own.metadata;
    if (heap->ledger)
        sw__ledger_stats(heap->ledger, stats);
    size_t resident = ask_resident(heap, stats->active.current);

    sw__lock(&heap->look_lock);
    if (!heap->ledger) {
        raise_level(&heap->allocated, own.allocated);
        stats->allocated = heap->allocated;
    }
    raise_level(&heap->resident, resident);
    heap->reserved.current = own.reserved.current > resident ? own.reserved.current : resident;
    size_t peak =
        own.reserved.peak > heap->reserved.current ? own.reserved.peak : heap->reserved.current;
    if (peak > heap->reserved.peak) {
        heap->reserved.peak = peak;
        heap->allocated_at_reserved_peak = stats->allocated.current;
    }
    stats->resident = heap->resident;
    stats->reserved = heap->reserved;
    stats->allocated_at_reserved_peak = heap->allocated_at_reserved_peak;
    sw__unlock(&heap->look_lock);
}

/* ---- Fork: a child must find every lock free ------------------------------------------------- */

static void before_fork(void) {
    sw__keeper_before_fork(); /* whose thread may be waiting for any of the locks below */
    sw__lock(&all_heaps.lock);
    sw__slabs_lock_threads(); /* an exiting thread holds it while it takes a heap's */
    for (struct sw_heap *heap = all_heaps.first; heap; heap = heap->next) {
        if (heap->ledger)
            sw__ledger_lock(heap->ledger);
        sw__lock(&heap->look_lock);
        if (heap->strategy->lock_all)
            heap->strategy->lock_all(heap->state);
    }
}

static void after_fork(void) {
    for (struct sw_heap *heap = all_heaps.first; heap; heap = heap->next) {
        if (heap->strategy->unlock_all)
            heap->strategy->unlock_all(heap->state);
        sw__unlock(&heap->look_lock);
        if (heap->ledger)
            sw__ledger_unlock(heap->ledger);
    }
    sw__slabs_unlock_threads();
    sw__unlock(&all_heaps.lock);
}

static void after_fork_in_parent(void) {
    after_fork();
    sw__keeper_after_fork();
}

static void after_fork_in_child(void) {
    sw__slabs_adopt_after_fork();
    after_fork();
    sw__slabs_collect_after_fork();
    sw__keeper_after_fork_in_child();
}

static void mind_forks(void) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* As early as can be, for what is registered first is called last before a fork, and first after
 * it: other handlers may allocate. Behind malloc that is the first call of it, elsewhere the
 * library's own start. */
__attribute__((constructor)) static void mind_forks_once(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, mind_forks);
}

/* ---- Misuse ---------------------------------------------------------------------------------- */

static bool is_live_in(const struct sw_heap *heap, const void *block) {
    return heap->checked ? sw__checked_standing(heap->checked, block) == SW__LIVE
                         : heap->ledger && sw__ledger_knows(heap->ledger, block);
}

bool sw__is_live_somewhere(const void *block) {
    sw__lock(&all_heaps.lock);
    const struct sw_heap *heap = all_heaps.first;
    while (heap && !is_live_in(heap, block))
        heap = heap->next;
    sw__unlock(&all_heaps.lock);
    return heap != NULL;
}

/* A fault on what a checked heap has closed is told as any misuse is. Every other comes again on
 * return, and ends the process as it would have. */
static void explain_fault(int signal_number, siginfo_t *info, void *context) {
    (void)context;
    sw__lock(&all_heaps.lock);
    for (const struct sw_heap *heap = all_heaps.first; heap; heap = heap->next)
        if (heap->checked)
            sw__checked_explain_fault(heap->checked, info->si_addr);
    sw__unlock(&all_heaps.lock);
    signal(signal_number, SIG_DFL);
    if (info->si_code <= 0)
        kill(getpid(), signal_number); /* somebody sent it */
}

/* A program that handles faults by itself is left to it. */
static void watch_for_faults(void) {
    struct sigaction action;
    if (sigaction(SIGSEGV, NULL, &action) != 0 || action.sa_handler != SIG_DFL)
        return;
    action = (struct sigaction){.sa_sigaction = explain_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
}

/* A heap that lives as long as the process is looked at when that ends. */
__attribute__((destructor)) static void verify_at_exit(void) {
    sw__lock(&all_heaps.lock);
    for (const struct sw_heap *heap = all_heaps.first; heap; heap = heap->next)
        if (heap->checked)
            sw__checked_verify(heap->checked);
    sw__unlock(&all_heaps.lock);
}

/* ---- Life of a heap -------------------------------------------------------------------------- */

static struct sw_heap *map_heap(const struct sw__strategy *strategy) {
    struct sw_heap *heap = sw__os_map(SW__PAGE);
    if (heap)
        heap->strategy = strategy;
    return heap;
}

static void enlist(struct sw_heap *heap) {
    sw__lock(&all_heaps.lock);
    heap->next = all_heaps.first;
    all_heaps.first = heap;
    sw__unlock(&all_heaps.lock);
}

static void delist(struct sw_heap *heap) {
    sw__lock(&all_heaps.lock);
    struct sw_heap **link = &all_heaps.first;
    while (*link != heap)
        link = &(*link)->next;
    *link = heap->next;
    sw__unlock(&all_heaps.lock);
}

/* The strategy's state, and the layer over it if the heap is to be checked. */
static bool create_state(struct sw_heap *heap, const struct sw__config *config) {
    heap->state = heap->strategy->create(config);
    if (!heap->state || !config->checked)
        return heap->state != NULL;
    heap->checked = sw__checked_create(heap->strategy, heap->state, config->quarantine);
    if (!heap->checked) {
        heap->strategy->destroy(heap->state);
        return false;
    }
    heap->strategy = sw__checked_strategy(heap->checked);
    heap->state = heap->checked;
    watch_for_faults();
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
    heap->oom_report.limit = config->limit;
    if (!strategy->visit_ranges)
        heap->unaccounted_before = unaccounted();
    enlist(heap);
    return heap;
}

sw_heap *sw__heap_create(const char *name, const struct sw__config *config) {
    const struct sw__strategy *strategy = find_strategy(name);
    if (!strategy)
        return NULL;
    if (strategy->in_page_map && !sw__os_page_size_fits())
        return fail(ENOTSUP, "this kernel's pages are not the 4 KiB that Stepwell was built for");
    mind_forks_once();
    sw_heap *heap = create(strategy, config);
    return heap ? heap : fail(ENOMEM, "out of memory: no room for a new heap");
}

sw_heap *sw_heap_create(const char *name, const char *conf) {
    struct sw__config config;
    if (!name)
        return fail(EINVAL, "sw_heap_create: no strategy was named");
    sw__options_defaults(&config);
    if (!sw__options_parse(conf, &config, last_error, sizeof last_error)) {
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
    delist(heap);
    if (heap->strategy->blocks_outlive_state && heap->ledger)
        sw__ledger_visit(heap->ledger, free_by_itself, heap);
    heap->strategy->destroy(heap->state);
    if (heap->ledger)
        sw__ledger_destroy(heap->ledger);
    sw__os_release(heap, SW__PAGE);
}

const char *sw_heap_strategy(const sw_heap *heap) {
    return heap->strategy->name;
}

const struct sw__strategy *sw__heap_strategy(const sw_heap *heap) {
    return heap->strategy;
}

void *sw__heap_state(const sw_heap *heap) {
    return heap->state;
}

bool sw__heap_is_tracked(const sw_heap *heap) {
    return heap->ledger != NULL;
}

bool sw__heap_has(const sw_heap *heap, const void *block) {
    return sw__ledger_knows(heap->ledger, block);
}

struct sw__checked *sw__heap_checked(const sw_heap *heap) {
    return heap->checked;
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

static const char out_of_memory[] = "out of memory: more bytes were asked for than there can be";

static __attribute__((noinline, cold)) void *refuse(struct sw_heap *heap, size_t size) {
    sw__oom_note(&heap->oom_report, heap, size);
    errno = ENOMEM;
    if (heap->oom_report.limit)
        snprintf(last_error, sizeof last_error,
                 "out of memory: %zu bytes were asked for of a heap with limit:%zu", size,
                 heap->oom_report.limit);
    else
        snprintf(last_error, sizeof last_error, "out of memory: %zu bytes were asked for", size);
    return NULL;
}

/* Writes a new block down; where the ledger has no room for it, the block goes back. */
static void *enter(struct sw_heap *heap, void *block, size_t size, enum sw_tag tag) {
    struct sw_block entry = {.address = block,
                             .requested = size,
                             .allocated = heap->strategy->usable_size(heap->state, block),
                             .tag = tag};
    if (sw__ledger_add(heap->ledger, &entry))
        return block;
    heap->strategy->free(heap->state, block);
    return refuse(heap, size);
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

/* What is kept free may be all that is wanting: pages, their address space, or room under a limit.
 * Not for what nobody can have: programs ask for that to see whether they can. */
static __attribute__((noinline, cold)) void *
ask_after_trim(struct sw_heap *heap, size_t size, size_t alignment, enum sw_tag tag, bool zeroed) {
    if (!heap->strategy->trim || !sw__oom_could_be_served(&heap->oom_report, size))
        return NULL;
    heap->strategy->trim(heap->state);
    return ask(heap, size, alignment, tag, zeroed);
}

/* A block that is in no ledger, or NULL when there is no memory left. */
static inline void *obtain(struct sw_heap *heap, size_t size, size_t alignment, enum sw_tag tag,
                           bool zeroed) {
    void *block = ask(heap, size, alignment, tag, zeroed);
    return __builtin_expect(block != NULL, 1) ? block
                                              : ask_after_trim(heap, size, alignment, tag, zeroed);
}

static inline void *allocate(struct sw_heap *heap, size_t size, size_t alignment, enum sw_tag tag,
                             bool zeroed) {
    size += size == 0;
    if (__builtin_expect(size > PTRDIFF_MAX, 0))
        return fail(ENOMEM, out_of_memory);
    if (__builtin_expect((unsigned)tag >= SW_TAG_COUNT, 0))
        return fail(EINVAL, "sw_alloc: that value is no tag");
    void *block = obtain(heap, size, alignment, tag, zeroed);
    if (__builtin_expect(!block, 0))
        return refuse(heap, size);
    return heap->ledger ? enter(heap, block, size, tag) : block;
}

void *sw_alloc(sw_heap *heap, size_t size, enum sw_tag tag) {
    return allocate(heap, size, SW_MIN_ALIGNMENT, tag, false);
}

void *sw_alloc_zeroed(sw_heap *heap, size_t count, size_t size, enum sw_tag tag) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return fail(ENOMEM, out_of_memory);
    return allocate(heap, bytes, SW_MIN_ALIGNMENT, tag, true);
}

void *sw_alloc_aligned(sw_heap *heap, size_t alignment, size_t size, enum sw_tag tag) {
    if (alignment == 0 || (alignment & (alignment - 1)) != 0)
        return fail(EINVAL, "sw_alloc_aligned: the alignment is no power of two");
    if (alignment > PTRDIFF_MAX / 2)
        return fail(ENOMEM, out_of_memory);
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

static void *resize(struct sw_heap *heap, void *block, size_t size, enum sw_tag tag) {
    const struct sw__strategy *strategy = heap->strategy;
    if (strategy->realloc)
        return strategy->realloc(heap->state, block, size);
    void *resized = strategy->resize ? strategy->resize(heap->state, block, size) : NULL;
    return resized ? resized : move(heap, block, size, tag);
}

static void *resize_tracked(struct sw_heap *heap, void *block, size_t size) {
    struct sw_block entry;
    if (!sw__ledger_take(heap->ledger, block, &entry))
        sw__misuse(SW__MISUSE_REALLOC, NULL);
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
    return resized ? resized : refuse(heap, size);
}

_Noreturn static void misuse_of_free(struct sw_heap *heap, const void *block) {
    if (heap->checked)
        sw__checked_misuse_free(heap->checked, block);
    sw__misuse_free();
}

static void strike_out(struct sw_heap *heap, void *block) {
    bool worth_a_look;
    if (!sw__ledger_remove(heap->ledger, block, &worth_a_look))
        misuse_of_free(heap, block);
    if (worth_a_look) {
        struct sw_stats stats;
        look(heap, &stats);
    }
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
        fail(EINVAL, "sw_step_begin: a step is open already");
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
        fail(EINVAL, "sw_step_end: no step is open");
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
    size_t before = strategy->visit_ranges ? resident_in_ranges(heap) : unaccounted();
    strategy->trim(heap->state);
    size_t after = strategy->visit_ranges ? resident_in_ranges(heap) : unaccounted();
    return before > after ? before - after : 0;
}

void sw__heap_look(sw_heap *heap, struct sw_stats *stats) {
    look(heap, stats);
    if (heap->strategy->visit_ranges)
        stats->largest_free = heap->strategy->largest_free(heap->state);
}

int sw_heap_stats(sw_heap *heap, struct sw_stats *stats, size_t stats_size) {
    struct sw_stats whole;
    look(heap, &whole);
    whole.steps = heap->steps;
    whole.process_resident = sw__os_process_resident();
    whole.accounted = accounted_for(true);
    whole.largest_free = heap->strategy->largest_free(heap->state);
    memset(stats, 0, stats_size);
    memcpy(stats, &whole, stats_size < sizeof whole ? stats_size : sizeof whole);
    return 0;
}

int sw_heap_visit(sw_heap *heap, int (*visitor)(const struct sw_block *, void *), void *context) {
    if (!heap->ledger) {
        fail(ENOTSUP, "sw_heap_visit: the heap was created with tracking:0");
        return -1;
    }
    return sw__ledger_visit(heap->ledger, visitor, context);
}
