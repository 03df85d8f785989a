/*
 * test_extents.c - the page source: placement, coalescing, resizing, trim, limit and budget by
 * themselves, then a long random run that walks the whole map of extents again and again.
 */
#include "support.h"

#include "extents/page_map.h"
#include "extents/region.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct source {
    struct sw__meta meta;
    struct sw__extents extents;
};

static int set_up(void **state) {
    static struct source source;
    memset(&source, 0, sizeof source);
    const struct sw__config config = {.huge_pages = SW__HUGE_NEVER};
    sw__extents_init(&source.extents, &source.meta, &config);
    *state = &source;
    return 0;
}

static int tear_down(void **state) {
    struct source *source = *state;
    sw__extents_destroy(&source->extents);
    sw__meta_release(&source->meta);
    return 0;
}

static struct sw__extents *extents_of(void **state) {
    return &((struct source *)*state)->extents;
}

#define HUGE_PAGES(count) ((count)*SW__HUGE_PAGE / PAGE)

static struct sw__extent *take(struct sw__extents *extents, size_t pages) {
    struct sw__extent *extent = sw__extents_alloc(extents, pages * PAGE, PAGE);
    assert_non_null(extent);
    assert_int_equal(sw__extent_size(extent), pages * PAGE);
    assert_int_equal(extent->state, SW__EXTENT_LIVE);
    return extent;
}

static size_t resident_of(struct sw__extent *extent) {
    return sw__os_resident(sw__extent_start(extent), sw__extent_size(extent));
}

/* ---- The map of extents ---------------------------------------------------------------------- */

struct sums {
    size_t live, parked, lent, free, count;
};

/* Walks the region of a live extent from end to end. No gap, no overlap, no two free neighbours. */
static struct sums walk(struct sw__extent *extent) {
    struct sums sums = {0};
    while (extent->before)
        extent = extent->before;
    for (; extent; extent = extent->after) {
        CHECK(is_aligned(sw__extent_start(extent), PAGE) && sw__extent_size(extent) >= PAGE);
        *(sw__extent_is_free(extent)           ? &sums.free
          : extent->state == SW__EXTENT_PARKED ? &sums.parked
          : extent->state == SW__EXTENT_LENT   ? &sums.lent
                                               : &sums.live) += sw__extent_size(extent);
        sums.count++;
        struct sw__extent *next = extent->after;
        if (!next)
            break;
        CHECK(next->before == extent);
        CHECK(next->node.address == extent->node.address + extent->node.size);
        CHECK(!sw__extent_is_free(extent) || !sw__extent_is_free(next));
    }
    return sums;
}

static void check_tree(const struct sw__treap_node *node, enum sw__extent_state state,
                       struct sums *sums) {
    if (!node)
        return;
    const struct sw__extent *extent = (const void *)node;
    CHECK(extent->state == state);
    CHECK(!node->left || sw__treap_less(node->left, node));
    CHECK(!node->right || sw__treap_less(node, node->right));
    sums->free += node->size;
    sums->count++;
    check_tree(node->left, state, sums);
    check_tree(node->right, state, sums);
}

static void check_index(const struct sw__size_index *index, enum sw__extent_state state,
                        struct sums *sums) {
    for (unsigned shelf = 0; shelf < SW__SHELVES; shelf++) {
        CHECK((index->filled[shelf / 64] >> shelf % 64 & 1) == (index->shelves[shelf] != NULL));
        check_tree(index->shelves[shelf], state, sums);
    }
}

/* What is held is what is touched, in each extent and in all; what is live is touched whole. */
static void check_held(const struct sw__extents *extents) {
    size_t held = 0;
    for (struct sw__region *region = NULL; (region = sw__region_after(extents, region));)
        for (struct sw__extent *extent = region->last; extent; extent = extent->before) {
            size_t size = sw__extent_size(extent);
            CHECK(extent->touched ==
                  sw__pages_touched(&region->pages, sw__extent_start(extent), size));
            CHECK(extent->state != SW__EXTENT_LIVE || extent->touched == size);
            CHECK(extent->state != SW__EXTENT_CLEAN || extent->touched == 0);
            CHECK(extent->state != SW__EXTENT_DIRTY || extent->touched > 0);
            held += extent->touched;
        }
    CHECK(held == extents->held);
}

/* The anchor's region is sound; what is live and what is in the trees is all that is reserved. */
static void check_map(struct sw__extents *extents, struct sw__extent *anchor) {
    struct sums walked = walk(anchor), planted = {0};
    for (int side = 0; side < SW__SIDES; side++) {
        check_index(&extents->sides[side].dirty, SW__EXTENT_DIRTY, &planted);
        check_index(&extents->sides[side].clean, SW__EXTENT_CLEAN, &planted);
    }
    check_held(extents);
    size_t parked = extents->parked ? sw__extent_size(extents->parked) : 0;
    CHECK(walked.free <= planted.free && walked.live <= sw__extents_live(extents));
    CHECK(walked.lent <= extents->lent.bytes.current);
    CHECK(walked.parked <= parked);
    CHECK(sw__extents_live(extents) + extents->lent.bytes.current + parked + planted.free ==
          extents->reserved.current);
}

/* ---- Placement ------------------------------------------------------------------------------- */

/* Holes of the sizes given, in this order, kept apart by live pages. */
static void make_holes(struct sw__extents *extents, const size_t *pages, size_t count,
                       char **starts) {
    struct sw__extent *holes[16];
    for (size_t i = 0; i < count; i++) {
        holes[i] = take(extents, pages[i]);
        starts[i] = sw__extent_start(holes[i]);
        take(extents, 1);
    }
    for (size_t i = 0; i < count; i++)
        sw__extents_free(extents, holes[i]);
}

static void the_smallest_hole_that_fits_is_taken(void **state) {
    static const size_t pages[] = {20, 3, 8, 5, 8, 12};
    char *starts[6];
    make_holes(extents_of(state), pages, 6, starts);
    assert_ptr_equal(sw__extent_start(take(extents_of(state), 8)),
                     starts[2]); /* of equals the lower */
    assert_ptr_equal(sw__extent_start(take(extents_of(state), 8)), starts[4]);
    assert_ptr_equal(sw__extent_start(take(extents_of(state), 4)), starts[3]);
    assert_ptr_equal(sw__extent_start(take(extents_of(state), 1)), starts[3] + 4 * PAGE);
    assert_ptr_equal(sw__extent_start(take(extents_of(state), 2)), starts[1]);
    assert_ptr_equal(sw__extent_start(take(extents_of(state), 13)), starts[0]);
    assert_ptr_equal(sw__extent_start(take(extents_of(state), 7)), starts[0] + 13 * PAGE);
}

/* Physical pages are used again before new ones are asked for, even from a larger hole. */
static void a_dirty_hole_goes_before_a_clean_one(void **state) {
    struct sw__extents *extents = extents_of(state);
    static const size_t pages[] = {4, 30};
    char *starts[2];
    make_holes(extents, pages, 2, starts);
    sw__extents_trim(extents); /* both are clean now */
    struct sw__extent *whole = take(extents, 30);
    assert_ptr_equal(sw__extent_start(whole), starts[1]);
    sw__extents_free(extents, whole); /* and this one dirty */
    assert_ptr_equal(sw__extent_start(take(extents, 4)), starts[1]);
    assert_ptr_equal(sw__extent_start(take(extents, 26)), starts[1] + 4 * PAGE);
    assert_ptr_equal(sw__extent_start(take(extents, 4)), starts[0]);
}

/* As one comes that is a little larger than the last: each page but the two it has more is there. */
static void what_grows_by_being_copied_stays_where_it_was(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *hole = take(extents, 100), *old = take(extents, 600),
                      *behind = take(extents, 100); /* all of one side */
    char *start = sw__extent_start(old);
    sw__extents_free(extents, hole);
    sw__extents_trim(extents);
    sw__extents_free(extents, old); /* 100 pages that are not there, and 600 that are */
    size_t held = extents->held;
    struct sw__extent *longer = take(extents, 602);
    assert_ptr_equal(sw__extent_start(longer), start - 2 * PAGE); /* up to what is behind */
    assert_int_equal(extents->held, held + 2 * PAGE);
    sw__extents_free(extents, longer);
    struct sw__extent *shorter = take(extents, 500);
    assert_ptr_equal(sw__extent_start(shorter), start - 2 * PAGE); /* where what is there begins */
    assert_int_equal(extents->held, held + 2 * PAGE);
    check_map(extents, behind);
}

static void free_neighbours_coalesce_in_every_order(void **state) {
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct sw__extents *extents = extents_of(state);
    for (size_t order = 0; order < 6; order++) {
        struct sw__extent *anchor = take(extents, 1);
        struct sw__extent *three[3] = {take(extents, 7), take(extents, 2), take(extents, 5)};
        struct sw__extent *after = take(extents, 1);
        char *start = sw__extent_start(three[0]);
        for (size_t i = 0; i < 3; i++) {
            sw__extents_free(extents, three[orders[order][i]]);
            check_map(extents, anchor);
        }
        struct sw__extent *whole = take(extents, 14);
        assert_ptr_equal(sw__extent_start(whole), start);
        sw__extents_free(extents, whole);
        sw__extents_free(extents, anchor);
        sw__extents_free(extents, after);
    }
    assert_int_equal(sw__extents_live(extents), 0);
}

static void alignment_is_kept_and_wastes_nothing(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *anchor = take(extents, 1);
    for (size_t alignment = PAGE; alignment <= 8 * MIB; alignment *= 2) {
        struct sw__extent *extent = sw__extents_alloc(extents, 3 * PAGE, alignment);
        assert_non_null(extent);
        assert_true(is_aligned(sw__extent_start(extent), alignment));
        assert_int_equal(sw__extent_size(extent), 3 * PAGE);
        check_map(extents, anchor);
        sw__extents_free(extents, extent);
    }
    check_map(extents, anchor);
    sw__extents_largest_free(extents);       /* nothing is parked then */
    assert_int_equal(walk(anchor).count, 2); /* the anchor, and one free extent behind it */
}

