/*
 * test_recommend.c - the rule that picks a strategy, rule by rule, and words that follow from it.
 */
#include <math.h>

#include "recommend.h"
#include "support.h"

static const double mib = 1 << 20;

/* A row that was measured once, or whose runs were all alike. */
static struct row make_row(const char *strategy, double step_ms, double resident_mib,
                           double retention_mib) {
    struct row row = {.strategy = strategy};
    const double values[][2] = {{MEASURE_step_ms, step_ms},
                                {MEASURE_resident_peak, resident_mib * mib},
                                {MEASURE_overhead, resident_mib / 100},
                                {MEASURE_retention_1000ms, retention_mib * mib},
                                {MEASURE_retention_after_trim, 0}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        row.spreads[(int)values[i][0]] = (struct spread){values[i][1], values[i][1], values[i][1]};
    }
    return row;
}

static void expect_taken(const struct row *rows, size_t count, const char *strategy) {
    struct recommendation recommendation;
    char start[64];
    recommend(rows, count, &recommendation);
    assert_true(recommendation.given);
    assert_string_equal(rows[recommendation.row].strategy, strategy);
    snprintf(start, sizeof start, "Take %s for this work: ", strategy);
    assert_memory_equal(recommendation.text, start, strlen(start));
}

static void expect_words(const struct row *rows, size_t count, const char *words) {
    struct recommendation recommendation;
    recommend(rows, count, &recommendation);
    if (!strstr(recommendation.text, words)) {
        print_error("no \"%s\" in: %s\n", words, recommendation.text);
    }
    assert_non_null(strstr(recommendation.text, words));
}

static void clearly_fastest_wins_whatever_it_holds(void **state) {
    (void)state;
    struct row rows[] = {make_row("system", 10, 100, 0), make_row("pool", 9, 180, 80)};
    expect_taken(rows, 2, "pool");
    expect_words(rows, 2, "by more than noise (9.00 ms), with 180 MiB resident");
    expect_words(rows, 2,
                 "If memory matters more than time: system peaks at 100 MiB (-44 %), for "
                 "a step +11 %.");
    expect_words(rows, 2, "Idle for a second it keeps 80.0 MiB above what is live, 0 B after");
}

static void runs_that_overlap_are_told_of(void **state) {
    (void)state;
    struct row rows[] = {make_row("system", 20, 100, 0), make_row("pool", 9, 180, 80),
                         make_row("auto", NAN, 180, 80)};
    expect_words(rows, 3, "by more than noise (9.00 ms)");
    rows[0].spreads[MEASURE_step_ms].min = 11;
    rows[1].spreads[MEASURE_step_ms].max = 11;
    expect_taken(rows, 3, "pool");
    expect_words(rows, 3, "its step is the fastest (9.00 ms; some runs overlap others'), with");
}

static void one_run_is_not_told_from_noise(void **state) {
    (void)state;
    struct row rows[] = {make_row("system", 10, 100, 0), make_row("pool", 9, 180, 80)};
    struct run run = {0};
    rows[1].runs = &run;
    rows[1].count = 1;
    expect_taken(rows, 2, "pool");
    expect_words(rows, 2, "is the fastest (9.00 ms; one run does not tell it from noise), with");
}

static void within_3_percent_memory_decides(void **state) {
    (void)state;
    struct row rows[] = {make_row("system", 10, 200, 0), make_row("pool", 10.29, 100, 0)};
    expect_taken(rows, 2, "pool");
    expect_words(rows, 2, "within 3 % of the fastest (system, 10.0 ms)");
    expect_words(rows, 2,
                 "of the 2 that are that fast it has the least resident memory at its "
                 "peak, 100 MiB (overhead 1.00)");
    rows[1] = make_row("pool", 10.31, 100, 0);
    expect_taken(rows, 2, "system");
}

