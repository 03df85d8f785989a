/*
 * keeper.c - notices that the work has stopped: see keeper.h.
 */
#define _GNU_SOURCE /* pthread_timedjoin_np */
#include "keeper.h"

#include "lock.h"
#include "os.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MS        INT64_C(1000000)
#define TICK      (100 * MS)
#define PATIENCE  (600 * MS)
#define HASTE     (PATIENCE / 2) /* so much less at most, the more there is to give: see haste() */
#define MOST      (20000 * MS)   /* patience never grows beyond */
#define BUSY_REST (30000 * MS)   /* without a large block, however busy the process is */
/* Work that is back so soon was not over. So often in a row, and patience doubles, if bringing back
 * what was given costs more than a twentieth of the rest: 256 KiB take about 50 us. */
#define SOON                 (5000 * MS)
#define SO_OFTEN             8
#define DEAR_IN_A_MS_OF_REST ((size_t)256 << 10)
/* Of what is kept, so little taken between two looks is no work: what a server's own house needs. */
#define LITTLE_SHARE 64
/* However often work went on right after a fork, one in so long is given back for. */
#define FORKS_APART_MOST (600000 * MS)
#define NEXT_TRY         (1000 * MS) /* for a thread, where the system gave none */
#define LAST_WAIT        1           /* second, for the thread's end when the process ends */
#define STACK            ((size_t)48 << 10)

static struct {
    struct sw__lock life; /* held while the thread is started or ended, and over a fork */
    pid_t process;        /* whose threads may be started: not a child's that shares our memory */
    pthread_t thread;
    _Atomic(pid_t) thread_id;       /* 0 until it runs */
    bool exists;                    /* and is to be joined */
    atomic_int calls;               /* a futex: another number tells the thread to look up */
    atomic_bool leave;              /* and end */
    int64_t forked_at, forks_apart; /* when it gave back for a fork, and until it will again */
    bool fork_is_new;               /* whether that was in vain is not known yet */
    bool comes_again;               /* after this fork, for which nothing was given back */
    int64_t refused_at;             /* the system gave us no thread then; 0: it never did */
    _Atomic(int64_t) next_stand_in, stand_ins_apart; /* while it does not; 0: at any time */

    atomic_int waiting;   /* so many threads of the program want the lock */
    struct sw__lock lock; /* guards what follows, and is held while clients give back */
    struct sw__keeper_client *clients;
    int64_t gave_back_at; /* 0: that was not worth a thread */
    size_t gave_back;     /* so much */
    size_t taken_since;   /* bytes of large blocks, and of slabs */
    size_t kept;          /* at the last look */
    int64_t patience;
    int returns; /* how often in a row work was back soon */
} keeper = {.patience = PATIENCE, .forks_apart = SOON};

atomic_bool sw__keeper_is_there, sw__keeper_is_awake, sw__keeper_is_away;

static int64_t now_of(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000 * MS + time.tv_nsec;
}

/* ---- The thread ------------------------------------------------------------------------------ */

/* What was seen at the last look. */
struct rest {
    int64_t looked_at, processor; /* time then, and processor time until then */
    int64_t quiet_since, last_work;
};

/* Bytes of large blocks that heaps handed out since the last look. The lock is held. */
static size_t taken_since_last_look(void) {
    size_t taken = 0;
    for (struct sw__keeper_client *each = keeper.clients; each; each = each->next)
        if (!each->wants_no_thread)
            taken += atomic_load_explicit(&each->work, memory_order_relaxed) - each->work_seen;
    return taken;
}

