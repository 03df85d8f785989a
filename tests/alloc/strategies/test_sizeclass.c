/*
 * test_sizeclass.c - what is sizeclass's own: the rounding of every size, slabs that go back, and
 * blocks that other threads free. What it has in common with the others is in contract.c.
 */
#include "support.h"

#include <pthread.h>

#include "slabs/slabs.h"

enum { BLOCKS = 100000, BLOCK = 64 };

static sw_heap *sizeclass(void) {
    sw_heap *heap = sw_heap_create("sizeclass", "huge_pages:never");
    assert_non_null(heap);
    return heap;
}

static void every_size_gets_its_class(void **state) {
    (void)state;
    sw_heap *heap = sizeclass();
    for (size_t size = 1; size < 4 * MIB; size += 1 + size / 40) {
        void *block = sw_alloc(heap, size, SW_TAG_OTHER);
        size_t usable = sw_usable_size(heap, block);
        size_t class = sw__round_to_class(size);
        assert_int_equal(usable, class > SW__SMALL_MAX ? (class + PAGE - 1) & ~(PAGE - 1) : class);
        assert_true(usable >= size);
        assert_true(usable <= size + (size <= SW__SMALL_MAX ? size / 4 + 16 : size / 8 + PAGE));
        sw_free(heap, block);
    }
    sw_heap_destroy(heap);
}

static void sizes_of_one_class_take_each_others_place(void **state) {
    (void)state;
    sw_heap *heap = sizeclass();
    char *behind[2];
    for (size_t size = 900000; size < 32 * MIB; size *= 2) {
        size_t other = sw__round_to_class(size) - 10;
        char *block = sw_alloc(heap, size, SW_TAG_OTHER);
        behind[0] = sw_alloc(heap, size, SW_TAG_OTHER);
        sw_free(heap, block);
        behind[1] = sw_alloc(heap, other, SW_TAG_OTHER);
        assert_ptr_equal(behind[1], block);
        sw_free(heap, behind[0]);
        sw_free(heap, behind[1]);
    }
    sw_heap_destroy(heap);
}

static void a_block_near_the_least_large_size_stays(void **state) {
    (void)state;
    sw_heap *heap = sizeclass();
    char *block = sw_alloc(heap, 40 * KIB, SW_TAG_OTHER);
    fill(block, 30 * KIB, 1);
    assert_ptr_equal(sw_realloc(heap, block, 30 * KIB), block);
    assert_in_range(sw_usable_size(heap, block), 30 * KIB, 32 * KIB);
    assert_ptr_equal(sw_realloc(heap, block, 40 * KIB), block);
    char *small = sw_realloc(heap, block, 24 * KIB);
    assert_ptr_not_equal(small, block);
    assert_true(holds(small, 24 * KIB, 1));
    sw_free(heap, small);
    sw_heap_destroy(heap);
}

static char *blocks[BLOCKS];

static void take_all(sw_heap *heap) {
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = sw_alloc(heap, BLOCK, SW_TAG_OTHER);
        assert_non_null(blocks[i]);
        blocks[i][0] = 1;
    }
}

static void *free_all(void *heap) {
    for (size_t i = 0; i < BLOCKS; i++)
        sw_free(heap, blocks[i]);
    return NULL;
}

/* Not only trim gives slabs back: what was 64 bytes each can be 200,000 each. */
static void empty_slabs_serve_other_sizes(void **state) {
    (void)state;
    sw_heap *heap = sizeclass();
    take_all(heap);
    free_all(heap);
    size_t reserved = stats_of(heap).reserved.current;
    void *large[BLOCKS * BLOCK / 2 / 200000];
    for (size_t i = 0; i < LENGTH_OF(large); i++) {
        large[i] = sw_alloc(heap, 200000, SW_TAG_OTHER);
        assert_non_null(large[i]);
    }
    assert_true(stats_of(heap).reserved.current <= reserved);
    for (size_t i = 0; i < LENGTH_OF(large); i++)
        sw_free(heap, large[i]);
    sw_trim(heap);
    assert_true(stats_of(heap).resident.current < 512 * KIB);
    sw_heap_destroy(heap);
}

static void what_other_threads_free_is_used_again(void **state) {
    (void)state;
    sw_heap *heap = sizeclass();
    take_all(heap);
    size_t reserved = stats_of(heap).reserved.peak;
    for (int round = 0; round < 10; round++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, free_all, heap), 0);
        pthread_join(thread, NULL);
        take_all(heap);
    }
    assert_true(stats_of(heap).reserved.peak <= reserved + MIB);
    free_all(heap);
    sw_heap_destroy(heap);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_gets_its_class),
        cmocka_unit_test(sizes_of_one_class_take_each_others_place),
        cmocka_unit_test(a_block_near_the_least_large_size_stays),
        cmocka_unit_test(empty_slabs_serve_other_sizes),
        cmocka_unit_test(what_other_threads_free_is_used_again),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("sizeclass", tests, NULL, NULL);
}
