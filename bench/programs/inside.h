/*
 * inside.h - what a program's steps take, measured from inside: in C what
 * bench/workloads/measure.py is in Python, with the same figures under the same names.
 *
 * Nothing here allocates.
 */
#ifndef INSIDE_H
#define INSIDE_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "syscalls.h"

enum { WARM_UP = 3, MAX_STEPS = 1000 };

struct figures {
    int steps, threads, long_idle;
    void (*step)(int number);       /* does the step of that number */
    int64_t (*requested)(int peak); /* now, or at its highest: LB */
    clockid_t clock;
    struct times {
        double ms, wall_ms; /* of the figures' clock, and of the one on the wall */
    } times[MAX_STEPS];
};

static inline int64_t file_pages(void) {
    return of_process("/proc/self/status", (const char *const[]){"RssFile:", "RssShmem:", NULL});
}

static inline int64_t huge_pages(void) {
    return of_process("/proc/self/smaps_rollup", (const char *const[]){"AnonHugePages:", NULL});
}

/* The kernel's high-water mark of resident memory begins anew. */
static inline void forget_peak(void) {
    int file = open("/proc/self/clear_refs", O_WRONLY);
    if (file < 0 || write(file, "5", 1) != 1) {
        fprintf(stderr, "/proc/self/clear_refs can't be written: no peak can be told\n");
        exit(1);
    }
    close(file);
}

static inline double now_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static inline struct times timed(const struct figures *figures, int number) {
    double began = now_of(figures->clock), wall_began = now_of(CLOCK_MONOTONIC);
    figures->step(number);
    return (struct times){.ms = now_of(figures->clock) - began,
                          .wall_ms = now_of(CLOCK_MONOTONIC) - wall_began};
}

/* qsort() allocates, for more than a few. */
static inline void sort(double *values, int count) {
    for (int i = 1; i < count; i++) {
        double value = values[i];
        int to = i;
        for (; to > 0 && values[to - 1] > value; to--) {
            values[to] = values[to - 1];
        }
        values[to] = value;
    }
}

static inline int step_of_time(const struct figures *figures, double ms) {
    int step = 0;
    while (figures->times[step].ms != ms) {
        step++;
    }
    return step;
}

/* By the clock on the wall, for what idling costs is a wait. */
static inline double first_step_ratio(const struct figures *figures, double median) {
    int step = step_of_time(figures, median);
    return timed(figures, WARM_UP + step).wall_ms / figures->times[step].wall_ms;
}

static inline double print_steps(struct figures *figures) {
    static double sorted[MAX_STEPS];
    struct rusage before, after;
    double sum = 0;
    int steps = figures->steps;
    getrusage(RUSAGE_SELF, &before);
    madvise(NULL, 0, MARK_START);
    for (int i = 0; i < steps; i++) {
        figures->times[i] = timed(figures, WARM_UP + i);
    }
    madvise(NULL, 0, MARK_STOP);
    getrusage(RUSAGE_SELF, &after);
    for (int i = 0; i < steps; i++) {
        sorted[i] = figures->times[i].ms;
    }
    sort(sorted, steps);
    for (int i = 0; i < steps; i++) {
        sum += sorted[i];
    }
    double sys = (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1e3 +
                 (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e3;
    long faults = after.ru_minflt - before.ru_minflt + after.ru_majflt - before.ru_majflt;
    double median = sorted[(steps - 1) / 2];
    printf("{\"steps\": %d, \"threads\": %d, \"step_ms\": %.4f, \"step_ms_min\": %.4f, "
           "\"step_ms_mean\": %.4f, \"sys_ms_per_step\": %.4f, \"page_faults_per_step\": %.4f",
           steps, figures->threads, median, sorted[0], sum / steps, sys / steps,
           (double)faults / steps);
    return median;
}

static inline void print_bytes(const char *name, int64_t bytes) {
    printf(", \"%s\": %lld", name, (long long)bytes);
}

/* Runs the steps and prints the line. */
static inline void print_figures(struct figures *figures) {
    static char buffer[4096];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    figures->clock = figures->threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
    int64_t start = status("VmRSS:"), start_files = file_pages();
    forget_peak();
    for (int number = 0; number < WARM_UP; number++) {
        figures->step(number);
    }
    double median = print_steps(figures);
    print_bytes("resident_start", start);
    print_bytes("resident_peak_growth", status("VmHWM:") - start);
    print_bytes("file_growth", file_pages() - start_files);
    print_bytes("huge_pages", huge_pages());
    print_bytes("lb", figures->requested(1));
    sleep(1);
    print_bytes("resident_1000ms", status("VmRSS:") - start);
    print_bytes("requested_1000ms", figures->requested(0));
    printf(", \"first_step_ratio\": %.4f", first_step_ratio(figures, median));
    if (figures->long_idle) {
        sleep(10);
        print_bytes("resident_10000ms", status("VmRSS:") - start);
    }
    printf("}\n");
}

#endif