/* Work is back, soon after its pages went or after a true rest, if it is more than little. */
static void learn_patience(void) {
    if (!keeper.gave_back_at || keeper.taken_since <= keeper.gave_back / LITTLE_SHARE)
        return;
    int64_t rest = now_of(CLOCK_MONOTONIC) - keeper.gave_back_at;
    bool is_dear = keeper.gave_back / DEAR_IN_A_MS_OF_REST > (size_t)(rest / MS);
    keeper.returns = rest < SOON && is_dear ? keeper.returns + 1 : 0;
    if (keeper.returns >= SO_OFTEN && keeper.patience < MOST) {
        keeper.patience = keeper.patience < MOST / 2 ? 2 * keeper.patience : MOST;
        keeper.returns = 0;
    } else if (rest >= SOON) {
        keeper.patience = PATIENCE;
    }
    keeper.gave_back_at = 0;
}

/* Was there work since the last look? This is the next. The lock is held. */
static bool there_was_work(void) {
    size_t taken = taken_since_last_look();
    keeper.kept = 0;
    for (struct sw__keeper_client *each = keeper.clients; each; each = each->next) {
        if (each->wants_no_thread)
            continue;
        keeper.kept += each->look(each->state);
        each->work_seen = atomic_load_explicit(&each->work, memory_order_relaxed);
        size_t slab_work = atomic_load_explicit(&each->slab_work, memory_order_relaxed);
        keeper.taken_since += slab_work - each->slab_work_seen;
        each->slab_work_seen = slab_work;
    }
    keeper.taken_since += taken;
    learn_patience();
    return taken > keeper.kept / LITTLE_SHARE;
}

/* It takes a tenth of a second to give back a GiB, and a second after work has stopped all is to be
 * gone. */
static int64_t haste(void) {
    int64_t takes = (int64_t)(keeper.kept >> 20) * (MS / 8);
    return takes < HASTE ? takes : HASTE;
}

/* Looks round, unless it was called between two ticks. True when the rest has lasted long enough. */
static bool is_idle(struct rest *rest) {
    int64_t now = now_of(CLOCK_MONOTONIC), processor = now_of(CLOCK_PROCESS_CPUTIME_ID);
    if (now - rest->looked_at < TICK)
        return false;
    /* Little, where others want the processors too. */
    bool busy = processor - rest->processor > (now - rest->looked_at) / 20;
    rest->looked_at = now;
    rest->processor = processor;
    if (there_was_work())
        rest->last_work = rest->quiet_since = now;
    else if (busy)
        rest->quiet_since = now;
    return now - rest->quiet_since >= keeper.patience - haste() ||
           now - rest->last_work >= BUSY_REST;
}

static void give_back(void) {
    keeper.gave_back = keeper.taken_since = 0;
    for (struct sw__keeper_client *each = keeper.clients; each; each = each->next)
        if (!each->wants_no_thread)
            keeper.gave_back += each->give_back(each->state);
    keeper.gave_back_at = keeper.gave_back >= SW__WORTH_A_THREAD ? now_of(CLOCK_MONOTONIC) : 0;
}

/* Until the next call, or for so long. True when the thread is to end. */
static bool sleep_until_called(int calls_seen, const struct timespec *most) {
    if (!atomic_load(&keeper.leave))
        syscall(SYS_futex, &keeper.calls, FUTEX_WAIT_PRIVATE, calls_seen, most, NULL, 0);
    return atomic_load(&keeper.leave);
}

/* Piece by piece: there may be a fork, or the process may end, or somebody wants the lock. */
static void bring_back(void) {
    bool more = true;
    while (more && !atomic_load(&keeper.leave) && !atomic_load(&keeper.waiting)) {
        more = false;
        sw__lock(&keeper.lock);
        for (struct sw__keeper_client *each = keeper.clients; each; each = each->next)
            more |= !each->wants_no_thread && each->bring_back(each->state);
        sw__unlock(&keeper.lock);
    }
}

/* While there is work, and until all that was kept for it has been given back. False when the
 * thread is to end. */
