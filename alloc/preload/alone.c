/*
 * alone.c - what only a process of one thread may do, or does to one thread alone.
 *
 * A program of one thread knows nothing of the keeper's. unshare() and setns() would be refused for
 * its sake; what a thread may do (capabilities above all) would stay what it was for this one, and
 * setuid(), which libc does to all threads, ends the process where they fare differently. So it
 * ends before each of these, and is started again by whoever takes a block after them, as whom that
 * one is by then.
 *
 * They are the plain system calls, as libc's functions are.
 */
#define _GNU_SOURCE
#include "export.h"
#include "keeper.h"

#include <sched.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct capabilities;
EXPORT int capset(struct capabilities *header, const struct capabilities *data);

EXPORT int unshare(int flags) {
    sw__keeper_end();
    return (int)syscall(SYS_unshare, flags);
}

EXPORT int setns(int file, int type) {
    sw__keeper_end();
    return (int)syscall(SYS_setns, file, type);
}

EXPORT int capset(struct capabilities *header, const struct capabilities *data) {
    sw__keeper_end();
    return (int)syscall(SYS_capset, header, data);
}

/* What stays with the thread that says so. Not filters of system calls: those may be such that no
 * thread could be started again. */
static bool is_of_one_thread(int option) {
    return option == PR_SET_KEEPCAPS || option == PR_SET_SECUREBITS || option == PR_CAPBSET_DROP ||
           option == PR_CAP_AMBIENT || option == PR_SET_NO_NEW_PRIVS;
}

/* Declared with an ellipsis, as which the arguments are passed in the same registers. */
EXPORT int sw__prctl(int option, unsigned long a, unsigned long b, unsigned long c,
                     unsigned long d) __asm__("prctl");
EXPORT int sw__prctl(int option, unsigned long a, unsigned long b, unsigned long c,
                     unsigned long d) {
    if (is_of_one_thread(option))
        sw__keeper_end();
    return (int)syscall(SYS_prctl, option, a, b, c, d);
}
