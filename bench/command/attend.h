/*
 * supervise.h - runs a command that has our LD_PRELOAD in its environment.
 */
#ifndef STEPWELL_SUPERVISE_H
#define STEPWELL_SUPERVISE_H

#include <stdbool.h>

/* Runs the command to its end and returns what the exit code should be. Signals that somebody sends
 * to this process go on to the command. Unless quiet, a line on stderr says where Stepwell is not
 * behind malloc. */
int supervise(char **command, bool quiet);

#endif
