/*
 * test_measures.c - every formula on numbers worked out by hand, and where there is nothing.
 */
#include "support.h"

#include <math.h>

static void assert_near(double value, double wanted) {
    if (!(fabs(value - wanted) < 1e-12))
        fail_msg("%.17g is not %.17g", value, wanted);
}

/* 600 asked for, 800 after rounding, on 1000 of pages, 1600 present of 3000 mapped. Of the 800 that
 * are free 500 are in one piece. */
static struct sw_stats worked_out(void) {
    return (struct sw_stats){
        .tracked = true,
        .requested = {600, 1200},
        .allocated = {800, 1500},
        .active = {1000, 1800},
        .resident = {1600, 1860},
        .reserved = {3000, 4000},
        .largest_free = 500,
        .allocated_at_reserved_peak = 1400,
    };
}

static void formulas_agree_with_numbers_worked_out_by_hand(void **state) {
    (void)state;
    struct sw_stats stats = worked_out();
    struct sw_measures measures;
    sw_measure(&stats, &measures);
    assert_near(measures.internal_fragmentation, 0.25);
    assert_near(measures.external_fragmentation, 0.375);
    assert_near(measures.utilisation, 0.35);
    assert_near(measures.utilisation_of_peaks, 0.375);
    assert_near(measures.overhead, 1.55);
    assert_near(measures.free_bytes, 800);
    assert_near(measures.releasable, 600);
    assert_near(measures.pinned, 200);
    assert_near(measures.retention, 1000);
}

/* A heap that nobody used: no fragmentation, nothing retained, and ratios of nothing undefined. */
static void an_unused_heap_has_no_fragmentation(void **state) {
    (void)state;
    struct sw_stats stats = {.tracked = true};
    struct sw_measures measures;
    memset(&measures, 0xff, sizeof measures);
    sw_measure(&stats, &measures);
    assert_near(measures.internal_fragmentation, 0);
    assert_near(measures.external_fragmentation, 0);
    assert_true(isnan(measures.utilisation));
    assert_true(isnan(measures.utilisation_of_peaks));
    assert_true(isnan(measures.overhead));
    assert_near(measures.free_bytes, 0);
    assert_near(measures.releasable, 0);
    assert_near(measures.pinned, 0);
    assert_near(measures.retention, 0);
}

static void all_that_is_free_in_one_piece_is_no_fragmentation(void **state) {
    (void)state;
    struct sw_stats stats = worked_out();
    struct sw_measures measures;
    stats.largest_free = 800;
    sw_measure(&stats, &measures);
    assert_near(measures.external_fragmentation, 0);
    stats.largest_free = 5000; /* a piece that is not all there counts as what is free */
    sw_measure(&stats, &measures);
    assert_near(measures.external_fragmentation, 0);
    stats.largest_free = 0;
    sw_measure(&stats, &measures);
    assert_near(measures.external_fragmentation, 1);
}

/* Live pages that nobody touched: resident is below what is live, and nothing turns negative. */
static void untouched_blocks_make_nothing_negative(void **state) {
    (void)state;
    struct sw_stats stats = {.tracked = true,
                             .requested = {4000, 4000},
                             .allocated = {4096, 4096},
                             .active = {8192, 8192},
                             .resident = {100, 100},
                             .reserved = {8192, 8192}};
    struct sw_measures measures;
    sw_measure(&stats, &measures);
    assert_near(measures.free_bytes, 0);
    assert_near(measures.releasable, 0);
    assert_near(measures.pinned, 4096);
    assert_near(measures.retention, 0);
    assert_near(measures.external_fragmentation, 0);
    assert_near(measures.overhead, 0.025);
}

/* All freed, pages kept: everything that is resident is retained, free and releasable. */
static void an_idle_heap_retains_what_is_resident(void **state) {
    (void)state;
    struct sw_stats stats = {.tracked = true,
                             .requested = {0, 1000},
                             .allocated = {0, 1024},
                             .active = {0, 4096},
                             .resident = {4096, 4096},
                             .reserved = {8192, 8192},
                             .largest_free = 4096,
                             .allocated_at_reserved_peak = 1024};
    struct sw_measures measures;
    sw_measure(&stats, &measures);
    assert_near(measures.internal_fragmentation, 0);
    assert_near(measures.external_fragmentation, 0);
    assert_near(measures.utilisation, 0.125);
    assert_near(measures.utilisation_of_peaks, 0.125);
    assert_near(measures.overhead, 4.096);
    assert_near(measures.free_bytes, 4096);
    assert_near(measures.releasable, 4096);
    assert_near(measures.pinned, 0);
    assert_near(measures.retention, 4096);
}

