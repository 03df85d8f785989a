/*
 * heap.c - the public interface: arguments are checked here once, the strategy does the work, the
 * ledger writes it down.
 *
 * Order matters where several threads use one heap. A block enters the ledger after the strategy
 * gave it and leaves before the strategy gets it back, so an address is never in the ledger twice.
 */
#include "stepwell.h"

#include "align.h"
#include "checked.h"
#include "error.h"
#include "keeper.h"
#include "lock.h"
#include "meta.h"
#include "observe/ledger.h"
#include "observe/oom_report.h"
#include "options.h"
#include "os.h"
#include "slabs/slabs.h"
#include "strategy.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    size_t allocated_peak_before; /* as of the last look */
    size_t unaccounted_before;    /* for strategies that don't tell their ranges */

    struct sw__oom_report oom_report;

    struct sw_heap *next; /* in all_heaps */
    unsigned pins;        /* so many threads ask it what it holds: it does not end meanwhile */
    bool is_leaving;      /* and no more will */
};

/* Every heap of the process: what one accounts for is taken off what libc holds. */
static struct {
    /* Guards what enlists a heap, too. No strategy is called under it: its library may wait for a lock
     * of its own that a fork holds, which waits for this one. */
    struct sw__lock lock;
    struct sw_heap *first;
} all_heaps;

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

/* ---- Asking the kernel ----------------------------------------------------------------------- */

static void add_resident(void *sum, const void *start, size_t size) {
    *(size_t *)sum += sw__os_resident(start, size);
}

static size_t resident_in_ranges(const struct sw_heap *heap) {
    size_t resident = 0;
    heap->strategy->visit_ranges(heap->state, add_resident, &resident);
    return resident;
}

size_t sw__heap_metadata_present(const sw_heap *heap) {
    const struct sw__strategy *strategy = heap->strategy;
    size_t own = strategy->metadata_present ? strategy->metadata_present(heap->state) : 0;
    return own + (heap->ledger ? sw__ledger_metadata_present(heap->ledger) : 0);
}

static size_t resident_when_seen(struct sw_heap *heap) {
    sw__lock(&heap->look_lock);
    size_t resident = heap->resident.current;
    sw__unlock(&heap->look_lock);
    return resident;
}

/* The heap behind a pinned one, which is let go, or the first; pinned itself. */
static struct sw_heap *pin_next(struct sw_heap *heap) {
    sw__lock(&all_heaps.lock);
    struct sw_heap *next = heap ? heap->next : all_heaps.first;
    while (next && next->is_leaving)
        next = next->next;
    if (heap && heap->pins > 0) /* else this is a child that was forked meanwhile */
        heap->pins--;
    if (next)
        next->pins++;
    sw__unlock(&all_heaps.lock);
    return next;
}

/* What is present of all heaps and their metadata; of those without known ranges what was seen last, if
 * it is wanted. */
static size_t accounted_for(bool with_seen) {
    size_t accounted = 0;
    for (struct sw_heap *heap = NULL; (heap = pin_next(heap));) {
        accounted += sw__heap_metadata_present(heap);
        if (heap->strategy->visit_ranges)
            accounted += resident_in_ranges(heap);
        else if (with_seen)
            accounted += resident_when_seen(heap);
    }
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
    return sw__larger(growth, active);
}

static void raise_level(struct sw_level *level, size_t current) {
    level->current = current;
    if (current > level->peak)
        level->peak = current;
}

/* A peak may have come and gone between two looks: where allocated had one meanwhile too, it is taken
 * to have been at the same time. */
