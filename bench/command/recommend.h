/*
 * recommend.h - which strategy to take for the work that was measured, and why, by a stated rule.
 *
 * The rule, on medians (also in `stepwell compare --help`):
 *   1. Fast enough are those within 3 % of the fastest step: less is noise. So are those within
 *      10 % whose runs overlap the fastest one's runs: they are not proven slower.
 *   2. Of these, the least resident peak wins; within 3 % of it, or 64 KiB, is as good.
 *   3. Of these, the least retention after a second idle wins; within 3 % of the resident peak, or
 *      64 KiB, is as good.
 *   4. Of these, the fastest.
 * A measure that could not be taken decides nothing.
 */
#ifndef STEPWELL_RECOMMEND_H
#define STEPWELL_RECOMMEND_H

#include <stdbool.h>
#include <stddef.h>

#include "measures.h"

struct recommendation {
    bool given;     /* false when there is nothing to choose from */
    size_t row;     /* the one to take */
    char text[700]; /* the words, a sentence or more; also when none is given */
};

/* For rows that were summarised. */
void recommend(const struct row *rows, size_t count, struct recommendation *recommendation);

#endif
