/*
 * moves.h - pages of one extent become another's: the kernel moves them (mremap), nothing is copied.
 *
 * They move by units, and by huge pages where those are whole. supply.c calls this, under the lock of
 * the extents.
 */
#ifndef SW_MOVES_H
#define SW_MOVES_H

#include "region.h"

/* Fills untouched pages of a live extent, from there on, with those of free ones, until so many bytes
 * came. True if any did. */
bool sw__moves_fill(struct sw__extents *extents, struct sw__extent *extent, char *from,
                    size_t wanted);

/* What is there of the part of a place that an extent is to move to, is moved to what is missing behind
 * it. */
void sw__moves_make_way(const struct sw__extent *from, const struct sw__extent *to);
/* What of a live extent can move to the same offset in another, in bytes, */
size_t sw__moves_possible(const struct sw__extent *from, const struct sw__extent *to);
/* and moves. */
void sw__moves_alike(struct sw__extent *from, struct sw__extent *to);

#endif
