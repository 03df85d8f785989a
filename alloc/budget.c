/*
 * budget.c - how much memory recent work needed: see budget.h.
 *
 * Order of the file: what is needed, the slack beside it, how periods end, and what is taken back.
 */
#include "budget.h"

#include "align.h"

#include <stdint.h>
#include <string.h>

/* A step that turns over so much is the last: the program marks no more. */
#define LONGEST_STEP_TURNS 256
/* So many looks, of a tenth of a second each, during which no more lived than such a share of what
 * recent periods needed, end a period: SW__PERIODS_KEPT of them are longer than a step of ten
 * seconds, whose pages are to stay. */
#define LOOKS_IN_SECOND 10
#define MUCH_LESS       2
/* And so many seconds, if less did by such a share. */
#define LESS_FOR   10
#define LESS_SHARE 64
/* The slack is needed / LOOSE_SHARE + room + looseness * the larger of DEGREE_BYTES and needed /
 * DEGREE_SHARE. */
#define LOOSE_SHARE    170
#define DEGREE_BYTES   ((size_t)128 << 10)
#define DEGREE_SHARE   1024
#define LOOSE_AT_FIRST 3
#define LOOSEST        25

void sw__budget_init(struct sw__budget *budget) {
    budget->looseness = LOOSE_AT_FIRST;
}

/* ---- What is needed -------------------------------------------------------------------------- */

static void set_deepest(struct sw__budget *budget, size_t live) {
    atomic_store_explicit(&budget->deepest, live, memory_order_relaxed);
}

size_t sw__budget_needed(const struct sw__budget *budget) {
    size_t deepest = sw__budget_deepest(budget);
    return sw__larger(deepest, budget->deepest_earlier);
}

static size_t deepest_periods_ago(const struct sw__budget *budget, unsigned periods) {
    return budget->earlier[(budget->oldest + SW__PERIODS_EARLIER - periods) % SW__PERIODS_EARLIER];
}

/* Of the periods from so many ago to so many ago; 1 is the last that ended. */
static size_t deepest_of(const struct sw__budget *budget, unsigned newest, unsigned oldest) {
    size_t deepest = 0;
    for (unsigned periods = newest; periods <= oldest; periods++)
        deepest = sw__larger(deepest, deepest_periods_ago(budget, periods));
    return deepest;
}

static size_t deepest_of_all(const struct sw__budget *budget) {
    return deepest_of(budget, 1, SW__PERIODS_EARLIER);
}

/* This period takes the place of the oldest one. */
static void remember_period(struct sw__budget *budget) {
    size_t deepest = sw__budget_deepest(budget), forgotten = budget->earlier[budget->oldest];
    budget->earlier[budget->oldest] = deepest;
    budget->oldest = (budget->oldest + 1) % SW__PERIODS_EARLIER;
    if (deepest >= budget->deepest_earlier)
        budget->deepest_earlier = deepest;
    else if (forgotten == budget->deepest_earlier)
        budget->deepest_earlier = deepest_of_all(budget);
}

/* ---- The slack ------------------------------------------------------------------------------- */

static size_t slack(const struct sw__budget *budget, size_t needed) {
    size_t share = needed / DEGREE_SHARE;
    size_t degree = sw__larger(share, DEGREE_BYTES);
    return needed / LOOSE_SHARE + budget->looseness * degree + budget->room;
}

size_t sw__budget_bytes(const struct sw__budget *budget) {
    size_t needed = sw__budget_needed(budget);
    return needed ? needed + slack(budget, needed) : SIZE_MAX;
}

static bool are_alike(size_t deepest, size_t other, size_t share) {
    size_t apart = deepest > other ? deepest - other : other - deepest;
    return apart <= deepest / share;
}

/* From period to period; or, where a step takes several, in what is remembered. The deepest of many
 * is much the same where sizes are drawn, too: so it is to be almost exactly the same. */
static bool repeats_itself(const struct sw__budget *budget) {
    enum { HALF = SW__PERIODS_KEPT / 2, ALIKE = 512, THE_SAME = 8192 };
    return are_alike(deepest_periods_ago(budget, 1), deepest_periods_ago(budget, 2), ALIKE) ||
           are_alike(deepest_of(budget, 1, HALF), deepest_of(budget, HALF + 1, SW__PERIODS_EARLIER),
                     THE_SAME);
}

/* Where work repeats itself, shifting pages is waste, and room is given until it ends. Where it
 * does not, some is the price of holding no more than is needed. */
static void loosen(struct sw__budget *budget) {
    if (repeats_itself(budget) && budget->looseness < LOOSEST)
        budget->looseness++;
}

