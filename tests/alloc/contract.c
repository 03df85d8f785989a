/*
 * contract.c - what stepwell.h promises, checked over every strategy of the list, with tracking and
 * without. A new strategy is tested the moment its line exists.
 *
 * Order of the file: sizes and alignment, contents, realloc, what is counted, steps, trim, several
 * heaps, errors, limits, threads. An argument is a pattern of tests to run: '*realloc*pool*'.
 */
#include "support.h"

#include <pthread.h>

static const struct subject *subject_of(void **state) {
    return *state;
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

static void check_block(sw_heap *heap, const void *block, size_t size) {
    assert_non_null(block);
    assert_true(is_aligned(block, SW_MIN_ALIGNMENT));
    size_t usable = sw_usable_size(heap, block);
    assert_true(usable >= size && usable >= 1);
}

static void every_small_size_works(void **state) {
    enum { SIZES = 4097 };
    static void *blocks[SIZES];
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (size_t round = 0; round < 2; round++) {
        for (size_t size = 0; size < SIZES; size++) {
            blocks[size] = sw_alloc(heap, size, SW_TAG_OTHER);
            check_block(heap, blocks[size], size);
            fill(blocks[size], sw_usable_size(heap, blocks[size]), size + round);
        }
        for (size_t size = 0; size < SIZES; size++)
            assert_true(holds(blocks[size], sw_usable_size(heap, blocks[size]), size + round));
        for (size_t size = 0; size < SIZES; size++)
            sw_free(heap, blocks[size]);
    }
    sw_heap_destroy(heap);
}

/* The whole of a small block, both ends of a large one. */
static size_t length_of_end(size_t usable) {
    return usable < 256 * KIB ? usable : 64 * KIB;
}

static void fill_ends(void *block, size_t usable, uint64_t seed) {
    size_t end = length_of_end(usable);
    fill(block, end, seed);
    fill((char *)block + usable - end, end, seed);
}

static bool ends_hold(const void *block, size_t usable, uint64_t seed) {
    size_t end = length_of_end(usable);
    return holds(block, end, seed) && holds((const char *)block + usable - end, end, seed);
}

static void powers_of_two_and_their_neighbours_work(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (size_t power = 1; power <= 256 * MIB; power *= 2) {
        void *blocks[3];
        for (size_t i = 0; i < 3; i++) {
            size_t size = power - 1 + i;
            blocks[i] = sw_alloc(heap, size, SW_TAG_OTHER);
            check_block(heap, blocks[i], size);
            fill_ends(blocks[i], sw_usable_size(heap, blocks[i]), power + i);
        }
        for (size_t i = 0; i < 3; i++) {
            assert_true(ends_hold(blocks[i], sw_usable_size(heap, blocks[i]), power + i));
            sw_free(heap, blocks[i]);
        }
    }
    sw_heap_destroy(heap);
}

static void impossible_sizes_are_out_of_memory(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    const size_t sizes[] = {PTRDIFF_MAX - 4096, PTRDIFF_MAX,   (size_t)PTRDIFF_MAX + 1,
                            SIZE_MAX - 4096,    SIZE_MAX - 15, SIZE_MAX};
    char *block = sw_alloc(heap, 100, SW_TAG_OTHER);
    fill(block, 100, 1);
    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        errno = 0;
        assert_null(sw_alloc(heap, unseen(sizes[i]), SW_TAG_OTHER));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(sw_alloc_zeroed(heap, 1, unseen(sizes[i]), SW_TAG_OTHER));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(sw_alloc_aligned(heap, 4096, unseen(sizes[i]), SW_TAG_OTHER));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(sw_realloc(heap, block, unseen(sizes[i])));
        assert_int_equal(errno, ENOMEM);
        assert_true(holds(block, 100, 1));
        assert_string_not_equal(sw_error(), "");
    }
    sw_free(heap, block);
    sw_heap_destroy(heap);
}

static void a_count_times_size_that_overflows_is_out_of_memory(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    const size_t pairs[][2] = {{SIZE_MAX, 2},
                               {SIZE_MAX / 2, 3},
                               {(size_t)1 << 32, (size_t)1 << 32},
                               {((size_t)1 << 32) + 1, (size_t)1 << 32},
                               {PTRDIFF_MAX, 2}};
    for (size_t i = 0; i < LENGTH_OF(pairs); i++) {
        errno = 0;
        assert_null(sw_alloc_zeroed(heap, unseen(pairs[i][0]), unseen(pairs[i][1]), SW_TAG_INPUT));
        assert_int_equal(errno, ENOMEM);
    }
    void *none = sw_alloc_zeroed(heap, 0, 10, SW_TAG_INPUT);
    check_block(heap, none, 0);
    sw_free(heap, none);
    sw_heap_destroy(heap);
}

/* ---- Alignment ------------------------------------------------------------------------------- */

static void every_alignment_is_kept(void **state) {
    static const size_t sizes[] = {1,    8,        16,       100,       1000,      4095,   4096,
                                   4097, 20 * KIB, 33 * KIB, 128 * KIB, 300 * KIB, 2 * MIB};
    enum { ALIGNMENTS = 22 };
    void *blocks[ALIGNMENTS][LENGTH_OF(sizes)];
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (size_t round = 0; round < 2; round++) {
        for (size_t a = 0; a < ALIGNMENTS; a++) {
            for (size_t s = 0; s < LENGTH_OF(sizes); s++) {
                size_t alignment = (size_t)1 << a;
                blocks[a][s] = sw_alloc_aligned(heap, alignment, sizes[s], SW_TAG_INPUT);
                check_block(heap, blocks[a][s], sizes[s]);
                assert_true(is_aligned(blocks[a][s], alignment));
                fill_ends(blocks[a][s], sw_usable_size(heap, blocks[a][s]), a * 100 + s);
            }
        }
        for (size_t a = 0; a < ALIGNMENTS; a++) {
            for (size_t s = 0; s < LENGTH_OF(sizes); s++) {
                size_t usable = sw_usable_size(heap, blocks[a][s]);
                assert_true(ends_hold(blocks[a][s], usable, a * 100 + s));
                sw_free(heap, blocks[a][s]);
            }
        }
    }
    sw_heap_destroy(heap);
}

static void an_impossible_alignment_is_refused(void **state) {
    static const size_t alignments[] = {0, 3, 17, 24, 48, 4095, SIZE_MAX, ((size_t)1 << 63) + 1};
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (size_t i = 0; i < LENGTH_OF(alignments); i++) {
        errno = 0;
        assert_null(sw_alloc_aligned(heap, alignments[i], 64, SW_TAG_OTHER));
        assert_int_equal(errno, EINVAL);
        assert_non_null(strstr(sw_error(), "alignment"));
    }
    errno = 0;
    assert_null(sw_alloc_aligned(heap, (size_t)1 << 63, 64, SW_TAG_OTHER));
    assert_int_equal(errno, ENOMEM);
    sw_heap_destroy(heap);
}

static void a_value_that_is_no_tag_is_refused(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    errno = 0;
    assert_null(sw_alloc(heap, 64, (enum sw_tag)SW_TAG_COUNT));
    assert_int_equal(errno, EINVAL);
    assert_null(sw_tag_name((enum sw_tag)SW_TAG_COUNT));
    assert_string_equal(sw_tag_name(SW_TAG_OPTIMIZER_STATE), "optimizer_state");
    sw_heap_destroy(heap);
}

/* ---- Zeroed memory --------------------------------------------------------------------------- */

static const size_t zeroed_sizes[] = {1,         15,       64,       200,      1000,
                                      4096,      10 * KIB, 32 * KIB, 40 * KIB, 128 * KIB,
                                      200 * KIB, MIB,      5 * MIB,  12 * MIB};

enum { DIRTY_BLOCKS = 8 };

/* Leaves the heap with free memory of about that size that is full of ones. */
static void dirty(sw_heap *heap, size_t size) {
    void *blocks[DIRTY_BLOCKS];
    for (size_t i = 0; i < DIRTY_BLOCKS; i++) {
        blocks[i] = sw_alloc(heap, size, SW_TAG_TEMPORARY);
        assert_non_null(blocks[i]);
        memset(blocks[i], 0xff, sw_usable_size(heap, blocks[i]));
    }
    for (size_t i = 0; i < DIRTY_BLOCKS; i++)
        sw_free(heap, blocks[i]);
}

