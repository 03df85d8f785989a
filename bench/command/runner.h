/*
 * runner.h - runs a worker (worker.h) in a fresh process and brings its result home.
 */
#ifndef STEPWELL_RUNNER_H
#define STEPWELL_RUNNER_H

#include <stdbool.h>
#include <stddef.h>

#include "measures.h"
#include "terminal.h"
#include "training.h"

enum run_outcome {
    RUN_DONE,
    RUN_FAILED, /* the training said why it could not be done: bad data, no memory */
    RUN_BROKEN  /* the machinery: no process, no pipe, a worker that died */
};

struct run_result {
    enum run_outcome outcome;
    char why[WHY_MOST]; /* unless RUN_DONE: a sentence */
    struct run run;
    bool peak_was_reset; /* false: the kernel does not offer it, and resident_peak is an estimate */
    size_t steady_steps;
};

/* One measured run. While it lasts, progress shows `label` and the step it is at. */
void run_measured(const struct training_options *training, const char *strategy,
                  struct progress *progress, const char *label, struct run_result *result);

/* One untimed run that counts memory system calls per step in steady state. NAN where it cannot be
 * done, with the reason in result->why. The result's losses and weights are those of any run. */
double run_counted(const struct training_options *training, const char *strategy,
                   struct run_result *result);

#endif
