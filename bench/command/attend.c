/*
 * attend.c - see attend.h.
 *
 * The witness is no child of the command's, which may wait for all of its own: it is a grandchild of
 * this process, whose parent in between ends at once. It has a session to itself, so that no signal
 * of a terminal or of a group is for it, and holds nothing of what the command has open but stderr.
 * It ends with the command.
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
#include <sys/wait.h>
#include <unistd.h>

#include "arguments.h"
#include "command.h"
#include "witness.h"

/* ---- The witness's side ---------------------------------------------------------------------- */

/* What it has of this process. */
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

static int shorter(int wait, int most) {
    return wait < 0 || wait > most ? most : wait;
}

/* Looks until the command has ended. */
static void attend(const struct attendant *attendant) {
    struct witness *witness = attendant->witness;
    struct pollfd files[] = {{.fd = attendant->end, .events = POLLIN},
                             {.fd = witness->answers, .events = POLLIN}};
    bool over = false;
    while (!over) {
        int wait = witness_milliseconds(witness);
        poll(files, 2, attendant->end < 0 ? shorter(wait, LOOKS_FOR_END_APART) : wait);
        over = attendant->end < 0 ? kill(attendant->command, 0) != 0 && errno == ESRCH
                                  : files[0].revents != 0;
        if (!over) {
            witness_look(witness);
        }
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

/* In the child between: its own child tells its number, and is let go of. */
static _Noreturn void start_and_leave(struct attendant *attendant, int number_in, int failure_in) {
    pid_t pid = fork();
    if (pid == 0) {
        pid_t self = getpid();
        close(failure_in);
        attendant->end = (int)syscall(SYS_pidfd_open, attendant->command, 0);
        if (write(number_in, &self, sizeof self) == sizeof self) {
            close(number_in);
            be_witness(attendant);
        }
    }
    _exit(EXIT_OK);
}

/* Where it is blocked, SIGCHLD would wait for the command, to which the process between is nobody. */
static void forget_end(pid_t between) {
    sigset_t child;
    while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR) {
    }
    sigpending(&child);
    if (sigismember(&child, SIGCHLD)) {
        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        sigtimedwait(&child, NULL, &(struct timespec){0});
    }
}

/* Returns where a failure to run the command is to be written; -1 where there is no witness: the
 * command is run all the same. */
static int start_witness(struct witness *witness) {
    struct attendant attendant = {.witness = witness, .command = getpid(), .end = -1};
    int number[2];
    int failure[2];
    pid_t self = 0;
    if (witness->answers < 0 || pipe2(number, O_CLOEXEC) != 0) {
        return -1;
    }
    if (pipe2(failure, O_CLOEXEC) != 0) {
        close(number[0]);
        close(number[1]);
        return -1;
    }
    attendant.failure = failure[0];
    pid_t between = fork();
    if (between == 0) {
        start_and_leave(&attendant, number[1], failure[1]);
    }
    close(number[1]);
    close(failure[0]);
    forget_end(between);
    if (read(number[0], &self, sizeof self) == sizeof self) {
        witness_ask(witness, self);
    }
    close(number[0]);
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
    ssize_t written = write(failure, "", 1);
    (void)written;
    complain("cannot run '%s': %s%s%s", command[0], strerror(error), hint ? "; " : "",
             hint ? hint : "");
    return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}
