/*
 * test_pages.c - touched pages, and moves by grains.
 */
#include "support.h"

#include "extents/pages.h"

enum { SIZE_MIB = 16 };
#define SIZE (SIZE_MIB * MIB)

struct room {
    struct sw__pages pages;
    void *tables;
};

static struct room make_room(void) {
    struct room room = {.tables = map_scratch(64 * KIB)};
    assert_true(sw__pages_tables_size(SIZE) <= 64 * KIB);
    sw__pages_init(&room.pages, room.tables, SIZE);
    char *start = sw__os_reserve(SIZE, SW__HUGE_PAGE);
    assert_non_null(start);
    assert_true(sw__os_commit(start, SIZE));
    sw__pages_reset(&room.pages, start, SIZE);
    return room;
}

static void end_room(struct room *room) {
    sw__os_release(room->pages.start, SIZE);
    unmap_scratch(room->tables, 64 * KIB);
}

static void touched_pages_are_counted_exactly(void **state) {
    (void)state;
    struct room room = make_room();
    static bool model[SIZE_MIB * 256];
    memset(model, 0, sizeof model);
    uint64_t random = run_seed();
    for (size_t i = 0; i < 2000; i++) {
        check_operation = i;
        size_t first = below(&random, LENGTH_OF(model)), count = 1 + below(&random, 300);
        count = least_of(count, LENGTH_OF(model) - first);
        bool touched = below(&random, 2);
        size_t before = 0;
        for (size_t page = first; page < first + count; page++) {
            before += model[page];
            model[page] = touched;
        }
        char *start = room.pages.start + first * PAGE;
        CHECK(sw__pages_touched(&room.pages, start, count * PAGE) == before * PAGE);
        CHECK(sw__pages_mark(&room.pages, start, count * PAGE, touched) == before * PAGE);
        CHECK(sw__pages_touched(&room.pages, start, count * PAGE) == (touched ? count * PAGE : 0));
    }
    size_t all = 0;
    for (size_t page = 0; page < LENGTH_OF(model); page++)
        all += model[page];
    assert_int_equal(sw__pages_touched(&room.pages, room.pages.start, SIZE), all * PAGE);
    end_room(&room);
}

static void both_ends_of_what_is_touched_are_found(void **state) {
    (void)state;
    struct room room = make_room();
    char *start = room.pages.start, *end = start + SIZE;
    assert_ptr_equal(sw__pages_touched_end(&room.pages, start, end), start);
    assert_ptr_equal(sw__pages_first_touched(&room.pages, start, end), end);
    const size_t pages[] = {0, 1, 62, 63, 64, 127, 128, 1000, SIZE / PAGE - 1};
    for (size_t i = 0; i < LENGTH_OF(pages); i++) {
        char *page = start + pages[i] * PAGE;
        sw__pages_mark(&room.pages, page, PAGE, true);
        assert_ptr_equal(sw__pages_touched_end(&room.pages, start, end), page + PAGE);
        assert_ptr_equal(sw__pages_touched_end(&room.pages, page, page + PAGE), page + PAGE);
        assert_ptr_equal(sw__pages_first_touched(&room.pages, page, end), page);
        if (pages[i] > pages[0] + 1) /* behind the first */
            assert_ptr_equal(sw__pages_first_touched(&room.pages, start + PAGE, end),
                             start + pages[1] * PAGE);
        if (i > 0) /* the one before, where this one is left out */
            assert_ptr_equal(sw__pages_touched_end(&room.pages, start, page),
                             start + (pages[i - 1] + 1) * PAGE);
    }
    end_room(&room);
}

static void the_last_touched_bytes_are_found(void **state) {
    (void)state;
    struct room room = make_room();
    char *start = room.pages.start, *end = start + SIZE;
    sw__pages_mark(&room.pages, start + MIB, 10 * PAGE, true);
    sw__pages_mark(&room.pages, start + 5 * MIB, 10 * PAGE, true);
    assert_ptr_equal(sw__pages_last_touched(&room.pages, start, end, 3 * PAGE),
                     start + 5 * MIB + 7 * PAGE);
    assert_ptr_equal(sw__pages_last_touched(&room.pages, start, end, 11 * PAGE),
                     start + MIB + 9 * PAGE);
    assert_ptr_equal(sw__pages_last_touched(&room.pages, start, end, SIZE), start);
    /* Of a huge page all: a part of one is not given back. */
    sw__pages_want_huge(&room.pages, start + 4 * MIB, start + 6 * MIB);
    assert_ptr_equal(sw__pages_last_touched(&room.pages, start, end, PAGE), start + 4 * MIB);
    end_room(&room);
}