/* What is purged for the budget's sake comes anew with the next block that needs it, at many times
 * the cost of a page that moves. So it should be for a spike, and not for blocks too small for their
 * pages to move that come and go in any order: these get room for as many holes as there will be
 * among them, and lose it by and by when nothing is purged any more. */
static void heed_purges(struct sw__budget *budget, size_t purged) {
    budget->room = sw__smaller(budget->room + purged / 16, sw__budget_needed(budget) / 4);
    budget->calm = purged ? 0 : budget->calm + 1;
    if (budget->calm % SW__PERIODS_KEPT == SW__PERIODS_KEPT - 1)
        budget->room -= budget->room / 8;
}

void sw__budget_fell(struct sw__budget *budget, size_t bytes) {
    budget->let_go += bytes;
}

/* By how much a count has grown since it was looked at. */
static size_t since(size_t now, size_t *before) {
    size_t more = now - *before;
    *before = now;
    return more;
}

/* Of this period, but for what went because the budget fell. */
static size_t purged_to_be_missed(struct sw__budget *budget, size_t purged_so_far) {
    size_t purged = since(purged_so_far, &budget->purged_before);
    purged -= sw__smaller(budget->let_go, purged);
    budget->let_go = 0;
    return purged;
}

/* ---- Periods --------------------------------------------------------------------------------- */

/* For a second of much less. */
static void begin_watch(struct sw__budget *budget, size_t live) {
    budget->looks = 0;
    budget->seen_live = live;
}

void sw__budget_end_period(struct sw__budget *budget, size_t live, size_t moved_so_far,
                           size_t purged_so_far) {
    remember_period(budget);
    set_deepest(budget, live);
    budget->in_period = 0;
    budget->less_for = 0;
    begin_watch(budget, live);
    size_t moved = since(moved_so_far, &budget->moved_before);
    size_t purged = purged_to_be_missed(budget, purged_so_far);
    if (moved + purged > sw__budget_needed(budget) / 64)
        loosen(budget);
    heed_purges(budget, purged);
}

bool sw__budget_work(struct sw__budget *budget, size_t taken, size_t live) {
    budget->in_period += taken;
    budget->seen_live = sw__larger(budget->seen_live, live);
    if (live > sw__budget_deepest(budget))
        set_deepest(budget, live);
    size_t deepest = sw__budget_deepest(budget);
    if (budget->in_period / LONGEST_STEP_TURNS > deepest)
        budget->steps_are_marked = false; /* any more, as when training is over */
    return !budget->steps_are_marked && budget->in_period / SW__PERIOD_TURNS > deepest;
}

bool sw__budget_look(struct sw__budget *budget, size_t live) {
    budget->seen_live = sw__larger(budget->seen_live, live);
    if (++budget->looks < LOOKS_IN_SECOND)
        return false;
    size_t needed = sw__budget_needed(budget);
    bool is_much_less = budget->seen_live < needed / MUCH_LESS;
    bool is_less = budget->seen_live < needed - needed / LESS_SHARE;
    budget->less_for = is_less ? budget->less_for + 1 : 0;
    begin_watch(budget, live);
    return (is_much_less && !budget->steps_are_marked) || budget->less_for >= LESS_FOR;
}

void sw__budget_mark(struct sw__budget *budget) {
    budget->steps_are_marked = true;
}

/* ---- What is taken back ---------------------------------------------------------------------- */

/* Another thread may have ended the period meanwhile. */
static void forget_in_earlier(struct sw__budget *budget, size_t refused, size_t live) {
    for (int i = 0; i < SW__PERIODS_EARLIER; i++)
        if (budget->earlier[i] == refused)
            budget->earlier[i] = live;
    budget->deepest_earlier = deepest_of_all(budget);
}

void sw__budget_refuse(struct sw__budget *budget, size_t expected, size_t deepest_before,
                       size_t live) {
    if (budget->seen_live == expected)
        budget->seen_live = live;
    /* Of two that are refused at once, the second may have seen the first. */
    size_t deepest = sw__smaller(sw__budget_deepest(budget), deepest_before);
    set_deepest(budget, sw__larger(deepest, live));
    forget_in_earlier(budget, expected, live);
}

void sw__budget_restart(struct sw__budget *budget, size_t live, size_t moved, size_t purged) {
    size_t deepest = sw__budget_needed(budget) ? live : 0;
    bool steps_are_marked = budget->steps_are_marked;
    memset(budget, 0, sizeof *budget);
    sw__budget_init(budget);
    budget->steps_are_marked = steps_are_marked;
    budget->moved_before = moved;
    budget->purged_before = purged;
    set_deepest(budget, deepest);
}
