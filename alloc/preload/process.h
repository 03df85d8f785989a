/*
 * process.h - the one heap that stands behind malloc in a process, and how it came to be.
 */
#ifndef SW_PROCESS_H
#define SW_PROCESS_H

#include "blocks.h"
#include "heap.h"

/* Set once, by whoever allocates first; all zero before. */
struct sw__process {
    sw_heap *heap;
    const struct sw__strategy *strategy;
    struct sw__blocks *blocks; /* the state, where it is made of blocks and untracked; else NULL */
};

extern struct sw__process sw__process;

/* A variable of the environment, or NULL: the one place that reads it. In a program that has rights
 * its caller has not (setuid, file capabilities) there is none, for the caller wrote it: LD_PRELOAD
 * does not bring us there, /etc/ld.so.preload does. */
const char *sw__process_told(const char *name);

/* Makes the heap from STEPWELL_STRATEGY and STEPWELL_CONF. A strategy or option that is wrong is
 * told on stderr, and the default taken: a production process is not to die of a typing error. False
 * on the thread that is inside already, where libc may call malloc. */
bool sw__process_start(void);

/* False for a pointer that the heap cannot have given out. Strategies whose blocks are not in the
 * page map cannot tell, and claim all. */
bool sw__process_knows(const void *block);
/* Of those it cannot have given out: libc's malloc did, behind our back (a library that is
 * bound deeply calls it); or the dynamic linker, before it knew of us: then so many bytes are its
 * image's from there on, and otherwise 0. */
bool sw__process_is_libcs(const void *block);
size_t sw__process_loaders(const void *block);

/* Is there a heap? There is one from here on, but for the thread that makes it, meanwhile. */
static inline bool sw__process_ensure(void) {
    return __builtin_expect(__atomic_load_n(&sw__process.heap, __ATOMIC_ACQUIRE) != NULL, 1) ||
           sw__process_start();
}

/* Writes the table of what the heap holds (report.c). False as sw__os_write(). */
bool sw__report(int file);

#endif
