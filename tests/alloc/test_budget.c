/*
 * test_budget.c - what recent work needed: how long it is remembered, and when the slack changes.
 */
#include "support.h"

#include "budget.h"

#define MIB ((size_t)1 << 20)

/* A period in which so much lived, and no more than `live` when it ends. */
static void pass(struct sw__budget *budget, size_t deepest, size_t live) {
    sw__budget_work(budget, deepest, deepest);
    sw__budget_end_period(budget, live, budget->moved_before, budget->purged_before);
}

static size_t slack(const struct sw__budget *budget) {
    return sw__budget_bytes(budget) - sw__budget_needed(budget);
}

static void before_there_is_work_nothing_is_known(void **state) {
    (void)state;
    struct sw__budget budget = {0};
    sw__budget_init(&budget);
    assert_int_equal(sw__budget_needed(&budget), 0);
    assert_true(sw__budget_bytes(&budget) == SIZE_MAX);
}

static void the_deepest_of_sixteen_periods_is_needed(void **state) {
    (void)state;
    struct sw__budget budget = {0};
    sw__budget_init(&budget);
    pass(&budget, 100 * MIB, MIB);
    for (int i = 0; i < SW__PERIODS_EARLIER - 1; i++)
        pass(&budget, 10 * MIB, MIB);
    assert_int_equal(sw__budget_needed(&budget), 100 * MIB);
    pass(&budget, 10 * MIB, MIB);
    assert_int_equal(sw__budget_needed(&budget), 10 * MIB);
}

static void a_period_is_so_many_turns(void **state) {
    (void)state;
    struct sw__budget budget = {0};
    sw__budget_init(&budget);
    for (int i = 0; i < SW__PERIOD_TURNS; i++)
        assert_false(sw__budget_work(&budget, 8 * MIB, 8 * MIB));
    assert_true(sw__budget_work(&budget, 8 * MIB, 8 * MIB));
}

static void a_marked_step_is_the_period_unless_it_never_ends(void **state) {
    (void)state;
    struct sw__budget budget = {0};
    int turns = 0;
    sw__budget_init(&budget);
    sw__budget_mark(&budget);
    while (turns < 1000 && !sw__budget_work(&budget, MIB, MIB))
        turns++;
    assert_in_range(turns, 200, 300);
}

static void much_less_for_a_second_ends_a_period(void **state) {
    (void)state;
    struct sw__budget budget = {0};
    sw__budget_init(&budget);
    pass(&budget, 100 * MIB, MIB);
    for (int i = 0; i < 9; i++)
        assert_false(sw__budget_look(&budget, 49 * MIB));
    assert_true(sw__budget_look(&budget, 49 * MIB));
    /* Not where half as much lived between two looks, */
    for (int i = 0; i < 30; i++) {
        assert_false(sw__budget_look(&budget, MIB));
        if (i % 10 == 4)
            sw__budget_work(&budget, MIB, 50 * MIB);
    }
    /* nor where steps are marked. */
    pass(&budget, 100 * MIB, MIB);
    sw__budget_mark(&budget);
    for (int i = 0; i < 30; i++)
        assert_false(sw__budget_look(&budget, MIB));
}

/* Marked or not: a step that takes as long as sixteen of these is to lose what it did not use. */
static void a_little_less_for_ten_seconds_ends_a_period(void **state) {
    (void)state;
    struct sw__budget budget = {0};
    sw__budget_init(&budget);
    sw__budget_mark(&budget);
    for (int period = 0; period < 2; period++) {
        pass(&budget, 100 * MIB, MIB);
        for (int i = 0; i < 99; i++)
            assert_false(sw__budget_look(&budget, 98 * MIB));
        assert_true(sw__budget_look(&budget, 98 * MIB));
    }
    /* Not where as much as ever lived in one of them. */
    pass(&budget, 100 * MIB, MIB);
    for (int i = 0; i < 300; i++) {
        assert_false(sw__budget_look(&budget, 98 * MIB));
        if (i % 95 == 40)
            sw__budget_work(&budget, 0, 99 * MIB);
    }
}

static void what_was_refused_was_not_needed(void **state) {
    (void)state;
    struct sw__budget budget = {0};
    sw__budget_init(&budget);
    pass(&budget, 10 * MIB, MIB);
    sw__budget_work(&budget, 0, 900 * MIB);
    sw__budget_refuse(&budget, 900 * MIB, MIB, 2 * MIB);
    assert_int_equal(sw__budget_deepest(&budget), 2 * MIB);
    assert_int_equal(sw__budget_needed(&budget), 10 * MIB);
    /* Another thread ended the period between. */
    sw__budget_work(&budget, 0, 900 * MIB);
    pass(&budget, MIB, MIB);
    sw__budget_refuse(&budget, 900 * MIB, MIB, MIB);
    assert_int_equal(sw__budget_needed(&budget), 10 * MIB);
}

