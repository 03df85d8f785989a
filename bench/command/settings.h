/*
 * settings.h - the STEPWELL_ variables of this process's environment, as the preload library will
 * read them.
 */
#ifndef STEPWELL_SETTINGS_H
#define STEPWELL_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h" /* the library's */

/* A variable's value, its default where it is empty or missing. */
const char *setting(enum sw__variable_index index);

/* False when one of them is wrong; why is then one sentence. */
bool settings_are_right(char *why, size_t size);

/* Is a variable named nearly like one of them? Nobody will read it: why is then one sentence. */
bool a_setting_is_misspelt(char *why, size_t size);

#endif
