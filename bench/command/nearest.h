/*
 * nearest.h - the name that was probably meant, and the one line that says so.
 */
#ifndef STEPWELL_NEAREST_H
#define STEPWELL_NEAREST_H

#include <stdio.h>

/* How many letters must be added, dropped or changed to make one word the other. */
size_t edit_distance(const char *from, const char *to);

/* The name nearest to word among names (the last is NULL); the first of equals. NULL when there are
 * none. */
const char *nearest_name(const char *word, const char *const *names);

/* Writes "unknown WHAT 'WORD': did you mean 'NEAREST'? Valid: a, b, c" without a newline. */
void explain_unknown(FILE *file, const char *what, const char *word, const char *const *names);

#endif
