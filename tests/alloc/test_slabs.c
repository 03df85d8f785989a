/*
 * test_slabs.c - the size classes: every size has the smallest class that holds it, and the
 * rounding loses no more than slabs.h says.
 */
#include "support.h"

#include "slabs.h"

static void every_size_has_the_smallest_class_that_holds_it(void **state) {
    (void)state;
    for (size_t size = 1; size <= SW__SMALL_MAX; size++) {
        unsigned class = sw__class_of(size);
        assert_true(class < SW__CLASS_COUNT);
        assert_true(sw__class_sizes[class] >= size);
        assert_true(class == 0 || sw__class_sizes[class - 1] < size);
        assert_int_equal(sw__round_to_class(size), sw__class_sizes[class]);
    }
}

static void classes_rise_and_are_aligned(void **state) {
    (void)state;
    for (size_t i = 0; i < SW__CLASS_COUNT; i++) {
        assert_int_equal(sw__class_sizes[i] % SW_MIN_ALIGNMENT, 0);
        assert_true(i == 0 || sw__class_sizes[i] > sw__class_sizes[i - 1]);
    }
    assert_int_equal(sw__class_sizes[SW__CLASS_COUNT - 1], SW__SMALL_MAX);
}

static void rounding_loses_a_fifth_and_then_a_ninth_at_most(void **state) {
    (void)state;
    for (size_t size = 129; size <= 64 * MIB; size += 1 + size / 1000) {
        size_t rounded = sw__round_to_class(size);
        size_t lost = rounded - size;
        assert_true(rounded >= size);
        assert_true(size <= 1024 ? lost * 5 <= rounded : lost * 9 <= rounded);
        assert_int_equal(sw__round_to_class(rounded), rounded);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_has_the_smallest_class_that_holds_it),
        cmocka_unit_test(classes_rise_and_are_aligned),
        cmocka_unit_test(rounding_loses_a_fifth_and_then_a_ninth_at_most),
    };
    return cmocka_run_group_tests_name("slabs", tests, NULL, NULL);
}
