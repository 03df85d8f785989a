/*
 * checked.h - a layer over any strategy that watches for misuse: what checked:1 puts between a heap
 * and its strategy, which knows nothing of it.
 */
#ifndef SW_CHECKED_H
#define SW_CHECKED_H

#include "strategy.h"

struct sw__checked;

/* Takes the strategy's state over, with a quarantine of so many bytes; `limit` is the strategy's own,
 * 0 for none. NULL when out of memory, and then it has not. The layer is the state of the strategy
 * that sw__checked_strategy() returns, whose destroy ends both. */
struct sw__checked *sw__checked_create(const struct sw__strategy *below, void *state,
                                       size_t quarantine, size_t limit);
const struct sw__strategy *sw__checked_strategy(const struct sw__checked *checked);

/* What a checked heap knows of a pointer: nothing; a live block; one that is freed and in the
 * quarantine; or it points into either, and not to its start. */
enum sw__standing { SW__UNKNOWN, SW__LIVE, SW__FREED, SW__INSIDE };
enum sw__standing sw__checked_standing(struct sw__checked *checked, const void *pointer);

/* A free of that pointer, which is no live block, ends the process: says what exactly is wrong. */
_Noreturn void sw__checked_misuse_free(struct sw__checked *checked, const void *pointer);

/* Ends the process if that faulted because the heap has closed the page. */
void sw__checked_explain_fault(struct sw__checked *checked, const void *address);

/* Looks at every canary, and at the poison of all that is in the quarantine. */
void sw__checked_verify(struct sw__checked *checked);

#endif