/* The extent freed last comes back as it was, be there a better place; any other call ends that. */
static void the_last_one_freed_waits_for_its_like(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *low = take(extents, 8), *between = take(extents, 1);
    struct sw__extent *high = take(extents, 8), *behind = take(extents, 1);
    char *starts[] = {sw__extent_start(low), sw__extent_start(high)};
    sw__extents_free(extents, low);
    sw__extents_free(extents, high);
    check_map(extents, behind);
    assert_int_equal(sw__extents_live(extents), 2 * PAGE);
    assert_null(sw__extents_find(extents, starts[1]));
    high = take(extents, 8);
    assert_ptr_equal(sw__extent_start(high), starts[1]);
    assert_false(high->zero);
    assert_ptr_equal(sw__extents_find(extents, starts[1]), high);
    sw__extents_free(extents, high);
    take(extents, 3);
    assert_ptr_equal(sw__extent_start(take(extents, 8)), starts[1]);
    check_map(extents, between);
}

/* What is worth more joined is not kept apart. */
static void a_large_one_is_not_parked(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *anchor = take(extents, MIB / PAGE), *large = take(extents, 2 * MIB / PAGE);
    sw__extents_free(extents, large);
    assert_int_equal(walk(anchor).parked, 0);
    sw__extents_free(extents, take(extents, MIB / PAGE));
    assert_int_equal(walk(anchor).parked, MIB);
}

static void impossible_requests_are_refused(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *anchor = take(extents, 1);
    assert_null(sw__extents_alloc(extents, (size_t)1 << 60, PAGE));
    assert_null(sw__extents_alloc(extents, PAGE, (size_t)1 << 62));
    assert_null(sw__extents_alloc(extents, PTRDIFF_MAX - PAGE, (size_t)1 << 40));
    check_map(extents, anchor);
    assert_false(sw__extents_resize(extents, anchor, (size_t)1 << 60));
    assert_int_equal(sw__extent_size(anchor), PAGE);
}

static void only_the_start_of_a_live_extent_is_found(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *extent = take(extents, 40);
    char *start = sw__extent_start(extent);
    assert_ptr_equal(sw__extents_find(extents, start), extent);
    assert_null(sw__extents_find(extents, start + 1));
    assert_null(sw__extents_find(extents, start + PAGE));
    assert_null(sw__extents_find(extents, start + 40 * PAGE));
    assert_null(sw__extents_find(extents, &extent));
    assert_null(sw__extents_find(extents, NULL));
    struct source other = {0};
    sw__extents_init(&other.extents, &other.meta, &(struct sw__config){0});
    assert_null(sw__extents_find(&other.extents, start));
    sw__extents_free(extents, extent);
    assert_null(sw__extents_find(extents, start));
}

static bool is_right_behind(const struct sw__extent *extent, const struct sw__extent *before) {
    return sw__extent_start(extent) == sw__extent_start(before) + sw__extent_size(before);
}

static bool begins_on_huge_page(const struct sw__extent *extent) {
    return is_aligned(sw__extent_start(extent), SW__HUGE_PAGE);
}

static void huge_pages_are_begun_where_the_hole_is_nothing(void **state) {
    struct sw__extents *extents = extents_of(state);
    sw__extents_set_budget(extents, 100 * MIB);
    struct sw__extent *first = take(extents, 100), *second = take(extents, HUGE_PAGES(1));
    assert_true(begins_on_huge_page(second)); /* nothing is in the hole */
    sw__extents_free(extents, second);
    second = take(extents, HUGE_PAGES(2));
    assert_true(is_right_behind(second, first)); /* now there might be */
    sw__extents_free(extents, second);
    sw__extents_set_budget(extents, 1000 * MIB);
    assert_true(begins_on_huge_page(take(extents, HUGE_PAGES(1))));
}

static void pages_stay_rather_than_begin_a_huge_one(void **state) {
    struct sw__extents *extents = extents_of(state);
    take(extents, HUGE_PAGES(40)); /* so much that a hole would be nothing */
    struct sw__extent *first = take(extents, 100), *second = take(extents, HUGE_PAGES(1) + 100);
    take(extents, 100);
    sw__extents_free(extents, second);
    sw__extents_set_budget(extents, extents->held);
    assert_true(is_right_behind(take(extents, HUGE_PAGES(1)), first));
    assert_int_equal(extents->moved, 0);
}

/* ---- Zero, trim ------------------------------------------------------------------------------ */

static void what_is_said_to_be_zero_is(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *extent = take(extents, 30);
    struct sw__extent *after = take(extents, 1);
    assert_true(extent->zero);
    assert_true(is_all_zero(sw__extent_start(extent), 30 * PAGE));
    fill(sw__extent_start(extent), 30 * PAGE, 1);
    sw__extents_free(extents, extent);
    extent = take(extents, 30);
    assert_false(extent->zero);
    sw__extents_free(extents, extent);
    sw__extents_trim(extents);
    extent = take(extents, 30);
    assert_true(extent->zero);
    assert_true(is_all_zero(sw__extent_start(extent), 30 * PAGE));
    sw__extents_free(extents, extent);
    sw__extents_free(extents, after);
}

static void trim_gives_back_what_was_there_and_no_more(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *kept = take(extents, 10), *gone = take(extents, 100),
                      *end = take(extents, 10);
    fill(sw__extent_start(kept), 10 * PAGE, 1);
    fill(sw__extent_start(end), 10 * PAGE, 2);
    touch(sw__extent_start(gone), 60 * PAGE);
    sw__extents_free(extents, gone);
    assert_int_equal(sw__extents_trim(extents), 60 * PAGE);
    assert_int_equal(sw__extents_trim(extents), 0);
    assert_true(holds(sw__extent_start(kept), 10 * PAGE, 1));
    assert_true(holds(sw__extent_start(end), 10 * PAGE, 2));
    check_map(extents, kept);
}

static void a_region_that_is_free_goes_with_trim(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct mappings before = process_mappings();
    for (int round = 0; round < 5; round++) {
        struct sw__extent *large[4];
        for (size_t i = 0; i < 4; i++)
            large[i] = take(extents, 50 * MIB / PAGE); /* more than one region */
        assert_true(extents->reserved.current >= 200 * MIB);
        assert_true(extents->reserved.current <= 204 * MIB);
        touch(sw__extent_start(large[1]), 3 * MIB);
        for (size_t i = 0; i < 4; i++)
            sw__extents_free(extents, large[i]);
        assert_int_equal(sw__extents_trim(extents), 3 * MIB);
        assert_int_equal(extents->reserved.current, 0);
        assert_true(extents->reserved.peak >= 200 * MIB);
        /* Metadata; and a sanitizer maps for itself, but no region's worth. */
        assert_true(process_mappings().bytes <= before.bytes + (SANITIZED ? 48 : 4) * MIB);
    }
}

static size_t reserved_of(const struct sw__extents *extents) {
    size_t reserved = 0;
    for (struct sw__region *region = NULL; (region = sw__region_after(extents, region));)
        reserved += region->size;
    return reserved;
}

/* Of each region stays the huge page in which something lives. */
static void ends_of_regions_go_where_the_system_has_refused(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *small = take(extents, 16), *large = take(extents, 80);
    struct sw__extent *last = take(extents, HUGE_PAGES(20));
    fill(sw__extent_start(large), 80 * PAGE, 1);
    sw__extents_free(extents, last);
    sw__extents_trim(extents);
    size_t before = reserved_of(extents), mapped = process_mappings().bytes;
    assert_true(before > 2 * HUGE_PAGES(2) * PAGE);
    sw__os_fail_from(1);
    assert_null(sw__extents_alloc(extents, before, PAGE));
    sw__os_fail_from(0);
    sw__extents_trim(extents);
    assert_int_equal(reserved_of(extents), 2 * SW__HUGE_PAGE);
    assert_int_equal(process_mappings().bytes, mapped - (before - 2 * SW__HUGE_PAGE));
    check_map(extents, small);
    check_map(extents, large);
    take(extents, HUGE_PAGES(1)); /* in a region of its own, with room to grow */
    before = reserved_of(extents);
    sw__extents_trim(extents); /* nothing was refused since */
    assert_int_equal(reserved_of(extents), before);
    assert_true(holds(sw__extent_start(large), 80 * PAGE, 1));
}

/* Of so many pages that are free, the first half is full of what was there. */
static void leave_half_of(struct sw__extents *extents, size_t pages) {
    struct sw__extent *extent = take(extents, pages);
    fill(sw__extent_start(extent), pages * PAGE, 1);
    sw__extents_free(extents, extent);
    sw__extents_set_budget(extents, extents->held - pages * PAGE / 2);
    sw__extents_keep_budget(extents);
    sw__extents_set_budget(extents, SIZE_MAX);
}

static void what_is_free_serves_while_the_system_has_no_more(void **state) {
    enum { ROOM = 4096, LEAST = ROOM * 15 / 16 };
    static struct sw__extent *small[2 * ROOM];
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *anchor = take(extents, 1);
    size_t count = 0;
    leave_half_of(extents, ROOM);
    sw__os_fail_from(1);
    for (int i = 0; i < 100; i++)
        assert_true(is_all_zero(sw__extents_meta_alloc(extents, 1000), 1000));
    for (; (small[count] = sw__extents_alloc(extents, PAGE, PAGE)); count++)
        fill(sw__extent_start(small[count]), PAGE, count);
    sw__os_fail_from(0);
    assert_true(count >= LEAST);
    check_map(extents, anchor);
    check_map(extents, small[LEAST - 1]);
    for (size_t i = 0; i < count; i++) {
        assert_true(holds(sw__extent_start(small[i]), PAGE, i));
        sw__extents_free(extents, small[i]);
    }
    sw__extents_trim(extents);
    check_map(extents, anchor);
    assert_int_equal(sw__extents_live(extents), PAGE);
    assert_in_range(extents->lent.bytes.current, MIB / 16, (ROOM - LEAST) * PAGE);
}

static void nothing_is_lent_beyond_the_limit(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *anchor = take(extents, 1); /* nothing is there of what is free beside it */
    extents->limit = extents->held;
    sw__os_fail_from(1);
    while (sw__extents_meta_alloc(extents, 1000))
        CHECK(extents->held == PAGE);
    sw__os_fail_from(0);
    assert_int_equal(extents->held, PAGE);
    check_map(extents, anchor);
}

/* ---- Resize ---------------------------------------------------------------------------------- */

