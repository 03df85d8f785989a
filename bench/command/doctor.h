/*
 * doctor.h - what `stepwell doctor` looks at. A check is one function that fills one struct fact,
 * and one line in the list at the end of its file.
 */
#ifndef STEPWELL_DOCTOR_H
#define STEPWELL_DOCTOR_H

#include <limits.h>
#include <stdio.h>

enum { FACT_VALUE = PATH_MAX, FACT_WORDS = PATH_MAX + 200 }; /* of a path, and with one in them */

enum fact_state { FINE, ADVICE, BROKEN };

struct fact {
    const char *name;
    char value[FACT_VALUE];
    char meaning[FACT_WORDS];
    char advice[FACT_WORDS]; /* "" when there is nothing to do */
    enum fact_state state;
};

#define SAY(field, ...) snprintf(fact->field, sizeof fact->field, __VA_ARGS__)

struct check {
    const char *name; /* NULL ends a list */
    void (*fill)(struct fact *fact);
};

extern const struct check machine_checks[];     /* the kernel, its limits, the processors */
extern const struct check environment_checks[]; /* variables, and whether all works here */

#endif
