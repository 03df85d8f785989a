/*
 * early.h - what the tests ask of early.c.
 */
#ifndef EARLY_H
#define EARLY_H

enum { EARLY_BEFORE, EARLY_PARENT, EARLY_CHILD, EARLY_FORK_KINDS };

extern int early_forks[EARLY_FORK_KINDS]; /* calls of each handler */
extern char *early_text;
int early_answer(void);

#endif
