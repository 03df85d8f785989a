/*
 * measure.c - runs a command and writes what it took to a file descriptor, one line of JSON.
 *
 *   measure FD [NAME=VALUE...] -- COMMAND [ARGUMENT...]
 *   measure --calls FD [NAME=VALUE...] -- COMMAND [ARGUMENT...]
 *
 * What is told is time, peak and faults; or with --calls, the memory system calls that the command
 * makes between its marks (bench/command/syscalls.h), nothing if it made no marks.
 *
 * It stands between the runner and the program because the kernel counts the pages of whoever
 * forked a process into that process's largest resident size: a Python would put 10 MiB there, and
 * this puts less than the smallest program has. The settings are for the command alone. The exit
 * code is the command's, 128 and the signal's number where one ended it, 127 where it didn't start.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "syscalls.h"

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double as_milliseconds(struct timeval time) {
    return (double)time.tv_sec * 1e3 + (double)time.tv_usec / 1e3;
}

/* The command's environment is ours with the settings; this program allocates nothing later. */
static char **take_settings(char **argument) {
    for (; *argument && strcmp(*argument, "--") != 0; argument++) {
        if (!strchr(*argument, '=') || putenv(*argument) != 0) {
            fprintf(stderr, "measure: '%s' is not NAME=VALUE\n", *argument);
            exit(2);
        }
    }
    return *argument ? argument + 1 : argument;
}

/* Both give the command's wait status, and -1 when there is none. */
static int measure_command(int fd, char **command) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addclose(&files, fd);
    double start = milliseconds();
    pid_t child;
    int error = posix_spawnp(&child, *command, &files, NULL, command, environ);
    if (error) {
        fprintf(stderr, "measure: %s: %s\n", *command, strerror(error));
        return -1;
    }
    int status;
    struct rusage usage;
    pid_t ended;
    while ((ended = wait4(child, &status, 0, &usage)) < 0 && errno == EINTR) {
    }
    if (ended < 0) {
        perror("measure: the command's end cannot be known");
        return -1;
    }
    double end = milliseconds();
    dprintf(
        fd,
        "{\"cpu_ms\": %.3f, \"wall_ms\": %.3f, \"resident_peak\": %lld, \"page_faults\": %ld}\n",
        as_milliseconds(usage.ru_utime) + as_milliseconds(usage.ru_stime), end - start,
        usage.ru_maxrss * 1024LL, usage.ru_minflt + usage.ru_majflt);
    return status;
}

static int count_calls(int fd, char **command) {
    int go[2];
    struct call_count count;
    if (pipe2(go, O_CLOEXEC) != 0) {
        perror("measure");
        return -1;
    }
    pid_t child = fork();
    if (child == 0) {
        close(fd);
        errno = submit_to_counting(go[0]);
        if (errno == 0) {
            execvp(*command, command);
        }
        fprintf(stderr, "measure: %s: %s\n", *command, strerror(errno));
        _exit(127);
    }
    int status = child > 0 ? follow_and_count(child, go[1], &count) : -1;
    if (status == -1) {
        fprintf(stderr, "measure: %s\n", child > 0 ? count.why : strerror(errno));
    } else if (count.known) {
        dprintf(fd, "{\"memory_calls\": %zu}\n", count.calls);
    } else {
        dprintf(fd, "{}\n");
    }
    return status;
}

int main(int count, char **arguments) {
    int calls = count > 1 && strcmp(arguments[1], "--calls") == 0;
    int first = 1 + calls;
    int fd = count > first ? atoi(arguments[first]) : 0;
    char **command = fd ? take_settings(arguments + first + 1) : arguments + count;
    if (fd < 3 || !*command) {
        fprintf(stderr, "usage: measure [--calls] FD [NAME=VALUE...] -- COMMAND [ARGUMENT...]\n");
        return 2;
    }
    signal(SIGCHLD, SIG_DFL); /* whoever ignored it: the command's end is waited for */
    int status = calls ? count_calls(fd, command) : measure_command(fd, command);
    if (status == -1) {
        return 127;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