static void an_extent_grows_into_what_is_free_behind_it(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *extent = take(extents, 10), *behind = take(extents, 10),
                      *end = take(extents, 1);
    char *start = sw__extent_start(extent);
    fill(start, 10 * PAGE, 1);
    assert_false(sw__extents_resize(extents, extent, 11 * PAGE)); /* a live neighbour */
    sw__extents_free(extents, behind);
    assert_false(sw__extents_resize(extents, extent, 21 * PAGE));
    assert_int_equal(sw__extent_size(extent), 10 * PAGE);
    assert_true(sw__extents_resize(extents, extent, 16 * PAGE));
    assert_int_equal(sw__extent_size(extent), 16 * PAGE);
    check_map(extents, extent);
    assert_true(sw__extents_resize(extents, extent, 20 * PAGE)); /* to the last page of it */
    check_map(extents, extent);
    assert_ptr_equal(extent->after, end);
    assert_true(holds(start, 10 * PAGE, 1));
    assert_true(sw__extents_resize(extents, extent, 5 * PAGE));
    check_map(extents, extent);
    assert_ptr_equal(sw__extent_start(take(extents, 15)), start + 5 * PAGE);
    assert_true(holds(start, 5 * PAGE, 1));
}

static void the_last_extent_moves_the_frontier(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *extent = take(extents, SW__SMALL_EXTENT / PAGE + 1);
    char *start = sw__extent_start(extent);
    for (size_t pages = 65; pages <= 60 * MIB / PAGE; pages = pages * 3 / 2 + 1) {
        assert_ptr_equal(sw__extents_resize(extents, extent, pages * PAGE), start);
        assert_int_equal(sw__extent_size(extent), pages * PAGE);
        check_map(extents, extent);
    }
}

/* Of many holes that are large enough and lie wrong, none; and no more than there is room for. */
static void what_fits_at_the_frontier_moves_it_not(void **state) {
    struct sw__extents *extents = extents_of(state);
    enum { WRONG = 17, BLOCK = 10, HOLE = 14, ALIGNED = 16 };
    struct sw__extent *holes[WRONG];
    take(extents, 1);
    for (int i = 0; i < WRONG; i++) { /* each begins a page behind where a block may */
        holes[i] = take(extents, HOLE);
        take(extents, 2 * ALIGNED - HOLE);
    }
    size_t used = 1 + WRONG * 2 * ALIGNED, rest = ALIGNED + 1; /* a page too many in front */
    for (size_t left = MIB / PAGE - used % (MIB / PAGE) - rest, part; left; left -= part)
        take(extents, part = least_of(left, SW__SMALL_EXTENT / PAGE));
    struct sw__extent *last = take(extents, rest);
    char *start = sw__extent_start(last);
    size_t reserved = extents->reserved.current;
    assert_null(last->after);
    sw__extents_free(extents, last);
    for (int i = 0; i < WRONG; i++)
        sw__extents_free(extents, holes[i]);
    struct sw__extent *extent = sw__extents_alloc(extents, BLOCK * PAGE, ALIGNED * PAGE);
    assert_ptr_equal(sw__extent_start(extent), start + PAGE);
    assert_int_equal(extents->reserved.current, reserved);
    check_map(extents, extent);
}

static struct sw__extent *at(struct sw__extents *extents, const void *start) {
    struct sw__extent *extent = sw__extents_find(extents, start);
    assert_non_null(extent);
    assert_ptr_equal(sw__extent_start(extent), start);
    return extent;
}

/* With a live neighbour behind it, at any offset in a unit. */
static void a_block_without_room_moves_its_pages(void **state) {
    struct sw__extents *extents = extents_of(state);
    enum { OLD = 2500, NEW = 3000, EDGES = 2 * SW__UNIT_PAGES };
    for (size_t offset = 0; offset < 2; offset++) {
        struct sw__extent *front = take(extents, 300 + 77 * offset), *extent = take(extents, OLD),
                          *wall = take(extents, 100);
        char *start = sw__extent_start(extent);
        fill(start, OLD * PAGE, offset);
        fill(sw__extent_start(wall), 100 * PAGE, 2);
        size_t live = sw__extents_live(extents);
        char *moved = sw__extents_resize(extents, extent, NEW * PAGE);
        assert_non_null(moved);
        assert_ptr_not_equal(moved, start);
        assert_int_equal(((uintptr_t)moved ^ (uintptr_t)start) & (SW__HUGE_PAGE - 1), 0);
        assert_int_equal(sw__extent_size(at(extents, moved)), NEW * PAGE);
        assert_int_equal(sw__extents_live(extents), live + (NEW - OLD) * PAGE);
        assert_true(holds(moved, OLD * PAGE, offset));
        assert_true(holds(sw__extent_start(wall), 100 * PAGE, 2));
        assert_null(sw__extents_find(extents, start));
        if (kernel_can_move()) {
            assert_true(sw__os_resident(start, OLD * PAGE) <= EDGES * PAGE);
            assert_true(extents->held <= sw__extents_live(extents) + EDGES * PAGE);
        }
        check_map(extents, wall);
        sw__extents_free(extents, at(extents, moved));
        sw__extents_free(extents, wall);
        sw__extents_free(extents, front);
        sw__extents_trim(extents);
    }
}

/* Whatever the kernel refuses on the way, once or from then on, the block is whole, here or there.
 */
static void survive_every_refusal(struct sw__extents *extents, void (*refuse)(long)) {
    enum { OLD = 1000, NEW = 1500 };
    bool refused = true;
    for (long n = 1; refused; n++) {
        struct sw__extent *extent = take(extents, OLD), *wall = take(extents, 100);
        char *start = sw__extent_start(extent);
        fill(start, OLD * PAGE, (uint64_t)n);
        refuse(n);
        long before = sw__os_requests();
        char *moved = sw__extents_resize(extents, extent, NEW * PAGE);
        refused = sw__os_requests() - before >= n;
        refuse(0);
        struct sw__extent *now = moved ? at(extents, moved) : extent;
        assert_true(holds(sw__extent_start(now), OLD * PAGE, (uint64_t)n));
        assert_int_equal(sw__extent_size(now), (moved ? NEW : OLD) * PAGE);
        assert_int_equal(sw__extents_live(extents), sw__extent_size(now) + 100 * PAGE);
        check_map(extents, now);
        sw__extents_free(extents, now);
        sw__extents_free(extents, wall);
        sw__extents_trim(extents);
    }
}

static void a_block_survives_every_refusal(void **state) {
    survive_every_refusal(extents_of(state), sw__os_fail_from);
    survive_every_refusal(extents_of(state), sw__os_fail_nth);
}

/* How often one of 80 MiB is refused, as ever later requests fail. Nothing of it stays. */
static int refuse_more_and_more(struct sw__extents *extents) {
    enum { REFUSED_MOST = 20 };
    for (int refused = 0; refused < REFUSED_MOST; refused++) {
        sw__os_fail_from(refused + 1);
        struct sw__extent *extent = sw__extents_alloc(extents, 80 * MIB, PAGE);
        sw__os_fail_from(0);
        if (extent) {
            sw__extents_free(extents, extent);
            return refused;
        }
        assert_null(extents->sides[SW__SIDE_LARGE].regions);
    }
    fail();
    return 0;
}

/* The page map has its leaves for wherever the system may place the next region. */
static void know_the_neighbourhood(struct sw__extents *extents) {
    struct sw__extent *extent = take(extents, 80 * MIB / PAGE);
    char *start = sw__extent_start(extent);
    assert_true(sw__page_map_prepare(start - 1024 * MIB, 2048 * MIB));
    sw__extents_free(extents, extent);
    sw__extents_trim(extents);
}

static void what_is_refused_keeps_no_address_space(void **state) {
    struct sw__extents *extents = extents_of(state);
    assert_true(refuse_more_and_more(extents) > 2);
    sw__extents_trim(extents);
    know_the_neighbourhood(extents);
    /* Metadata is there now: of address space, and of its use. */
    assert_int_equal(refuse_more_and_more(extents), 2);
}

/* A region that is as large as what is asked for. */
static void take_and_trim(struct sw__extents *extents, size_t size) {
    struct sw__extent *extent = take(extents, size / PAGE);
    assert_int_equal(extent->region->size, size);
    sw__extents_free(extents, extent);
    sw__extents_trim(extents);
}

static void regions_of_ever_other_sizes_take_no_more_metadata(void **state) {
    enum { SIZES = 300 };
    struct sw__extents *extents = extents_of(state);
    take_and_trim(extents, 1000 * MIB);
    size_t metadata = extents->meta->bytes.current;
    for (size_t i = 1; i <= SIZES; i++)
        take_and_trim(extents, (1000 + 2 * i) * MIB);
    assert_true(extents->meta->bytes.current < 8 * metadata);
}

/* In several moves, as address space is short. */
static void a_large_block_moves_in_parts(void **state) {
    struct sw__extents *extents = extents_of(state);
    enum { OLD = 20000, NEW = 21000 };
    struct sw__extent *extent = take(extents, OLD), *wall = take(extents, 100);
    char *start = sw__extent_start(extent);
    for (size_t page = 0; page < OLD; page += 7)
        fill(start + page * PAGE, 64, page);
    char *moved = sw__extents_resize(extents, extent, NEW * PAGE);
    assert_non_null(moved);
    for (size_t page = 0; page < OLD; page += 7)
        assert_true(holds(moved + page * PAGE, 64, page));
    if (kernel_can_move())
        assert_true(sw__os_resident(start, OLD * PAGE) <= 2 * SW__UNIT);
    check_map(extents, wall);
}

/* Where no page can move, as where the kernel is old, two of it would have to fit. */
static void the_limit_holds_where_no_page_moves(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *place = take(extents, 4000), *extent = take(extents, 2000),
                      *wall = take(extents, 100);
    fill(sw__extent_start(extent), 2000 * PAGE, 1);
    sw__extents_free(extents, place);
    sw__extents_trim(extents);
    extents->limit = 3000 * PAGE;
    sw__os_fail_from(1);
    char *moved = sw__extents_resize(extents, extent, 2700 * PAGE);
    sw__os_fail_from(0);
    assert_null(moved);
    assert_int_equal(extents->held, 2100 * PAGE);
    assert_true(holds(sw__extent_start(extent), 2000 * PAGE, 1));
    check_map(extents, wall);
}

static void a_small_block_that_grows_large_leaves_its_side(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *large = take(extents, 4000), *wall = take(extents, 100),
                      *extent = take(extents, 50);
    char *hole = sw__extent_start(large);
    touch(hole, 4000 * PAGE);
    sw__extents_free(extents, large);
    fill(sw__extent_start(extent), 50 * PAGE, 1);
    assert_ptr_equal(sw__extents_resize(extents, extent, 60 * PAGE), sw__extent_start(extent));
    char *moved = sw__extents_resize(extents, extent, 70 * PAGE);
    assert_ptr_equal(moved, hole); /* where it can grow on, in pages that are there */
    assert_true(holds(moved, 50 * PAGE, 1));
    assert_ptr_equal(sw__extents_resize(extents, at(extents, moved), 3000 * PAGE), moved);
    assert_ptr_equal(sw__extents_resize(extents, at(extents, moved), 80 * PAGE), moved);
    assert_true(holds(moved, 50 * PAGE, 1));
    check_map(extents, wall);
}

