/*
 * supervise.c - see supervise.h.
 *
 * One loop waits for three things: a signal (the command ended, or there is one to pass on), what
 * the library in the command says, and the next time to look.
 */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arguments.h"
#include "command.h"
#include "witness.h"

/* What a terminal or a supervisor sends to end a program, or to ask it for something. */
static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

struct command_process {
    pid_t pid;
    int signals; /* a signalfd */
    sigset_t mask_before;
    struct sigaction child_before;
};

static _Noreturn void machinery_failed(const char *what) {
    complain("%s: %s", what, strerror(errno));
    exit(EXIT_MACHINERY);
}

static void hold_signals(struct command_process *process) {
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGCHLD);
    for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++) {
        sigaddset(&held, passed_on[i]);
    }
    sigprocmask(SIG_BLOCK, &held, &process->mask_before);
    /* Who started us may ignore it; then the kernel would not keep the exit code. */
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &process->child_before);
    process->signals = signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK);
    if (process->signals < 0) {
        machinery_failed("no signalfd");
    }
}

/* In the child. What cannot be done is written to fd, which closes by itself when it could. */
static _Noreturn void become(char **command, const struct command_process *process,
                             const struct witness *witness, int fd) {
    sigaction(SIGCHLD, &process->child_before, NULL);
    sigprocmask(SIG_SETMASK, &process->mask_before, NULL);
    witness_ask(witness);
    execvp(command[0], command);
    int error = errno;
    ssize_t written = write(fd, &error, sizeof error);
    (void)written;
    _exit(EXIT_MACHINERY);
}

/* Returns 0 when the command runs, or the error of execvp(). OpenBLAS's fork handler ends its threads,
 * which else would take signals that are to be passed on. */
static int start(char **command, struct command_process *process, const struct witness *witness) {
    int ends[2];
    int error = 0;
    if (pipe2(ends, O_CLOEXEC) != 0 || (process->pid = fork()) < 0) {
        machinery_failed("no process for the command");
    }
    if (process->pid == 0) {
        become(command, process, witness, ends[1]);
    }
    close(ends[1]);
    while (read(ends[0], &error, sizeof error) < 0 && errno == EINTR) {
    }
    close(ends[0]);
    return error;
}

/* A signal that the terminal sent has gone to the command as well: it is in the same group. */
static void pass_on(const struct command_process *process, const struct signalfd_siginfo *signal) {
    bool sent_by_a_process = signal->ssi_code <= 0;
    if (sent_by_a_process) {
        kill(process->pid, (int)signal->ssi_signo);
    }
}

/* True when the command has ended, with its status. */
static bool take_signals(const struct command_process *process, int *status) {
    struct signalfd_siginfo signal;
    while (read(process->signals, &signal, sizeof signal) == sizeof signal) {
        if (signal.ssi_signo != SIGCHLD) {
            pass_on(process, &signal);
        } else if (waitpid(process->pid, status, WNOHANG) == process->pid) {
            return true;
        }
    }
    return false;
}

static int wait_for_end(const struct command_process *process, struct witness *witness) {
    int status = 0;
    struct pollfd files[] = {{.fd = process->signals, .events = POLLIN},
                             {.fd = witness->answers, .events = POLLIN}};
    for (;;) {
        int ready = poll(files, 2, witness_milliseconds(witness));
        if (ready < 0 && errno != EINTR) {
            machinery_failed("cannot wait for the command");
        }
        if (take_signals(process, &status)) {
            witness_end(witness);
            return status;
        }
        witness_look(witness);
    }
}

int supervise(char **command, bool quiet) {
    struct command_process process;
    struct witness witness;
    witness_init(&witness, command[0], quiet);
    hold_signals(&process);
    int error = start(command, &process, &witness);
    if (error != 0) {
        complain("cannot run '%s': %s", command[0], strerror(error));
        return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
    }
    witness_start(&witness, process.pid);
    int status = wait_for_end(&process, &witness);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
