/*
 * usage.h - are large extents used to their ends?
 *
 * Many a program takes buffers of megabytes and writes a line into each. A huge page makes 2 MiB of
 * every such line, so before one is asked for the extents that came lately bear witness: does a
 * page near the end of each exist by now? The very last may be what a size was rounded up by. It
 * may come later, so the newest are waited for; and when its pages are about to go it is asked once
 * more.
 *
 * All of it is under the lock of the extents.
 */
#ifndef SW_USAGE_H
#define SW_USAGE_H

#include <stdbool.h>
#include <stddef.h>

struct sw__extent;
struct sw__region;

#define SW__WITNESSES 16

enum sw__use { SW__USE_UNKNOWN, SW__USED, SW__UNUSED };

struct sw__usage {
    struct sw__witness {
        const struct sw__region *region; /* NULL: none */
        char *page;
        enum sw__use use; /* unknown while the page does not exist, but may come */
    } witnesses[SW__WITNESSES];
    unsigned next;
    enum sw__use last; /* what was known last */
};

/* An extent's untouched pages are about to come: one near its end is watched, if it is untouched. */
void sw__usage_watch(struct sw__usage *usage, const struct sw__extent *extent);
/* All its pages were given back and come anew: the same, unless a huge page could bring that one with
 * others. */
void sw__usage_watch_renewed(struct sw__usage *usage, const struct sw__extent *extent);
/* What is known now. */
enum sw__use sw__usage_look(struct sw__usage *usage);
/* It is known otherwise that they are not. */
void sw__usage_deny(struct sw__usage *usage);
/* Does the newest witness not say yes? */
bool sw__usage_is_in_doubt(const struct sw__usage *usage);
/* The pages of a range are about to go. */
void sw__usage_close(struct sw__usage *usage, const char *start, size_t size);
/* A region is about to go. */
void sw__usage_dismiss(struct sw__usage *usage, const struct sw__region *region);

#endif