/* Not before it has to. */
static void it_stays_while_there_are_pages_behind_it(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *extent = take(extents, 60), *behind = take(extents, 60);
    char *start = sw__extent_start(extent);
    sw__extents_free(extents, behind);
    assert_ptr_equal(sw__extents_resize(extents, extent, 120 * PAGE), start);
    assert_ptr_not_equal(sw__extents_resize(extents, extent, 121 * PAGE), start);
}

/* ---- Limit, budget --------------------------------------------------------------------------- */

/* A block grows though two of it would be more than the limit, if its pages can move. */
static void a_block_moves_within_the_limit(void **state) {
    struct sw__extents *extents = extents_of(state);
    extents->limit = 3000 * PAGE;
    struct sw__extent *extent = take(extents, 2000), *wall = take(extents, 100);
    fill(sw__extent_start(extent), 2000 * PAGE, 1);
    assert_null(sw__extents_resize(extents, extent, 2901 * PAGE));
    assert_true(extents->at_limit);
    if (!kernel_can_move())
        skip();
    char *moved = sw__extents_resize(extents, extent, 2700 * PAGE);
    assert_non_null(moved);
    assert_true(extents->held <= extents->limit);
    assert_true(holds(moved, 2000 * PAGE, 1));
    check_map(extents, wall);
}

/* A block that is to grow, from 2000 to 2500 pages, and a place for it of which 1200 are there. */
static struct sw__extent *beside_a_place_in_part(struct sw__extents *extents, char **place) {
    struct sw__extent *hole = take(extents, 4000), *extent;
    take(extents, 100);
    extent = take(extents, 2000);
    take(extents, 100);
    *place = sw__extent_start(hole);
    touch(*place, 4000 * PAGE);
    fill(sw__extent_start(extent), 2000 * PAGE, 1);
    sw__extents_free(extents, hole);
    sw__extents_set_budget(extents, extents->held - 2800 * PAGE);
    sw__extents_keep_budget(extents);
    sw__extents_set_budget(extents, SIZE_MAX);
    assert_int_equal(extents->held, 3400 * PAGE);
    return extent;
}

static void move_to_a_place_in_part(struct sw__extents *extents, size_t limit, size_t most_held) {
    char *place;
    struct sw__extent *extent = beside_a_place_in_part(extents, &place);
    if (!kernel_can_move())
        skip();
    extents->limit = limit;
    char *moved = sw__extents_resize(extents, extent, 2500 * PAGE);
    assert_true(moved >= place && moved < place + 1200 * PAGE);
    assert_true(holds(moved, 2000 * PAGE, 1));
    assert_true(extents->held <= most_held);
    check_map(extents, at(extents, moved));
}

/* What is there goes where something is missing, and what is in the block comes to its place. */
static void what_is_there_of_a_place_makes_way(void **state) {
    move_to_a_place_in_part(extents_of(state), SIZE_MAX, 3400 * PAGE + 4 * SW__UNIT);
}

/* Nor is it in the way of a limit. */
static void a_block_moves_to_a_place_that_is_there_in_part(void **state) {
    move_to_a_place_in_part(extents_of(state), 3480 * PAGE, 3480 * PAGE);
}

/* Of pages that have moved away, none is thought to be free. */
static void a_block_moves_to_a_place_beside_it(void **state) {
    struct sw__extents *extents = extents_of(state);
    enum { PLACE = 1408, OLD = 384, NEW = 1088 }; /* the old one begins within a huge page */
    extents->huge_pages = SW__HUGE_AUTO;
    extents->usage.last = SW__USED;
    struct sw__extent *place = take(extents, PLACE), *extent = take(extents, OLD),
                      *wall = take(extents, 100);
    char *start = sw__extent_start(place);
    assert_true(is_aligned(start, SW__HUGE_PAGE));
    touch(start, PLACE * PAGE);
    fill(sw__extent_start(extent), OLD * PAGE, 1);
    touch(sw__extent_start(wall), 100 * PAGE);
    sw__extents_free(extents, place);
    sw__extents_trim(extents);
    sw__extents_set_budget(extents, 100 * MIB);
    assert_ptr_equal(sw__extents_resize(extents, extent, NEW * PAGE), start);
    assert_true(holds(start, OLD * PAGE, 1));
    check_map(extents, wall);
}

/* As where the program has advised or protected a part of it. */
static void a_block_of_several_mappings_moves(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *extent = take(extents, 3000), *wall = take(extents, 100);
    char *start = sw__extent_start(extent);
    fill(start, 3000 * PAGE, 1);
    sw__os_advise_huge(start + 1500 * PAGE, 200 * PAGE, false);
    assert_int_equal(madvise(start + 1500 * PAGE, 200 * PAGE, MADV_DONTFORK), 0);
    char *moved = sw__extents_resize(extents, extent, 3500 * PAGE);
    assert_non_null(moved);
    assert_true(holds(moved, 3000 * PAGE, 1));
    if (kernel_can_move()) /* but for the units at its ends and those of the part's */
        assert_true(sw__os_resident(start, 3000 * PAGE) <= 4 * SW__UNIT);
    assert_int_equal(madvise(moved + 1500 * PAGE, 200 * PAGE, MADV_DOFORK), 0);
    check_map(extents, wall);
}

static void no_more_than_the_limit_is_held(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *taken[16] = {NULL};
    size_t count = 0;
    extents->limit = 10 * MIB;
    assert_null(sw__extents_alloc(extents, 11 * MIB, PAGE));
    while (count < 16 && (taken[count] = sw__extents_alloc(extents, MIB, PAGE)) != NULL)
        fill(sw__extent_start(taken[count]), MIB, count), count++;
    assert_int_equal(count, 10);
    assert_true(extents->at_limit);
    assert_null(sw__extents_alloc(extents, PAGE, PAGE));
    assert_false(sw__extents_resize(extents, taken[9], MIB + PAGE));
    assert_int_equal(extents->held, 10 * MIB);
    check_map(extents, taken[0]);

    /* The two holes are too small for it, and what they hold goes or moves. */
    sw__extents_free(extents, taken[4]);
    sw__extents_free(extents, taken[6]);
    struct sw__extent *large = sw__extents_alloc(extents, 2 * MIB - PAGE, PAGE);
    assert_non_null(large);
    assert_false(extents->at_limit);
    fill(sw__extent_start(large), 2 * MIB - PAGE, 100);
    assert_true(sw__extents_resize(extents, large, 2 * MIB));
    assert_false(sw__extents_resize(extents, large, 2 * MIB + PAGE));
    assert_true(extents->at_limit);
    assert_int_equal(extents->held, 10 * MIB);
    assert_true(holds(sw__extent_start(large), 2 * MIB - PAGE, 100));
    for (size_t i = 0; i < count; i++)
        assert_true(i == 4 || i == 6 || holds(sw__extent_start(taken[i]), MIB, i));
    check_map(extents, taken[0]);
    check_map(extents, large);
}

/* Not mlock() and munlock(), which the sanitizers make do nothing. */
static bool lock_pages(char *start, size_t size) {
    return syscall(SYS_mlock, start, size) == 0;
}

static bool unlock_pages(char *start, size_t size) {
    return syscall(SYS_munlock, start, size) == 0;
}

/* All memory of a process may be locked, and each block that is freed be above the budget. */
static void what_cannot_be_given_back_is_not_asked_for_each_time(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *hole = take(extents, 100), *wall = take(extents, 100);
    struct sw__extent *second = take(extents, 200), *end = take(extents, 100);
    char *start = sw__extent_start(hole), *second_start = sw__extent_start(second);
    if (!lock_pages(start, 100 * PAGE) || !lock_pages(second_start, 200 * PAGE))
        skip(); /* RLIMIT_MEMLOCK */
    sw__extents_free(extents, hole);
    sw__extents_set_budget(extents, 0);
    long before = sw__os_requests();
    sw__extents_keep_budget(extents);
    assert_true(sw__os_requests() > before);
    before = sw__os_requests();
    sw__extents_keep_budget(extents);
    assert_int_equal(sw__os_requests(), before);
    sw__extents_free(extents, second); /* more than was refused */
    sw__extents_keep_budget(extents);
    assert_true(sw__os_requests() > before);
    assert_true(unlock_pages(start, 100 * PAGE) && unlock_pages(second_start, 200 * PAGE));
    for (int i = 0; i < 1000 && extents->held > 200 * PAGE; i++)
        sw__extents_keep_budget(extents); /* in the end it is tried again */
    assert_int_equal(extents->held, 200 * PAGE);
    second = take(extents, 200);
    sw__extents_free(extents, second);
    sw__extents_keep_budget(extents);
    assert_int_equal(extents->held, 200 * PAGE);
    sw__extents_free(extents, wall);
    sw__extents_free(extents, end);
}

/* Where the kernel will not take back what is free, a request fails and all is as it was. */
static void what_cannot_be_given_back_counts(void **state) {
    struct sw__extents *extents = extents_of(state);
    enum { HOLE = 50, WALL = 30, MORE = 60 }; /* too few pages to move */
    extents->limit = 128 * PAGE;
    struct sw__extent *hole = take(extents, HOLE), *wall = take(extents, WALL);
    char *start = sw__extent_start(hole);
    fill(sw__extent_start(wall), WALL * PAGE, 1);
    if (!lock_pages(start, HOLE * PAGE))
        skip(); /* RLIMIT_MEMLOCK */
    sw__extents_free(extents, hole);
    sw__extents_largest_free(extents); /* nothing is parked then */
    assert_null(sw__extents_alloc(extents, MORE * PAGE, PAGE));
    assert_null(sw__extents_resize(extents, wall, (WALL + MORE) * PAGE));
    assert_int_equal(sw__extent_size(wall), WALL * PAGE);
    assert_int_equal(extents->held, (HOLE + WALL) * PAGE);
    assert_int_equal(sw__extents_live(extents), WALL * PAGE);
    check_map(extents, wall);
    assert_true(unlock_pages(start, HOLE * PAGE));
    assert_non_null(sw__extents_alloc(extents, MORE * PAGE, PAGE));
    assert_true(extents->held <= 128 * PAGE);
    assert_true(holds(sw__extent_start(wall), WALL * PAGE, 1));
    check_map(extents, wall);
}

