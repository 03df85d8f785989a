/*
 * keeper.h - notices that the work has stopped, and lets heaps give back what they keep for it; and
 * when it is back, lets them bring that ahead of it.
 *
 * A thread that sleeps. It is started when a heap first holds enough to be worth it, looks up ten
 * times a second while there is work, and sleeps for good when all has been given back, until there
 * is something again: a process that holds little has none, and an idle one is not woken. It is
 * gone before fork(), so that a program of one thread forks as one (CPython 3.12 warns of others),
 * and comes again when next a large block or a slab is taken. No thread runs until then, so free
 * memory is given back before the fork (less and less often where work went on right after earlier
 * forks: then it comes again at once, if there are other threads), and after it by the thread that
 * frees, once 8 MiB are free. It is the same when the last thread ends that had memory of a heap, and
 * where the system gives us no thread.
 *
 * It is started where memory is taken, and never where it is freed: libc frees what a thread had
 * with a lock in hand that the start of another one takes.
 *
 * Idle is when nobody took large blocks, but for little beside what is kept, and the process hardly
 * used a processor for PATIENCE, or less where there is much to give: a step of ten seconds computes,
 * so its pages stay. Where work keeps coming back soon after the pages went, and they were so many
 * that they are dear for so short a rest, it is work that waits for something, and patience grows; a
 * long rest ends that.
 */
#ifndef SW_KEEPER_H
#define SW_KEEPER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* All functions of a client are called under the keeper's lock. */
struct sw__keeper_client {
    _Atomic(size_t) work;      /* the heap's: bytes of large blocks taken so far, */
    _Atomic(size_t) slab_work; /* and of slabs that came, which does not tell whether there is work:
                                * few come while it goes on */
    /* Called at every look, from the keeper's thread. Returns the bytes that are kept. */
    size_t (*look)(void *state);
    /* Called when work has stopped, or by a thread that forks or is the last to end. Returns the
     * bytes given back. */
    size_t (*give_back)(void *state);
    /* Called when work is back, again and again for as long as it returns true: brings a little of
     * what was given back, ahead of who wants it. */
    bool (*bring_back)(void *state);
    /* Called in a forked child: gives back, and knows nothing of the parent's work. */
    void (*begin_in_child)(void *state);
    void *state;
    bool wants_no_thread;             /* begin_in_child is called all the same */
    size_t work_seen, slab_work_seen; /* the keeper's, as what follows */
    struct sw__keeper_client *next;
};

void sw__keeper_add(struct sw__keeper_client *client);
/* Once it returns, none of the functions is called any more. With the last client the thread goes. */
void sw__keeper_remove(struct sw__keeper_client *client);

/* How many bytes held are worth a thread, and how many kept a call where it sleeps. */
#define SW__WORTH_A_THREAD ((size_t)8 << 20)
#define SW__WORTH_A_CALL   ((size_t)1 << 20)

extern atomic_bool sw__keeper_is_there; /* the thread runs, or none is to be started: at the end */
extern atomic_bool sw__keeper_is_awake;
extern atomic_bool sw__keeper_is_away; /* nobody watches what there is, until memory is taken */
void sw__keeper_start(void);
/* There is something to do, as to bring back: the thread looks up, awake or not. To be called from
 * anywhere. */
void sw__keeper_call(void);

/* The heap has taken memory and holds so much now: is the caller to start the thread? It holds no
 * lock, and has passed sw__slabs_mind_end_of_thread(). */
static inline bool sw__keeper_is_wanted(const struct sw__keeper_client *client, size_t held) {
    return __builtin_expect(held >= SW__WORTH_A_THREAD &&
                                !atomic_load_explicit(&sw__keeper_is_there, memory_order_relaxed) &&
                                !client->wants_no_thread,
                            0);
}

/* So much is kept, and nobody watches: a parent may free all it has after a fork, and wait. */
static inline bool sw__keeper_is_missed(const struct sw__keeper_client *client, size_t kept) {
    return __builtin_expect(atomic_load_explicit(&sw__keeper_is_away, memory_order_relaxed) &&
                                !atomic_load_explicit(&sw__keeper_is_there, memory_order_relaxed) &&
                                kept >= SW__WORTH_A_THREAD && !client->wants_no_thread,
                            0);
}

/* It is not missed any more. */
static inline void sw__keeper_do_without(void) {
    atomic_store_explicit(&sw__keeper_is_away, false, memory_order_relaxed);
}

/* Is the keeper to be told where there is something to give back, or somebody to stand in for it? While
 * it is awake it sees that by itself; where it is not there it may seem to be, for who called it a
 * moment after it had gone. */
static inline bool sw__keeper_is_asleep(const struct sw__keeper_client *client) {
    if (client->wants_no_thread)
        return false;
    return atomic_load_explicit(&sw__keeper_is_there, memory_order_relaxed)
               ? !atomic_load(&sw__keeper_is_awake)
               : atomic_load_explicit(&sw__keeper_is_away, memory_order_relaxed);
}

/* Is it time for that? Where the system gives us no thread, who frees may be in the midst of work all
 * the time: less and less often. */
bool sw__keeper_may_be_stood_in_for(void);

/* The last thread whose end is noticed has ended, and it may be the last of the program: a process
 * ends with its last thread, and that must not be ours. It comes again when memory is taken. */
void sw__keeper_let_go(void);
/* The program does what it may not with a thread more. What is kept stays; the thread comes again when
 * memory is taken. Nothing in a signal's handler that has interrupted one of our calls. */
void sw__keeper_end(void);
/* In a child that a fork in the midst of a call has made: takes no lock, for the thread that was left
 * behind may have had any. None is started there; who frees stands in. */
void sw__keeper_is_not_here(void);

/* Round a fork: before it, with no lock held; after it with none held any longer. In the child,
 * heaps give back what they keep: it is of use to the parent, and each page that the parent writes
 * would be copied for the child's sake. */
void sw__keeper_before_fork(void);
/* True when the caller is to start the thread again, as above. */
bool sw__keeper_after_fork(void);
void sw__keeper_after_fork_in_child(void);

#endif
