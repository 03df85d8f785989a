/*
 * measure.c - runs a command and writes what it took to a file descriptor, one line of JSON.
 *
 *   measure FD [NAME=VALUE...] -- COMMAND [ARGUMENT...]
 *
 * It stands between the runner and the program because the kernel counts the pages of whoever
 * forked a process into that process's largest resident size: a Python would put 10 MiB there, and
 * this puts less than the smallest program has. The settings are for the command alone. The exit
 * code is the command's, 128 and the signal's number where one ended it, 127 where it didn't start.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

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

int main(int count, char **arguments) {
    int fd = count > 1 ? atoi(arguments[1]) : 0;
    char **command = count > 1 ? take_settings(arguments + 2) : arguments + 1;
    if (fd < 3 || !*command) {
        fprintf(stderr, "usage: measure FD [NAME=VALUE...] -- COMMAND [ARGUMENT...]\n");
        return 2;
    }
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addclose(&files, fd);
    double start = milliseconds();
    pid_t child;
    int error = posix_spawnp(&child, *command, &files, NULL, command, environ);
    if (error) {
        fprintf(stderr, "measure: %s: %s\n", *command, strerror(error));
        return 127;
    }
    int status;
    struct rusage usage;
    while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    double end = milliseconds();
    dprintf(
        fd,
        "{\"cpu_ms\": %.3f, \"wall_ms\": %.3f, \"resident_peak\": %lld, \"page_faults\": %ld}\n",
        as_milliseconds(usage.ru_utime) + as_milliseconds(usage.ru_stime), end - start,
        usage.ru_maxrss * 1024LL, usage.ru_minflt + usage.ru_majflt);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
