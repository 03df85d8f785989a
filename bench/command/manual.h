/*
 * manual.h - the manual pages, made of what the program says of itself: summaries, argp's tables
 * and texts, the list of options of a heap. So they cannot say anything else than --help.
 */
#ifndef STEPWELL_MANUAL_H
#define STEPWELL_MANUAL_H

#include <argp.h>
#include <stdio.h>

/* stepwell(1) and stepwell(7). */
void write_manual_of_program(FILE *file);
void write_manual_of_environment(FILE *file);

/* stepwell-NAME(1), from the parser of the subcommand. */
void write_manual_of_command(FILE *file, const char *name, const struct argp *argp);

#endif