static void note_reserved_peak(struct sw_heap *heap, size_t own_peak,
                               const struct sw_level *allocated) {
    size_t peak = sw__larger(own_peak, heap->reserved.current);
    bool had_one = allocated->peak > heap->allocated_peak_before;
    heap->allocated_peak_before = allocated->peak;
    if (peak <= heap->reserved.peak)
        return;
    heap->reserved.peak = peak;
    heap->allocated_at_reserved_peak = had_one ? allocated->peak : allocated->current;
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
    heap->reserved.current = sw__larger(own.reserved.current, resident);
    note_reserved_peak(heap, own.reserved.peak, &stats->allocated);
    stats->resident = heap->resident;
    stats->reserved = heap->reserved;
    stats->allocated_at_reserved_peak = heap->allocated_at_reserved_peak;
    sw__unlock(&heap->look_lock);
}

/* ---- Locks ----------------------------------------------------------------------------------- */

/* Every lock of every heap, while those are held that keep heaps and threads from coming and going.
 */
static void visit_locks(sw__lock_visitor *visitor, void *context) {
    for (struct sw_heap *heap = all_heaps.first; heap; heap = heap->next) {
        if (heap->ledger)
            visitor(context, sw__ledger_lock_of(heap->ledger));
        visitor(context, &heap->look_lock);
        if (heap->strategy->visit_locks)
            heap->strategy->visit_locks(heap->state, visitor, context);
    }
}

static void take(void *unused, struct sw__lock *lock) {
    (void)unused;
    sw__lock(lock);
}

static void give_up(void *unused, struct sw__lock *lock) {
    (void)unused;
    sw__unlock(lock);
}

/* For so many milliseconds of waiting in all; below 0 one did not come. Who gives much back lets
 * those have it who wait, and no others: a look now and then would find it taken. */
static bool take_in_time(struct sw__lock *lock, int *patience) {
    while (*patience >= 0 && !sw__lock_within(lock, 1000000))
        --*patience;
    return *patience >= 0;
}

static void try(void *patience, struct sw__lock *lock) {
    if (take_in_time(lock, patience))
        sw__unlock(lock);
}

bool sw__heap_locks_come(void) {
    int patience = 200;
    if (take_in_time(&all_heaps.lock, &patience)) {
        if (take_in_time(sw__slabs_lock_of_threads(), &patience)) {
            visit_locks(try, &patience);
            sw__unlock(sw__slabs_lock_of_threads());
        }
        sw__unlock(&all_heaps.lock);
    }
    return patience >= 0;
}

/* ---- Fork: a child must find every lock free ------------------------------------------------- */

/* By a signal's handler that has interrupted its own thread with a lock in hand, as only a program of
 * one thread may, or within a free of what another took. None is taken: the child is in the midst of
 * the same, and goes on with it. Its other threads are none, or our own. */
static _Thread_local int forks_in_the_midst SW__OWN_OF_THREAD;

static bool ends_fork_in_the_midst(void) {
    bool is_one = forks_in_the_midst > 0;
    forks_in_the_midst -= is_one;
    return is_one;
}

static void before_fork(void) {
    if (sw__locks_in_hand > 0) {
        forks_in_the_midst++;
        return;
    }
    sw__keeper_before_fork(); /* whose thread may be waiting for any of the locks below */
    sw__lock(&all_heaps.lock);
    sw__lock(sw__slabs_lock_of_threads()); /* an exiting thread holds it while it takes a heap's */
    visit_locks(take, NULL);
}

static void after_fork(void) {
    visit_locks(give_up, NULL);
    sw__unlock(sw__slabs_lock_of_threads());
    sw__unlock(&all_heaps.lock);
}

static void after_fork_in_parent(void) {
    if (ends_fork_in_the_midst())
        return;
    after_fork();
    if (sw__keeper_after_fork() && sw__slabs_mind_end_of_thread())
        sw__keeper_start();
}

