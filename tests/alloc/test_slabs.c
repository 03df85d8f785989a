/*
 * test_slabs.c - the size classes: every size has the smallest class that holds it, and the
 * rounding loses no more than slabs.h says. And the way back of what another thread frees.
 */
#include "support.h"

#include <pthread.h>

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

/* ---- Frees from other threads ---------------------------------------------------------------- */

enum { BLOCKS = 1024, BLOCK = 16 << 10, PIN = 16, ROUNDS = 60 };

struct table {
    sw_heap *heap;
    pthread_barrier_t turn;
    void *blocks[BLOCKS];
};

static void *clear_the_table(void *argument) {
    struct table *table = argument;
    for (size_t round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&table->turn);
        for (size_t i = 0; i < BLOCKS; i++)
            if (i % PIN)
                sw_free(table->heap, table->blocks[i]);
        pthread_barrier_wait(&table->turn);
    }
    return NULL;
}

/* One thread only allocates and another only frees: not one block may be lost on the way back. A
 * block that stays in each slab keeps it from being emptied, which would heal the loss. */
static void what_another_thread_frees_comes_back(void **state) {
    (void)state;
    struct table table = {.heap = sw_heap_create("sizeclass", "tracking:0")};
    pthread_t other;
    assert_non_null(table.heap);
    pthread_barrier_init(&table.turn, NULL, 2);
    assert_int_equal(pthread_create(&other, NULL, clear_the_table, &table), 0);
    size_t reserved = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            if (round > 0 && i % PIN == 0)
                continue;
            table.blocks[i] = sw_alloc(table.heap, BLOCK, SW_TAG_INPUT);
            CHECK(table.blocks[i]);
        }
        if (round == 3)
            reserved = stats_of(table.heap).reserved.peak;
        pthread_barrier_wait(&table.turn);
        pthread_barrier_wait(&table.turn);
    }
    pthread_join(other, NULL);
    pthread_barrier_destroy(&table.turn);
    assert_true(stats_of(table.heap).reserved.peak <= reserved + MIB);
    for (size_t i = 0; i < BLOCKS; i += PIN)
        sw_free(table.heap, table.blocks[i]);
    sw_trim(table.heap);
    assert_int_equal(stats_of(table.heap).allocated.current, 0);
    sw_heap_destroy(table.heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_has_the_smallest_class_that_holds_it),
        cmocka_unit_test(classes_rise_and_are_aligned),
        cmocka_unit_test(rounding_loses_a_fifth_and_then_a_ninth_at_most),
        cmocka_unit_test(what_another_thread_frees_comes_back),
    };
    return cmocka_run_group_tests_name("slabs", tests, NULL, NULL);
}