/* Nor does it keep others. */
static void what_cannot_be_given_back_is_passed_over(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *larger = take(extents, 600), *wall = take(extents, 100),
                      *smaller = take(extents, 500), *end = take(extents, 100);
    char *start = sw__extent_start(larger);
    fill(sw__extent_start(wall), 100 * PAGE, 1);
    fill(sw__extent_start(end), 100 * PAGE, 2);
    if (!lock_pages(start, 600 * PAGE))
        skip();
    sw__extents_free(extents, larger);
    sw__extents_free(extents, smaller);
    sw__extents_set_budget(extents, 0);
    sw__extents_keep_budget(extents);
    assert_int_equal(extents->held, 800 * PAGE);
    check_map(extents, wall);
    assert_true(unlock_pages(start, 600 * PAGE));
    sw__extents_rest(extents);
    assert_int_equal(extents->held, 200 * PAGE);
    assert_true(holds(sw__extent_start(wall), 100 * PAGE, 1));
    assert_true(holds(sw__extent_start(end), 100 * PAGE, 2));
    check_map(extents, end);
}

static void a_budget_is_kept_by_giving_free_pages_back(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *kept = take(extents, 100), *gone = take(extents, 500),
                      *end = take(extents, 1);
    fill(sw__extent_start(kept), 100 * PAGE, 1);
    touch(sw__extent_start(gone), 500 * PAGE);
    assert_int_equal(extents->held, 601 * PAGE);
    char *start = sw__extent_start(gone);
    sw__extents_free(extents, gone);
    sw__extents_set_budget(extents, 301 * PAGE);
    sw__extents_keep_budget(extents);
    assert_int_equal(extents->held, 301 * PAGE);
    assert_int_equal(sw__os_resident(start, 500 * PAGE), 200 * PAGE);
    sw__extents_set_budget(extents, 0);
    sw__extents_keep_budget(extents);
    assert_int_equal(extents->held, 101 * PAGE); /* what is live stays */
    assert_int_equal(sw__os_resident(start, 500 * PAGE), 0);
    assert_true(holds(sw__extent_start(kept), 100 * PAGE, 1));
    assert_int_equal(resident_of(kept), 100 * PAGE);
    check_map(extents, end);
}

static void rest_in_vain(struct sw__extents *extents) {
    size_t kept = sw__extents_kept(extents);
    sw__os_expect_end();
    sw__extents_rest(extents);
    _exit(kept > 0 && sw__extents_kept(extents) == kept ? 0 : 1);
}

/* It would hold the process up. */
static void no_rest_goes_on_as_the_process_ends(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *gone = take(extents, 500);
    touch(sw__extent_start(gone), 500 * PAGE);
    sw__extents_free(extents, gone);
    pid_t child = fork();
    if (child == 0)
        rest_in_vain(extents);
    assert_int_equal(exit_code_of(child), 0);
    sw__extents_rest(extents);
    assert_int_equal(sw__extents_kept(extents), 0);
}

/* A hole that is too small gives its pages to the extent that is too large for it. */
static void over_budget_pages_come_from_holes(void **state) {
    struct sw__extents *extents = extents_of(state);
    enum { HOLES = 4, HOLE = 512, WALL = 65 }; /* all of one side */
    struct sw__extent *holes[HOLES], *walls[HOLES];
    for (size_t i = 0; i < HOLES; i++) {
        holes[i] = take(extents, HOLE);
        walls[i] = take(extents, WALL);
        touch(sw__extent_start(holes[i]), HOLE * PAGE);
        fill(sw__extent_start(walls[i]), WALL * PAGE, i);
    }
    for (size_t i = 0; i < HOLES; i++)
        sw__extents_free(extents, holes[i]);
    size_t held = extents->held;
    sw__extents_set_budget(extents, held);
    if (!kernel_can_move())
        skip();
    struct sw__extent *large = take(extents, (size_t)HOLES * HOLE);
    assert_true(extents->held <= held + 64 * PAGE);
    assert_false(large->zero);
    touch(sw__extent_start(large), (size_t)HOLES * HOLE * PAGE);
    sw__extents_keep_budget(extents);
    assert_true(extents->held <= held + 64 * PAGE);
    for (size_t i = 0; i < HOLES; i++)
        assert_true(holds(sw__extent_start(walls[i]), WALL * PAGE, i));
    check_map(extents, walls[0]);
}

/* Of an extent that begins and ends within a unit, too: nothing of it has to come new. */
static void units_at_the_edges_come_along(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *front = take(extents, 70), *hole = take(extents, 1000),
                      *wall = take(extents, 70), *hole_2 = take(extents, 1000),
                      *wall_2 = take(extents, 90);
    touch(sw__extent_start(hole), 1000 * PAGE);
    touch(sw__extent_start(hole_2), 1000 * PAGE);
    sw__extents_free(extents, hole);
    sw__extents_free(extents, hole_2);
    sw__extents_set_budget(extents, extents->held);
    if (!kernel_can_move())
        skip();
    struct sw__extent *large = take(extents, 1500);
    assert_int_equal((uintptr_t)sw__extent_end(large) & (SW__UNIT - 1) ? 1 : 0, 1);
    assert_true(resident_of(large) >= (1500 - SW__UNIT_PAGES) * PAGE);
    assert_int_equal(sw__os_resident(sw__extent_start(large) + 1400 * PAGE, 100 * PAGE),
                     100 * PAGE);
    check_map(extents, front);
    struct sw__extent *behind = take(extents, 70); /* what came along is counted where it is */
    touch(sw__extent_start(behind), 70 * PAGE);
    sw__extents_free(extents, behind);
    sw__extents_free(extents, large);
    sw__extents_free(extents, wall);
    sw__extents_free(extents, wall_2);
    sw__extents_trim(extents);
    assert_int_equal(extents->held, 70 * PAGE);
}

/* What may never be used is not brought pages for. */
static void nothing_moves_to_a_sparse_extent(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *hole = take(extents, 1000), *wall = take(extents, 70);
    touch(sw__extent_start(hole), 1000 * PAGE);
    sw__extents_free(extents, hole);
    sw__extents_set_budget(extents, extents->held);
    struct sw__extent *sparse = sw__extents_alloc_sparse(extents, SW__UNIT, SW__UNIT);
    assert_non_null(sparse);
    assert_int_equal(resident_of(sparse), 0);
    check_map(extents, wall);
    if (!kernel_can_move())
        skip();
    struct sw__extent *dense = sw__extents_alloc(extents, SW__UNIT, SW__UNIT);
    assert_non_null(dense);
    assert_int_equal(resident_of(dense), SW__UNIT);
}

static size_t cuts_of(const struct sw__extents *extents) {
    size_t cuts = 0;
    for (struct sw__region *region = NULL; (region = sw__region_after(extents, region));)
        cuts += sw__pages_cuts(&region->pages);
    return cuts;
}

/* Takes and frees extents of many sizes, with as many bytes held as live at most. */
static void work_in_a_tight_budget(struct sw__extents *extents, uint64_t random) {
    enum { COUNT = 24 };
    struct sw__extent *live[COUNT] = {NULL};
    for (int i = 0; i < 2000; i++) {
        struct sw__extent **extent = &live[below(&random, COUNT)];
        if (*extent)
            sw__extents_free(extents, *extent);
        *extent = take(extents, 65 + below(&random, 2000));
        sw__extents_set_budget(extents, sw__extents_live(extents) + MIB);
        sw__extents_keep_budget(extents);
    }
}

/* The kernel grants a process so many mappings, and a heap in pieces is not to take them all. */
static void a_heap_is_not_cut_into_ever_more_mappings(void **state) {
    struct sw__extents *extents = extents_of(state);
    enum { MOST = 40, AT_ONCE = 32 }; /* an extent may take its pages from that many places */
    enum { OTHERS = 40 }; /* regions, tables, and what the kernel leaves apart at the frontier */
    if (!kernel_can_move())
        skip();
    extents->huge_pages = SW__HUGE_AUTO;
    extents->most_cuts = MOST;
    uint64_t random = run_seed();
    size_t before = process_mappings().count;
    work_in_a_tight_budget(extents, random);
    assert_true(cuts_of(extents) <= MOST + AT_ONCE);
    assert_true(process_mappings().count <= before + MOST + AT_ONCE + OTHERS);
    extents->most_cuts = SIZE_MAX;
    work_in_a_tight_budget(extents, random);
    assert_true(cuts_of(extents) > MOST + AT_ONCE); /* there was something to prevent */
}

/* What is wanted again after a rest comes by the huge page, as far as the budget has room. */
static void a_rest_ends_with_huge_pages(void **state) {
    struct sw__extents *extents = extents_of(state);
    const size_t huge = SW__HUGE_PAGE / PAGE;
    struct sw__extent *room = take(extents, 4 * huge), *end = take(extents, 256);
    extents->huge_pages = SW__HUGE_AUTO;
    extents->usage.last = SW__USED;
    sw__extents_free(extents, room);
    sw__extents_trim(extents);
    assert_int_equal(extents->held, 256 * PAGE);

    sw__extents_set_budget(extents, extents->held + 3 * SW__HUGE_PAGE);
    struct sw__extent *first = take(extents, 100);
    assert_int_equal(extents->held, 256 * PAGE + SW__HUGE_PAGE);
    assert_true(first->zero);
    fill(sw__extent_start(first), 100 * PAGE, 1);
    struct sw__extent *second = take(extents, huge - 100); /* the rest of it */
    assert_ptr_equal(sw__extent_start(second), sw__extent_start(first) + 100 * PAGE);
    assert_int_equal(extents->held, 256 * PAGE + SW__HUGE_PAGE);
    assert_true(is_all_zero(sw__extent_start(second), PAGE));

    sw__extents_set_budget(extents, extents->held + SW__HUGE_PAGE);
    take(extents, 100);
    assert_int_equal(extents->held, 356 * PAGE + SW__HUGE_PAGE);
    assert_true(holds(sw__extent_start(first), 100 * PAGE, 1));
    check_map(extents, end);
    sw__extents_keep_budget(extents);
    sw__extents_free(extents, first);
    sw__extents_free(extents, second);
    check_map(extents, end);
}

static int times_brought(struct sw__extents *extents, size_t most) {
    int times = 0;
    while (sw__extents_bring_back(extents, most))
        times++;
    return times;
}

