/*
 * compare.h - a comparison: what was asked for, and what came out. compare.c runs it,
 * compare_output.c shows it.
 */
#ifndef STEPWELL_COMPARE_H
#define STEPWELL_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "arguments.h"
#include "measures.h"
#include "training.h"

enum { STRATEGIES_MOST = 64 };

struct comparison {
    struct training_options training;
    struct output_options output;
    size_t runs; /* of each strategy */
    bool named;  /* the strategies were named, not found */
    struct row rows[STRATEGIES_MOST];
    size_t count;
    bool peak_was_reset; /* in every run */
    bool begun;          /* a run was done, and the heading is out */
};

/* Where a table is asked for, its heading: after the first run, so that who waits knows for what.
 */
void begin_comparison(const struct comparison *comparison);

/* Table (unless no run was done), words, JSON and CSV, as the options ask. False when something
 * could not be written. */
bool show_comparison(const struct comparison *comparison);

#endif
