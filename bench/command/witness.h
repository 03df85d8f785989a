/*
 * witness.h - is Stepwell behind malloc in a process, and in those it starts?
 *
 * The library itself answers for the command (alloc/preload/announce.c): it alone knows what malloc
 * resolved to. Where no answer comes, and for the processes that follow, the process's mappings
 * tell whether the library is there; if it is not, the program's file and its environment tell why.
 */
#ifndef STEPWELL_WITNESS_H
#define STEPWELL_WITNESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "program.h"

enum { WITNESS_TOLD_MOST = 8 };

struct witness {
    const char *command;
    int answers; /* the pipe, -1 where there is none; both ends stay open */
    int answers_in;
    bool answered;
    bool told_of_command;
    pid_t pid;
    long long started, next_look;               /* milliseconds */
    size_t looks;                               /* done so far */
    char told[WITNESS_TOLD_MOST][PROGRAM_PATH]; /* programs that a line was written about */
    size_t told_count;
};

/* What the command's file tells is said at once. */
void witness_init(struct witness *witness, const char *command);
/* In the process that becomes the command: puts the question into the environment, to be answered to
 * the process that has the witness. */
void witness_ask(const struct witness *witness, pid_t attendant);
/* The command runs. */
void witness_start(struct witness *witness, pid_t pid);
/* Until the next look is due. */
int witness_milliseconds(const struct witness *witness);
/* No more looks are to come but those for what starts late. */
bool witness_has_seen_start(const struct witness *witness);
/* Takes what was answered, looks if it is time, and says what is wrong. */
void witness_look(struct witness *witness);
/* The command has ended: says what can be said of it now. */
void witness_end(struct witness *witness);

#endif
