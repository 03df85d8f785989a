/*
 * lock.h - a mutex of four bytes: spins a little, then sleeps in the kernel.
 *
 * Not a pthread mutex because it must be possible to make it new in a forked child, to have it in
 * memory that is all zero, and to use it before and after libc's own start and end. The algorithm
 * is the third of U. Drepper, "Futexes Are Tricky" (2011): 0 free, 1 held, 2 held and somebody
 * sleeps.
 *
 * Who holds several has taken them in this order, in which a fork takes all (heaps.c): the keeper's
 * two; that of all heaps; that of all threads' tables; then, of one heap: its ledger's, that of a
 * look at it, its strategy's own, its caches', its slabs', its extents'.
 *
 * A signal's handler may find its own thread in the midst of something: hence the count.
 */
#ifndef SW_LOCK_H
#define SW_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>

struct sw__lock {
    atomic_int state;
};

/* Of a thread-local variable: found without a call, so in a signal's handler and in malloc too. */
#define SW__OWN_OF_THREAD __attribute__((tls_model("initial-exec")))

/* How many locks this thread holds, or is about to; and whether it is at what a fork must not find
 * half done. Not the one that it waits for: who holds that may be the keeper, for which the fork of a
 * signal's handler waits as any does. */
extern _Thread_local int sw__locks_in_hand SW__OWN_OF_THREAD;

/* This thread is about to abort, perhaps with a lock in hand. If the program's handler of that comes
 * to wait for one, for a second and in vain, the process ends then. */
void sw__locks_expect_abort(void);

void sw__lock_wait(struct sw__lock *lock);
void sw__lock_wake(struct sw__lock *lock);

/* Before a lock is taken, and after it was let go: whoever interrupts that counts it too. */
static inline void sw__lock_count(int more) {
    atomic_signal_fence(memory_order_seq_cst);
    sw__locks_in_hand += more;
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void sw__lock(struct sw__lock *lock) {
    int expected = 0;
    sw__lock_count(1);
    if (!atomic_compare_exchange_strong_explicit(&lock->state, &expected, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        sw__lock_wait(lock);
}

static inline bool sw__try_lock(struct sw__lock *lock) {
    int expected = 0;
    sw__lock_count(1);
    bool is_ours = atomic_compare_exchange_strong_explicit(
        &lock->state, &expected, 1, memory_order_acquire, memory_order_relaxed);
    if (!is_ours)
        sw__lock_count(-1);
    return is_ours;
}

/* As sw__lock(), but waits no longer than that, less than a second. False when it did not come. */
bool sw__lock_within(struct sw__lock *lock, long nanoseconds);

/* Shown the locks of something, in the order in which they are taken. */
typedef void sw__lock_visitor(void *context, struct sw__lock *lock);

static inline void sw__unlock(struct sw__lock *lock) {
    if (atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2)
        sw__lock_wake(lock);
    sw__lock_count(-1);
}

/* In the midst of long work under it: lets those have it who wait. Who is woken needs a while to
 * come, and who let go would be faster. */
void sw__lock_share(struct sw__lock *lock);

#endif