/* An untracked heap knows neither what was requested nor on which pages it lies: what follows from
 * them is then not defined. */
static void without_tracking_nothing_is_told_of_what_is_not_known(void **state) {
    (void)state;
    struct sw_stats stats = worked_out();
    struct sw_measures measures;
    stats.tracked = false;
    stats.requested = stats.active = (struct sw_level){0};
    sw_measure(&stats, &measures);
    assert_true(isnan(measures.overhead));
    assert_true(isnan(measures.internal_fragmentation));
    assert_true(isnan(measures.releasable));
    assert_true(isnan(measures.pinned));
    assert_true(isnan(measures.retention));
    assert_true(isnan(measures.utilisation));
    assert_true(isnan(measures.utilisation_of_peaks));
    assert_near(measures.external_fragmentation, 0.375);
    assert_near(measures.free_bytes, 800);
}

static void where_nothing_is_counted_no_share_of_it_is_told(void **state) {
    (void)state;
    struct sw_stats stats = {.resident = {4096, 4096}, .reserved = {8192, 8192}};
    struct sw_measures measures;
    sw_measure(&stats, &measures);
    assert_true(isnan(measures.external_fragmentation));
    assert_true(isnan(measures.free_bytes));
}

/* One step in five has a spike, and the first is far below the rest, as before optimizer state is
 * there: the slope is that of the others. */
static void drift_is_the_slope_that_most_steps_agree_on(void **state) {
    (void)state;
    struct sw_stats stats = {.step_end_count = 21};
    struct sw_measures measures;
    for (size_t i = 0; i < stats.step_end_count; i++)
        stats.step_ends[i] =
            (struct sw_step_end){10 + 4 * i, 50000 + 400 * i + (i % 5 == 3 ? 7777 : 0)};
    stats.step_ends[0].requested = 10;
    sw_measure(&stats, &measures);
    assert_near(measures.drift, 100);
    for (size_t i = 0; i < stats.step_end_count; i++)
        stats.step_ends[i].requested = 10000 - 3 * stats.step_ends[i].step;
    sw_measure(&stats, &measures);
    assert_near(measures.drift, -3);
}

static void two_step_ends_make_a_drift_and_one_makes_none(void **state) {
    (void)state;
    struct sw_stats stats = {.step_end_count = 1, .step_ends = {{1, 500}, {3, 600}}};
    struct sw_measures measures;
    sw_measure(&stats, &measures);
    assert_true(isnan(measures.drift));
    stats.step_end_count = 2;
    sw_measure(&stats, &measures);
    assert_near(measures.drift, 50);
    stats.step_ends[2] = (struct sw_step_end){5, 1200}; /* slopes 50, 175, 300 */
    stats.step_ends[3] = (struct sw_step_end){7, 1200}; /* and 0, 116.6.., 150: six of them */
    stats.step_end_count = 3;
    sw_measure(&stats, &measures);
    assert_near(measures.drift, 175);
    stats.step_end_count = 4;
    sw_measure(&stats, &measures);
    assert_near(measures.drift, (350.0 / 3 + 150) / 2);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formulas_agree_with_numbers_worked_out_by_hand),
        cmocka_unit_test(an_unused_heap_has_no_fragmentation),
        cmocka_unit_test(all_that_is_free_in_one_piece_is_no_fragmentation),
        cmocka_unit_test(untouched_blocks_make_nothing_negative),
        cmocka_unit_test(an_idle_heap_retains_what_is_resident),
        cmocka_unit_test(without_tracking_nothing_is_told_of_what_is_not_known),
        cmocka_unit_test(where_nothing_is_counted_no_share_of_it_is_told),
        cmocka_unit_test(drift_is_the_slope_that_most_steps_agree_on),
        cmocka_unit_test(two_step_ends_make_a_drift_and_one_makes_none),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("measures", tests, NULL, NULL);
}