static void grains_are_whole_and_aligned(void **state) {
    (void)state;
    struct room room = make_room();
    char *start = room.pages.start, *end = start + SIZE;
    assert_null(sw__pages_last_full(&room.pages, start, end, SW__GRAIN_UNIT));
    assert_ptr_equal(sw__pages_last_empty(&room.pages, start, end, SW__GRAIN_HUGE), end - 2 * MIB);
    sw__pages_mark(&room.pages, start + 3 * MIB + PAGE, 3 * MIB, true);
    /* From a page behind 3 MiB to a page behind 6 MiB: one huge page, and units before it. */
    assert_ptr_equal(sw__pages_last_full(&room.pages, start, end, SW__GRAIN_HUGE), start + 4 * MIB);
    assert_ptr_equal(sw__pages_last_full(&room.pages, start, end, SW__GRAIN_UNIT),
                     start + 6 * MIB - SW__UNIT);
    assert_ptr_equal(sw__pages_last_full(&room.pages, start, start + 4 * MIB, SW__GRAIN_UNIT),
                     start + 4 * MIB - SW__UNIT);
    assert_null(
        sw__pages_last_full(&room.pages, start, start + 3 * MIB + SW__UNIT, SW__GRAIN_UNIT));
    assert_null(
        sw__pages_last_full(&room.pages, start + 4 * MIB + PAGE, start + 6 * MIB, SW__GRAIN_HUGE));
    /* Nor across a seam. */
    sw__pages_note_seam(&room.pages, start + 5 * MIB);
    assert_null(sw__pages_last_full(&room.pages, start, end, SW__GRAIN_HUGE));
    assert_non_null(sw__pages_last_full(&room.pages, start, end, SW__GRAIN_UNIT));
    end_room(&room);
}

static void what_moves_arrives(void **state) {
    (void)state;
    struct room room = make_room();
    struct sw__pages *pages = &room.pages;
    char *start = pages->start;
    uint64_t random = run_seed();
    for (int grain = SW__GRAIN_UNIT; grain <= SW__GRAIN_HUGE; grain++) {
        size_t size = sw__grain_size((enum sw__grain)grain);
        /* Back and forth and over what moved before, as often as it likes. */
        for (size_t i = 0; i < 200; i++) {
            char *from = start + below(&random, SIZE / size) * size;
            char *to = start + below(&random, SIZE / size) * size;
            if (from == to)
                continue;
            sw__pages_mark(pages, start, SIZE, false);
            assert_true(sw__os_purge(start, SIZE));
            fill(from, size, i);
            sw__pages_mark(pages, from, size, true);
            if (sw__pages_last_full(pages, from, from + size, (enum sw__grain)grain) != from)
                continue; /* lies across a seam by now */
            struct sw__passage passage = {pages, pages, from, to, (enum sw__grain)grain, size};
            if (!sw__passage_move(&passage)) {
                assert_int_equal(i, 0); /* kernels before 5.7; test_os.c sees to it */
                end_room(&room);
                skip();
            }
            assert_true(holds(to, size, i));
            assert_true(is_all_zero(from, size));
            assert_int_equal(sw__pages_touched(pages, start, SIZE), size);
            assert_int_equal(sw__pages_touched(pages, to, size), size);
        }
    }
    /* Whatever moved, no mapping is smaller than a unit. */
    assert_true(process_mappings().count < SIZE / SW__UNIT + 200);
    end_room(&room);
}

