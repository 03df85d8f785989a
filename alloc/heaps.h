/*
 * heaps.h - all heaps of the process: what concerns every one of them. What one accounts for is taken
 * off what libc holds, a fork must find all their locks free, and what is no block of one may be
 * another's.
 */
#ifndef SW_HEAPS_H
#define SW_HEAPS_H

#include "heap.h"

void sw__heaps_add(struct sw_heap *heap);
/* Waits for who asks it what it holds: nobody does for longer than milliseconds. */
void sw__heaps_remove(struct sw_heap *heap);

/* The heap behind one that was so found, which may end then, or the first; it does not end before the
 * next is asked for. */
struct sw_heap *sw__heaps_next(struct sw_heap *heap);

/* False when a lock of a heap is held and not given up for a while, as by whom a signal has
 * interrupted whose handler calls exit(). Where it is true the caller's thread holds none of those
 * that strategies show. */
bool sw__heaps_locks_come(void);

/* Before the first heap is made: from then on forks find all locks free. */
void sw__heaps_mind_forks(void);
/* Before the first checked one: faults are explained, where the program has no handler of its own, and
 * what is still there at the end is looked at. */
void sw__heaps_mind_misuse(void);

/* True when any heap that keeps account of its blocks has a live one there. */
bool sw__heaps_have_live(const void *block);

#endif
