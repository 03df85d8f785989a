/*
 * locks.c - a program that locks memory, lest it be swapped: what it has locked of ours stays where it
 * is, and locked.
 *
 * They are the plain system calls, as libc's functions are.
 */
#define _GNU_SOURCE
#include "export.h"
#include "os.h"

#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

EXPORT int mlock(const void *start, size_t size) {
    sw__os_expect_locks();
    return (int)syscall(SYS_mlock, start, size);
}

EXPORT int mlock2(const void *start, size_t size, unsigned flags) {
    sw__os_expect_locks();
    return (int)syscall(SYS_mlock2, start, size, flags);
}

EXPORT int mlockall(int flags) {
    sw__os_expect_locks();
    return (int)syscall(SYS_mlockall, flags);
}
