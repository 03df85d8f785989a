/*
 * test_pool.c - what is the pool's own: where it places blocks, of both its sides (small ones in
 * segments, large ones as extents). What it has in common with the others is in contract.c.
 */
#include "support.h"

/* A small block's size, a large one's. No multiple is one of huge pages, which are placed on such.
 */
static const size_t units[] = {320, 1000 * KIB};

static sw_heap *pool(void) {
    sw_heap *heap = sw_heap_create("pool", "huge_pages:never");
    assert_non_null(heap);
    return heap;
}

static char *take(sw_heap *heap, size_t size) {
    char *block = sw_alloc(heap, size, SW_TAG_OTHER);
    assert_non_null(block);
    touch(block, size);
    return block;
}

static void the_smallest_hole_that_fits_is_taken(void **state) {
    (void)state;
    enum { HOLES = 5 };
    static const size_t times[HOLES] = {5, 3, 2, 4, 6}; /* as large as the unit */
    for (size_t u = 0; u < LENGTH_OF(units); u++) {
        sw_heap *heap = pool();
        char *holes[HOLES], *between[HOLES];
        for (size_t i = 0; i < HOLES; i++) {
            holes[i] = take(heap, times[i] * units[u]);
            between[i] = take(heap, units[u]);
        }
        for (size_t i = 0; i < HOLES; i++)
            sw_free(heap, holes[i]);
        for (size_t wanted = 2; wanted <= 6; wanted++)
            for (size_t i = 0; i < HOLES; i++)
                if (times[i] == wanted)
                    assert_ptr_equal(take(heap, wanted * units[u]), holes[i]);
        for (size_t i = 0; i < HOLES; i++) {
            sw_free(heap, between[i]);
            sw_free(heap, holes[i]);
        }
        sw_heap_destroy(heap);
    }
}

static void what_is_left_of_a_hole_is_free(void **state) {
    (void)state;
    for (size_t u = 0; u < LENGTH_OF(units); u++) {
        sw_heap *heap = pool();
        char *hole = take(heap, 6 * units[u]);
        char *behind = take(heap, units[u]);
        sw_free(heap, hole);
        for (size_t i = 0; i < 4; i++) {
            char *part = take(heap, units[u]);
            assert_true(part >= hole && part + units[u] <= hole + 6 * units[u]);
        }
        assert_true(behind > hole);
        sw_heap_destroy(heap);
    }
}

/* In whatever order three neighbours are freed. */
static void neighbours_are_joined_at_once(void **state) {
    (void)state;
    static const size_t orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                       {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (size_t u = 0; u < LENGTH_OF(units); u++) {
        sw_heap *heap = pool();
        for (size_t order = 0; order < LENGTH_OF(orders); order++) {
            char *blocks[3];
            for (size_t i = 0; i < 3; i++)
                blocks[i] = take(heap, units[u]);
            char *behind = take(heap, units[u]);
            for (size_t i = 0; i < 3; i++)
                sw_free(heap, blocks[orders[order][i]]);
            char *joined = take(heap, 3 * units[u]);
            assert_ptr_equal(joined, blocks[0]);
            sw_free(heap, behind);
            sw_free(heap, joined);
        }
        sw_heap_destroy(heap);
    }
}

/* Step after step a tensor is where it was: warm in the caches, and there. */
static void equal_steps_get_equal_addresses(void **state) {
    (void)state;
    static const size_t sizes[] = {3 * MIB, 100, 70000, 12345, MIB, 2000, 40 * KIB, 640};
    char *first[LENGTH_OF(sizes)] = {0};
    sw_heap *heap = pool();
    char *parameter = take(heap, 500000);
    for (int step = 0; step < 10; step++) {
        char *blocks[LENGTH_OF(sizes)];
        for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
            blocks[i] = take(heap, sizes[i]);
            first[i] = step == 0 ? blocks[i] : first[i];
            assert_ptr_equal(blocks[i], first[i]);
        }
        for (size_t i = LENGTH_OF(sizes); i-- > 0;)
            sw_free(heap, blocks[i]);
    }
    sw_free(heap, parameter);
    sw_heap_destroy(heap);
}

static void trim_returns_what_it_released(void **state) {
    (void)state;
    sw_heap *heap = pool();
    char *kept = take(heap, MIB);
    char *large = take(heap, 8 * MIB);
    char *behind = take(heap, MIB);
    char *small[100];
    for (size_t i = 0; i < LENGTH_OF(small); i++)
        small[i] = take(heap, 20000);
    sw_free(heap, large);
    for (size_t i = 1; i < LENGTH_OF(small); i++)
        sw_free(heap, small[i]);
    size_t before = stats_of(heap).resident.current;
    size_t released = sw_trim(heap);
    size_t after = stats_of(heap).resident.current;
    assert_true(released >= 9 * MIB);
    assert_int_equal(released, before - after);
    assert_int_equal(sw_trim(heap), 0);
    sw_free(heap, kept);
    sw_free(heap, behind);
    sw_free(heap, small[0]);
    sw_heap_destroy(heap);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_hole_that_fits_is_taken),
        cmocka_unit_test(what_is_left_of_a_hole_is_free),
        cmocka_unit_test(neighbours_are_joined_at_once),
        cmocka_unit_test(equal_steps_get_equal_addresses),
        cmocka_unit_test(trim_returns_what_it_released),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
