/*
 * syscalls.h - counts the memory system calls of another process: mmap, munmap, mremap, madvise,
 * mprotect and brk, whoever makes them. libc and jemalloc make theirs inside themselves, so no
 * library of ours can count them; the kernel can.
 *
 * The process to be counted installs a seccomp filter that stops it at those six calls only, and a
 * tracer counts the stops: everything else runs at full speed. What is timed is never counted, and
 * what is counted is never timed. Counting goes from one mark to the other, which the process sets
 * with a system call that does nothing (see mark_counting()).
 *
 * Needs seccomp and ptrace of one's own child, and Linux 5.3 for PTRACE_GET_SYSCALL_INFO.
 */
#ifndef STEPWELL_SYSCALLS_H
#define STEPWELL_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The marks: madvise(NULL, 0, MARK), with an advice that no kernel knows. It passes the filter,
 * does nothing and returns EINVAL, and no program makes it by accident. bench/workloads/measure.py
 * makes them too. */
enum { MARK_START = 0x53570001, MARK_STOP = 0x53570002 };

struct call_count {
    bool known;
    size_t calls;  /* between the marks */
    char why[128]; /* not known: the reason */
};

/* In the process to be counted, from which the worker is then executed: waits for the tracer on
 * go_fd, then has itself stopped at memory system calls. 0 or an errno. */
int submit_to_counting(int go_fd);

/* In the tracer: lets the child go through go_fd and follows it, its threads and its children until
 * it ends. Returns the child's wait status, or -1 when it could not be followed and was killed;
 * count->why says why. */
int follow_and_count(pid_t child, int go_fd, struct call_count *count);

/* In the process that is counted: from here on, or up to here. Harmless where nobody counts. */
void mark_counting(bool start);

#endif