static void what_was_used_before_a_rest_comes_again(void **state) {
    struct sw__extents *extents = extents_of(state);
    if (!sw__os_can_bring()) /* before 5.14 */
        skip();
    struct sw__extent *used = take(extents, HUGE_PAGES(8)), *wall = take(extents, 100);
    struct sw__extent *unused = take(extents, HUGE_PAGES(8)), *end = take(extents, 100);
    char *start = sw__extent_start(used);
    memset(start, 1, sw__extent_size(used));
    sw__extents_free(extents, used);
    sw__extents_free(extents, unused);
    sw__extents_rest(extents);
    assert_int_equal(extents->held, 200 * PAGE);
    assert_int_equal(sw__os_resident(start, 8 * SW__HUGE_PAGE), 0);

    assert_int_equal(times_brought(extents, 200 * PAGE + 3 * SW__HUGE_PAGE - PAGE), 2);
    assert_int_equal(sw__os_resident(start, 8 * SW__HUGE_PAGE), 2 * SW__HUGE_PAGE);
    sw__extents_set_budget(extents, 200 * PAGE + 3 * SW__HUGE_PAGE);
    assert_int_equal(times_brought(extents, SIZE_MAX), 1);
    sw__extents_set_budget(extents, SIZE_MAX);

    /* What work has taken meanwhile is its own affair. */
    struct sw__extent *taken = take(extents, HUGE_PAGES(5));
    assert_ptr_equal(sw__extent_start(taken), start);
    assert_int_equal(times_brought(extents, SIZE_MAX), 3);
    assert_int_equal(extents->held, 200 * PAGE + 8 * SW__HUGE_PAGE);
    assert_int_equal(sw__os_resident(start + 5 * SW__HUGE_PAGE, 3 * SW__HUGE_PAGE),
                     3 * SW__HUGE_PAGE);
    assert_true(is_all_zero(start, 8 * SW__HUGE_PAGE));
    check_map(extents, end);
    sw__extents_free(extents, taken);

    sw__extents_rest(extents); /* and before the next, nothing was brought */
    sw__extents_rest(extents);
    assert_int_equal(times_brought(extents, SIZE_MAX), 5);
    sw__extents_free(extents, wall);
    check_map(extents, end);
}

/* A free extent of huge pages, all of it used. */
static void leave_used(struct sw__extents *extents, size_t huge_pages) {
    struct sw__extent *extent = take(extents, HUGE_PAGES(huge_pages));
    memset(sw__extent_start(extent), 1, sw__extent_size(extent));
    sw__extents_free(extents, extent);
}

static void what_came_in_vain_does_not_come_again(void **state) {
    struct sw__extents *extents = extents_of(state);
    if (!sw__os_can_bring()) /* before 5.14 */
        skip();
    leave_used(extents, 8);
    sw__extents_rest(extents);
    assert_int_equal(times_brought(extents, SIZE_MAX), 8);
    sw__extents_free(extents, take(extents, HUGE_PAGES(3)));
    sw__extents_rest(extents);
    assert_int_equal(times_brought(extents, SIZE_MAX), 3);
    sw__extents_rest(extents);
    assert_int_equal(times_brought(extents, SIZE_MAX), 0);
    leave_used(extents, 2); /* but if it is used once more */
    sw__extents_rest(extents);
    assert_int_equal(times_brought(extents, SIZE_MAX), 2);
}

static void check_that_all_is_held(struct sw__extents *extents) {
    sw__lock(&extents->lock);
    const struct sw__region *region = extents->sides[SW__SIDE_LARGE].regions;
    CHECK(region != NULL);
    for (; region; region = region->next)
        for (size_t at = 0; at < region->committed; at += SW__UNIT)
            CHECK(sw__pages_touched(&region->pages, region->start + at, SW__UNIT) ||
                  sw__os_resident(region->start + at, SW__UNIT) == 0);
    sw__unlock(&extents->lock);
}

/* More than goes at once, in extents that end within a huge page and beside others. */
static void what_is_much_goes_in_parts_and_comes_again(void **state) {
    struct sw__extents *extents = extents_of(state);
    if (!sw__os_can_bring()) /* before 5.14 */
        skip();
    struct sw__extent *large = take(extents, HUGE_PAGES(50) + 3), *wall = take(extents, 100);
    struct sw__extent *small = take(extents, HUGE_PAGES(3)), *end = take(extents, 100);
    memset(sw__extent_start(large), 1, sw__extent_size(large));
    memset(sw__extent_start(small), 1, sw__extent_size(small));
    sw__extents_free(extents, large);
    sw__extents_free(extents, small);
    sw__extents_rest(extents);
    assert_int_equal(extents->held, 200 * PAGE);
    check_that_all_is_held(extents);
    check_map(extents, end);
    assert_in_range(times_brought(extents, SIZE_MAX), 52, 53);
    sw__extents_free(extents, wall);
    sw__extents_free(extents, end);

    leave_used(extents, 70);
    sw__extents_set_budget(extents, 3 * SW__HUGE_PAGE);
    sw__extents_keep_budget(extents);
    assert_int_equal(extents->held, 3 * SW__HUGE_PAGE);
    check_that_all_is_held(extents);
}

static void what_is_trimmed_does_not_come_again(void **state) {
    struct sw__extents *extents = extents_of(state);
    struct sw__extent *first = take(extents, HUGE_PAGES(1)); /* its region stays */
    leave_used(extents, 8);
    sw__extents_rest(extents);
    struct sw__extent *taken = take(extents, HUGE_PAGES(4));
    sw__extents_free(extents, taken); /* what work has taken is its own affair from then on */
    sw__extents_trim(extents);
    assert_int_equal(times_brought(extents, SIZE_MAX), 0);
    assert_int_equal(extents->noted, 0);
    sw__extents_free(extents, first);
}

static struct sw__extents *brought_from;

static void trim_meanwhile(void) {
    sw__extents_trim(brought_from);
}

static void take_meanwhile(void) {
    sw__os_while_bringing = NULL;
    take(brought_from, HUGE_PAGES(8));
}

/* Pages that go while they are brought would be there for ever, and held by nobody. */
static void what_goes_while_it_is_brought_is_gone(void **state) {
    struct sw__extents *extents = extents_of(state);
    if (!sw__os_can_bring()) /* before 5.14 */
        skip();
    leave_used(extents, 8);
    sw__extents_rest(extents);
    brought_from = extents;
    sw__os_while_bringing = trim_meanwhile;
    assert_true(sw__extents_bring_back(extents, SIZE_MAX));
    assert_int_equal(extents->held, 0);
    check_that_all_is_held(extents); /* the region is there: it waits for the pages */
    leave_used(extents, 8);
    sw__extents_rest(extents);
    sw__os_while_bringing = take_meanwhile;
    assert_int_equal(times_brought(extents, SIZE_MAX), 1);
    assert_int_equal(extents->held, 8 * SW__HUGE_PAGE);
    sw__os_while_bringing = NULL;
}

struct disturbance {
    struct sw__extents *extents;
    atomic_bool is_over;
};

/* Does all there is to free extents, again and again. */
static void *disturb(void *argument) {
    struct disturbance *disturbance = argument;
    struct sw__extents *extents = disturbance->extents;
    uint64_t random = 3;
    for (int i = 0; i < 400; i++) {
        size_t size = SW__HUGE_PAGE * (1 + below(&random, 6));
        struct sw__extent *extent = sw__extents_alloc(extents, size, PAGE);
        CHECK(is_all_zero(sw__extent_start(extent), PAGE) || !extent->zero);
        fill(sw__extent_start(extent), size, (unsigned)i);
        if (i % 4 == 0)
            sw__extents_trim(extents);
        if (i % 4 == 1) /* pages move */
            sw__extents_set_budget(extents, below(&random, 8) * SW__HUGE_PAGE);
        sw__extents_keep_budget(extents);
        CHECK(holds(sw__extent_start(extent), size, (unsigned)i));
        sw__extents_free(extents, extent);
        if (i % 8 == 3)
            sw__extents_rest(extents);
        sw__extents_set_budget(extents, SIZE_MAX);
    }
    disturbance->is_over = true;
    return NULL;
}

static void pages_come_while_others_go(void **state) {
    struct sw__extents *extents = extents_of(state);
    if (!sw__os_can_bring()) /* before 5.14 */
        skip();
    struct sw__extent *anchor = take(extents, 100);
    struct disturbance disturbance = {.extents = extents};
    pthread_t other;
    int times = 0;
    assert_int_equal(pthread_create(&other, NULL, disturb, &disturbance), 0);
    while (!disturbance.is_over) {
        int more = times_brought(extents, SIZE_MAX);
        if (more > 0)
            check_that_all_is_held(extents);
        times += more;
    }
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_true(times > 0);
    check_map(extents, anchor);
}

/* Is the huge page it has so far from its beginning to come as one? */
static bool is_wanted_huge_at(const struct sw__extent *extent, size_t offset) {
    const struct sw__pages *pages = &extent->region->pages;
    size_t huge_page = (size_t)(sw__extent_start(extent) + offset - pages->start) / SW__HUGE_PAGE;
    return pages->huge[huge_page / 64] >> huge_page % 64 & 1;
}

static bool is_wanted_huge(const struct sw__extent *extent) {
    return is_wanted_huge_at(extent, 0);
}

/* Takes extents, writes so much of each, and counts those that were to come huge. */
static int take_and_write(struct sw__extents *extents, int count, size_t pages, size_t written) {
    int wanted_huge = 0;
    for (int i = 0; i < count; i++) {
        struct sw__extent *extent = take(extents, pages);
        wanted_huge += is_wanted_huge(extent);
        touch(sw__extent_start(extent), written * PAGE);
    }
    return wanted_huge;
}

static void what_is_written_to_its_end_is_wanted_huge(void **state) {
    struct sw__extents *extents = extents_of(state);
    extents->huge_pages = SW__HUGE_AUTO;
    assert_int_equal(take_and_write(extents, 1, HUGE_PAGES(2), HUGE_PAGES(2)), 0); /* who knows */
    assert_int_equal(take_and_write(extents, 6, HUGE_PAGES(2), HUGE_PAGES(2)), 6);
    sw__extents_trim(extents); /* of nothing */
    assert_int_equal(take_and_write(extents, 2, HUGE_PAGES(1), HUGE_PAGES(1)), 2);
}