static void neighbours_move_together(void **state) {
    (void)state;
    struct room room = make_room();
    struct sw__pages *pages = &room.pages;
    char *start = pages->start;
    fill(start + MIB, 3 * MIB, 7);
    sw__pages_mark(pages, start + MIB, 3 * MIB, true);
    struct sw__passage passage = {
        pages, pages, start + 4 * MIB - SW__UNIT, start + 12 * MIB, SW__GRAIN_UNIT, SW__UNIT};
    struct sw__passage other = passage;
    sw__passage_widen(&other, start, start, 2 * MIB + PAGE); /* no more than is wanted */
    assert_int_equal(other.size, 2 * MIB);
    other = passage;
    sw__passage_widen(&other, start, start + 11 * MIB, SIZE); /* nor than there is room for */
    assert_int_equal(other.size, MIB + SW__UNIT);
    other = passage;
    sw__pages_note_seam(pages, start + 3 * MIB);
    sw__passage_widen(&other, start, start, SIZE); /* nor across a seam */
    assert_int_equal(other.size, MIB);
    assert_ptr_equal(other.full, start + 3 * MIB);
    assert_ptr_equal(other.empty, start + 11 * MIB + SW__UNIT);
    if (sw__passage_move(&other)) { /* not before Linux 5.7 */
        assert_true(is_all_zero(other.full, other.size));
        assert_int_equal(sw__pages_touched(pages, start, SIZE), 3 * MIB);
        assert_int_equal(sw__pages_touched(pages, other.empty, MIB), MIB);
    }
    end_room(&room);
}

static bool is_wanted(const struct sw__pages *pages, size_t huge_page) {
    return pages->huge[huge_page / 64] >> huge_page % 64 & 1;
}

/* Huge pages were asked for from 4 to 8 MiB. Units from there fill a whole one elsewhere, and units
 * from elsewhere one of them. */
static void advice_comes_along_by_the_unit_too(void **state) {
    (void)state;
    struct room room = make_room();
    struct sw__pages *pages = &room.pages;
    char *start = pages->start;
    sw__pages_want_huge(pages, start + 4 * MIB, start + 8 * MIB);
    assert_true(is_wanted(pages, 2) && is_wanted(pages, 3) && !is_wanted(pages, 5));
    fill(start + 5 * MIB, 2 * MIB, 7);
    sw__pages_mark(pages, start + 5 * MIB, 2 * MIB, true);
    struct sw__passage out = {pages,          pages,  start + 5 * MIB, start + 10 * MIB,
                              SW__GRAIN_UNIT, 2 * MIB};
    if (!sw__passage_move(&out)) {
        end_room(&room);
        skip();
    }
    assert_true(is_wanted(pages, 5));
    fill(start + 13 * MIB, 2 * MIB, 8);
    sw__pages_mark(pages, start + 13 * MIB, 2 * MIB, true);
    struct sw__passage in = {pages,           pages,          start + 13 * MIB,
                             start + 4 * MIB, SW__GRAIN_UNIT, 2 * MIB};
    assert_true(sw__passage_move(&in));
    assert_false(is_wanted(pages, 2));
    assert_true(is_wanted(pages, 3)); /* nothing came there */
    end_room(&room);
}

static bool move_unit(struct sw__pages *pages, char *from, char *to) {
    sw__pages_mark(pages, from, SW__UNIT, true);
    struct sw__passage passage = {pages, pages, from, to, SW__GRAIN_UNIT, SW__UNIT};
    return sw__passage_move(&passage);
}

static void what_is_cut_off_is_no_mapping_any_more(void **state) {
    (void)state;
    struct room room = make_room();
    struct sw__pages *pages = &room.pages;
    char *start = pages->start, *end = start + SIZE;
    if (!move_unit(pages, start, start + MIB)) /* not before Linux 5.7 */
        skip();
    size_t cuts = sw__pages_cuts(pages);
    assert_true(cuts > 0);
    assert_true(move_unit(pages, start, start + 12 * MIB));
    assert_true(move_unit(pages, start, end - SW__UNIT));
    sw__pages_want_huge(pages, start + 8 * MIB, start + 10 * MIB);
    assert_true(sw__pages_cuts(pages) >= cuts + 5);
    sw__pages_mark(pages, start + 4 * MIB, SIZE - 4 * MIB, false);
    sw__pages_cut_off(pages, 4 * MIB, SIZE);
    assert_int_equal(sw__pages_cuts(pages), cuts);
    end_room(&room);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(touched_pages_are_counted_exactly),
        cmocka_unit_test(both_ends_of_what_is_touched_are_found),
        cmocka_unit_test(the_last_touched_bytes_are_found),
        cmocka_unit_test(grains_are_whole_and_aligned),
        cmocka_unit_test(what_moves_arrives),
        cmocka_unit_test(neighbours_move_together),
        cmocka_unit_test(advice_comes_along_by_the_unit_too),
        cmocka_unit_test(what_is_cut_off_is_no_mapping_any_more),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
