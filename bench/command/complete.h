/*
 * complete.h - what could stand next on a command line, for the shells (completion/).
 *
 * `stepwell __complete WORD...` writes a line per candidate, its meaning behind a tab. The last
 * word is the one that is being typed, perhaps empty. A line "!files" or "!commands" leaves it to
 * the shell.
 */
#ifndef STEPWELL_COMPLETE_H
#define STEPWELL_COMPLETE_H

#include <argp.h>

/* The subcommands. */
void complete_command(void);
/* What comes after `stepwell NAME`, from the parser of the subcommand. */
void complete_options(const struct argp *argp, int count, char **words);

#endif
