/*
 * attend.h - runs a command that has our LD_PRELOAD in its environment, with a witness beside it.
 */
#ifndef STEPWELL_ATTEND_H
#define STEPWELL_ATTEND_H

#include <stdbool.h>

/* This process becomes the command: its id, its parent, its signals, its exit code are what they
 * would be without us. Unless quiet, a process beside it says on stderr where Stepwell is not behind
 * malloc. Returns only where the command cannot be run: what the exit code should be, after a line
 * that says so, with the hint unless that is NULL. */
int become_attended(char **command, bool quiet, const char *hint);

#endif
