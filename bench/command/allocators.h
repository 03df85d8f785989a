/*
 * allocators.h - the preloadable allocators of this machine.
 */
#ifndef STEPWELL_ALLOCATORS_H
#define STEPWELL_ALLOCATORS_H

#include <stddef.h>

enum { ALLOCATORS_MOST = 16, ALLOCATOR_PATH = 512 };

struct allocator {
    const char *name;
    const char *package;       /* Debian's, to say what to install */
    char path[ALLOCATOR_PATH]; /* "" when it was not found */
};

/* Fills allocators (ALLOCATORS_MOST of them at most) in a fixed order, glibc first; those not found
 * are there too. Returns their number. */
size_t find_allocators(struct allocator *allocators);

#endif