static void check_zeroed(sw_heap *heap, size_t size) {
    void *blocks[DIRTY_BLOCKS];
    for (size_t i = 0; i < DIRTY_BLOCKS; i++) {
        blocks[i] = sw_alloc_zeroed(heap, i % 2 ? size : 1, i % 2 ? 1 : size, SW_TAG_TEMPORARY);
        check_block(heap, blocks[i], size);
        assert_true(is_all_zero(blocks[i], size));
        memset(blocks[i], 0xff, sw_usable_size(heap, blocks[i]));
    }
    for (size_t i = 0; i < DIRTY_BLOCKS; i++)
        sw_free(heap, blocks[i]);
}

static void zeroed_blocks_are_zero_on_dirty_memory(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    size_t sizes = LENGTH_OF(zeroed_sizes) - (SANITIZED ? 2 : 0); /* the largest take it long */
    for (size_t i = 0; i < sizes; i++) {
        check_zeroed(heap, zeroed_sizes[i]);
        dirty(heap, zeroed_sizes[i]);
        check_zeroed(heap, zeroed_sizes[i]);
        check_zeroed(heap, zeroed_sizes[i] + zeroed_sizes[i] / 3); /* straddles what is free */
    }
    for (size_t i = 0; i < sizes; i++) {
        dirty(heap, zeroed_sizes[i]);
        sw_trim(heap);
        check_zeroed(heap, zeroed_sizes[i]);
    }
    sw_heap_destroy(heap);
}

/* ---- Realloc --------------------------------------------------------------------------------- */

static void realloc_keeps_contents(void **state) {
    static const size_t sizes[] = {1,        100, 24,        4000,      4100,     30 * KIB,
                                   33 * KIB, MIB, 3 * MIB,   200 * KIB, 40 * KIB, 36 * KIB,
                                   31 * KIB, 500, 130 * KIB, 16,        8 * MIB,  7};
    sw_heap *heap = make_heap(subject_of(state), NULL);
    /* Neighbours above and below, so that growing in place is now possible and now not. */
    for (int crowded = 0; crowded < 2; crowded++) {
        void *neighbours[LENGTH_OF(sizes)];
        size_t size = 1;
        char *block = sw_realloc(heap, NULL, size);
        fill(block, size, 7);
        for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
            neighbours[i] = crowded ? sw_alloc(heap, sizes[i], SW_TAG_OTHER) : NULL;
            if (neighbours[i])
                fill(neighbours[i], sizes[i], i);
            size_t kept = size < sizes[i] ? size : sizes[i];
            block = sw_realloc(heap, block, sizes[i]);
            check_block(heap, block, sizes[i]);
            assert_true(holds(block, kept, 7));
            size = sizes[i];
            fill(block, sw_usable_size(heap, block), 7);
        }
        for (size_t i = 0; crowded && i < LENGTH_OF(sizes); i++) {
            assert_true(holds(neighbours[i], sizes[i], i));
            sw_free(heap, neighbours[i]);
        }
        sw_free(heap, block);
    }
    sw_heap_destroy(heap);
}

/* From pages of their own to pages that they share, and no block is added meanwhile. */
static void many_blocks_can_be_made_small(void **state) {
    enum { BLOCKS = 1500 };
    static char *blocks[BLOCKS];
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = sw_alloc(heap, 64 * KIB, SW_TAG_OTHER);
        fill(blocks[i], 3000, i);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = sw_realloc(heap, blocks[i], 3000);
        assert_non_null(blocks[i]);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        assert_true(holds(blocks[i], 3000, i));
        sw_free(heap, blocks[i]);
    }
    sw_heap_destroy(heap);
}

static void realloc_by_small_amounts_keeps_contents(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    char *block = NULL;
    for (size_t size = 1; size < 300 * KIB; size += 1 + size / 16) {
        block = sw_realloc(heap, block, size);
        check_block(heap, block, size);
        if (size > 1)
            assert_true(holds(block, (size - 1) * 16 / 17, 3));
        fill(block, size, 3);
    }
    for (size_t size = 300 * KIB; size > 1; size -= 1 + size / 16) {
        block = sw_realloc(heap, block, size);
        check_block(heap, block, size);
        assert_true(holds(block, size < 280 * KIB ? size : 280 * KIB, 3));
    }
    sw_free(heap, block);
    sw_heap_destroy(heap);
}

/* Each in the way of the others, as the columns of a table that is read row by row. */
static void blocks_that_grow_in_turn_keep_contents(void **state) {
    enum { COLUMNS = 3 };
    sw_heap *heap = make_heap(subject_of(state), NULL);
    char *blocks[COLUMNS] = {NULL};
    size_t old = 0;
    for (size_t size = 3000; size < 5 * MIB; old = size, size += size / 3)
        for (size_t i = 0; i < COLUMNS; i++) {
            blocks[i] = sw_realloc(heap, blocks[i], size);
            check_block(heap, blocks[i], size);
            assert_true(holds(blocks[i], old, i));
            fill(blocks[i], size, i);
        }
    for (size_t i = 0; i < COLUMNS; i++) {
        assert_true(holds(blocks[i], old, i));
        sw_free(heap, blocks[i]);
    }
    sw_heap_destroy(heap);
}

static void realloc_to_nothing_is_a_block_of_one_byte(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    char *block = sw_alloc(heap, 1000, SW_TAG_INPUT);
    block[0] = 'x';
    block = sw_realloc(heap, block, unseen(0));
    check_block(heap, block, 1);
    assert_int_equal(block[0], 'x');
    if (subject_of(state)->tracked) {
        assert_int_equal(stats_of(heap).blocks.current, 1);
        assert_int_equal(stats_of(heap).requested.current, 1);
    }
    sw_free(heap, block);
    sw_heap_destroy(heap);
}

static void realloc_of_an_aligned_block_keeps_contents(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (size_t alignment = 32; alignment <= 2 * MIB; alignment *= 4) {
        char *block = sw_alloc_aligned(heap, alignment, 900, SW_TAG_INPUT);
        assert_non_null(block);
        fill(block, 900, alignment);
        block = sw_realloc(heap, block, 90 * KIB);
        check_block(heap, block, 90 * KIB);
        assert_true(holds(block, 900, alignment));
        block = sw_realloc(heap, block, 500);
        check_block(heap, block, 500);
        assert_true(holds(block, 500, alignment));
        sw_free(heap, block);
    }
    sw_heap_destroy(heap);
}

/* ---- What is counted ------------------------------------------------------------------------- */

/* A few hundred blocks of all kinds, and what their counts must be. */
struct crowd {
    enum { CROWD = 300 } count;
    void *blocks[CROWD];
    size_t sizes[CROWD];
    enum sw_tag tags[CROWD];
};

static size_t crowd_size(uint64_t *random) {
    switch (below(random, 4)) {
    case 0:
        return 1 + below(random, 128);
    case 1:
        return 1 + below(random, 5000);
    case 2:
        return 1 + below(random, 100 * KIB);
    default:
        return 1 + below(random, 600 * KIB);
    }
}

static void make_crowd(sw_heap *heap, struct crowd *crowd, uint64_t seed) {
    for (size_t i = 0; i < CROWD; i++) {
        crowd->sizes[i] = crowd_size(&seed);
        crowd->tags[i] = (enum sw_tag)below(&seed, SW_TAG_COUNT);
        crowd->blocks[i] =
            i % 5 == 0 ? sw_alloc_aligned(heap, 64 << i % 9, crowd->sizes[i], crowd->tags[i])
                       : sw_alloc(heap, crowd->sizes[i], crowd->tags[i]);
        assert_non_null(crowd->blocks[i]);
    }
}

static void touch_crowd(sw_heap *heap, const struct crowd *crowd) {
    for (size_t i = 0; i < CROWD; i++)
        if (crowd->blocks[i])
            touch(crowd->blocks[i], sw_usable_size(heap, crowd->blocks[i]));
}

static void free_from_crowd(sw_heap *heap, struct crowd *crowd, size_t index) {
    sw_free(heap, crowd->blocks[index]);
    crowd->blocks[index] = NULL;
}

static void free_crowd(sw_heap *heap, struct crowd *crowd) {
    for (size_t i = 0; i < CROWD; i++)
        free_from_crowd(heap, crowd, i);
}

static int compare_pages(const void *a, const void *b) {
    uintptr_t page_a = *(const uintptr_t *)a, page_b = *(const uintptr_t *)b;
    return page_a < page_b ? -1 : page_a > page_b;
}

