/*
 * lock.c - waiting for a lock: see lock.h.
 */
#include "lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Thread_local int sw__locks_in_hand SW__OWN_OF_THREAD;
static _Thread_local bool is_aborting SW__OWN_OF_THREAD;

void sw__locks_expect_abort(void) {
    is_aborting = true;
}

/* As abort() does in the end, from within the handler of that signal. */
static void end_at_once(void) {
    sigset_t abort_alone;
    sigemptyset(&abort_alone);
    sigaddset(&abort_alone, SIGABRT);
    signal(SIGABRT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &abort_alone, NULL);
    raise(SIGABRT);
}

static void sleep_while_taken(struct sw__lock *lock) {
    const struct timespec a_second = {.tv_sec = 1};
    bool may_be_our_own = is_aborting && sw__locks_in_hand > 0;
    long error = syscall(SYS_futex, &lock->state, FUTEX_WAIT_PRIVATE, 2,
                         may_be_our_own ? &a_second : NULL, NULL, 0);
    if (error != 0 && errno == ETIMEDOUT)
        end_at_once();
}

/* Takes it as one that others may sleep for. */
static bool take_from_sleepers(struct sw__lock *lock) {
    sw__lock_count(1);
    bool is_ours = atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) == 0;
    if (!is_ours)
        sw__lock_count(-1);
    return is_ours;
}

void sw__lock_wait(struct sw__lock *lock) {
    enum { SPINS = 100 };
    sw__lock_count(-1);
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&lock->state, memory_order_relaxed) == 0 && sw__try_lock(lock))
            return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    int kept = errno; /* free() takes locks, and leaves errno as it was */
    while (!take_from_sleepers(lock))
        sleep_while_taken(lock);
    errno = kept;
}

bool sw__lock_within(struct sw__lock *lock, long nanoseconds) {
    const struct timespec most = {.tv_nsec = nanoseconds};
    int kept = errno;
    bool is_ours = sw__try_lock(lock) || take_from_sleepers(lock);
    if (!is_ours) {
        syscall(SYS_futex, &lock->state, FUTEX_WAIT_PRIVATE, 2, &most, NULL, 0);
        is_ours = take_from_sleepers(lock);
    }
    errno = kept;
    return is_ours;
}

void sw__lock_wake(struct sw__lock *lock) {
    syscall(SYS_futex, &lock->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void sw__lock_share(struct sw__lock *lock) {
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
