/*
 * command.h - what a subcommand of `stepwell` is: one file and one line in COMMANDS.
 *
 * A subcommand's file defines command_NAME(argc, argv), which parses its arguments with an argp of
 * its own (arguments.h), writes its results to stdout and its progress to stderr, and returns the
 * exit code. Look-up, `stepwell --help` and `stepwell help NAME` follow from the line.
 */
#ifndef STEPWELL_COMMAND_H
#define STEPWELL_COMMAND_H

/* In the order `stepwell --help` shows them. */
#define COMMANDS(X)                                                                                \
    X(list, "the strategies, and the allocators found on this machine")                            \
    X(train, "train a network, with progress, loss, accuracy and the memory table")                \
    X(compare, "the same training under each strategy, side by side")                              \
    X(run, "any command with Stepwell behind its malloc")                                          \
    X(doctor, "what on this machine matters for memory, and what to do about it")

enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,  /* the work could not be done: bad data, no memory, no file */
    EXIT_MISUSED = 2, /* the command line is wrong */
    /* as in env(1) and timeout(1) */
    EXIT_MACHINERY = 125, /* what runs the work, or the command, failed */
    EXIT_NOT_RUN = 126,   /* the command was found and cannot be run */
    EXIT_NOT_FOUND = 127
};

#define COMMAND_DECLARE(name, summary) int command_##name(int argc, char **argv);
COMMANDS(COMMAND_DECLARE)
#undef COMMAND_DECLARE

#endif