/* Distinct pages that hold a byte of a live block, counted one by one. */
static size_t active_of(sw_heap *heap, const struct crowd *crowd) {
    enum { PAGES_MAX = 1 << 18 };
    uintptr_t *pages = map_scratch(PAGES_MAX * sizeof *pages);
    size_t count = 0, distinct = 0;
    for (size_t i = 0; i < CROWD; i++) {
        uintptr_t start = (uintptr_t)crowd->blocks[i];
        uintptr_t end = start ? start + sw_usable_size(heap, crowd->blocks[i]) : 0;
        for (uintptr_t page = start / PAGE; page * PAGE < end; page++) {
            CHECK(count < PAGES_MAX);
            pages[count++] = page;
        }
    }
    qsort(pages, count, sizeof *pages, compare_pages);
    for (size_t i = 0; i < count; i++)
        distinct += i == 0 || pages[i] != pages[i - 1];
    unmap_scratch(pages, PAGES_MAX * sizeof *pages);
    return distinct * PAGE;
}

static void check_counts(sw_heap *heap, const struct crowd *crowd) {
    struct sw_tag_stats tags[SW_TAG_COUNT] = {0};
    size_t requested = 0, allocated = 0, blocks = 0;
    for (size_t i = 0; i < CROWD; i++) {
        if (!crowd->blocks[i])
            continue;
        struct sw_tag_stats *tag = &tags[crowd->tags[i]];
        size_t usable = sw_usable_size(heap, crowd->blocks[i]);
        requested += crowd->sizes[i];
        allocated += usable;
        blocks++;
        tag->requested.current += crowd->sizes[i];
        tag->allocated.current += usable;
        tag->blocks.current++;
    }
    struct sw_stats stats = stats_of(heap);
    assert_int_equal(stats.requested.current, requested);
    assert_int_equal(stats.allocated.current, allocated);
    assert_int_equal(stats.blocks.current, blocks);
    assert_int_equal(stats.active.current, active_of(heap, crowd));
    assert_int_equal(stats.allocs - stats.frees, blocks);
    for (int tag = 0; tag < SW_TAG_COUNT; tag++) {
        assert_int_equal(stats.tags[tag].requested.current, tags[tag].requested.current);
        assert_int_equal(stats.tags[tag].allocated.current, tags[tag].allocated.current);
        assert_int_equal(stats.tags[tag].blocks.current, tags[tag].blocks.current);
    }
}

static void levels_are_exact_at_every_instant(void **state) {
    static struct crowd crowd;
    uint64_t random = 5;
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (int round = 0; round < 3; round++) {
        make_crowd(heap, &crowd, (uint64_t)round);
        check_counts(heap, &crowd);
        for (size_t i = 0; i < CROWD; i += 1 + below(&random, 3))
            free_from_crowd(heap, &crowd, i);
        check_counts(heap, &crowd);
        for (size_t i = 0; i < CROWD; i++) {
            if (!crowd.blocks[i] || i % 3)
                continue;
            crowd.sizes[i] = crowd_size(&random);
            crowd.blocks[i] = sw_realloc(heap, crowd.blocks[i], crowd.sizes[i]);
            assert_non_null(crowd.blocks[i]);
        }
        check_counts(heap, &crowd);
        free_crowd(heap, &crowd);
        check_counts(heap, &crowd);
    }
    sw_heap_destroy(heap);
}

static void peaks_are_the_highest_levels(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    void *parameter = sw_alloc(heap, 1000, SW_TAG_PARAMETER);
    void *first = sw_alloc(heap, 50000, SW_TAG_ACTIVATION);
    size_t allocated = sw_usable_size(heap, parameter) + sw_usable_size(heap, first);
    size_t active = stats_of(heap).active.current;
    sw_free(heap, first);
    void *second = sw_alloc(heap, 300, SW_TAG_ACTIVATION);
    struct sw_stats stats = stats_of(heap);
    assert_int_equal(stats.requested.current, 1300);
    assert_int_equal(stats.requested.peak, 51000);
    assert_int_equal(stats.allocated.peak, allocated);
    assert_int_equal(stats.active.peak, active);
    assert_int_equal(stats.blocks.peak, 2);
    assert_int_equal(stats.tags[SW_TAG_ACTIVATION].requested.current, 300);
    assert_int_equal(stats.tags[SW_TAG_ACTIVATION].requested.peak, 50000);
    assert_int_equal(stats.tags[SW_TAG_ACTIVATION].blocks.peak, 1);
    assert_int_equal(stats.tags[SW_TAG_PARAMETER].requested.peak, 1000);
    assert_int_equal(stats.tags[SW_TAG_GRADIENT].requested.peak, 0);
    assert_int_equal(stats.allocs, 3);
    assert_int_equal(stats.frees, 1);
    sw_free(heap, parameter);
    sw_free(heap, second);
    stats = stats_of(heap);
    assert_int_equal(stats.requested.current, 0);
    assert_int_equal(stats.allocated.current, 0);
    assert_int_equal(stats.active.current, 0);
    assert_int_equal(stats.blocks.current, 0);
    assert_int_equal(stats.requested.peak, 51000);
    sw_heap_destroy(heap);
}

static void touched_blocks_keep_the_chain_in_order(void **state) {
    static struct crowd crowd;
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (uint64_t round = 0; round < 3; round++) {
        make_crowd(heap, &crowd, round + 40);
        touch_crowd(heap, &crowd);
        for (size_t gone = 0; gone < CROWD; gone += 50) {
            struct sw_stats stats = stats_of(heap);
            assert_true(stats.requested.current <= stats.allocated.current);
            assert_true(stats.allocated.current <= stats.active.current);
            assert_true(stats.active.current <= stats.resident.current);
            assert_true(stats.resident.current <= stats.reserved.current);
            assert_true(stats.resident.peak >= stats.resident.current);
            assert_true(stats.reserved.peak >= stats.reserved.current);
            assert_true(stats.resident.peak <= stats.reserved.peak);
            assert_true(stats.largest_free <= stats.reserved.current);
            for (size_t i = gone; i < gone + 50; i++)
                free_from_crowd(heap, &crowd, i);
        }
        free_crowd(heap, &crowd);
    }
    sw_heap_destroy(heap);
}

/* An untouched tensor is active and not resident; a touched one is both; freed and trimmed neither.
 */
static void resident_is_what_was_touched(void **state) {
    sw_heap *heap = make_heap(subject_of(state), "huge_pages:never");
    size_t before = stats_of(heap).resident.current;
    char *block = sw_alloc(heap, 64 * MIB, SW_TAG_ACTIVATION);
    assert_true(stats_of(heap).resident.current < before + MIB);
    touch(block, 16 * MIB);
    size_t resident = stats_of(heap).resident.current;
    assert_true(resident >= before + 16 * MIB && resident < before + 17 * MIB);
    touch(block, 64 * MIB);
    resident = stats_of(heap).resident.current;
    assert_true(resident >= before + 64 * MIB && resident < before + 65 * MIB);
    sw_free(heap, block);
    sw_trim(heap);
    assert_true(stats_of(heap).resident.current < before + MIB);
    assert_true(stats_of(heap).resident.peak >= before + 64 * MIB);
    sw_heap_destroy(heap);
}

/* A buffer for each of many, a line in each. */
static void what_is_hardly_touched_is_hardly_resident(void **state) {
    enum { BLOCKS = 40 };
    char *blocks[BLOCKS];
    if (subject_of(state)->checked)
        skip(); /* which writes to both ends of a block */
    sw_heap *heap = make_heap(subject_of(state), NULL);
    size_t before = stats_of(heap).resident.current;
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = sw_alloc(heap, (i % 3 + 1) * 2 * MIB, SW_TAG_OTHER);
        assert_non_null(blocks[i]);
        touch(blocks[i], 1000);
    }
    assert_true(stats_of(heap).resident.current < before + 8 * MIB);
    for (size_t i = 0; i < BLOCKS; i++)
        sw_free(heap, blocks[i]);
    sw_heap_destroy(heap);
}

static struct sw_measures measures_of(sw_heap *heap) {
    struct sw_stats stats = stats_of(heap);
    struct sw_measures measures;
    sw_measure(&stats, &measures);
    return measures;
}

/* Though nobody asks for statistics while it lives. */
static void a_peak_is_seen_before_it_is_left(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (size_t size = 64 * MIB; size <= 65 * MIB; size += MIB) { /* the second hardly above */
        char *block = sw_alloc(heap, size, SW_TAG_OTHER);
        assert_non_null(block);
        touch(block, size);
        sw_free(heap, block);
        sw_trim(heap);
        struct sw_stats stats = stats_of(heap);
        assert_true(stats.allocated_at_reserved_peak >= 64 * MIB);
        assert_true(stats.resident.peak >= 64 * MIB);
    }
    sw_heap_destroy(heap);
}

