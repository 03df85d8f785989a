/*
 * zeros.h - live extents become zero. Many a program touches little of what it asked for zeroed. Both
 * take the lock of the extents by themselves.
 */
#ifndef SW_ZEROS_H
#define SW_ZEROS_H

#include "region.h"

/* Makes a live extent zero by giving its pages back: what is used of it comes anew, and the rest
 * does not. False where zeros are to be written: that is cheaper, or the kernel would not. */
bool sw__zeros_renew(struct sw__extents *extents, struct sw__extent *extent);

/* Makes one zero by writing, and of one that is large only what is there. */
void sw__zeros_write(struct sw__extents *extents, struct sw__extent *extent);

#endif
