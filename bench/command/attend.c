/*
 * attend.c - see attend.h.
 *
 * The witness is no child of the command's, which would wait for it with __WALL, as strace does, and
 * for ever, as it ends with the command: a process between the two has ended before the command
 * runs. So an orphan, it is reaped by whoever reaps those here; where nobody does, in a container
 * whose first process does not wait, it is a zombie afterwards. It has a session to itself, so that
 * no signal of a terminal or of a group is for it, and holds nothing of what the command has open
 * but stderr.
 *
 * Where orphans come to the command itself (it is the first process of a PID namespace, or a
 * subreaper), it would wait for this one with any wait(). There the witness is its child after all,
 * made without a signal for its end, so that only who says __WALL waits for it; and it goes, for
 * those, when it has seen the command start.
 *
 * To be no child takes no permission away: what the witness reads of others, and the way by which
 * the library answers (/proc/PID/fd), the kernel's ptrace_scope leaves alone.
 */
#include "attend.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arguments.h"
#include "command.h"
#include "witness.h"

/* ---- The witness's side ---------------------------------------------------------------------- */

struct attendant {
    struct witness *witness;
    pid_t command;
    unsigned long long command_began; /* with the process id, no other process's */
    bool is_child;                    /* and the command may wait for us */
    int end;                          /* readable once the command has ended; -1 before Linux 5.3 */
    int failure; /* closes when the command runs; something is written when it can't be */
};

enum { LOOKS_FOR_END_APART = 50 }; /* milliseconds, where the kernel does not tell */

static bool is_kept(const struct attendant *attendant, int fd) {
    return fd == STDERR_FILENO || fd == attendant->end || fd == attendant->failure ||
           fd == attendant->witness->answers || fd == attendant->witness->answers_in;
}

/* Who waits for the other end of a pipe waits for the command, not for us. */
static void let_go_of_files(const struct attendant *attendant) {
    DIR *files = opendir("/proc/self/fd");
    for (struct dirent *entry; files && (entry = readdir(files));) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] != '.' && fd != dirfd(files) && !is_kept(attendant, fd)) {
            close(fd);
        }
    }
    if (files) {
        closedir(files);
    }
}

static bool command_runs(const struct attendant *attendant) {
    char byte;
    ssize_t length;
    while ((length = read(attendant->failure, &byte, 1)) < 0 && errno == EINTR) {
    }
    return length == 0;
}

/* Of what /proc says of a process. A zombie is one that has ended, unless it has threads still. */
struct state {
    char letter;
    long threads;
    unsigned long long began;
};

/* False when there is no such process. */
static bool read_state(pid_t pid, struct state *state) {
    char path[64];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) {
        fclose(file);
    }
    text[length] = '\0';
    const char *name_end = strrchr(text, ')'); /* the name may hold anything */
    return name_end && sscanf(name_end,
                              ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                              "%*s %ld %*s %llu",
                              &state->letter, &state->threads, &state->began) == 3;
}

static bool has_ended(const struct attendant *attendant) {
    struct state state;
    return !read_state(attendant->command, &state) || state.began != attendant->command_began ||
           (state.letter == 'Z' && state.threads <= 1);
}

/* Looks until the command has ended, or may be waiting for us. */
static void attend(const struct attendant *attendant) {
    struct witness *witness = attendant->witness;
    struct pollfd files[] = {{.fd = attendant->end, .events = POLLIN},
                             {.fd = witness->answers, .events = POLLIN}};
    while (attendant->end >= 0 || !has_ended(attendant)) {
        if (attendant->is_child && witness_has_seen_start(witness)) {
            return;
        }
        int wait = witness_milliseconds(witness);
        if (attendant->end < 0 && wait > LOOKS_FOR_END_APART) {
            wait = LOOKS_FOR_END_APART;
        }
        poll(files, 2, wait);
        if (files[0].revents) {
            break;
        }
        witness_look(witness);
    }
    witness_end(witness);
}

static _Noreturn void be_witness(struct attendant *attendant) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setsid();
    let_go_of_files(attendant);
    if (command_runs(attendant)) {
        witness_start(attendant->witness, attendant->command);
        attend(attendant);
    }
    _exit(EXIT_OK);
}

/* ---- The command's side ---------------------------------------------------------------------- */

/* fork(), but for the signal; and for its handlers: all that this process does yet is to exec, and
 * its other threads are OpenBLAS's, at rest. */
static pid_t fork_unseen(void) {
    return (pid_t)syscall(SYS_clone, 0UL, NULL, NULL, NULL, 0UL);
}

/* Is the command the one that the system gives orphans to? */
static bool takes_orphans(void) {
    int is_reaper = 0;
    return getpid() == 1 || (prctl(PR_GET_CHILD_SUBREAPER, &is_reaper, 0, 0, 0) == 0 && is_reaper);
}

/* The witness has a process for its parent that is over when this returns. Who it is comes by the
 * pipe that answers will come by. */
static pid_t fork_orphan(const struct witness *witness) {
    pid_t pid = -1;
    pid_t between = fork_unseen();
    if (between == 0) {
        pid = fork_unseen();
        if (pid == 0) {
            return 0;
        }
        ssize_t written = write(witness->answers_in, &pid, sizeof pid);
        (void)written;
        _exit(EXIT_OK);
    }
    while (between > 0 && waitpid(between, NULL, __WALL) < 0 && errno == EINTR) {
    }
    return read(witness->answers, &pid, sizeof pid) == sizeof pid ? pid : -1;
}

static struct attendant attendant_of_this(struct witness *witness) {
    struct attendant attendant = {
        .witness = witness, .command = getpid(), .is_child = takes_orphans()};
    struct state state = {0};
    read_state(attendant.command, &state);
    attendant.command_began = state.began;
    attendant.end = (int)syscall(SYS_pidfd_open, attendant.command, 0); /* the command has it not */
    return attendant;
}

/* Returns where a failure to run the command is to be written; -1 where there is no witness: the
 * command is run all the same. */
static int start_witness(struct witness *witness) {
    int failure[2];
    if (witness->answers < 0 || pipe2(failure, O_CLOEXEC) != 0) {
        return -1;
    }
    struct attendant attendant = attendant_of_this(witness);
    attendant.failure = failure[0];
    pid_t pid = attendant.is_child ? fork_unseen() : fork_orphan(witness);
    if (pid == 0) {
        close(failure[1]);
        be_witness(&attendant);
    }
    close(failure[0]);
    if (pid < 0) {
        close(failure[1]);
        return -1;
    }
    witness_ask(witness, pid);
    return failure[1];
}

int become_attended(char **command, bool quiet, const char *hint) {
    static struct witness witness;
    int failure = -1;
    if (!quiet) {
        witness_init(&witness, command[0]);
        failure = start_witness(&witness);
    }
    execvp(command[0], command);
    int error = errno;
    complain("cannot run '%s': %s%s%s", command[0], strerror(error), hint ? "; " : "",
             hint ? hint : "");
    signal(SIGPIPE, SIG_IGN); /* somebody may have killed the witness */
    ssize_t written = write(failure, "", 1);
    (void)written;
    return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}