static bool watch_work(void) {
    int64_t now = now_of(CLOCK_MONOTONIC);
    struct rest rest = {now, now_of(CLOCK_PROCESS_CPUTIME_ID), now, now};
    const struct timespec tick = {.tv_nsec = TICK};
    bool over = false;
    while (!over) {
        int calls_seen = atomic_load(&keeper.calls);
        bring_back();
        if (sleep_until_called(calls_seen, &tick))
            return false;
        sw__lock(&keeper.lock);
        over = is_idle(&rest);
        if (over) {
            /* First: what is freed later calls, and what was freed before is given back now. */
            atomic_store(&sw__keeper_is_awake, false);
            give_back();
        }
        sw__unlock(&keeper.lock);
    }
    return true;
}

/* Until somebody calls. A thread that took a block while give_back() ran may have read that we are
 * awake, and not called: hence the look. False when the thread is to end. */
static bool rest_until_work(void) {
    bool leaves = false;
    sw__lock(&keeper.lock);
    if (taken_since_last_look() > 0)
        atomic_store(&sw__keeper_is_awake, true);
    sw__unlock(&keeper.lock);
    while (!leaves) {
        int calls_seen = atomic_load(&keeper.calls); /* before what callers set first */
        if (atomic_load(&sw__keeper_is_awake))
            break;
        leaves = sleep_until_called(calls_seen, NULL);
    }
    return !leaves;
}

static void *keep(void *nothing) {
    atomic_store(&keeper.thread_id, (pid_t)syscall(SYS_gettid));
    prctl(PR_SET_NAME, "stepwell");
    sw__os_leave_files();
    while (watch_work() && rest_until_work())
        continue;
    return nothing;
}

/* ---- Its start and end ----------------------------------------------------------------------- */

