/*
 * test_checked.c - the layer of checked heaps, over every strategy: what blocks look like, and what
 * becomes of freed ones. That misuse is reported is tests/misuse's to show.
 */
#include "support.h"

#include <math.h>
#include <string.h>

#include "checked.h"
#include "heap.h"
#include "os.h"

static const struct subject *subject_of(void **state) {
    return *state;
}

static sw_heap *checked_heap(void **state, const char *more) {
    char conf[64];
    snprintf(conf, sizeof conf, "checked:1%s%s", more ? "," : "", more ? more : "");
    return make_heap(subject_of(state), conf);
}

static char *guard_behind(const char *block, size_t size) {
    return (char *)(((uintptr_t)block + size + PAGE - 1) & ~(PAGE - 1));
}

static void the_usable_size_is_what_was_asked_for(void **state) {
    sw_heap *heap = checked_heap(state, NULL);
    for (size_t size = 1; size < 200 * KIB; size += 1 + size / 20) {
        void *block = sw_alloc(heap, size, SW_TAG_OTHER);
        assert_int_equal(sw_usable_size(heap, block), size);
        block = sw_realloc(heap, block, size + 3);
        assert_int_equal(sw_usable_size(heap, block), size + 3);
        sw_free(heap, block);
    }
    sw_heap_destroy(heap);
}

static bool are_all_nan(const double *numbers, size_t count) {
    while (count && isnan(numbers[count - 1]))
        count--;
    return count == 0;
}

static void new_memory_is_not_a_number(void **state) {
    sw_heap *heap = checked_heap(state, NULL);
    for (size_t count = 1; count < MIB / sizeof(double); count *= 3) {
        double *block = sw_alloc(heap, count * sizeof *block, SW_TAG_ACTIVATION);
        assert_true(are_all_nan(block, count));
        double *zero = sw_alloc_zeroed(heap, count, sizeof *zero, SW_TAG_ACTIVATION);
        assert_true(is_all_zero(zero, count * sizeof *zero));
        sw_free(heap, block);
        sw_free(heap, zero);
    }
    sw_heap_destroy(heap);
}

static void an_untouched_gigabyte_is_not_resident(void **state) {
    const size_t little = (SANITIZED ? 64 : 4) * MIB; /* ThreadSanitizer shadows our tables: 32 */
    sw_heap *heap = checked_heap(state, "huge_pages:never");
    size_t before = process_resident();
    void *block = sw_alloc(heap, 1024 * MIB, SW_TAG_OTHER);
    assert_non_null(block);
    assert_true(process_resident() < before + little);
    sw_free(heap, block);
    assert_true(process_resident() < before + little);
    sw_heap_destroy(heap);
}

static void large_blocks_end_at_a_guard(void **state) {
    sw_heap *heap = checked_heap(state, NULL);
    for (size_t alignment = 16; alignment <= 2 * MIB; alignment *= 2) {
        for (size_t size = 40000; size < 3 * MIB; size = size * 5 / 3 + 1) {
            char *block = sw_alloc_aligned(heap, alignment, size, SW_TAG_OTHER);
            char *guard = guard_behind(block, size);
            assert_true(is_aligned(block, alignment));
            assert_true(guard < block + size + least_of(alignment, PAGE));
            assert_true(sw__os_is_readable(guard - 8));
            assert_false(sw__os_is_readable(guard));
            block[0] = block[size - 1] = 1;
            sw_free(heap, block);
        }
    }
    sw_heap_destroy(heap);
}

static void freed_memory_stays_out_of_use_for_a_while(void **state) {
    enum { SIZE = 1000, LATER = 500 };
    sw_heap *heap = checked_heap(state, "quarantine:1M");
    void *freed = sw_alloc(heap, SIZE, SW_TAG_OTHER);
    uintptr_t old = (uintptr_t)freed;
    sw_free(heap, freed);
    for (int i = 0; i < LATER; i++) {
        void *block = sw_alloc(heap, SIZE, SW_TAG_OTHER);
        assert_true((uintptr_t)block != old);
        sw_free(heap, block);
    }
    sw_heap_destroy(heap);
}

static void freed_large_blocks_are_closed(void **state) {
    sw_heap *heap = checked_heap(state, "quarantine:1M");
    char *block = sw_alloc(heap, 100000, SW_TAG_OTHER);
    char *page = guard_behind(block, 0);
    assert_true(sw__os_is_readable(page));
    sw_free(heap, block);
    assert_false(sw__os_is_readable(page));
    sw_heap_destroy(heap);
}

static void take_and_give_back(sw_heap *heap, size_t size, size_t volume) {
    for (size_t passed = 0; passed < volume; passed += size)
        sw_free(heap, sw_alloc(heap, size, SW_TAG_OTHER));
    sw_trim(heap); /* sizes are kept apart by some strategies */
}

/* What is freed goes on into use again, whatever its size. */
static void the_quarantine_is_bounded(void **state) {
    sw_heap *heap = checked_heap(state, "quarantine:1M");
    take_and_give_back(heap, 100, 4 * MIB);
    if (subject_of(state)->asks_os)
        assert_true(stats_of(heap).reserved.peak <= 5 * MIB); /* and would be 8 */
    take_and_give_back(heap, 40000, 64 * MIB);
    take_and_give_back(heap, 200 * KIB, 64 * MIB);
    take_and_give_back(heap, 3 * MIB, 128 * MIB); /* only their address space is in it */
    if (subject_of(state)->asks_os)
        assert_true(stats_of(heap).reserved.peak <= 40 * MIB);
    sw_heap_destroy(heap);
}

