/* syscalls.c - see syscalls.h. */
#include "syscalls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

void mark_counting(bool start) {
    syscall(SYS_madvise, NULL, 0, start ? MARK_START : MARK_STOP);
}

#ifdef OUR_ARCH

/* Jumps to the last instruction but one, TRACE; `left` comparisons follow before ALLOW. */
#define TRACE_IF(call, left) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, (left) + 1, 0)

static int install_filter(void) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 0, 7), /* another ABI: allow */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        TRACE_IF(SYS_mmap, 5),
        TRACE_IF(SYS_munmap, 4),
        TRACE_IF(SYS_mremap, 3),
        TRACE_IF(SYS_madvise, 2),
        TRACE_IF(SYS_mprotect, 1),
        TRACE_IF(SYS_brk, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
    };
    struct sock_fprog filter = {sizeof program / sizeof *program, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        return errno;
    }
    return 0;
}

#else

static int install_filter(void) {
    return ENOSYS;
}

#endif

int submit_to_counting(int go_fd) {
    char go;
    if (read(go_fd, &go, 1) != 1) {
        return EPERM; /* the tracer gave up */
    }
    return install_filter();
}

static bool seize(pid_t child, struct call_count *count) {
    long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, child, 0, options) == 0) {
        return true;
    }
    snprintf(count->why, sizeof count->why, "ptrace is refused: %s", strerror(errno));
    return false;
}

/* A thread stands before a memory system call: is it a mark, or one to count? */
static bool note_call(pid_t thread, bool *counting, struct call_count *count) {
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0) {
        if (errno == ESRCH) {
            return true; /* killed meanwhile */
        }
        snprintf(count->why, sizeof count->why, "the kernel does not tell system calls: %s",
                 strerror(errno));
        return false;
    }
    const uint64_t *arguments = info.seccomp.args;
    bool is_mark = info.seccomp.nr == SYS_madvise && arguments[0] == 0 && arguments[1] == 0;
    if (is_mark && (uint32_t)arguments[2] == MARK_START) {
        count->calls = *counting ? 0 : count->calls;
        *counting = true;
    } else if (is_mark && (uint32_t)arguments[2] == MARK_STOP) {
        *counting = false;
        count->known = true;
    } else if (*counting) {
        count->calls++;
    }
    return true;
}

/* The signal to deliver to a stopped thread as it goes on. */
static int pending_signal(int status) {
    return status >> 16 == 0 ? WSTOPSIG(status) : 0; /* an event of ptrace's is no signal */
}

/* A stop by SIGSTOP or ^Z must stay one; any other stop is ours to end. */
static bool is_group_stop(int status) {
    int signal = WSTOPSIG(status);
    return status >> 16 == PTRACE_EVENT_STOP && signal != SIGTRAP;
}

static int follow(pid_t child, struct call_count *count) {
    bool counting = false;
    for (;;) {
        int status;
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0 && errno == EINTR) {
            continue;
        }
        if (thread < 0) {
            snprintf(count->why, sizeof count->why, "waiting failed: %s", strerror(errno));
            return -1;
        }
        if (!WIFSTOPPED(status)) {
            if (thread == child) {
                return status;
            }
            continue;
        }
        if (status >> 16 == PTRACE_EVENT_SECCOMP && !note_call(thread, &counting, count)) {
            count->known = false;
            return -1;
        }
        if (is_group_stop(status)) {
            ptrace(PTRACE_LISTEN, thread, 0, 0);
        } else {
            ptrace(PTRACE_CONT, thread, 0, pending_signal(status));
        }
    }
}

int follow_and_count(pid_t child, int go_fd, struct call_count *count) {
    *count = (struct call_count){0};
    int status = -1;
    if (seize(child, count) && write(go_fd, "g", 1) == 1) {
        status = follow(child, count);
    }
    if (status == -1) {
        kill(child, SIGKILL);
        waitpid(child, NULL, __WALL);
    }
    return status;
}