static void after_fork_in_child(void) {
    if (ends_fork_in_the_midst()) {
        sw__keeper_is_not_here();
        return;
    }
    for (struct sw_heap *heap = all_heaps.first; heap; heap = heap->next)
        heap->pins = 0; /* by threads that are not here */
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
    if (sw__locks_in_hand == 0) { /* else it is a fault of our own */
        sw__lock(&all_heaps.lock);
        for (const struct sw_heap *heap = all_heaps.first; heap; heap = heap->next)
            if (heap->checked)
                sw__checked_explain_fault(heap->checked, info->si_addr);
        sw__unlock(&all_heaps.lock);
    }
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

static atomic_bool any_was_checked;

/* A heap that lives as long as the process is looked at when that ends; not by whom a signal has
 * interrupted with a lock in hand. */
__attribute__((destructor)) static void verify_at_exit(void) {
    if (!any_was_checked || !sw__heap_locks_come())
        return;
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

static bool delist_unless_pinned(struct sw_heap *heap) {
    sw__lock(&all_heaps.lock);
    struct sw_heap **link = &all_heaps.first;
    bool is_free = heap->pins == 0;
    heap->is_leaving = true;
    while (*link != heap)
        link = &(*link)->next;
    if (is_free)
        *link = heap->next;
    sw__unlock(&all_heaps.lock);
    return is_free;
}

/* Nobody asks for longer than milliseconds. */
static void delist(struct sw_heap *heap) {
    while (!delist_unless_pinned(heap))
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
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
    any_was_checked = true;
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
    heap->oom_report.limit = limit_of(strategy, config);
    if (!strategy->visit_ranges)
        heap->unaccounted_before = unaccounted();
    enlist(heap);
    return heap;
}

sw_heap *sw__heap_create(const char *name, const struct sw__config *config) {
    const struct sw__strategy *strategy = sw__strategy_find(name);
    if (!strategy)
        return NULL;
    if (strategy->in_page_map && !sw__os_page_size_fits())
        return sw__fail(ENOTSUP,
                        "this kernel's pages are not the 4 KiB that Stepwell was built for");
    mind_forks_once();
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
    delist(heap);
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
        snprintf(sw__error_text(), SW__ERROR_SIZE,
                 "out of memory: %zu bytes were asked for of a heap with limit:%zu", size,
                 heap->oom_report.limit);
    else
        snprintf(sw__error_text(), SW__ERROR_SIZE, "out of memory: %zu bytes were asked for", size);
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
static __attribute__((noinline, cold)) bool trim_for(struct sw_heap *heap, size_t size) {
    if (!heap->strategy->trim || !sw__os_could_serve(heap->oom_report.limit, size))
        return false;
    heap->strategy->trim(heap->state);
    return true;
}

/* A block that is in no ledger, or NULL when there is no memory left. */
static inline void *obtain(struct sw_heap *heap, size_t size, size_t alignment, enum sw_tag tag,
                           bool zeroed) {
    void *block = ask(heap, size, alignment, tag, zeroed);
    if (__builtin_expect(!block, 0) && trim_for(heap, size))
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
        return refuse(heap, size);
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
    if (!resized && trim_for(heap, size))
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

static void see(struct sw_heap *heap) {
    struct sw_stats stats;
    look(heap, &stats);
}

static enum sw__taken take_from_ledger(struct sw_heap *heap, const void *block, size_t size,
                                       bool stays, struct sw_block *entry) {
    enum sw__taken taken;
    while ((taken = sw__ledger_take(heap->ledger, block, size, stays, entry)) ==
           SW__TAKEN_LOOK_FIRST)
        see(heap);
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
    return resized ? resized : refuse(heap, size);
}

_Noreturn static void misuse_of_free(struct sw_heap *heap, const void *block) {
    if (heap->checked)
        sw__checked_misuse_free(heap->checked, block);
    sw__misuse_free();
}

static void strike_out(struct sw_heap *heap, void *block) {
    enum sw__taken taken;
    while ((taken = sw__ledger_remove(heap->ledger, block)) == SW__TAKEN_LOOK_FIRST)
        see(heap);
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
        sw__fail(ENOTSUP, "sw_heap_visit: the heap was created with tracking:0");
        return -1;
    }
    return sw__ledger_visit(heap->ledger, visitor, context);
}