static void a_peak_is_seen_before_its_block_becomes_smaller(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    char *block = sw_alloc(heap, 64 * MIB, SW_TAG_OTHER);
    assert_non_null(block);
    touch(block, 64 * MIB);
    block = sw_realloc(heap, block, MIB);
    assert_non_null(block);
    sw_trim(heap);
    assert_true(stats_of(heap).resident.peak >= 64 * MIB);
    sw_free(heap, block);
    sw_heap_destroy(heap);
}

static bool kernel_gives_huge_pages_unasked(void) {
    char modes[64] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (file) {
        assert_non_null(fgets(modes, sizeof modes, file));
        fclose(file);
    }
    return strstr(modes, "[always]");
}

/* libc's blocks take what it had free before the heap was, of which the growth tells nothing; and
 * jemalloc's may have huge pages, of which parts of a hole come along. */
static bool tells_what_is_free(const struct subject *subject) {
    bool comes_whole =
        strcmp(subject->strategy, "jemalloc") == 0 && kernel_gives_huge_pages_unasked();
    return subject->tracked && !subject->checked && !comes_whole &&
           strcmp(subject->strategy, "system") != 0;
}

/* Ten tensors, every other one freed: holes of one size. */
static void what_is_freed_between_blocks_is_external_fragmentation(void **state) {
    enum { BLOCKS = 10 };
    char *blocks[BLOCKS];
    sw_heap *heap = make_heap(subject_of(state), "huge_pages:never");
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = sw_alloc(heap, MIB, SW_TAG_ACTIVATION);
        touch(blocks[i], MIB);
    }
    for (int i = 0; i < BLOCKS; i += 2)
        sw_free(heap, blocks[i]);
    struct sw_measures measures = measures_of(heap);
    assert_true(2 * measures.free_bytes >= (double)(BLOCKS * MIB));
    assert_true(measures.external_fragmentation > 0.5 && measures.external_fragmentation < 0.9);
    for (int i = 1; i < BLOCKS; i += 2)
        sw_free(heap, blocks[i]);
    if (subject_of(state)->asks_os) /* jemalloc joins them later */
        assert_true(measures_of(heap).external_fragmentation < 0.5);
    sw_heap_destroy(heap);
}

/* A large hole that holds one page does not make up for small ones that hold all of theirs. */
static void a_hole_counts_for_what_it_holds(void **state) {
    enum { BLOCKS = 10 };
    char *blocks[BLOCKS];
    sw_heap *heap = make_heap(subject_of(state), "huge_pages:never");
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = sw_alloc(heap, MIB, SW_TAG_ACTIVATION);
        touch(blocks[i], MIB);
    }
    char *large = sw_alloc(heap, 40 * MIB, SW_TAG_ACTIVATION);
    large[0] = 1;
    for (int i = 0; i < BLOCKS; i += 2)
        sw_free(heap, blocks[i]);
    sw_free(heap, large);
    assert_true(measures_of(heap).external_fragmentation > 0.5);
    assert_true(stats_of(heap).largest_free >= MIB && stats_of(heap).largest_free < 2 * MIB);
    for (int i = 1; i < BLOCKS; i += 2)
        sw_free(heap, blocks[i]);
    sw_heap_destroy(heap);
}

/* A mapping of the process's own is what no heap accounts for; a heap's blocks are not. */
static void what_others_map_is_unseen(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    size_t before = measures_of(heap).unseen;
    void *block = sw_alloc(heap, 16 * MIB, SW_TAG_OTHER);
    touch(block, 16 * MIB);
    if (!SHADOWED_BY_MORE)
        assert_true(measures_of(heap).unseen < before + 8 * MIB);
    void *own = map_scratch(32 * MIB);
    touch(own, 32 * MIB);
    assert_true(measures_of(heap).unseen >= before + 24 * MIB);
    unmap_scratch(own, 32 * MIB);
    sw_free(heap, block);
    sw_heap_destroy(heap);
}

static void what_every_step_keeps_is_drift(void **state) {
    enum { STEPS = 20, KEPT = 1000 };
    void *kept[STEPS];
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (int i = 0; i < STEPS; i++) {
        assert_int_equal(sw_step_begin(heap), 0);
        void *passing = sw_alloc(heap, 50000, SW_TAG_TEMPORARY);
        kept[i] = sw_alloc(heap, KEPT, SW_TAG_ACTIVATION);
        sw_free(heap, passing);
        assert_int_equal(sw_step_end(heap), 0);
    }
    assert_true(measures_of(heap).drift == KEPT);
    for (int i = 0; i < STEPS; i++)
        sw_free(heap, kept[i]);
    sw_heap_destroy(heap);
}

static void untracked_heaps_count_only_what_the_strategy_knows(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    size_t before = stats_of(heap).allocated.current, usable = 0;
    void *blocks[64];
    for (size_t i = 0; i < LENGTH_OF(blocks); i++) {
        blocks[i] = sw_alloc(heap, 1 + i * i * i, SW_TAG_PARAMETER);
        usable += sw_usable_size(heap, blocks[i]);
    }
    struct sw_stats stats = stats_of(heap);
    assert_int_equal(stats.requested.current, 0);
    assert_int_equal(stats.active.current, 0);
    assert_int_equal(stats.blocks.current, 0);
    assert_int_equal(stats.survivors, 0);
    assert_int_equal(stats.tags[SW_TAG_PARAMETER].blocks.current, 0);
    if (subject_of(state)->asks_os) { /* headers are the strategy's to count or not */
        assert_true(stats.allocated.current - before >= usable);
        assert_true(stats.allocated.current - before <= usable + LENGTH_OF(blocks) * 16);
    }
    for (size_t i = 0; i < LENGTH_OF(blocks); i++)
        sw_free(heap, blocks[i]);
    if (subject_of(state)->asks_os)
        assert_int_equal(stats_of(heap).allocated.current, before);
    sw_heap_destroy(heap);
}

/* A caller compiled against an older header has a smaller struct; one against a newer, a larger. */
static void stats_fit_the_callers_struct(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    void *block = sw_alloc(heap, 64, SW_TAG_OTHER);
    struct {
        struct sw_stats stats;
        size_t newer[4];
    } larger;
    memset(&larger, 0xff, sizeof larger);
    assert_int_equal(sw_heap_stats(heap, &larger.stats, sizeof larger), 0);
    assert_true(is_all_zero(larger.newer, sizeof larger.newer));
    struct {
        struct sw_level requested;
        size_t beyond;
    } smaller = {{1, 1}, 77};
    assert_int_equal(
        sw_heap_stats(heap, (struct sw_stats *)(void *)&smaller, sizeof smaller.requested), 0);
    assert_int_equal(smaller.requested.current, subject_of(state)->tracked ? 64 : 0);
    assert_int_equal(smaller.beyond, 77);
    sw_free(heap, block);
    sw_heap_destroy(heap);
}

/* ---- Visit ----------------------------------------------------------------------------------- */

struct seen {
    const struct crowd *crowd;
    sw_heap *heap;
    size_t times[CROWD];
    size_t strangers;
    size_t stop_after;
};

static int see(const struct sw_block *block, void *context) {
    struct seen *seen = context;
    if (seen->stop_after && --seen->stop_after == 0)
        return 42;
    for (size_t i = 0; i < CROWD; i++) {
        const struct crowd *crowd = seen->crowd;
        if (crowd->blocks[i] != block->address)
            continue;
        seen->times[i]++;
        assert_int_equal(block->requested, crowd->sizes[i]);
        assert_int_equal(block->tag, crowd->tags[i]);
        assert_true(block->allocated >= block->requested);
        return 0;
    }
    seen->strangers++;
    return 0;
}

static void visit_shows_every_live_block_once(void **state) {
    static struct crowd crowd;
    sw_heap *heap = make_heap(subject_of(state), NULL);
    make_crowd(heap, &crowd, 3);
    for (size_t i = 0; i < CROWD; i += 4)
        free_from_crowd(heap, &crowd, i);
    struct seen seen = {.crowd = &crowd, .heap = heap};
    assert_int_equal(sw_heap_visit(heap, see, &seen), 0);
    assert_int_equal(seen.strangers, 0);
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(seen.times[i], crowd.blocks[i] ? 1 : 0);
    struct seen stopped = {.crowd = &crowd, .heap = heap, .stop_after = 5};
    assert_int_equal(sw_heap_visit(heap, see, &stopped), 42);
    free_crowd(heap, &crowd);
    struct seen nothing = {.crowd = &crowd, .heap = heap};
    assert_int_equal(sw_heap_visit(heap, see, &nothing), 0);
    assert_int_equal(nothing.strangers, 0);
    sw_heap_destroy(heap);
}