static void what_is_purged_and_missed_gets_room_for_a_while(void **state) {
    (void)state;
    struct sw__budget budget = {0};
    sw__budget_init(&budget);
    pass(&budget, 100 * MIB, MIB);
    size_t before = slack(&budget);
    sw__budget_end_period(&budget, MIB, 0, 32 * MIB);
    assert_int_equal(budget.room, 2 * MIB);
    assert_true(slack(&budget) >= before + 2 * MIB);
    for (int i = 0; i < SW__PERIODS_KEPT; i++)
        pass(&budget, 100 * MIB, MIB);
    assert_true(budget.room < 2 * MIB && budget.room > 0);
}

static void what_goes_because_the_budget_fell_is_not_missed(void **state) {
    (void)state;
    struct sw__budget budget = {0};
    sw__budget_init(&budget);
    pass(&budget, 100 * MIB, MIB);
    sw__budget_fell(&budget, 30 * MIB);
    sw__budget_end_period(&budget, MIB, 0, 30 * MIB);
    assert_int_equal(budget.room, 0);
    sw__budget_end_period(&budget, MIB, 0, 46 * MIB);
    assert_int_equal(budget.room, MIB);
}

/* By how much more than 100 MiB lives in a period. */
static size_t no_more(int period) {
    (void)period;
    return 0;
}

static size_t more_in_every_other(int period) {
    return period % 2 ? 20 * MIB : 0;
}

static size_t more_or_less(int period) {
    return (size_t)(period * period * 37 % 101) * MIB / 5;
}

/* So many periods, in each of which a fifth of what is needed, at most, has moved. */
static void shift(struct sw__budget *budget, int periods, size_t more(int period)) {
    for (int i = 0; i < periods; i++) {
        sw__budget_work(budget, MIB, 100 * MIB + more(i));
        sw__budget_end_period(budget, MIB, budget->moved_before + 20 * MIB, 0);
    }
}

static size_t slack_after(int periods, size_t more(int period)) {
    struct sw__budget budget = {0};
    sw__budget_init(&budget);
    shift(&budget, periods, more);
    size_t bytes = slack(&budget);
    pass(&budget, sw__budget_needed(&budget), MIB); /* nothing moves any more: enough */
    assert_int_equal(slack(&budget), bytes);
    return bytes;
}

static void where_work_repeats_itself_shifting_is_spared(void **state) {
    (void)state;
    size_t ragged = slack_after(30, more_or_less);
    assert_true(slack_after(30, no_more) > 2 * ragged);
    assert_true(slack_after(30, more_in_every_other) > 2 * ragged); /* a step of two periods */
}

static void after_a_restart_nothing_of_before_is_needed(void **state) {
    (void)state;
    struct sw__budget budget = {0};
    sw__budget_init(&budget);
    shift(&budget, 20, no_more);
    sw__budget_end_period(&budget, MIB, budget.moved_before, 64 * MIB);
    size_t moved = budget.moved_before;
    sw__budget_restart(&budget, 3 * MIB, moved, 64 * MIB);
    assert_int_equal(sw__budget_needed(&budget), 3 * MIB);
    assert_true(slack(&budget) < MIB);
    sw__budget_end_period(&budget, 3 * MIB, moved, 64 * MIB);
    assert_int_equal(budget.room, 0); /* of what was purged before nothing is counted again */
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_there_is_work_nothing_is_known),
        cmocka_unit_test(the_deepest_of_sixteen_periods_is_needed),
        cmocka_unit_test(a_period_is_so_many_turns),
        cmocka_unit_test(a_marked_step_is_the_period_unless_it_never_ends),
        cmocka_unit_test(much_less_for_a_second_ends_a_period),
        cmocka_unit_test(a_little_less_for_ten_seconds_ends_a_period),
        cmocka_unit_test(what_was_refused_was_not_needed),
        cmocka_unit_test(what_is_purged_and_missed_gets_room_for_a_while),
        cmocka_unit_test(what_goes_because_the_budget_fell_is_not_missed),
        cmocka_unit_test(where_work_repeats_itself_shifting_is_spared),
        cmocka_unit_test(after_a_restart_nothing_of_before_is_needed),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
