/*
 * test_nearest.c - the distance between words, and the line that names the nearest.
 */
#include "nearest.h"
#include "support.h"

static const char *const strategies[] = {"system", "jemalloc", "pool", "sizeclass", "arena", NULL};

static void distance_counts_single_edits(void **state) {
    (void)state;
    assert_int_equal(edit_distance("pool", "pool"), 0);
    assert_int_equal(edit_distance("pool", "poool"), 1);
    assert_int_equal(edit_distance("pool", "pol"), 1);
    assert_int_equal(edit_distance("pool", "pork"), 2);
    assert_int_equal(edit_distance("", "arena"), 5);
    assert_int_equal(edit_distance("arena", ""), 5);
    assert_int_equal(edit_distance("", ""), 0);
    assert_int_equal(edit_distance("kitten", "sitting"), 3);
    assert_int_equal(edit_distance("flaw", "lawn"), 2);
}

static void distance_is_symmetrical(void **state) {
    (void)state;
    for (size_t i = 0; strategies[i]; i++) {
        for (size_t j = 0; strategies[j]; j++) {
            assert_int_equal(edit_distance(strategies[i], strategies[j]),
                             edit_distance(strategies[j], strategies[i]));
        }
    }
}

static void words_of_any_length_are_safe(void **state) {
    (void)state;
    char word[10000];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_true(edit_distance(word, "pool") >= 4);
    assert_true(edit_distance("pool", word) >= 4);
    assert_non_null(nearest_name(word, strategies));
}

static void nearest_is_the_one_meant(void **state) {
    (void)state;
    assert_string_equal(nearest_name("poool", strategies), "pool");
    assert_string_equal(nearest_name("jemaloc", strategies), "jemalloc");
    assert_string_equal(nearest_name("size-class", strategies), "sizeclass");
    assert_string_equal(nearest_name("aren", strategies), "arena");
    static const char *const none[] = {NULL};
    assert_null(nearest_name("pool", none));
}

static void line_names_nearest_and_lists_all(void **state) {
    (void)state;
    struct printed printed;
    printed_open(&printed);
    explain_unknown(printed.file, "strategy", "poool", strategies);
    printed_expect(&printed, "unknown strategy 'poool': did you mean 'pool'? "
                             "Valid: system, jemalloc, pool, sizeclass, arena");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distance_counts_single_edits),
        cmocka_unit_test(distance_is_symmetrical),
        cmocka_unit_test(words_of_any_length_are_safe),
        cmocka_unit_test(nearest_is_the_one_meant),
        cmocka_unit_test(line_names_nearest_and_lists_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