static void overlapping_runs_are_not_proven_slower(void **state) {
    (void)state;
    struct row rows[] = {make_row("system", 10, 200, 0), make_row("pool", 10.8, 100, 0)};
    rows[1].spreads[MEASURE_step_ms].min = 9.9;
    expect_taken(rows, 2, "pool");
    expect_words(rows, 2, "not proven slower than the fastest (system, 10.0 ms)");
    rows[1].spreads[MEASURE_step_ms].median = 11.1; /* 11 % is too much for any excuse */
    expect_taken(rows, 2, "system");
}

static void equal_memory_lets_retention_decide(void **state) {
    (void)state;
    struct row rows[] = {make_row("arena", 10, 100, 50), make_row("auto", 10.1, 102.9, 1)};
    expect_taken(rows, 2, "auto");
    expect_words(rows, 2, "chosen for keeping least of it when idle: 1.00 MiB after a second");
    rows[1] = make_row("auto", 10.1, 103.1, 1); /* no longer within 3 % of the peak */
    expect_taken(rows, 2, "arena");
}

static void all_equal_the_fastest_is_taken(void **state) {
    (void)state;
    struct row rows[] = {make_row("system", 10.1, 100, 1), make_row("pool", 10, 101, 1),
                         make_row("arena", 10.2, 99, 1)};
    expect_taken(rows, 3, "pool");
    expect_words(rows, 3, "3 of 3 are as good as equal");
}

static void few_kilobytes_do_not_decide(void **state) {
    (void)state;
    struct row rows[] = {make_row("system", 10, 0.5, 0), make_row("pool", 10.1, 0.45, 0)};
    expect_taken(rows, 2, "system");
    rows[1] = make_row("pool", 10.1, 0.4, 0);
    expect_taken(rows, 2, "pool");
}

static void unknown_measures_decide_nothing(void **state) {
    (void)state;
    struct row rows[] = {make_row("system", 10, NAN, NAN), make_row("pool", 10.1, NAN, NAN)};
    expect_taken(rows, 2, "system");
    rows[0] = make_row("system", NAN, 1, 1);
    rows[1] = make_row("pool", NAN, 1, 1);
    struct recommendation recommendation;
    recommend(rows, 2, &recommendation);
    assert_false(recommendation.given);
}

static void alone_is_no_choice(void **state) {
    (void)state;
    struct row row = make_row("pool", 10, 100, 0);
    struct recommendation recommendation;
    recommend(&row, 1, &recommendation);
    assert_false(recommendation.given);
    assert_non_null(strstr(recommendation.text, "No recommendation"));
}

/* Which is no strategy left out by the user: they were tried, and failed. */
static void failures_are_no_choice(void **state) {
    (void)state;
    struct row rows[] = {make_row("pool", 10, 100, 0), make_row("auto", NAN, NAN, NAN)};
    expect_words(rows, 2, "No recommendation: one strategy alone could do the work.");
    rows[0] = make_row("pool", NAN, NAN, NAN);
    expect_words(rows, 2, "No recommendation: no strategy could do the work.");
}

static void different_work_is_not_compared(void **state) {
    (void)state;
    struct row rows[] = {make_row("system", 10, 100, 0), make_row("pool", 10, 90, 0)};
    struct run runs[2] = {{.final_loss = 0.5}, {.final_loss = 0.6}};
    struct recommendation recommendation;
    rows[0].runs = &runs[0];
    rows[1].runs = &runs[1];
    rows[0].count = rows[1].count = 1;
    recommend(rows, 2, &recommendation);
    assert_false(recommendation.given);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clearly_fastest_wins_whatever_it_holds),
        cmocka_unit_test(runs_that_overlap_are_told_of),
        cmocka_unit_test(one_run_is_not_told_from_noise),
        cmocka_unit_test(within_3_percent_memory_decides),
        cmocka_unit_test(overlapping_runs_are_not_proven_slower),
        cmocka_unit_test(equal_memory_lets_retention_decide),
        cmocka_unit_test(all_equal_the_fastest_is_taken),
        cmocka_unit_test(few_kilobytes_do_not_decide),
        cmocka_unit_test(unknown_measures_decide_nothing),
        cmocka_unit_test(alone_is_no_choice),
        cmocka_unit_test(failures_are_no_choice),
        cmocka_unit_test(different_work_is_not_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
