/*
 * test_baselines.c - system is libc, and jemalloc is jemalloc and keeps out of libc's way: the two
 * that the others are held against, in one process.
 */
#include "support.h"

#include <malloc.h>

static sw_heap *make(const char *strategy) {
    sw_heap *heap = sw_heap_create(strategy, "tracking:0");
#ifndef HAVE_JEMALLOC
    if (!heap && strcmp(strategy, "jemalloc") == 0)
        skip();
#endif
    assert_non_null(heap);
    return heap;
}

/* What libc has handed out, by its own count. */
static size_t of_libc(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void blocks_of_system_are_libcs(void **state) {
    (void)state;
    if (SANITIZED)
        skip(); /* its malloc does not count itself */
    sw_heap *heap = make("system");
    for (size_t size = 5000; size < 10 * MIB; size *= 3) {
        size_t before = of_libc();
        void *block = sw_alloc(heap, size, SW_TAG_OTHER);
        assert_true(of_libc() - before >= size);
        assert_int_equal(malloc_usable_size(block), sw_usable_size(heap, block));
        free(block); /* libc's own */
        assert_int_equal(of_libc(), before);
    }
    sw_heap_destroy(heap);
}

static void jemalloc_leaves_libcs_malloc_alone(void **state) {
    (void)state;
    sw_heap *heap = make("jemalloc");
    if (SANITIZED)
        skip();
    char *warm = sw_alloc(heap, 5000, SW_TAG_OTHER);
    size_t before = of_libc();
    char *block = sw_alloc(heap, 8 * MIB, SW_TAG_OTHER);
    touch(block, 8 * MIB);
    assert_true(of_libc() < before + 64 * KIB);
    char *plain = malloc(unseen(2 * MIB));
    touch(plain, 2 * MIB);
    assert_true(of_libc() >= before + 2 * MIB);
    free(plain);
    sw_free(heap, block);
    sw_free(heap, warm);
    sw_heap_destroy(heap);
}

/* jemalloc's own count is by arena: what one heap takes and what ends with it is not the other's.
 */
static void a_jemalloc_heap_is_an_arena_of_its_own(void **state) {
    (void)state;
    sw_heap *one = make("jemalloc"), *other = make("jemalloc");
    char *block = sw_alloc(one, 4 * MIB, SW_TAG_OTHER);
    fill(block, 4 * MIB, 1);
    assert_true(stats_of(one).allocated.current >= 4 * MIB);
    assert_true(stats_of(other).allocated.current < MIB);
    assert_true(stats_of(other).resident.current < 4 * MIB); /* a huge page, if the kernel likes */
    assert_non_null(sw_alloc(other, 8 * MIB, SW_TAG_OTHER)); /* ends with its heap */
    size_t before = stats_of(one).allocated.current;
    sw_heap_destroy(other);
    assert_int_equal(stats_of(one).allocated.current, before);
    assert_true(holds(block, 4 * MIB, 1));
    sw_free(one, block);
    sw_heap_destroy(one);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_system_are_libcs),
        cmocka_unit_test(jemalloc_leaves_libcs_malloc_alone),
        cmocka_unit_test(a_jemalloc_heap_is_an_arena_of_its_own),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("baselines", tests, NULL, NULL);
}