/* Else the kernel might fill it again beside what lives there, and nobody would give that back. */
static void let_a_part_go(struct sw__extents *extents, bool rests) {
    extents->huge_pages = SW__HUGE_AUTO;
    take_and_write(extents, 4, HUGE_PAGES(2), HUGE_PAGES(2));
    struct sw__extent *whole = take(extents, HUGE_PAGES(4));
    assert_true(is_wanted_huge_at(whole, 3 * SW__HUGE_PAGE));
    touch(sw__extent_start(whole), sw__extent_size(whole));
    sw__extents_free(extents, whole);
    struct sw__extent *part = take(extents, HUGE_PAGES(3) + 100);
    assert_true(is_wanted_huge_at(part, 3 * SW__HUGE_PAGE)); /* all of it is there */
    if (rests)
        sw__extents_rest(extents);
    else
        sw__extents_trim(extents);
    assert_true(is_wanted_huge_at(part, 2 * SW__HUGE_PAGE));
    assert_false(is_wanted_huge_at(part, 3 * SW__HUGE_PAGE));
    check_map(extents, part);
    sw__extents_free(extents, part);
}

static void of_what_goes_in_part_no_huge_page_is_wanted(void **state) {
    let_a_part_go(extents_of(state), true);
    let_a_part_go(extents_of(state), false);
}

/* As of a server that has a buffer for each client. Where none is wanted none came. */
static void what_is_hardly_written_is_not(void **state) {
    struct sw__extents *extents = extents_of(state);
    extents->huge_pages = SW__HUGE_AUTO;
    assert_int_equal(take_and_write(extents, 50, HUGE_PAGES(2), 2), 0);
    assert_int_equal(take_and_write(extents, 50, HUGE_PAGES(1), 2), 0);
    assert_int_equal(take_and_write(extents, 50, HUGE_PAGES(1) + 3, 2), 0);
}

/* Not for long after others were, though of one huge page nobody can tell. */
static void use_may_change(void **state) {
    struct sw__extents *extents = extents_of(state);
    static const size_t sizes[] = {HUGE_PAGES(2), HUGE_PAGES(1)};
    extents->huge_pages = SW__HUGE_AUTO;
    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        take_and_write(extents, 10, sizes[i], sizes[i]);
        assert_true(take_and_write(extents, 5, sizes[i], sizes[i]) >= 4);
        assert_true(take_and_write(extents, 40, sizes[i], 2) <= 24);
        assert_int_equal(take_and_write(extents, 20, sizes[i], 2), 0);
        take_and_write(extents, 10, sizes[i], sizes[i]);
    }
}

/* What its pages told is known when they have gone. */
static void use_is_remembered(void **state) {
    struct sw__extents *extents = extents_of(state);
    extents->huge_pages = SW__HUGE_AUTO;
    struct sw__extent *end, *extent = take(extents, HUGE_PAGES(2));
    touch(sw__extent_start(extent), 2 * SW__HUGE_PAGE);
    end = take(extents, 65);
    sw__extents_free(extents, extent);
    sw__extents_trim(extents);
    assert_true(is_wanted_huge(take(extents, HUGE_PAGES(2))));
    check_map(extents, end);
}

static void nobody_asks_a_region_that_has_gone(void **state) {
    struct sw__extents *extents = extents_of(state);
    extents->huge_pages = SW__HUGE_AUTO;
    for (int i = 0; i < 20; i++) {
        struct sw__extent *extent = take(extents, HUGE_PAGES(3 + i));
        assert_true(is_wanted_huge(extent) == (i > 0)); /* what it told is known */
        touch(sw__extent_start(extent), sw__extent_size(extent));
        sw__extents_free(extents, extent);
        sw__extents_trim(extents);
        assert_int_equal(extents->reserved.current, 0);
        for (int w = 0; w < SW__WITNESSES; w++)
            assert_null(extents->usage.witnesses[w].region);
    }
}

static void so_large_an_extent_is_wanted_huge_at_once(void **state) {
    struct sw__extents *extents = extents_of(state);
    extents->huge_pages = SW__HUGE_AUTO;
    assert_false(is_wanted_huge_at(take(extents, HUGE_PAGES(31)), SW__HUGE_PAGE));
    struct sw__extent *extent = take(extents, HUGE_PAGES(32));
    assert_true(is_wanted_huge_at(extent, SW__HUGE_PAGE));
    assert_true(is_wanted_huge_at(extent, 31 * SW__HUGE_PAGE));
    touch(sw__extent_start(extent), PAGE); /* whatever becomes of the rest, this is not much */
    assert_int_equal(resident_of(extent), PAGE);
}

/* As of a hash table: where it was used before it is not written to be zero, until such extents
 * turn out to be used. Huge pages do not make it whole either. */
static void large_zeroed_extents_come_as_they_are_used(void **state) {
    struct sw__extents *extents = extents_of(state);
    enum { SIZE = 80 * MIB, ROUNDS = 4 };
    extents->huge_pages = SW__HUGE_AUTO;
    struct sw__extent *extent = take(extents, SIZE / PAGE);
    assert_true(is_wanted_huge_at(extent, SW__HUGE_PAGE));
    fill(sw__extent_start(extent), SIZE, 1);
    sw__extents_free(extents, extent);
    for (int round = 0; round < ROUNDS; round++) {
        char *zeroed = sw__extents_alloc_zeroed(extents, SIZE);
        assert_int_equal(sw__os_resident(zeroed, SIZE), 0);
        assert_true(is_all_zero(zeroed + SW__HUGE_PAGE, PAGE));
        if (round < ROUNDS - 1)
            touch(zeroed + SW__HUGE_PAGE, PAGE); /* where a huge page was wanted before */
        else
            touch(zeroed, SIZE);
        assert_int_equal(sw__os_resident(zeroed, SIZE), round < ROUNDS - 1 ? PAGE : SIZE);
        sw__extents_free(extents, sw__extents_find(extents, zeroed));
    }
    char *zeroed = sw__extents_alloc_zeroed(extents, SIZE);
    assert_int_equal(sw__os_resident(zeroed, SIZE), SIZE);
    assert_true(is_all_zero(zeroed, SIZE));
}

/* As of an array of zeros beside temporaries: their pages are worth more to the next of them. */
static void zeroed_extents_take_no_pages_of_others(void **state) {
    struct sw__extents *extents = extents_of(state);
    enum { TEMPORARY = 900, SIZE = 9 * MIB, ROUNDS = 6 };
    sw__extents_set_budget(extents,
                           (size_t)2 * TEMPORARY * PAGE); /* nothing new, if pages can move */
    for (int round = 0; round < ROUNDS; round++) {
        struct sw__extent *temporary = take(extents, TEMPORARY);
        if (round > 0)
            assert_int_equal(resident_of(temporary), TEMPORARY * PAGE);
        fill(sw__extent_start(temporary), TEMPORARY * PAGE, 1);
        sw__extents_free(extents, temporary);
        char *zeroed = sw__extents_alloc_zeroed(extents, SIZE);
        assert_int_equal(sw__os_resident(zeroed, SIZE), 0);
        assert_true(is_all_zero(zeroed, PAGE));
        check_map(extents, sw__extents_find(extents, zeroed));
    }
}

/* Used in part, and freed: that one place is as good as another. */
static void zeroed_extents_take_no_more_address_space_than_that(void **state) {
    struct sw__extents *extents = extents_of(state);
    enum { SIZE = 9 * MIB, ROUNDS = 100 };
    for (int with_budget = 0; with_budget < 2; with_budget++) {
        for (int round = 0; round < ROUNDS; round++) {
            char *zeroed = sw__extents_alloc_zeroed(extents, SIZE);
            touch(zeroed, SIZE / 2);
            sw__extents_free(extents, sw__extents_find(extents, zeroed));
        }
        assert_true(extents->reserved.current < 200 * MIB);
        sw__extents_set_budget(extents, (size_t)2 * SIZE);
    }
}

/* Of one that is hardly used, freed and zeroed again, only what was used is written. */
static void zeros_are_written_only_over_what_is_there(void **state) {
    struct sw__extents *extents = extents_of(state);
    enum { SIZE = 1536 << 10, SMALL = 10 * PAGE, ROUNDS = 40 };
    if (access("/proc/thread-self/pagemap", R_OK) != 0)
        skip();
    for (int round = 0; round < ROUNDS; round++) {
        char *zeroed = sw__extents_alloc_zeroed(extents, SIZE);
        assert_true(is_all_zero(zeroed + SIZE / 2, PAGE));
        assert_true(sw__os_resident(zeroed, SIZE) <= 2 * PAGE);
        fill(zeroed + SIZE / 2, PAGE, round);
        char *small = sw__extents_alloc_zeroed(extents, SMALL); /* of which nobody asks */
        fill(small, SMALL, 1);
        sw__extents_free(extents, sw__extents_find(extents, small));
        sw__extents_free(extents, sw__extents_find(extents, zeroed));
    }
    /* All of it is there, again and again: then it is not asked for each time. */
    for (int round = 0; round < ROUNDS; round++) {
        char *zeroed = sw__extents_alloc_zeroed(extents, SIZE);
        assert_true(is_all_zero(zeroed, SIZE));
        fill(zeroed, SIZE, round);
        sw__extents_free(extents, sw__extents_find(extents, zeroed));
    }
    assert_true(extents->unasked_next > 0);
}

/* However often all was there of others. */
static void a_large_zeroed_extent_brings_nothing(void **state) {
    struct sw__extents *extents = extents_of(state);
    enum { SIZE = 8 << 20, ROUNDS = 4 };
    if (access("/proc/thread-self/pagemap", R_OK) != 0)
        skip();
    for (int round = 0; round < ROUNDS; round++) {
        extents->unasked = extents->unasked_next = 3;
        char *zeroed = sw__extents_alloc_zeroed(extents, SIZE);
        assert_true(is_all_zero(zeroed + SIZE / 2, PAGE));
        assert_true(sw__os_resident(zeroed, SIZE) <= 2 * PAGE);
        sw__extents_free(extents, sw__extents_find(extents, zeroed));
        assert_int_equal(extents->unasked, 3); /* nor does it tell of smaller ones */
    }
}

/* Who wants zeros may want them for later. */
static void zeroed_extents_tell_nothing(void **state) {
    struct sw__extents *extents = extents_of(state);
    extents->huge_pages = SW__HUGE_AUTO;
    for (int i = 0; i < 4; i++)
        assert_non_null(sw__extents_alloc_zeroed(extents, 2 * SW__HUGE_PAGE));
    assert_int_equal(extents->usage.next, 0);
}

