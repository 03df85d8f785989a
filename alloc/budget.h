/*
 * budget.h - how much memory recent work needed: what the strategy auto keeps of it.
 *
 * Time is counted in work, not by a clock.
 *
 * Glossary
 *   period   a step where steps are marked, and otherwise as many bytes of large blocks as
 *            SW__PERIOD_TURNS times the most that has lived at once in it: long enough to hold a step
 *   deepest  the most that lived at once in a period
 *   needed   the deepest of this period and of those before it that are remembered
 *   slack    what may stay free beside that: a little for rounding, more where pages keep shifting,
 *            and room for the holes among blocks whose pages cannot move
 *
 * So a spike is forgotten after some periods, and steady work neither faults nor calls the system.
 * Where work goes on that is much smaller and no steps are marked, a period is over after a second as
 * well, and after ten where it is smaller at all: else the turnover of a spike might take hours.
 *
 * All but sw__budget_deepest() is called under the lock of whoever has it.
 */
#ifndef SW_BUDGET_H
#define SW_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    SW__PERIODS_KEPT = 16,
    SW__PERIODS_EARLIER = SW__PERIODS_KEPT - 1,
    SW__PERIOD_TURNS = 4,
};

struct sw__budget {
    _Atomic(size_t) deepest;             /* of this period */
    size_t earlier[SW__PERIODS_EARLIER]; /* of those before, as a ring */
    unsigned oldest;                     /* of them */
    size_t deepest_earlier;              /* of them */
    size_t in_period;                    /* bytes of large blocks that were taken in this period */
    bool steps_are_marked;
    size_t seen_live;     /* the most that was seen to live since `looks` was 0 */
    int looks;            /* see sw__budget_look() */
    int less_for;         /* so many seconds less has lived than is needed */
    unsigned looseness;   /* of the slack */
    size_t room;          /* in the slack, for the sake of what was purged */
    unsigned calm;        /* periods since anything was purged to be missed */
    size_t moved_before;  /* and */
    size_t purged_before; /* as this period began */
    size_t let_go;        /* by so much the budget has fallen in this period */
};

void sw__budget_init(struct sw__budget *budget);

static inline size_t sw__budget_deepest(const struct sw__budget *budget) {
    return atomic_load_explicit(&budget->deepest, memory_order_relaxed);
}

size_t sw__budget_needed(const struct sw__budget *budget);
/* What was needed, and the slack; SIZE_MAX while nothing is known. */
size_t sw__budget_bytes(const struct sw__budget *budget);

/* So many bytes of large blocks were taken since the last call, and so much lives with what is
 * coming. True when the period is over. */
bool sw__budget_work(struct sw__budget *budget, size_t taken, size_t live);
/* Called each tenth of a second. True when the period is over, for less has lived of late. */
bool sw__budget_look(struct sw__budget *budget, size_t live);
/* So much lives, and so many bytes have moved, and been purged, since the beginning of the world. */
void sw__budget_end_period(struct sw__budget *budget, size_t live, size_t moved, size_t purged);
/* The program marks the ends of its steps. */
void sw__budget_mark(struct sw__budget *budget);

/* What is held is to be less by so much: what is purged for that is not missed. */
void sw__budget_fell(struct sw__budget *budget, size_t bytes);
/* A block was refused: `expected` would have lived with it, and `deepest` was the period's before it
 * was asked for. */
void sw__budget_refuse(struct sw__budget *budget, size_t expected, size_t deepest, size_t live);
/* Of what was, nothing is known any more. */
void sw__budget_restart(struct sw__budget *budget, size_t live, size_t moved, size_t purged);

#endif