static void visit_needs_tracking(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    errno = 0;
    assert_int_equal(sw_heap_visit(heap, see, NULL), -1);
    assert_int_equal(errno, ENOTSUP);
    sw_heap_destroy(heap);
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static void steps_follow_one_another(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    errno = 0;
    assert_int_equal(sw_step_end(heap), -1);
    assert_int_equal(errno, EINVAL);
    assert_non_null(strstr(sw_error(), "step"));
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(sw_step_begin(heap), 0);
        errno = 0;
        assert_int_equal(sw_step_begin(heap), -1);
        assert_int_equal(errno, EINVAL);
        assert_int_equal(stats_of(heap).steps, i);
        assert_int_equal(sw_step_end(heap), 0);
        assert_int_equal(stats_of(heap).steps, i + 1);
    }
    errno = 0;
    assert_int_equal(sw_step_end(heap), -1);
    assert_int_equal(errno, EINVAL);
    sw_heap_destroy(heap);
}

static void survivors_are_counted_by_tag_and_live_on(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    void *outside = sw_alloc(heap, 111, SW_TAG_PARAMETER);
    char *survivors[3];
    static const size_t sizes[] = {5000, 70 * KIB, 3 * MIB};
    for (size_t i = 0; i < 3; i++) {
        sw_step_begin(heap);
        survivors[i] = sw_alloc(heap, sizes[i], i == 1 ? SW_TAG_INPUT : SW_TAG_ACTIVATION);
        fill(survivors[i], sizes[i], i);
        void *passing = sw_alloc(heap, 1000, SW_TAG_ACTIVATION);
        assert_int_equal(stats_of(heap).survivors, i); /* nothing survives a step still open */
        sw_free(heap, passing);
        sw_step_end(heap);
        struct sw_stats stats = stats_of(heap);
        assert_int_equal(stats.survivors, i + 1);
        assert_int_equal(stats.last_step_survivors, 1);
        assert_int_equal(stats.last_step_survivor_bytes, sizes[i]);
        assert_int_equal(stats.tags[SW_TAG_PARAMETER].survivors, 0);
    }
    struct sw_stats stats = stats_of(heap);
    assert_int_equal(stats.tags[SW_TAG_ACTIVATION].survivors, 2);
    assert_int_equal(stats.tags[SW_TAG_ACTIVATION].survivor_bytes, sizes[0] + sizes[2]);
    assert_int_equal(stats.tags[SW_TAG_INPUT].survivors, 1);
    assert_int_equal(stats.survivor_bytes, sizes[0] + sizes[1] + sizes[2]);

    /* Steps in which everything passes, on top of what survives. */
    for (int step = 0; step < 20; step++) {
        void *blocks[40];
        sw_step_begin(heap);
        for (size_t i = 0; i < 40; i++) {
            blocks[i] = sw_alloc(heap, 100 + 3000 * i, SW_TAG_TEMPORARY);
            memset(blocks[i], 0xee, 100 + 3000 * i);
        }
        for (size_t i = 0; i < 40; i++)
            sw_free(heap, blocks[i]);
        sw_step_end(heap);
    }
    assert_int_equal(stats_of(heap).last_step_survivors, 0);
    assert_int_equal(stats_of(heap).survivors, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(holds(survivors[i], sizes[i], i));
        sw_free(heap, survivors[i]);
        assert_int_equal(stats_of(heap).survivors, 2 - i);
    }
    assert_int_equal(stats_of(heap).survivor_bytes, 0);
    assert_int_equal(stats_of(heap).tags[SW_TAG_INPUT].survivor_bytes, 0);
    sw_free(heap, outside);
    sw_heap_destroy(heap);
}

/* A survivor that is resized stays the same survivor; so does one that is resized in a step. */
static void a_resized_survivor_is_still_one(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    sw_step_begin(heap);
    void *block = sw_alloc(heap, 100, SW_TAG_GRADIENT);
    block = sw_realloc(heap, block, 200);
    assert_int_equal(stats_of(heap).survivors, 0);
    sw_step_end(heap);
    sw_step_begin(heap);
    block = sw_realloc(heap, block, 90000);
    struct sw_stats stats = stats_of(heap);
    assert_int_equal(stats.survivors, 1);
    assert_int_equal(stats.survivor_bytes, 90000);
    assert_int_equal(stats.tags[SW_TAG_GRADIENT].survivors, 1);
    sw_free(heap, block);
    assert_int_equal(stats_of(heap).survivors, 0);
    sw_step_end(heap);
    assert_int_equal(stats_of(heap).last_step_survivors, 0);
    sw_heap_destroy(heap);
}

/* Blocks that outlive steps keep their contents whatever the steps behind them do, with tags that
 * strategies may treat apart, in every mix of sizes. */
static void a_block_lives_until_it_is_freed(void **state) {
    enum { STEPS = 60, KEPT = 200 };
    static struct {
        void *block;
        size_t size;
        int until;
    } kept[KEPT];
    uint64_t random = 99;
    size_t count = 0;
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (int step = 0; step < STEPS; step++) {
        void *passing[30];
        sw_step_begin(heap);
        for (size_t i = 0; i < 30; i++) {
            size_t size = crowd_size(&random) / 4 + 1;
            passing[i] = sw_alloc(heap, size, (enum sw_tag)below(&random, SW_TAG_COUNT));
            memset(passing[i], 0x5a, size);
            if (i % 10 == 0 && count < KEPT) {
                kept[count].size = size;
                kept[count].until = step + 1 + (int)below(&random, 20);
                kept[count++].block = passing[i];
                fill(passing[i], size, (uint64_t)size);
                passing[i] = NULL;
            }
        }
        for (size_t i = 0; i < 30; i++)
            sw_free(heap, passing[i]);
        if (step % 3 == 0)
            sw_trim(heap);
        sw_step_end(heap);
        for (size_t i = 0; i < count; i++) {
            if (!kept[i].block)
                continue;
            assert_true(holds(kept[i].block, kept[i].size, (uint64_t)kept[i].size));
            if (kept[i].until <= step) {
                sw_free(heap, kept[i].block);
                kept[i].block = NULL;
            }
        }
    }
    for (size_t i = 0; i < count; i++)
        sw_free(heap, kept[i].block);
    sw_heap_destroy(heap);
}

/* The same step again and again needs no more than it did: what is freed is found again. */
static void equal_steps_need_no_more_memory(void **state) {
    enum { BLOCKS = 60, STEPS = 80 };
    sw_heap *heap = make_heap(subject_of(state), NULL);
    size_t after_warm_up = 0;
    for (int step = 0; step < STEPS; step++) {
        uint64_t random = 17;
        void *blocks[BLOCKS];
        sw_step_begin(heap);
        for (size_t i = 0; i < BLOCKS; i++) {
            size_t size = i % 3 ? 1 + below(&random, 2000) : 1 + below(&random, 2 * MIB);
            blocks[i] = sw_alloc(heap, size, SW_TAG_ACTIVATION);
            assert_non_null(blocks[i]);
        }
        for (size_t i = BLOCKS; i-- > 0;)
            sw_free(heap, blocks[i * 7 % BLOCKS]);
        sw_step_end(heap);
        if (step == 3)
            after_warm_up = stats_of(heap).reserved.current;
    }
    assert_true(stats_of(heap).reserved.peak <= after_warm_up);
    sw_heap_destroy(heap);
}

/* Free memory is whole again: small blocks, freed in any order, make room for larger ones. */
static void what_is_freed_makes_room_for_other_sizes(void **state) {
    enum { VOLUME = 6 << 20, BLOCKS = VOLUME / 120 };
    static const size_t sizes[] = {120, 1500, 30000, 400, 9000};
    static void *blocks[BLOCKS];
    uint64_t random = 11;
    sw_heap *heap = make_heap(subject_of(state), NULL);
    size_t reserved = 0;
    for (size_t kind = 0; kind < LENGTH_OF(sizes); kind++) {
        size_t count = VOLUME / sizes[kind];
        for (size_t i = 0; i < count; i++) {
            blocks[i] = sw_alloc(heap, sizes[kind], SW_TAG_OTHER);
            assert_non_null(blocks[i]);
        }
        for (size_t left = count; left > 0; left--) {
            size_t i = below(&random, left);
            sw_free(heap, blocks[i]);
            blocks[i] = blocks[left - 1];
        }
        if (kind == 0)
            reserved = stats_of(heap).reserved.peak; /* the smallest need the most besides */
    }
    assert_true(stats_of(heap).reserved.peak <= reserved + 2 * MIB);
    sw_heap_destroy(heap);
}

