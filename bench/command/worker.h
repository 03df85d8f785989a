/*
 * worker.h - one training under one strategy, measured: what `compare` starts in a fresh process.
 *
 * The worker writes lines to the pipe it is given: "step S OF\n" now and then, and one last line,
 * the result as a JSON object ("{...}\n") or "error SENTENCE\n".
 */
#ifndef STEPWELL_WORKER_H
#define STEPWELL_WORKER_H

#include <stdbool.h>

#include "training.h"

struct worker_options {
    struct training_options training;
    const char *strategy;
    int fd;           /* the pipe; -1: this is no worker */
    bool count_calls; /* untimed: mark the steady steps for syscalls.h, and leave out the idle time
                       */
};

/* Returns the process's exit code. */
int run_worker(const struct worker_options *options);

#endif
