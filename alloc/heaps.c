/*
 * heaps.c - all heaps of the process: see heaps.h.
 */
#include "heaps.h"

#include "checked.h"
#include "keeper.h"
#include "slabs/slabs.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static struct {
    /* Guards what enlists a heap, too. No strategy is called under it: its library may wait for a lock
     * of its own that a fork holds, which waits for this one. */
    struct sw__lock lock;
    struct sw_heap *first;
} all_heaps;

/* ---- The list -------------------------------------------------------------------------------- */

void sw__heaps_add(struct sw_heap *heap) {
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

void sw__heaps_remove(struct sw_heap *heap) {
    while (!delist_unless_pinned(heap))
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

struct sw_heap *sw__heaps_next(struct sw_heap *heap) {
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

bool sw__heaps_locks_come(void) {
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
__attribute__((constructor)) void sw__heaps_mind_forks(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, mind_forks);
}

/* ---- Misuse ---------------------------------------------------------------------------------- */

static bool is_live_in(const struct sw_heap *heap, const void *block) {
    return heap->checked ? sw__checked_standing(heap->checked, block) == SW__LIVE
                         : heap->ledger && sw__ledger_knows(heap->ledger, block);
}

bool sw__heaps_have_live(const void *block) {
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
    if (!any_was_checked || !sw__heaps_locks_come())
        return;
    sw__lock(&all_heaps.lock);
    for (const struct sw_heap *heap = all_heaps.first; heap; heap = heap->next)
        if (heap->checked)
            sw__checked_verify(heap->checked);
    sw__unlock(&all_heaps.lock);
}

void sw__heaps_mind_misuse(void) {
    any_was_checked = true;
    watch_for_faults();
}