/* What lies where huge pages were wanted before is so no longer. */
static void a_wish_is_taken_back(void **state) {
    struct sw__extents *extents = extents_of(state);
    extents->huge_pages = SW__HUGE_AUTO;
    extents->usage.last = SW__USED;
    struct sw__extent *extent = take(extents, HUGE_PAGES(4)), *end = take(extents, 256);
    assert_true(is_wanted_huge(extent));
    sw__extents_free(extents, extent);
    sw__extents_trim(extents);
    extent = take(extents, HUGE_PAGES(4));
    assert_true(sw__extent_end(extent) == sw__extent_start(end));
    assert_false(is_wanted_huge(extent));
    touch(sw__extent_start(extent), PAGE);
    assert_int_equal(resident_of(extent), PAGE);
}

/* ---- At random ------------------------------------------------------------------------------- */

enum { LIVE = 300 };

/* What a live extent holds: a word at the start of some of its pages. */
static void mark(struct sw__extent *extent, uint64_t seed) {
    for (size_t at = 0; at < sw__extent_size(extent); at += 16 * PAGE)
        fill(sw__extent_start(extent) + at, 64, seed + at);
}

static bool is_marked(struct sw__extent *extent, size_t size, uint64_t seed) {
    for (size_t at = 0; at < size; at += 16 * PAGE)
        if (!holds(sw__extent_start(extent) + at, 64, seed + at))
            return false;
    return true;
}

static size_t some_pages(uint64_t *random) {
    return 1 + below(random, (size_t)1 << below(random, 11));
}

/* The system refuses everything from now on, and hardly any metadata is left. */
static void run_out(struct sw__extents *extents) {
    sw__os_fail_from(1);
    while (sw__meta_alloc(extents->meta, 1024))
        continue;
    extents->spare_extents->after = NULL;
    extents->spare_count = 1;
}

static void live_at_random(struct sw__extents *extents, bool is_refused_at_times) {
    static struct {
        struct sw__extent *extent;
        uint64_t seed;
    } live[LIVE];
    uint64_t random = run_seed();
    bool is_out = false;
    memset(live, 0, sizeof live);
    extents->limit = 60 * MIB; /* so that requests are refused too */
    extents->huge_pages = SW__HUGE_AUTO;
    struct sw__extent *anchor = take(extents, 1);
    size_t refused = 0;
    for (size_t i = 0; i < scaled(200000); i++) {
        check_operation = i;
        size_t slot = below(&random, LIVE), choice = below(&random, 100);
        struct sw__extent *extent = live[slot].extent;
        if (extent && choice < 20) {
            size_t old = sw__extent_size(extent), wanted = some_pages(&random) * PAGE;
            char *resized = sw__extents_resize(extents, extent, wanted);
            live[slot].extent = extent = resized ? at(extents, resized) : extent;
            CHECK(sw__extent_size(extent) == (resized ? wanted : old));
            CHECK(is_marked(extent, least_of(old, sw__extent_size(extent)), live[slot].seed));
            mark(extent, live[slot].seed);
        } else if (extent) {
            CHECK(is_marked(extent, sw__extent_size(extent), live[slot].seed));
            CHECK(sw__extents_find(extents, sw__extent_start(extent)) == extent);
            sw__extents_free(extents, extent);
            live[slot].extent = NULL;
        } else {
            size_t alignment = choice < 30 ? PAGE << below(&random, 10) : PAGE;
            size_t size = some_pages(&random) * PAGE;
            extent = sw__extents_alloc(extents, size, alignment);
            live[slot].extent = extent;
            if (!extent) {
                refused++;
                size_t lent = extents->lent.bytes.current;
                CHECK(is_out || sw__extents_live(extents) + lent + size > extents->limit);
            }
            if (extent) {
                CHECK(is_aligned(sw__extent_start(extent), alignment));
                CHECK(sw__extent_size(extent) == size);
                CHECK(!extent->zero || is_all_zero(sw__extent_start(extent), PAGE));
                live[slot].seed = random_of(&random);
                mark(extent, live[slot].seed);
            }
        }
        if (choice == 99 && below(&random, 20) == 0)
            sw__extents_trim(extents);
        if (is_refused_at_times && choice == 97 && below(&random, 10) == 0) {
            is_out = !is_out;
            is_out ? run_out(extents) : sw__os_fail_from(0);
        }
        if (choice == 98) {
            bool tight = below(&random, 2);
            size_t budget =
                tight ? sw__extents_live(extents) + (MIB << below(&random, 5)) : SIZE_MAX;
            sw__extents_set_budget(extents, budget);
            sw__extents_keep_budget(extents);
            CHECK(is_refused_at_times || extents->held <= budget ||
                  extents->held - budget <= sw__extents_tolerated(budget));
        }
        CHECK(extents->held <= extents->limit);
        if (i % 64 == 0)
            check_map(extents, anchor);
    }
    sw__os_fail_from(0);
    check_map(extents, anchor);
    for (size_t i = 0; i < LIVE; i++)
        if (live[i].extent)
            sw__extents_free(extents, live[i].extent);
    check_map(extents, anchor);
    sw__extents_largest_free(extents); /* nothing is parked then */
    assert_true(refused > 0);
}

static void the_map_stays_sound(void **state) {
    struct sw__extents *extents = extents_of(state);
    live_at_random(extents, false);
    assert_int_equal(sw__extents_live(extents), PAGE);
    assert_true(walk(extents->sides[SW__SIDE_SMALL].regions->last).count <= 3);
}

static void it_does_where_the_system_has_no_more_at_times(void **state) {
    struct sw__extents *extents = extents_of(state);
    live_at_random(extents, true);
    assert_int_equal(sw__extents_live(extents), PAGE);
    assert_true(extents->lent.bytes.current > 0);
}

#define EXTENTS_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        EXTENTS_TEST(the_smallest_hole_that_fits_is_taken),
        EXTENTS_TEST(a_dirty_hole_goes_before_a_clean_one),
        EXTENTS_TEST(what_grows_by_being_copied_stays_where_it_was),
        EXTENTS_TEST(free_neighbours_coalesce_in_every_order),
        EXTENTS_TEST(alignment_is_kept_and_wastes_nothing),
        EXTENTS_TEST(huge_pages_are_begun_where_the_hole_is_nothing),
        EXTENTS_TEST(pages_stay_rather_than_begin_a_huge_one),
        EXTENTS_TEST(the_last_one_freed_waits_for_its_like),
        EXTENTS_TEST(a_large_one_is_not_parked),
        EXTENTS_TEST(impossible_requests_are_refused),
        EXTENTS_TEST(only_the_start_of_a_live_extent_is_found),
        EXTENTS_TEST(what_is_said_to_be_zero_is),
        EXTENTS_TEST(trim_gives_back_what_was_there_and_no_more),
        EXTENTS_TEST(a_region_that_is_free_goes_with_trim),
        EXTENTS_TEST(ends_of_regions_go_where_the_system_has_refused),
        EXTENTS_TEST(what_is_free_serves_while_the_system_has_no_more),
        EXTENTS_TEST(nothing_is_lent_beyond_the_limit),
        EXTENTS_TEST(an_extent_grows_into_what_is_free_behind_it),
        EXTENTS_TEST(the_last_extent_moves_the_frontier),
        EXTENTS_TEST(what_fits_at_the_frontier_moves_it_not),
        EXTENTS_TEST(a_block_without_room_moves_its_pages),
        EXTENTS_TEST(a_block_survives_every_refusal),
        EXTENTS_TEST(what_is_refused_keeps_no_address_space),
        EXTENTS_TEST(regions_of_ever_other_sizes_take_no_more_metadata),
        EXTENTS_TEST(a_large_block_moves_in_parts),
        EXTENTS_TEST(the_limit_holds_where_no_page_moves),
        EXTENTS_TEST(a_small_block_that_grows_large_leaves_its_side),
        EXTENTS_TEST(it_stays_while_there_are_pages_behind_it),
        EXTENTS_TEST(a_block_moves_within_the_limit),
        EXTENTS_TEST(what_is_there_of_a_place_makes_way),
        EXTENTS_TEST(a_block_moves_to_a_place_that_is_there_in_part),
        EXTENTS_TEST(a_block_moves_to_a_place_beside_it),
        EXTENTS_TEST(a_block_of_several_mappings_moves),
        EXTENTS_TEST(no_more_than_the_limit_is_held),
        EXTENTS_TEST(what_cannot_be_given_back_is_not_asked_for_each_time),
        EXTENTS_TEST(what_cannot_be_given_back_counts),
        EXTENTS_TEST(what_cannot_be_given_back_is_passed_over),
        EXTENTS_TEST(a_budget_is_kept_by_giving_free_pages_back),
        EXTENTS_TEST(no_rest_goes_on_as_the_process_ends),
        EXTENTS_TEST(over_budget_pages_come_from_holes),
        EXTENTS_TEST(nothing_moves_to_a_sparse_extent),
        EXTENTS_TEST(units_at_the_edges_come_along),
        EXTENTS_TEST(a_heap_is_not_cut_into_ever_more_mappings),
        EXTENTS_TEST(a_rest_ends_with_huge_pages),
        EXTENTS_TEST(what_was_used_before_a_rest_comes_again),
        EXTENTS_TEST(what_came_in_vain_does_not_come_again),
        EXTENTS_TEST(what_is_much_goes_in_parts_and_comes_again),
        EXTENTS_TEST(what_is_trimmed_does_not_come_again),
        EXTENTS_TEST(what_goes_while_it_is_brought_is_gone),
        EXTENTS_TEST(pages_come_while_others_go),
        EXTENTS_TEST(what_is_written_to_its_end_is_wanted_huge),
        EXTENTS_TEST(of_what_goes_in_part_no_huge_page_is_wanted),
        EXTENTS_TEST(what_is_hardly_written_is_not),
        EXTENTS_TEST(use_may_change),
        EXTENTS_TEST(use_is_remembered),
        EXTENTS_TEST(nobody_asks_a_region_that_has_gone),
        EXTENTS_TEST(so_large_an_extent_is_wanted_huge_at_once),
        EXTENTS_TEST(large_zeroed_extents_come_as_they_are_used),
        EXTENTS_TEST(zeroed_extents_take_no_pages_of_others),
        EXTENTS_TEST(zeroed_extents_take_no_more_address_space_than_that),
        EXTENTS_TEST(zeros_are_written_only_over_what_is_there),
        EXTENTS_TEST(a_large_zeroed_extent_brings_nothing),
        EXTENTS_TEST(zeroed_extents_tell_nothing),
        EXTENTS_TEST(a_wish_is_taken_back),
        EXTENTS_TEST(the_map_stays_sound),
        EXTENTS_TEST(it_does_where_the_system_has_no_more_at_times),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("extents", tests, NULL, NULL);
}
