/*
 * attend.c - see attend.h.
 *
 * The witness is a child of the command's that no wait() of its knows: it was made without a signal
 * for its end. It has a session to itself, so that no signal of a terminal or of a group is for it,
 * and holds nothing of what the command has open but stderr. It ends with the command.
 */
#include "attend.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arguments.h"
#include "command.h"
#include "witness.h"

/* ---- The witness's side ---------------------------------------------------------------------- */

struct attendant {
    struct witness *witness;
    pid_t command;
    int end;     /* readable once the command has ended; -1 before Linux 5.3 */
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

/* Whoever has ended has no children any more. */
static bool has_ended(const struct attendant *attendant) {
    return getppid() != attendant->command;
}

/* Looks until the command has ended. */
static void attend(const struct attendant *attendant) {
    struct witness *witness = attendant->witness;
    struct pollfd files[] = {{.fd = attendant->end, .events = POLLIN},
                             {.fd = witness->answers, .events = POLLIN}};
    while (!has_ended(attendant)) {
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
    attendant->end = (int)syscall(SYS_pidfd_open, attendant->command, 0);
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

/* Returns where a failure to run the command is to be written; -1 where there is no witness: the
 * command is run all the same. */
static int start_witness(struct witness *witness) {
    struct attendant attendant = {.witness = witness, .command = getpid(), .end = -1};
    int failure[2];
    if (witness->answers < 0 || pipe2(failure, O_CLOEXEC) != 0) {
        return -1;
    }
    attendant.failure = failure[0];
    pid_t pid = fork_unseen();
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
