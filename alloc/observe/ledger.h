/*
 * ledger.h - every live block of a heap: what was asked for, what for, since which step.
 *
 * All that Stepwell counts per block or per tag comes from here, the same way for every strategy:
 * requested, allocated, active, blocks, survivors. Two hash tables behind one lock: blocks by
 * address, and for pages that blocks share, how many blocks touch each. Pages inside a block belong
 * to it alone and need no entry; so `active` is exact at every instant, at O(1) per call.
 *
 * Removing keeps the room of what was removed, so that sw__ledger_put_back() cannot fail.
 */
#ifndef SW_LEDGER_H
#define SW_LEDGER_H

#include <stdbool.h>
#include <stddef.h>

#include "lock.h"
#include "stepwell.h"

struct sw__ledger;

/* NULL when out of memory. */
struct sw__ledger *sw__ledger_create(void);
void sw__ledger_destroy(struct sw__ledger *ledger);

/* Enters a block that has just been allocated. False when out of memory: nothing is changed. */
bool sw__ledger_add(struct sw__ledger *ledger, const struct sw_block *block);
/* LOOK_FIRST: requested stands at its highest, which it is about to leave. That is the moment to ask
 * the kernel what is resident; nothing has been taken, and a next call takes it. It is so at a peak
 * 1/32 above the last one looked at, and near it once in steps 1, 2, 4, 8, ... */
enum sw__taken { SW__TAKEN, SW__TAKEN_NO_ROOM, SW__TAKEN_UNKNOWN, SW__TAKEN_LOOK_FIRST };

/* Takes a block out before it is freed. Never NO_ROOM. */
enum sw__taken sw__ledger_remove(struct sw__ledger *ledger, const void *address);

/* A block that is about to have another size is taken out, and afterwards put back: the new one
 * where that worked, the old one where it did not. Between the two there is room for either:
 * put_back never fails. Without room for it nothing is taken; one that will stay where it is needs
 * no more than it has. */
enum sw__taken sw__ledger_take(struct sw__ledger *ledger, const void *address, size_t size,
                               bool stays, struct sw_block *block);
void sw__ledger_put_back(struct sw__ledger *ledger, const struct sw_block *block);

/* True when the address is a live block. */
bool sw__ledger_knows(struct sw__ledger *ledger, const void *address);

/* What is born from now on belongs to that step (numbers from 1); at its end it has survived. */
void sw__ledger_step_begin(struct sw__ledger *ledger, uint64_t step);
void sw__ledger_step_end(struct sw__ledger *ledger);

/* Fills in all that the ledger knows, and adds its own metadata. */
void sw__ledger_stats(struct sw__ledger *ledger, struct sw_stats *stats);

/* Bytes of its metadata that are physically present. */
size_t sw__ledger_metadata_present(struct sw__ledger *ledger);

int sw__ledger_visit(struct sw__ledger *ledger, int (*visitor)(const struct sw_block *, void *),
                     void *context);

/* Over a fork it is held. */
struct sw__lock *sw__ledger_lock_of(struct sw__ledger *ledger);

#endif
