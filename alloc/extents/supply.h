/*
 * supply.h - the physical side of extents: where the pages of a live extent come from, and where
 * those of free ones go. What budget, limit and the rules for huge pages mean: extents.h.
 *
 * Only the page source calls this, under its lock but for what says otherwise.
 */
#ifndef SW_SUPPLY_H
#define SW_SUPPLY_H

#include "region.h"

/* What is done with an extent, as far as is known. */
enum sw__filling {
    SW__DENSE,  /* it is written: huge pages may be wanted */
    SW__ZEROED, /* much of it may stay zero */
    SW__SPARSE, /* its pages come as they are used, if ever: none move there */
};

/* How much more than the budget, or the limit, would be held with so many bytes more. */
size_t sw__supply_over_budget(const struct sw__extents *extents, size_t more);

/* Is a zeroed extent of that size to be one of which nothing is there, since much of it may stay
 * zero? */
bool sw__supply_wants_fresh(struct sw__extents *extents, size_t size);

/* All pages of an extent that is in no index become touched: they move there from free extents where
 * the budget asks for it, and may come new otherwise. False, with some free pages moved or purged at
 * most, where the limit has no room for them and the kernel would not take free ones back. */
bool sw__supply_furnish(struct sw__extents *extents, struct sw__extent *extent,
                        enum sw__filling filling);
/* The same of a live extent that is larger than it was, from there on. */
bool sw__supply_furnish_more(struct sw__extents *extents, struct sw__extent *extent, char *from);

/* Gives pages of a live extent back, and lets such come new; false, with nothing that matters
 * changed, where the kernel would not, or the limit has no room. */
bool sw__supply_purge_part(struct sw__extents *extents, struct sw__extent *extent, char *start,
                           size_t size);
bool sw__supply_bring_part(struct sw__extents *extents, struct sw__extent *extent,
                           const char *start, size_t size);

/* Moves what pages it can of a live extent to a larger place, in no index, that is alike in its
 * offset, and brings those that are missing there. False, with nothing that matters changed, where
 * none can move, or the limit has no room, or the heap is in too many pieces. */
bool sw__supply_relocate(struct sw__extents *extents, struct sw__extent *from,
                         struct sw__extent *to);
/* Copies what has not moved. Without the lock: both extents are nobody else's. */
void sw__supply_copy_rest(const struct sw__extent *from, const struct sw__extent *to);

/* Gives pages of free extents back, of the largest first, until no more than so much is held or
 * nothing is left to give. Returns the bytes that the kernel would not take. */
size_t sw__supply_purge_above(struct sw__extents *extents, size_t budget);
/* Of a dirty extent those from there on. False where the kernel would not. */
bool sw__supply_purge_from(struct sw__extents *extents, struct sw__extent *extent, char *start);
/* So much goes at once at most, and a rest's in so many calls, where all of it need not go at once: it
 * takes milliseconds. */
#define SW__PURGED_AT_ONCE ((size_t)32 << 20)
#define SW__PURGES_AT_ONCE 256
/* The untouched part of a free extent is about to come. */
void sw__supply_come(struct sw__extents *extents, struct sw__extent *extent, const char *start,
                     size_t size);
/* The pages of a part of a free extent went by another way. */
void sw__supply_gone(struct sw__extents *extents, struct sw__extent *extent, char *start,
                     size_t size);

#endif
