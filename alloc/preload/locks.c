/*
 * locks.c - a program that locks memory, lest it be swapped: what it has locked of ours stays where it
 * is, and locked. Of what is not ours nothing is noted: many a library locks a few pages of its own
 * (libgcrypt as it is loaded), and each move of each process that has it would cost more.
 *
 * They are the plain system calls, as libc's functions are.
 */
#define _GNU_SOURCE
#include "export.h"
#include "extents/page_map.h"
#include "os.h"
#include "process.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is larger is not looked at: it might be ours. */
#define MOST_LOOKED_AT ((size_t)1 << 30)

static bool may_be_ours(const void *start, size_t size) {
    if (size > MOST_LOOKED_AT)
        return true;
    size_t end = ((uintptr_t)start & (SW__SLICE - 1)) + size;
    for (size_t ahead = 0; ahead < end; ahead += SW__SLICE)
        if (sw__page_map_get((const char *)start + ahead))
            return true;
    return false;
}

static void heed(const void *start, size_t size) {
    if (may_be_ours(start, size))
        sw__os_expect_locks();
}

EXPORT int mlock(const void *start, size_t size) {
    heed(start, size);
    return (int)syscall(SYS_mlock, start, size);
}

EXPORT int mlock2(const void *start, size_t size, unsigned flags) {
    heed(start, size);
    return (int)syscall(SYS_mlock2, start, size, flags);
}

/* What is reserved is locked as well, and counts against RLIMIT_MEMLOCK: so no more is than is used. */
EXPORT int mlockall(int flags) {
    sw__os_expect_locks();
    if ((flags & MCL_CURRENT) && sw__process.heap && sw__process.strategy->in_page_map) {
        sw__os_expect_refusals();
        sw_trim(sw__process.heap);
    }
    return (int)syscall(SYS_mlockall, flags);
}
