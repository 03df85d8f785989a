/*
 * options.h - "key:value,key:value" into a struct sw__config, from one table of options.
 */
#ifndef SW_OPTIONS_H
#define SW_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "strategy.h"

/* Fills *config with the defaults and what conf (or NULL) says over them. False when conf is wrong;
 * why is then one sentence. */
bool sw__options_parse(const char *conf, struct sw__config *config, char *why, size_t why_size);

/* Writes the name among names (the last is NULL) that is nearest to the word into sentences like
 * "unknown WHAT 'WORD'; did you mean 'NEAREST'? There are: a, b, c". */
void sw__explain_unknown(const char *what, const char *word, size_t word_length,
                         const char *const *names, char *why, size_t why_size);

#endif
