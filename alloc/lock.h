/*
 * lock.h - a mutex of four bytes: spins a little, then sleeps in the kernel.
 *
 * Not a pthread mutex because it must be possible to make it new in a forked child, to have it in
 * memory that is all zero, and to use it before and after libc's own start and end. The algorithm
 * is the third of U. Drepper, "Futexes Are Tricky" (2011): 0 free, 1 held, 2 held and somebody
 * sleeps.
 *
 * Who holds several has taken them in this order, in which a fork takes all (heap.c): the keeper's
 * two; that of all heaps; that of all threads' tables; then, of one heap: its ledger's, that of a
 * look at it, its strategy's own, its caches', its slabs', its extents'.
 */
#ifndef SW_LOCK_H
#define SW_LOCK_H

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct sw__lock {
    atomic_int state;
};

static inline void sw__lock_wait(struct sw__lock *lock) {
    enum { SPINS = 100 };
    for (int i = 0; i < SPINS; i++) {
        int expected = 0;
        if (atomic_load_explicit(&lock->state, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_weak_explicit(&lock->state, &expected, 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    int kept = errno; /* free() takes locks, and leaves errno as it was */
    while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0)
        syscall(SYS_futex, &lock->state, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
    errno = kept;
}

static inline void sw__lock(struct sw__lock *lock) {
    int expected = 0;
    if (!atomic_compare_exchange_strong_explicit(&lock->state, &expected, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        sw__lock_wait(lock);
}

static inline bool sw__try_lock(struct sw__lock *lock) {
    int expected = 0;
    return atomic_compare_exchange_strong_explicit(&lock->state, &expected, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* Shown the locks of something, in the order in which they are taken. */
typedef void sw__lock_visitor(void *context, struct sw__lock *lock);

static inline void sw__unlock(struct sw__lock *lock) {
    if (atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2)
        syscall(SYS_futex, &lock->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* In the midst of long work under it: lets those have it who wait. Who is woken needs a while to
 * come, and who let go would be faster. */
static inline void sw__lock_share(struct sw__lock *lock) {
    const struct timespec while_they_come = {.tv_nsec = 50000};
    bool is_wanted = atomic_load_explicit(&lock->state, memory_order_relaxed) == 2;
    sw__unlock(lock);
    if (is_wanted) {
        int kept = errno;
        syscall(SYS_nanosleep, &while_they_come, NULL);
        errno = kept;
    }
    sw__lock(lock);
}

#endif