static void call(void) {
    atomic_fetch_add(&keeper.calls, 1);
    syscall(SYS_futex, &keeper.calls, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void sw__keeper_call(void) {
    int kept = errno;
    if (atomic_load(&sw__keeper_is_there)) {
        atomic_store(&sw__keeper_is_awake, true);
        call();
    }
    errno = kept;
}

/* Has it ended? Who waits here is in the midst of something, and may not be cancelled. */
static bool wait_for_its_end(const struct timespec *most) {
    int cancelled_before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelled_before);
    int error =
        most ? pthread_timedjoin_np(keeper.thread, NULL, most) : pthread_join(keeper.thread, NULL);
    pthread_setcancelstate(cancelled_before, NULL);
    return error == 0;
}

static bool is_known_to_kernel(void) {
    return syscall(SYS_tgkill, keeper.process, keeper.thread_id, 0) == 0 || errno != ESRCH;
}

/* In a process that was made past our fork handlers the thread does not exist. Nor in one whose number
 * is ours: where we are the first of a namespace, it may be the first of another. (If that has a thread
 * with the number of ours, it is taken for that.) */
static bool is_here(void) {
    enum { FIRST = 1 };
    return getpid() == keeper.process &&
           (keeper.process != FIRST || keeper.thread_id == 0 || is_known_to_kernel());
}

/* Ends the thread, which may be started again. Waits until that time, or as long as it takes. */
static void join(const struct timespec *most) {
    if (!keeper.exists)
        return;
    if (is_here()) {
        atomic_store(&keeper.leave, true);
        call();
        if (wait_for_its_end(most))
            atomic_store(&keeper.leave, false);
    }
    keeper.exists = false;
    atomic_store(&sw__keeper_is_awake, false);
    atomic_store(&sw__keeper_is_there, false);
}

/* glibc lays static thread-local storage on the stack, and this tells how much that is, and what a
 * thread needs at the least. Elsewhere the stack is as large as any. */
size_t __pthread_get_minstack(const pthread_attr_t *attributes) __attribute__((weak));

/* On a small stack; not of the priority of whoever calls, which may be a real-time one; and deaf to
 * signals: those are the program's. */
static bool create_thread(void) {
    sigset_t all, before;
    pthread_attr_t attributes;
    atomic_store(&keeper.thread_id, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    if (__pthread_get_minstack)
        pthread_attr_setstacksize(&attributes, __pthread_get_minstack(&attributes) + STACK);
    bool created = pthread_create(&keeper.thread, &attributes, keep, NULL) == 0 ||
                   pthread_create(&keeper.thread, NULL, keep, NULL) == 0;
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return created;
}

/* Memory is taken again, and has been given back in vain where that was a moment ago. */
static void learn_of_forks(void) {
    if (!keeper.fork_is_new)
        return;
    keeper.fork_is_new = false;
    bool in_vain = now_of(CLOCK_MONOTONIC) - keeper.forked_at < SOON;
    keeper.forks_apart = in_vain ? 2 * keeper.forks_apart : SOON;
    if (keeper.forks_apart > FORKS_APART_MOST)
        keeper.forks_apart = FORKS_APART_MOST;
}

static bool refused_of_late(void) {
    return keeper.refused_at && now_of(CLOCK_MONOTONIC) - keeper.refused_at < NEXT_TRY;
}

/* The system gives us no thread, for now. */
static void try_again_later(void) {
    keeper.refused_at = now_of(CLOCK_MONOTONIC);
    if (!atomic_load(&keeper.next_stand_in)) {
        atomic_store(&keeper.stand_ins_apart, NEXT_TRY);
        atomic_store(&keeper.next_stand_in, keeper.refused_at + NEXT_TRY);
    }
    atomic_store(&sw__keeper_is_awake, false);
    atomic_store(&sw__keeper_is_there, false);
    atomic_store(&sw__keeper_is_away, true);
}

bool sw__keeper_may_be_stood_in_for(void) {
    int64_t now, next = atomic_load(&keeper.next_stand_in);
    if (next == 0)
        return true;
    if ((now = now_of(CLOCK_MONOTONIC)) < next)
        return false;
    int64_t apart = 2 * atomic_load(&keeper.stand_ins_apart);
    if (apart > FORKS_APART_MOST)
        apart = FORKS_APART_MOST;
    if (!atomic_compare_exchange_strong(&keeper.next_stand_in, &next, now + apart))
        return false;
    atomic_store(&keeper.stand_ins_apart, apart);
    return true;
}

void sw__keeper_start(void) {
    int kept = errno;
    /* Somebody else is at it, or a fork is under way: there will be another block, or nobody watches
     * what there is. */
    if (!sw__try_lock(&keeper.life)) {
        atomic_store(&sw__keeper_is_away, true);
        return;
    }
    if (!atomic_load(&sw__keeper_is_there) && getpid() == keeper.process && !refused_of_late()) {
        atomic_store(&sw__keeper_is_there, true);
        atomic_store(&sw__keeper_is_awake, true);
        learn_of_forks();
        keeper.exists = create_thread();
        if (!keeper.exists) {
            try_again_later();
        } else {
            sw__keeper_do_without();
            atomic_store(&keeper.next_stand_in, 0);
        }
    }
    sw__unlock(&keeper.life);
    errno = kept;
}

/* The process ends: no thread of ours runs on into its last moments. But the caller may be in a
 * signal's handler, and have been interrupted with a lock in hand, this one or one that the thread
 * waits for: then it is not waited for. */
__attribute__((destructor)) static void end_with_the_process(void) {
    struct timespec most;
    if (!sw__try_lock(&keeper.life))
        return;
    clock_gettime(CLOCK_REALTIME, &most);
    most.tv_sec += LAST_WAIT;
    sw__os_expect_end();
    join(&most);
    atomic_store(&sw__keeper_is_there, true); /* so it is not started again, */
    atomic_store(&sw__keeper_is_awake, true); /* nor woken */
    sw__unlock(&keeper.life);
}

/* ---- Clients --------------------------------------------------------------------------------- */

/* Before the thread, which would take it again and again. */
static void lock_clients(void) {
    atomic_fetch_add(&keeper.waiting, 1);
    sw__lock(&keeper.lock);
    atomic_fetch_sub(&keeper.waiting, 1);
}

void sw__keeper_add(struct sw__keeper_client *client) {
    lock_clients();
    if (!keeper.process)
        keeper.process = getpid();
    client->next = keeper.clients;
    keeper.clients = client;
    sw__unlock(&keeper.lock);
}

void sw__keeper_remove(struct sw__keeper_client *client) {
    sw__lock(&keeper.life);
    lock_clients();
    struct sw__keeper_client **link = &keeper.clients;
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    bool was_last = !keeper.clients;
    sw__unlock(&keeper.lock);
    if (was_last)
        join(NULL);
    sw__unlock(&keeper.life);
}

/* ---- Parting: with the last thread, before a fork, and for a while --------------------------- */

/* The thread goes until memory is taken again, which a main thread that waits for work may not do,
 * nor a parent that waits for its child. Takes the clients' lock, which stays held. True when there
 * was somebody to watch, and what is freed later is heeded by who frees. */
static bool part(void) {
    bool watched = keeper.exists;
    join(NULL);
    lock_clients();
    if (watched)
        atomic_store(&sw__keeper_is_away, true);
    return watched;
}

void sw__keeper_let_go(void) {
    sw__lock(&keeper.life);
    if (part()) {
        give_back();
        keeper.gave_back_at = 0; /* it tells nothing of how long work rests */
    }
    sw__unlock(&keeper.lock);
    sw__unlock(&keeper.life);
}

/* For the kernel a thread is one of the process for a moment longer than for libc. */
static void wait_until_unknown_to_kernel(void) {
    const struct timespec moment = {.tv_nsec = 20000};
    for (int i = 0; i < 5000; i++) {
        if (!is_known_to_kernel())
            return;
        syscall(SYS_nanosleep, &moment, NULL);
    }
}

/* A child that shares its parent's memory is not to take the thread from it. */
void sw__keeper_end(void) {
    if (!atomic_load(&sw__keeper_is_there) || sw__locks_in_hand > 0 || getpid() != keeper.process)
        return;
    int kept = errno;
    sw__lock(&keeper.life);
    bool ended = part();
    sw__unlock(&keeper.lock);
    if (ended)
        wait_until_unknown_to_kernel();
    sw__unlock(&keeper.life);
    errno = kept;
}

void sw__keeper_is_not_here(void) {
    atomic_store(&sw__keeper_is_there, false);
    atomic_store(&sw__keeper_is_awake, false);
    atomic_store(&sw__keeper_is_away, true);
}

/* What is kept goes now; but not of who forks again and again. */
static bool give_back_for_fork(void) {
    int64_t now = now_of(CLOCK_MONOTONIC);
    if (keeper.forked_at && now - keeper.forked_at < keeper.forks_apart)
        return false;
    keeper.forked_at = now;
    keeper.fork_is_new = true;
    give_back();
    keeper.gave_back_at = 0; /* learn_of_forks() does */
    return true;
}

void sw__keeper_before_fork(void) {
    sw__lock(&keeper.life);
    bool has_others = keeper.exists && sw__os_threads() > 2; /* than this one and ours */
    bool is_kept = part() && !give_back_for_fork();
    keeper.comes_again = is_kept && has_others;
}

static void end_fork(void) {
    sw__unlock(&keeper.lock);
    sw__unlock(&keeper.life);
}

bool sw__keeper_after_fork(void) {
    bool comes_again = keeper.comes_again;
    end_fork();
    return comes_again;
}

void sw__keeper_after_fork_in_child(void) {
    keeper.process = getpid();
    atomic_store(&keeper.waiting, 0);
    keeper.patience = PATIENCE;
    keeper.returns = 0;
    keeper.gave_back_at = keeper.forked_at = 0;
    keeper.fork_is_new = false;
    keeper.forks_apart = SOON;
    keeper.refused_at = 0;
    atomic_store(&keeper.next_stand_in, 0);
    for (struct sw__keeper_client *each = keeper.clients; each; each = each->next)
        each->begin_in_child(each->state);
    end_fork();
}