/* ---- Trim ------------------------------------------------------------------------------------ */

static void trim_keeps_live_blocks(void **state) {
    static struct crowd crowd;
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (uint64_t round = 0; round < (SANITIZED ? 1 : 4); round++) {
        make_crowd(heap, &crowd, round + 70);
        for (size_t i = 0; i < CROWD; i++)
            fill(crowd.blocks[i], sw_usable_size(heap, crowd.blocks[i]), i);
        for (size_t keep = 2; keep <= 32; keep *= 4) {
            for (size_t i = 0; i < CROWD; i++)
                if (i % keep)
                    free_from_crowd(heap, &crowd, i);
            sw_trim(heap);
            for (size_t i = 0; i < CROWD; i++)
                assert_true(!crowd.blocks[i] ||
                            holds(crowd.blocks[i], sw_usable_size(heap, crowd.blocks[i]), i));
        }
        free_crowd(heap, &crowd);
    }
    sw_heap_destroy(heap);
}

/* What is to be freed lies together but for the last sixteenth, so that little is pinned. */
static void trim_gives_free_memory_back(void **state) {
    static const size_t sizes[] = {500, 30000, 200000, 3000000};
    enum { BLOCKS = 1 << 17 };
    static void *blocks[BLOCKS];
    size_t volume = SANITIZED ? 16 * MIB : 48 * MIB;
    sw_heap *heap = make_heap(subject_of(state), "huge_pages:never");
    for (size_t kind = 0; kind < LENGTH_OF(sizes); kind++) {
        size_t count = volume / sizes[kind], gone = count - count / 16;
        for (size_t i = 0; i < count; i++) {
            blocks[i] = sw_alloc(heap, sizes[kind], SW_TAG_OTHER);
            fill(blocks[i], sizes[kind], i);
        }
        for (size_t i = 0; i < gone; i++)
            sw_free(heap, blocks[i]);
        struct sw_stats before = stats_of(heap);
        size_t released = sw_trim(heap);
        struct sw_stats after = stats_of(heap);
        assert_true(before.resident.current > after.resident.current);
        assert_int_equal(before.resident.current - after.resident.current, released);
        assert_true(after.resident.current <= 3 * MIB + 8 * MIB);
        assert_int_equal(after.reserved.peak, before.reserved.peak);
        for (size_t i = gone; i < count; i++) {
            assert_true(holds(blocks[i], sizes[kind], i));
            sw_free(heap, blocks[i]);
        }
        sw_trim(heap);
        assert_int_equal(sw_trim(heap), 0); /* nothing is left to give */
        assert_true(stats_of(heap).resident.current <= 2 * MIB);
    }
    sw_heap_destroy(heap);
}

/* ---- Several heaps --------------------------------------------------------------------------- */

struct span {
    uintptr_t start, end;
};

static int compare_spans(const void *a, const void *b) {
    const struct span *span_a = a, *span_b = b;
    return span_a->start < span_b->start ? -1 : span_a->start > span_b->start;
}

static void heaps_of_all_strategies_live_side_by_side(void **state) {
    enum { BLOCKS = 100 };
    static struct subject subjects[SUBJECTS_MAX];
    static void *blocks[SUBJECTS_MAX][BLOCKS];
    static struct span spans[SUBJECTS_MAX * BLOCKS];
    sw_heap *heaps[SUBJECTS_MAX];
    size_t count = list_subjects(subjects), span_count = 0;
    (void)state;
    for (size_t h = 0; h < count; h++)
        heaps[h] = make_heap(&subjects[h], NULL);
    for (size_t i = 0; i < BLOCKS; i++) {
        for (size_t h = 0; h < count; h++) {
            size_t size = 1 + i * i * 13;
            blocks[h][i] = sw_alloc(heaps[h], size, SW_TAG_OTHER);
            assert_non_null(blocks[h][i]);
            size_t usable = sw_usable_size(heaps[h], blocks[h][i]);
            fill(blocks[h][i], usable, h * BLOCKS + i);
            spans[span_count++] =
                (struct span){(uintptr_t)blocks[h][i], (uintptr_t)blocks[h][i] + usable};
        }
    }
    qsort(spans, span_count, sizeof *spans, compare_spans);
    for (size_t i = 1; i < span_count; i++)
        assert_true(spans[i - 1].end <= spans[i].start);
    for (size_t gone = 0; gone < count; gone++) {
        for (size_t i = 0; i < BLOCKS && !subjects[gone].tracked; i++)
            sw_free(heaps[gone], blocks[gone][i]);
        sw_heap_destroy(heaps[gone]); /* with its blocks live, where it knows them */
        for (size_t h = gone + 1; h < count; h++) {
            assert_string_equal(sw_heap_strategy(heaps[h]), subjects[h].strategy);
            for (size_t i = 0; i < BLOCKS; i++)
                assert_true(
                    holds(blocks[h][i], sw_usable_size(heaps[h], blocks[h][i]), h * BLOCKS + i));
        }
    }
}

static void two_heaps_of_one_strategy_share_nothing(void **state) {
    sw_heap *first = make_heap(subject_of(state), NULL);
    sw_heap *second = make_heap(subject_of(state), NULL);
    void *blocks[100];
    for (size_t i = 0; i < LENGTH_OF(blocks); i++) {
        sw_heap *heap = i % 2 ? first : second;
        blocks[i] = sw_alloc(heap, 10 + i * 300, SW_TAG_OTHER);
        fill(blocks[i], 10 + i * 300, i);
    }
    for (size_t i = 1; i < LENGTH_OF(blocks); i += 2)
        sw_free(first, blocks[i]);
    sw_heap_destroy(first);
    for (size_t i = 0; i < LENGTH_OF(blocks); i += 2) {
        assert_true(holds(blocks[i], 10 + i * 300, i));
        sw_free(second, blocks[i]);
    }
    sw_heap_destroy(second);
}

/* With blocks still live where the heap knows them; all of it goes. */
static void live_and_die(const struct subject *subject) {
    static const size_t sizes[] = {10, 1000, 30000, 100000, 300000, MIB};
    void *blocks[LENGTH_OF(sizes)];
    sw_heap *heap = make_heap(subject, NULL);
    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        blocks[i] = sw_alloc(heap, sizes[i], SW_TAG_OTHER);
        touch(blocks[i], sizes[i]);
    }
    for (size_t i = 0; i < LENGTH_OF(sizes); i++)
        if (!subject->tracked)
            sw_free(heap, blocks[i]);
    sw_heap_destroy(heap);
}

