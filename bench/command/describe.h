/*
 * describe.h - the options of a heap and the environment variables, from the library's one list of
 * them, for --help, README.md and the manual.
 */
#ifndef STEPWELL_DESCRIBE_H
#define STEPWELL_DESCRIBE_H

#include <stddef.h>
#include <stdio.h>

struct sw__option;

/* "1; 0 behind malloc", or one value where both are the same. Returns text. */
const char *describe_default(const struct sw__option *option, char *text, size_t size);

/* For --help: plain text, less than 79 columns wide, which argp leaves as it is. */
void describe_options(FILE *file);

/* What README.md has between its marks: two tables. */
void describe_options_in_markdown(FILE *file);

/* `stepwell __describe WHAT`, for the scripts that write the documents. Not in --help. */
int command_describe(int argc, char **argv);

#endif
