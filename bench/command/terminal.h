/*
 * terminal.h - colour, width, and progress: what depends on who is looking.
 */
#ifndef STEPWELL_TERMINAL_H
#define STEPWELL_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

enum colour_when { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };

/* May escape codes be written to the file? On a terminal, unless NO_COLOR is set or the terminal is
 * dumb; ALWAYS and NEVER overrule both. */
bool wants_colour(FILE *file, enum colour_when when);

/* Columns a table may take: the terminal's, or COLUMNS, or 100. */
int output_width(FILE *file);

/* Words, filled into lines of at most so many columns, each indented. */
void print_filled(FILE *file, const char *text, int indent, int width);

/* One line that is rewritten in place on a terminal. Elsewhere a plain line now and then: the
 * first, then one every few seconds. */
struct progress {
    bool quiet;
    bool terminal;
    bool dirty; /* something stands on the line */
    double last_shown;
};

void progress_start(struct progress *progress, bool quiet);
/* Is it time to show something again? Ask before composing a line. */
bool progress_due(const struct progress *progress);
void progress_show(struct progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Clears the line, so that other output may follow. */
void progress_end(struct progress *progress);

#endif
