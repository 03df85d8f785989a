/*
 * test_measures.c - medians and spreads, who is best, and whether trainings agree.
 */
#include <math.h>

#include "measures.h"
#include "support.h"

static struct spread spread3(double a, double b, double c) {
    double values[] = {a, b, c};
    return spread_of(values, 3);
}

static void median_is_the_middle(void **state) {
    (void)state;
    struct spread spread = spread3(3, 1, 2);
    assert_true(spread.median == 2 && spread.min == 1 && spread.max == 3);
    double two[] = {4, 1};
    assert_true(spread_of(two, 2).median == 2.5);
    double one[] = {7};
    spread = spread_of(one, 1);
    assert_true(spread.median == 7 && spread.min == 7 && spread.max == 7);
}

static void unknown_values_are_left_out(void **state) {
    (void)state;
    struct spread spread = spread3(NAN, 5, 3);
    assert_true(spread.median == 4 && spread.min == 3 && spread.max == 5);
    spread = spread3(NAN, NAN, NAN);
    assert_true(isnan(spread.median) && isnan(spread.min) && isnan(spread.max));
}

static void rows_are_summarised_measure_by_measure(void **state) {
    (void)state;
    struct run runs[3] = {0};
    struct row row = {.strategy = "pool", .runs = runs, .count = 3};
    for (int i = 0; i < 3; i++) {
        runs[i].values[MEASURE_step_ms] = 10 - i;
        runs[i].values[MEASURE_survivors] = i;
    }
    summarise_row(&row);
    assert_true(row.spreads[MEASURE_step_ms].median == 9);
    assert_true(row.spreads[MEASURE_step_ms].min == 8);
    assert_true(row.spreads[MEASURE_step_ms].max == 10);
    assert_true(row.spreads[MEASURE_survivors].median == 1);
}

/* Three rows whose medians of one measure are given. */
static void set_medians(struct row *rows, enum measure measure, double a, double b, double c) {
    memset(rows, 0, 3 * sizeof *rows);
    rows[0].spreads[measure].median = a;
    rows[1].spreads[measure].median = b;
    rows[2].spreads[measure].median = c;
}

static void best_is_lowest_or_highest(void **state) {
    (void)state;
    struct row rows[3];
    set_medians(rows, MEASURE_step_ms, 2, 1, 3);
    assert_false(is_best(MEASURE_step_ms, rows, 3, 0));
    assert_true(is_best(MEASURE_step_ms, rows, 3, 1));
    assert_false(is_best(MEASURE_step_ms, rows, 3, 2));
    set_medians(rows, MEASURE_utilisation, 0.2, 0.1, 0.9);
    assert_false(is_best(MEASURE_utilisation, rows, 3, 1));
    assert_true(is_best(MEASURE_utilisation, rows, 3, 2));
}

static void ties_share_the_mark_and_equals_have_none(void **state) {
    (void)state;
    struct row rows[3];
    set_medians(rows, MEASURE_step_ms, 1, 1.001, 3); /* printed alike */
    assert_true(is_best(MEASURE_step_ms, rows, 3, 0));
    assert_true(is_best(MEASURE_step_ms, rows, 3, 1));
    assert_false(is_best(MEASURE_step_ms, rows, 3, 2));
    set_medians(rows, MEASURE_step_ms, 1, 1, 1);
    for (size_t row = 0; row < 3; row++) {
        assert_false(is_best(MEASURE_step_ms, rows, 3, row));
    }
}

static void unknown_is_never_best(void **state) {
    (void)state;
    struct row rows[3];
    set_medians(rows, MEASURE_step_ms, NAN, 2, 3);
    assert_false(is_best(MEASURE_step_ms, rows, 3, 0));
    assert_true(is_best(MEASURE_step_ms, rows, 3, 1));
}

static void agreement_is_to_the_last_bit(void **state) {
    (void)state;
    struct run a[2] = {{.final_loss = 0.1, .weights_hash = 7},
                       {.final_loss = 0.1, .weights_hash = 7}};
    struct run b[1] = {{.final_loss = 0.1, .weights_hash = 7}};
    struct row rows[2] = {{.runs = a, .count = 2}, {.runs = b, .count = 1}};
    assert_true(losses_agree(rows, 2));
    assert_true(weights_agree(rows, 2));
    b[0].final_loss = nextafter(0.1, 1);
    assert_false(losses_agree(rows, 2));
    assert_true(weights_agree(rows, 2));
    b[0] = a[0];
    a[1].weights_hash = 8; /* a strategy that disagrees with itself */
    assert_true(losses_agree(rows, 2));
    assert_false(weights_agree(rows, 2));
    assert_false(weights_agree(rows, 1));
}

static void keys_are_the_words_of_the_design(void **state) {
    (void)state;
    assert_string_equal(measure_infos[MEASURE_step_ms].key, "step_ms");
    assert_string_equal(measure_infos[MEASURE_retention_1000ms].key, "retention_1000ms");
    for (int i = 0; i < MEASURE_COUNT; i++) {
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(measure_infos[i].key, measure_infos[j].key);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(median_is_the_middle),
        cmocka_unit_test(unknown_values_are_left_out),
        cmocka_unit_test(rows_are_summarised_measure_by_measure),
        cmocka_unit_test(best_is_lowest_or_highest),
        cmocka_unit_test(ties_share_the_mark_and_equals_have_none),
        cmocka_unit_test(unknown_is_never_best),
        cmocka_unit_test(agreement_is_to_the_last_bit),
        cmocka_unit_test(keys_are_the_words_of_the_design),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
