/*
 * report.c - what the heap behind malloc holds, as a table: malloc_stats(), and STEPWELL_STATS at
 * exit.
 *
 * STEPWELL_STATS=1 writes to stderr, any other value names a file, in which %p stands for the
 * process id. Nothing here allocates: the process may be at its end, or out of memory.
 */
#include "process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static double mib(size_t bytes) {
    return (double)bytes / (1 << 20);
}

static void row(int file, const char *name, struct sw_level level) {
    char line[96];
    int length = snprintf(line, sizeof line, "stepwell: %-10s %12.2f %12.2f\n", name,
                          mib(level.current), mib(level.peak));
    ssize_t written = write(file, line, (size_t)length);
    (void)written;
}

void sw__report(int file) {
    struct sw_stats stats;
    char line[128];
    sw_heap_stats(sw__process.heap, &stats, sizeof stats);
    int length =
        snprintf(line, sizeof line, "stepwell: pid %d, strategy %s\nstepwell: %-10s %12s %12s\n",
                 (int)getpid(), sw_heap_strategy(sw__process.heap), "MiB", "current", "peak");
    ssize_t written = write(file, line, (size_t)length);
    (void)written;
    if (sw__heap_is_tracked(sw__process.heap)) {
        row(file, "requested", stats.requested);
        row(file, "active", stats.active);
    }
    row(file, "allocated", stats.allocated);
    row(file, "resident", stats.resident);
    row(file, "reserved", stats.reserved);
    row(file, "metadata", stats.metadata);
}

/* The file's name with %p filled in. */
static int open_report(const char *pattern) {
    char path[512];
    const char *mark = strstr(pattern, "%p");
    if (mark)
        snprintf(path, sizeof path, "%.*s%d%s", (int)(mark - pattern), pattern, (int)getpid(),
                 mark + 2);
    else
        snprintf(path, sizeof path, "%s", pattern);
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

/* What STEPWELL_STATS asks for; NULL when nothing. */
static const char *wanted_report(void) {
    const char *wanted = getenv("STEPWELL_STATS");
    return wanted && *wanted && strcmp(wanted, "0") != 0 ? wanted : NULL;
}

/* A second stderr, out of the way: many a program closes its own before we come to speak. */
static int own_stderr = STDERR_FILENO;

__attribute__((constructor)) static void keep_stderr(void) {
    enum { OUT_OF_THE_WAY = 200 };
    const char *wanted = wanted_report();
    if (wanted && strcmp(wanted, "1") == 0) {
        int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
        own_stderr = copy >= 0 ? copy : STDERR_FILENO;
    }
}

__attribute__((destructor)) static void report_at_exit(void) {
    const char *wanted = wanted_report();
    if (!wanted || !sw__process.heap)
        return;
    bool to_stderr = strcmp(wanted, "1") == 0;
    int file = to_stderr ? own_stderr : open_report(wanted);
    if (file < 0) {
        static const char sentence[] =
            "stepwell: the file named in STEPWELL_STATS can't be written\n";
        ssize_t written = write(STDERR_FILENO, sentence, sizeof sentence - 1);
        (void)written;
        return;
    }
    sw__report(file);
    if (!to_stderr)
        close(file);
}