static void trim_empties_the_quarantine(void **state) {
    enum { BLOCKS = 60 };
    void *blocks[BLOCKS];
    sw_heap *heap = checked_heap(state, NULL);
    size_t before = process_resident();
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = sw_alloc(heap, 300000, SW_TAG_OTHER);
        memset(blocks[i], 1, 300000);
    }
    for (int i = 0; i < BLOCKS; i++)
        sw_free(heap, blocks[i]);
    assert_true(process_resident() > before + 10 * MIB);
    sw_trim(heap);
    assert_true(process_resident() < before + 6 * MIB);
    sw_heap_destroy(heap);
}

/* More large blocks than there are guards, and more mappings than the kernel would grant. */
static void large_blocks_without_number_work(void **state) {
    enum { BLOCKS = 10000, SIZE = 33 << 10 };
    static char *blocks[BLOCKS];
    sw_heap *heap = checked_heap(state, NULL);
    size_t count = scaled(BLOCKS);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = sw_alloc_zeroed(heap, 1, SIZE, SW_TAG_OTHER);
        assert_non_null(blocks[i]);
        blocks[i][SIZE - 1] = (char)i;
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(blocks[i][SIZE - 1], (char)i);
        sw_free(heap, blocks[i]);
    }
    sw_trim(heap); /* opens all that was closed */
    sw_free(heap, sw_alloc(heap, SIZE, SW_TAG_OTHER));
    sw_heap_destroy(heap);
}

/* Memory in the quarantine is no reason to be out of memory. */
static void the_quarantine_gives_way(void **state) {
    sw_heap *heap = checked_heap(state, "limit:40M");
    for (int i = 0; i < 20; i++) {
        void *block = sw_alloc(heap, 20 * MIB, SW_TAG_OTHER);
        assert_non_null(block);
        sw_free(heap, block);
        void *small[100];
        for (int j = 0; j < 100; j++)
            assert_non_null(small[j] = sw_alloc(heap, 200000, SW_TAG_OTHER));
        for (int j = 0; j < 100; j++)
            sw_free(heap, small[j]);
    }
    sw_heap_destroy(heap);
}

static void nor_for_realloc_to_be_refused(void **state) {
    enum { BLOCKS = 20000, SIZE = 1900 };
    static void *blocks[BLOCKS];
    const char *strategy = subject_of(state)->strategy;
    if (strcmp(strategy, "auto") != 0 && strcmp(strategy, "sizeclass") != 0)
        skip(); /* what lives in a segment is counted whole */
    sw_heap *heap = checked_heap(state, "limit:64M");
    for (int i = 0; i < BLOCKS; i++)
        assert_non_null(blocks[i] = sw_alloc(heap, SIZE, SW_TAG_OTHER));
    void *grown = sw_alloc(heap, 100, SW_TAG_OTHER);
    for (int i = 0; i < BLOCKS; i++)
        if (i % 4)
            sw_free(heap, blocks[i]);
    assert_non_null(grown = sw_realloc(heap, grown, 30 * MIB));
    sw_free(heap, grown);
    for (int i = 0; i < BLOCKS; i += 4)
        sw_free(heap, blocks[i]);
    sw_heap_destroy(heap);
}

static void asking_for_what_nobody_can_have_leaves_the_quarantine(void **state) {
    sw_heap *heap = checked_heap(state, "limit:40M");
    char *block = sw_alloc(heap, 1000, SW_TAG_OTHER);
    sw_free(heap, block);
    assert_null(sw_alloc(heap, (size_t)1 << 52, SW_TAG_OTHER));
    assert_int_equal(sw__checked_standing(heap->checked, block), SW__FREED);
    if (subject_of(state)->asks_os) { /* and heeds a limit */
        assert_null(sw_alloc(heap, 41 * MIB, SW_TAG_OTHER));
        assert_int_equal(sw__checked_standing(heap->checked, block), SW__FREED);
    }
    sw_heap_destroy(heap);
}

static const struct behaviour behaviours[] = {
    BEHAVIOUR(the_usable_size_is_what_was_asked_for),
    BEHAVIOUR(new_memory_is_not_a_number),
    BEHAVIOUR_OF(an_untouched_gigabyte_is_not_resident, is_own),
    BEHAVIOUR(large_blocks_end_at_a_guard),
    BEHAVIOUR(freed_memory_stays_out_of_use_for_a_while),
    BEHAVIOUR(freed_large_blocks_are_closed),
    BEHAVIOUR(the_quarantine_is_bounded),
    BEHAVIOUR_OF(trim_empties_the_quarantine, is_own),
    BEHAVIOUR_OF(large_blocks_without_number_work, is_own),
    BEHAVIOUR_OF(the_quarantine_gives_way, is_own),
    BEHAVIOUR_OF(nor_for_realloc_to_be_refused, is_own),
    BEHAVIOUR(asking_for_what_nobody_can_have_leaves_the_quarantine),
};

int main(int argc, char **argv) {
    return run_behaviours("checked", behaviours, LENGTH_OF(behaviours), argc, argv);
}