static void heaps_by_the_hundred_leave_nothing_behind(void **state) {
    const struct subject *subject = subject_of(state);
    size_t times = scaled(300);
    for (size_t i = 0; i < 20; i++)
        live_and_die(subject);
    struct mappings before = process_mappings();
    size_t resident = process_resident();
    for (size_t i = 0; i < times; i++)
        live_and_die(subject);
    struct mappings after = process_mappings();
    /* jemalloc keeps its own records of arenas that were; a sanitizer keeps what libc was given. */
    if (subject->asks_os || !SANITIZED) {
        assert_true(after.count <= before.count + 4);
        assert_true(after.bytes <= before.bytes + 4 * MIB);
    }
    if (!SANITIZED)
        assert_true(process_resident() <= resident + 2 * MIB);
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static void expect_refusal(const char *strategy, const char *conf, const char *const *mentions) {
    errno = 0;
    sw_heap *heap = sw_heap_create(strategy, conf);
    assert_null(heap);
    assert_int_equal(errno, EINVAL);
    for (size_t i = 0; mentions[i]; i++)
        if (!strstr(sw_error(), mentions[i]))
            fail_msg("'%s' is not in: %s", mentions[i], sw_error());
    assert_null(strchr(sw_error(), '\n'));
}

#define MENTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void an_unknown_strategy_is_named_with_its_nearest(void **state) {
    (void)state;
    expect_refusal("pol", NULL, MENTIONS("'pol'", "did you mean 'pool'"));
    expect_refusal("areena", NULL, MENTIONS("did you mean 'arena'"));
    expect_refusal("size-class", NULL, MENTIONS("did you mean 'sizeclass'"));
    expect_refusal("", NULL, MENTIONS("unknown strategy"));
    expect_refusal(NULL, NULL, MENTIONS("strategy"));
    for (size_t i = 0; sw_strategy_info(i); i++)
        expect_refusal("nonsense", NULL, MENTIONS(sw_strategy_info(i)->name));
    char longest[2000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    expect_refusal(longest, NULL, MENTIONS("xxxxxxxx"));
}

static void a_wrong_option_is_named_with_its_nearest(void **state) {
    const char *strategy = subject_of(state)->strategy;
    expect_refusal(strategy, "trackin:1",
                   MENTIONS("'trackin'", "did you mean 'tracking'", "huge_pages", "limit"));
    expect_refusal(strategy, "limits:5", MENTIONS("did you mean 'limit'"));
    expect_refusal(strategy, "tracking:1,hugepages:auto", MENTIONS("did you mean 'huge_pages'"));
    expect_refusal(strategy, "tracking:2", MENTIONS("tracking", "'2'", "0 or 1"));
    expect_refusal(strategy, "tracking", MENTIONS("tracking"));
    expect_refusal(strategy, "tracking:", MENTIONS("tracking"));
    expect_refusal(strategy, "huge_pages:maybe", MENTIONS("huge_pages", "'maybe'", "never"));
    expect_refusal(strategy, "limit:lots", MENTIONS("limit", "'lots'"));
    expect_refusal(strategy, "limit:-1", MENTIONS("limit", "'-1'"));
    expect_refusal(strategy, "limit:10X", MENTIONS("limit", "'10X'"));
    expect_refusal(strategy, "limit:10KK", MENTIONS("limit", "'10KK'"));
    expect_refusal(strategy, "limit:99999999999999999999", MENTIONS("limit"));
    expect_refusal(strategy, "limit:18014398509481984G", MENTIONS("limit"));
}

static void the_options_that_are_right_are_taken(void **state) {
    static const char *const confs[] = {"",
                                        "tracking:0",
                                        "tracking:1",
                                        "tracking:0,tracking:1",
                                        "huge_pages:auto",
                                        "huge_pages:never,tracking:1",
                                        "huge_pages:always",
                                        "limit:0",
                                        "limit:268435456",
                                        "limit:262144K",
                                        "limit:256m,huge_pages:never",
                                        "limit:1G"};
    for (size_t i = 0; i < LENGTH_OF(confs); i++) {
        sw_heap *heap = sw_heap_create(subject_of(state)->strategy, confs[i]);
        if (!heap)
            fail_msg("%s: %s", confs[i], sw_error());
        void *block = sw_alloc(heap, 3 * MIB, SW_TAG_OTHER);
        assert_non_null(block);
        memset(block, 1, 3 * MIB);
        sw_free(heap, block);
        sw_heap_destroy(heap);
    }
}

static void free_keeps_errno_and_ignores_null(void **state) {
    sw_heap *heap = make_heap(subject_of(state), NULL);
    for (size_t size = 1; size <= 64 * MIB; size *= 4) {
        void *block = sw_alloc(heap, size, SW_TAG_OTHER);
        touch(block, size < MIB ? size : MIB);
        errno = EILSEQ;
        sw_free(heap, block);
        assert_int_equal(errno, EILSEQ);
        sw_free(heap, NULL);
        assert_int_equal(errno, EILSEQ);
    }
    assert_int_equal(sw_usable_size(heap, NULL), 0);
    sw_heap_destroy(heap);
    sw_heap_destroy(NULL);
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static void a_limit_is_kept_and_lived_with(void **state) {
    enum { BLOCKS = 4096 };
    static void *blocks[BLOCKS];
    static const size_t sizes[] = {60, 5000, 33 * KIB, 150 * KIB, MIB};
    sw_heap *heap = make_heap(subject_of(state), "limit:16M");
    for (size_t kind = 0; kind < LENGTH_OF(sizes); kind++) {
        size_t size = sizes[kind];
        for (int round = 0; round < 2; round++) {
            size_t count = 0;
            errno = 0;
            while (count < BLOCKS && (blocks[count] = sw_alloc(heap, size, SW_TAG_OTHER)) != NULL)
                fill(blocks[count], size, count + 1), count++;
            struct sw_stats stats = stats_of(heap);
            assert_true(stats.resident.current <= 16 * MIB);
            if (count < BLOCKS) {
                assert_int_equal(errno, ENOMEM);
                assert_true(count * size >= 9 * MIB); /* the limit is of use */
            }
            assert_true(count * size <= 16 * MIB);
            for (size_t i = 0; i < count; i++) {
                assert_true(holds(blocks[i], size, i + 1));
                sw_free(heap, blocks[i]);
            }
        }
    }
    errno = 0;
    assert_null(sw_alloc(heap, 17 * MIB, SW_TAG_OTHER));
    assert_int_equal(errno, ENOMEM);
    void *most = sw_alloc(heap, 12 * MIB, SW_TAG_OTHER);
    assert_non_null(most);
    sw_free(heap, most);
    sw_heap_destroy(heap);
}

/* Holes of 1 MiB serve blocks of 2: a limit is of bytes, wherever they are. */
static void holes_do_not_count_against_a_limit(void **state) {
    enum { MOST = 16 };
    char *blocks[MOST], *larger[MOST / 4];
    sw_heap *heap = make_heap(subject_of(state), "limit:16M,quarantine:0");
    size_t count = 0;
    while (count < MOST && (blocks[count] = sw_alloc(heap, MIB, SW_TAG_OTHER)) != NULL)
        fill(blocks[count], MIB, count), count++;
    assert_true(count >= 12);
    for (size_t i = 0; i < count; i += 2)
        sw_free(heap, blocks[i]);
    for (size_t i = 0; i < count / 4; i++) {
        larger[i] = sw_alloc(heap, 2 * MIB - 64 * KIB, SW_TAG_OTHER);
        assert_non_null(larger[i]);
        fill(larger[i], 2 * MIB - 64 * KIB, 100 + i);
        assert_true(stats_of(heap).resident.current <= 16 * MIB);
    }
    for (size_t i = 1; i < count; i += 2) {
        assert_true(holds(blocks[i], MIB, i));
        sw_free(heap, blocks[i]);
    }
    for (size_t i = 0; i < count / 4; i++) {
        assert_true(holds(larger[i], 2 * MIB - 64 * KIB, 100 + i));
        sw_free(heap, larger[i]);
    }
    sw_heap_destroy(heap);
}

/* ---- Threads --------------------------------------------------------------------------------- */

/* A block's own head says how long it is, so that any thread can check any block. */
struct parcel {
    size_t size;
    uint64_t seed;
};

static void *send_parcel(sw_heap *heap, uint64_t *random) {
    size_t size =
        sizeof(struct parcel) + (below(random, 8) ? below(random, 600) : below(random, 60 * KIB));
    char *block = sw_alloc(heap, size, (enum sw_tag)below(random, SW_TAG_COUNT));
    CHECK(block);
    struct parcel parcel = {size - sizeof parcel, random_of(random)};
    memcpy(block, &parcel, sizeof parcel);
    fill(block + sizeof parcel, parcel.size, parcel.seed);
    return block;
}

static void receive_parcel(sw_heap *heap, char *block) {
    struct parcel parcel;
    memcpy(&parcel, block, sizeof parcel);
    CHECK(sw_usable_size(heap, block) >= parcel.size + sizeof parcel);
    CHECK(holds(block + sizeof parcel, parcel.size, parcel.seed));
    sw_free(heap, block);
}

enum { THREADS = 4, PARCELS = 500 };

struct post {
    sw_heap *heap;
    pthread_barrier_t barrier;
    char *parcels[THREADS][PARCELS];
};

struct worker {
    struct post *post;
    size_t index;
    size_t rounds;
};

/* Fills its own row, then empties its neighbour's: every block is freed by another thread. */
static void *exchange(void *argument) {
    struct worker *worker = argument;
    struct post *post = worker->post;
    uint64_t random = worker->index + 1;
    for (size_t round = 0; round < worker->rounds; round++) {
        for (size_t i = 0; i < PARCELS; i++)
            post->parcels[worker->index][i] = send_parcel(post->heap, &random);
        pthread_barrier_wait(&post->barrier);
        char **row = post->parcels[(worker->index + 1) % THREADS];
        for (size_t i = 0; i < PARCELS; i++)
            receive_parcel(post->heap, row[i]);
        pthread_barrier_wait(&post->barrier);
    }
    return NULL;
}

static void run_workers(struct post *post, void *(*work)(void *), size_t rounds) {
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    pthread_barrier_init(&post->barrier, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){post, i, rounds};
        CHECK(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    pthread_barrier_destroy(&post->barrier);
}

/* What was freed by other threads must come back to use: rounds need no more and no more memory. */
static void blocks_may_be_freed_by_other_threads(void **state) {
    static struct post post;
    post.heap = make_heap(subject_of(state), NULL);
    run_workers(&post, exchange, 5);
    size_t reserved = stats_of(post.heap).reserved.peak;
    for (int i = 0; i < 3; i++)
        run_workers(&post, exchange, scaled(6));
    struct sw_stats stats = stats_of(post.heap);
    if (subject_of(state)->tracked) {
        assert_int_equal(stats.requested.current, 0);
        assert_int_equal(stats.blocks.current, 0);
        assert_int_equal(stats.active.current, 0);
    }
    if (subject_of(state)->asks_os) {
        assert_true(stats.reserved.peak <= 2 * reserved + 8 * MIB);
        sw_trim(post.heap);
        assert_int_equal(stats_of(post.heap).allocated.current, 0);
    }
    sw_heap_destroy(post.heap);
}

static void *leave(void *argument) {
    struct worker *worker = argument;
    uint64_t random = worker->index + 100;
    for (size_t i = 0; i < PARCELS; i++) {
        char *passing = send_parcel(worker->post->heap, &random);
        worker->post->parcels[worker->index][i] = send_parcel(worker->post->heap, &random);
        receive_parcel(worker->post->heap, passing);
    }
    return NULL;
}

static void blocks_outlive_their_threads(void **state) {
    static struct post post;
    post.heap = make_heap(subject_of(state), NULL);
    size_t reserved = 0;
    size_t rounds = 5 + scaled(10);
    for (size_t round = 0; round < rounds; round++) {
        run_workers(&post, leave, 1);
        if (subject_of(state)->tracked)
            assert_int_equal(stats_of(post.heap).blocks.current, (size_t)THREADS * PARCELS);
        for (size_t i = 0; i < (size_t)THREADS * PARCELS; i++)
            receive_parcel(post.heap, post.parcels[i % THREADS][i / THREADS]);
        if (round == 4)
            reserved = stats_of(post.heap).reserved.peak;
    }
    if (subject_of(state)->asks_os)
        assert_true(stats_of(post.heap).reserved.peak <= 2 * reserved + 8 * MIB);
    sw_heap_destroy(post.heap);
}

/* Threads that outlive the heap must not stumble over it when they end. */
static void *outlive(void *argument) {
    struct worker *worker = argument;
    struct post *post = worker->post;
    uint64_t random = worker->index;
    for (size_t i = 0; i < 50; i++)
        receive_parcel(post->heap, send_parcel(post->heap, &random));
    pthread_barrier_wait(&post->barrier);
    if (worker->index == 0)
        sw_heap_destroy(post->heap);
    pthread_barrier_wait(&post->barrier);
    return NULL;
}

static void threads_may_outlive_the_heap(void **state) {
    static struct post post;
    for (size_t i = 0; i < 5 + scaled(50); i++) {
        post.heap = make_heap(subject_of(state), NULL);
        run_workers(&post, outlive, 1);
    }
}

/* Everything that may be called at any time, called at once. */
static void *meddle(void *argument) {
    struct worker *worker = argument;
    struct post *post = worker->post;
    uint64_t random = worker->index + 7;
    for (size_t i = 0; i < scaled(300) + 30; i++) {
        char *block = send_parcel(post->heap, &random);
        if (worker->index == 0 && i % 10 == 0)
            sw_trim(post->heap);
        if (worker->index == 1 && i % 10 == 0)
            stats_of(post->heap);
        if (worker->index == 2 && i % 10 == 0) {
            CHECK(sw_step_begin(post->heap) == 0);
            CHECK(sw_step_end(post->heap) == 0);
        }
        char *other = sw_realloc(post->heap, NULL, 100);
        CHECK(other);
        fill(other, 100, i);
        other = sw_realloc(post->heap, other, 5000);
        CHECK(other && holds(other, 100, i));
        sw_free(post->heap, other);
        receive_parcel(post->heap, block);
    }
    return NULL;
}

static void any_thread_may_call_anything(void **state) {
    static struct post post;
    post.heap = make_heap(subject_of(state), NULL);
    run_workers(&post, meddle, 1);
    if (subject_of(state)->tracked)
        assert_int_equal(stats_of(post.heap).blocks.current, 0);
    sw_heap_destroy(post.heap);
}

/* ---- All of it ------------------------------------------------------------------------------- */

static bool is_first(const struct subject *subject) {
    return subject->tracked && strcmp(subject->strategy, sw_strategy_info(0)->name) == 0;
}

static const struct behaviour behaviours[] = {
    BEHAVIOUR(every_small_size_works),
    BEHAVIOUR(powers_of_two_and_their_neighbours_work),
    BEHAVIOUR(impossible_sizes_are_out_of_memory),
    BEHAVIOUR(a_count_times_size_that_overflows_is_out_of_memory),
    BEHAVIOUR(every_alignment_is_kept),
    BEHAVIOUR(an_impossible_alignment_is_refused),
    BEHAVIOUR(a_value_that_is_no_tag_is_refused),
    BEHAVIOUR(zeroed_blocks_are_zero_on_dirty_memory),
    BEHAVIOUR(realloc_keeps_contents),
    BEHAVIOUR(many_blocks_can_be_made_small),
    BEHAVIOUR(realloc_by_small_amounts_keeps_contents),
    BEHAVIOUR(blocks_that_grow_in_turn_keep_contents),
    BEHAVIOUR(realloc_to_nothing_is_a_block_of_one_byte),
    BEHAVIOUR(realloc_of_an_aligned_block_keeps_contents),
    BEHAVIOUR_OF(levels_are_exact_at_every_instant, is_tracked),
    BEHAVIOUR_OF(peaks_are_the_highest_levels, is_tracked),
    BEHAVIOUR_OF(touched_blocks_keep_the_chain_in_order, is_tracked),
    BEHAVIOUR_OF(resident_is_what_was_touched, is_own),
    BEHAVIOUR_OF(a_peak_is_seen_before_it_is_left, is_tracked),
    BEHAVIOUR_OF(a_peak_is_seen_before_its_block_becomes_smaller, is_tracked),
    BEHAVIOUR_OF(what_is_hardly_touched_is_hardly_resident, is_own),
    BEHAVIOUR_OF(what_is_freed_between_blocks_is_external_fragmentation, tells_what_is_free),
    BEHAVIOUR_OF(a_hole_counts_for_what_it_holds, is_own_unchecked),
    BEHAVIOUR_OF(what_others_map_is_unseen, is_own_unchecked),
    BEHAVIOUR_OF(what_every_step_keeps_is_drift, is_tracked),
    BEHAVIOUR_OF(untracked_heaps_count_only_what_the_strategy_knows, is_untracked),
    BEHAVIOUR(stats_fit_the_callers_struct),
    BEHAVIOUR_OF(visit_shows_every_live_block_once, is_tracked),
    BEHAVIOUR_OF(visit_needs_tracking, is_untracked),
    BEHAVIOUR(steps_follow_one_another),
    BEHAVIOUR_OF(survivors_are_counted_by_tag_and_live_on, is_tracked),
    BEHAVIOUR_OF(a_resized_survivor_is_still_one, is_tracked),
    BEHAVIOUR(a_block_lives_until_it_is_freed),
    BEHAVIOUR_OF(equal_steps_need_no_more_memory, is_own_unchecked),
    BEHAVIOUR_OF(what_is_freed_makes_room_for_other_sizes, is_own_unchecked),
    BEHAVIOUR(trim_keeps_live_blocks),
    BEHAVIOUR_OF(trim_gives_free_memory_back, is_own),
    BEHAVIOUR_OF(heaps_of_all_strategies_live_side_by_side, is_first),
    BEHAVIOUR(two_heaps_of_one_strategy_share_nothing),
    BEHAVIOUR(heaps_by_the_hundred_leave_nothing_behind),
    BEHAVIOUR_OF(an_unknown_strategy_is_named_with_its_nearest, is_first),
    BEHAVIOUR_OF(a_wrong_option_is_named_with_its_nearest, is_tracked),
    BEHAVIOUR_OF(the_options_that_are_right_are_taken, is_tracked),
    BEHAVIOUR(free_keeps_errno_and_ignores_null),
    BEHAVIOUR_OF(a_limit_is_kept_and_lived_with, is_own),
    BEHAVIOUR_OF(holes_do_not_count_against_a_limit, is_own),
    BEHAVIOUR_OF_THREADS(blocks_may_be_freed_by_other_threads),
    BEHAVIOUR_OF_THREADS(blocks_outlive_their_threads),
    BEHAVIOUR_OF_THREADS(threads_may_outlive_the_heap),
    BEHAVIOUR_OF_THREADS(any_thread_may_call_anything),
};

int main(int argc, char **argv) {
    return run_behaviours("contract", behaviours, LENGTH_OF(behaviours), argc, argv);
}
