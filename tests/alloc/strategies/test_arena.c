/*
 * test_arena.c - what is the arena's own: steps that leave no trace, and survivors that hold their
 * chunk and no other. What it has in common with the others is in contract.c.
 */
#include "support.h"

enum { BLOCKS = 1000, BLOCK = 10000 }; /* ten chunks of 1 MiB */

static sw_heap *arena(void) {
    sw_heap *heap = sw_heap_create("arena", "huge_pages:never");
    assert_non_null(heap);
    return heap;
}

/* A step of temporaries, all touched; keeps the one of that number. */
static void *step(sw_heap *heap, size_t kept) {
    static void *blocks[BLOCKS];
    assert_int_equal(sw_step_begin(heap), 0);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = sw_alloc(heap, BLOCK, SW_TAG_TEMPORARY);
        assert_non_null(blocks[i]);
        touch(blocks[i], BLOCK);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        if (i != kept)
            sw_free(heap, blocks[i]);
    assert_int_equal(sw_step_end(heap), 0);
    return kept < BLOCKS ? blocks[kept] : NULL;
}

static void steps_leave_no_trace(void **state) {
    (void)state;
    sw_heap *heap = arena();
    step(heap, BLOCKS);
    size_t reserved = stats_of(heap).reserved.peak;
    for (int i = 0; i < 50; i++)
        step(heap, BLOCKS);
    assert_int_equal(stats_of(heap).reserved.peak, reserved);
    sw_heap_destroy(heap);
}

static void a_survivor_holds_its_own_chunk_alone(void **state) {
    (void)state;
    sw_heap *heap = arena();
    step(heap, BLOCKS);
    size_t reserved = stats_of(heap).reserved.peak;
    void *survivors[8];
    for (size_t i = 0; i < LENGTH_OF(survivors); i++) {
        survivors[i] = step(heap, i * (BLOCKS / LENGTH_OF(survivors)) + BLOCKS / 16);
        fill(survivors[i], BLOCK, i);
    }
    for (int i = 0; i < 20; i++)
        step(heap, BLOCKS);
    struct sw_stats stats = stats_of(heap);
    assert_int_equal(stats.survivors, LENGTH_OF(survivors));
    assert_int_equal(stats.tags[SW_TAG_TEMPORARY].survivors, LENGTH_OF(survivors));
    assert_int_equal(stats.tags[SW_TAG_TEMPORARY].survivor_bytes, LENGTH_OF(survivors) * BLOCK);
    assert_true(stats.reserved.peak <= reserved + (LENGTH_OF(survivors) + 1) * MIB);
    for (size_t i = 0; i < LENGTH_OF(survivors); i++)
        assert_true(holds(survivors[i], BLOCK, i));
    sw_trim(heap);
    assert_true(stats_of(heap).resident.current <= (LENGTH_OF(survivors) + 1) * MIB);
    for (size_t i = 0; i < LENGTH_OF(survivors); i++)
        sw_free(heap, survivors[i]);
    sw_trim(heap);
    assert_true(stats_of(heap).resident.current <= MIB);
    sw_heap_destroy(heap);
}

/* Gradients and optimizer state are born among temporaries in the first step. */
static void what_lasts_does_not_pin_what_passes(void **state) {
    (void)state;
    static void *passing[BLOCKS], *lasting[BLOCKS / 10];
    sw_heap *heap = arena();
    assert_int_equal(sw_step_begin(heap), 0);
    for (size_t i = 0; i < BLOCKS; i++) {
        passing[i] = sw_alloc(heap, BLOCK, SW_TAG_ACTIVATION);
        touch(passing[i], BLOCK);
        if (i % 10 == 0) {
            lasting[i / 10] = sw_alloc(heap, BLOCK, SW_TAG_OPTIMIZER_STATE);
            touch(lasting[i / 10], BLOCK);
        }
    }
    for (size_t i = 0; i < BLOCKS; i++)
        sw_free(heap, passing[i]);
    assert_int_equal(sw_step_end(heap), 0);
    sw_trim(heap);
    assert_true(stats_of(heap).resident.current <= (size_t)BLOCKS / 10 * BLOCK + 2 * MIB);
    for (size_t i = 0; i < BLOCKS / 10; i++)
        sw_free(heap, lasting[i]);
    sw_heap_destroy(heap);
}

static void the_newest_block_grows_where_it_stands(void **state) {
    (void)state;
    sw_heap *heap = arena();
    char *block = sw_alloc(heap, 100, SW_TAG_TEMPORARY);
    for (size_t size = 200; size < 100000; size *= 2) {
        uintptr_t before = (uintptr_t)block;
        block = sw_realloc(heap, block, size);
        assert_int_equal((uintptr_t)block, before);
    }
    sw_free(heap, block);
    sw_heap_destroy(heap);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_leave_no_trace),
        cmocka_unit_test(a_survivor_holds_its_own_chunk_alone),
        cmocka_unit_test(what_lasts_does_not_pin_what_passes),
        cmocka_unit_test(the_newest_block_grows_where_it_stands),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
