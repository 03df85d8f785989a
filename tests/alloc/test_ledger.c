/*
 * test_ledger.c - the ledger of live blocks by itself, with addresses that nothing lies at.
 */
#include "support.h"

#include "observe/ledger.h"
#include "os.h"

static int set_up(void **state) {
    *state = sw__ledger_create();
    return *state ? 0 : -1;
}

static int tear_down(void **state) {
    sw__ledger_destroy(*state);
    return 0;
}

static struct sw_stats told_by(struct sw__ledger *ledger) {
    struct sw_stats stats = {0};
    sw__ledger_stats(ledger, &stats);
    return stats;
}

static struct sw_block block_at(uintptr_t address, size_t requested, size_t allocated,
                                enum sw_tag tag) {
    return (struct sw_block){(const void *)address, requested, allocated, tag, 0};
}

static void add(struct sw__ledger *ledger, uintptr_t address, size_t requested, size_t allocated,
                enum sw_tag tag) {
    struct sw_block block = block_at(address, requested, allocated, tag);
    assert_true(sw__ledger_add(ledger, &block));
}

static bool removed(struct sw__ledger *ledger, uintptr_t address) {
    enum sw__taken taken;
    while ((taken = sw__ledger_remove(ledger, (const void *)address)) == SW__TAKEN_LOOK_FIRST)
        continue;
    return taken == SW__TAKEN;
}

static void what_was_added_is_known_until_removed(void **state) {
    struct sw__ledger *ledger = *state;
    assert_false(sw__ledger_knows(ledger, (const void *)0x1000));
    assert_false(removed(ledger, 0x1000));
    add(ledger, 0x1000, 10, 16, SW_TAG_INPUT);
    assert_true(sw__ledger_knows(ledger, (const void *)0x1000));
    assert_false(sw__ledger_knows(ledger, (const void *)0x1008));
    assert_false(removed(ledger, 0x1008));
    assert_true(removed(ledger, 0x1000));
    assert_false(removed(ledger, 0x1000));
    assert_int_equal(told_by(ledger).allocs, 1);
    assert_int_equal(told_by(ledger).frees, 1);
}

/* Many blocks, close together and far apart, so that the tables grow and their entries collide. */
static void it_grows_and_forgets_nothing(void **state) {
    struct sw__ledger *ledger = *state;
    enum { BLOCKS = 100000 };
    size_t requested = 0;
    for (uintptr_t i = 1; i <= BLOCKS; i++) {
        add(ledger, i * 48 + (i % 3 ? 0 : (uintptr_t)1 << 40), i, i + 5, SW_TAG_GRADIENT);
        requested += i;
    }
    struct sw_stats stats = told_by(ledger);
    assert_int_equal(stats.blocks.current, BLOCKS);
    assert_int_equal(stats.requested.current, requested);
    assert_int_equal(stats.allocated.current, requested + 5 * (size_t)BLOCKS);
    assert_true(stats.metadata.current >= (size_t)BLOCKS * 32);
    for (uintptr_t i = 2; i <= BLOCKS; i += 2)
        assert_true(removed(ledger, i * 48 + (i % 3 ? 0 : (uintptr_t)1 << 40)));
    for (uintptr_t i = 1; i <= BLOCKS; i++)
        assert_int_equal(
            sw__ledger_knows(ledger, (const void *)(i * 48 + (i % 3 ? 0 : (uintptr_t)1 << 40))),
            i % 2);
    for (uintptr_t i = 1; i <= BLOCKS; i += 2)
        assert_true(removed(ledger, i * 48 + (i % 3 ? 0 : (uintptr_t)1 << 40)));
    stats = told_by(ledger);
    assert_int_equal(stats.blocks.current, 0);
    assert_int_equal(stats.requested.current, 0);
    assert_int_equal(stats.allocated.current, 0);
    assert_int_equal(stats.active.current, 0);
    assert_int_equal(stats.blocks.peak, BLOCKS);
    assert_int_equal(stats.requested.peak, requested);
}

static void active_counts_each_page_once(void **state) {
    struct sw__ledger *ledger = *state;
    add(ledger, 0x10000, 100, 100, SW_TAG_OTHER);
    assert_int_equal(told_by(ledger).active.current, PAGE);
    add(ledger, 0x10100, 100, 100, SW_TAG_OTHER); /* the same page */
    assert_int_equal(told_by(ledger).active.current, PAGE);
    add(ledger, 0x10f00, 0x200, 0x200, SW_TAG_OTHER); /* across its end */
    assert_int_equal(told_by(ledger).active.current, 2 * PAGE);
    add(ledger, 0x20000, 3 * PAGE, 3 * PAGE, SW_TAG_OTHER); /* whole pages of its own */
    assert_int_equal(told_by(ledger).active.current, 5 * PAGE);
    add(ledger, 0x30010, 4 * PAGE, 4 * PAGE, SW_TAG_OTHER); /* five pages, not all of two */
    assert_int_equal(told_by(ledger).active.current, 10 * PAGE);
    add(ledger, 0x34800, 16, 16, SW_TAG_OTHER); /* in the last of these */
    assert_int_equal(told_by(ledger).active.current, 10 * PAGE);
    assert_true(removed(ledger, 0x30010));
    assert_int_equal(told_by(ledger).active.current, 6 * PAGE);
    assert_true(removed(ledger, 0x10000));
    assert_int_equal(told_by(ledger).active.current, 6 * PAGE);
    assert_true(removed(ledger, 0x10100));
    assert_int_equal(told_by(ledger).active.current, 6 * PAGE);
    assert_true(removed(ledger, 0x10f00));
    assert_int_equal(told_by(ledger).active.current, 4 * PAGE);
    assert_true(removed(ledger, 0x34800));
    assert_true(removed(ledger, 0x20000));
    assert_int_equal(told_by(ledger).active.current, 0);
    assert_int_equal(told_by(ledger).active.peak, 10 * PAGE);
}

static void tags_are_kept_apart(void **state) {
    struct sw__ledger *ledger = *state;
    for (int tag = 0; tag < SW_TAG_COUNT; tag++)
        for (int i = 0; i <= tag; i++)
            add(ledger, 0x100000 * (uintptr_t)(tag + 1) + 0x100 * (uintptr_t)i, 10, 16,
                (enum sw_tag)tag);
    assert_true(removed(ledger, (uintptr_t)0x100000 * (SW_TAG_INPUT + 1)));
    struct sw_stats stats = told_by(ledger);
    for (size_t tag = 0; tag < SW_TAG_COUNT; tag++) {
        size_t blocks = tag + 1 - (tag == SW_TAG_INPUT);
        assert_int_equal(stats.tags[tag].blocks.current, blocks);
        assert_int_equal(stats.tags[tag].blocks.peak, tag + 1);
        assert_int_equal(stats.tags[tag].requested.current, 10 * blocks);
        assert_int_equal(stats.tags[tag].allocated.current, 16 * blocks);
        assert_int_equal(stats.tags[tag].requested.peak, 10 * (tag + 1));
    }
}

static void what_outlives_its_step_is_a_survivor(void **state) {
    struct sw__ledger *ledger = *state;
    add(ledger, 0x1000, 1, 16, SW_TAG_INPUT); /* outside any step: never a survivor */
    sw__ledger_step_begin(ledger, 1);
    add(ledger, 0x2000, 20, 32, SW_TAG_INPUT);
    add(ledger, 0x3000, 300, 320, SW_TAG_ACTIVATION);
    add(ledger, 0x4000, 4000, 4096, SW_TAG_ACTIVATION);
    assert_true(removed(ledger, 0x4000));
    assert_int_equal(told_by(ledger).survivors, 0);
    sw__ledger_step_end(ledger);
    struct sw_stats stats = told_by(ledger);
    assert_int_equal(stats.survivors, 2);
    assert_int_equal(stats.survivor_bytes, 320);
    assert_int_equal(stats.last_step_survivors, 2);
    assert_int_equal(stats.last_step_survivor_bytes, 320);
    assert_int_equal(stats.tags[SW_TAG_INPUT].survivors, 1);
    assert_int_equal(stats.tags[SW_TAG_INPUT].survivor_bytes, 20);

    add(ledger, 0x5000, 5, 16, SW_TAG_INPUT); /* between steps */
    sw__ledger_step_begin(ledger, 2);
    add(ledger, 0x6000, 6, 16, SW_TAG_INPUT);
    assert_true(removed(ledger, 0x3000)); /* a survivor of step 1 ends in step 2 */
    assert_int_equal(told_by(ledger).survivors, 1);
    assert_true(removed(ledger, 0x6000));
    sw__ledger_step_end(ledger);
    stats = told_by(ledger);
    assert_int_equal(stats.survivors, 1);
    assert_int_equal(stats.last_step_survivors, 0);
    assert_int_equal(stats.last_step_survivor_bytes, 0);
    assert_true(removed(ledger, 0x2000));
    assert_true(removed(ledger, 0x1000));
    assert_true(removed(ledger, 0x5000));
    stats = told_by(ledger);
    assert_int_equal(stats.survivors, 0);
    assert_int_equal(stats.survivor_bytes, 0);
}

static void a_resized_block_keeps_its_tag_and_birth(void **state) {
    struct sw__ledger *ledger = *state;
    sw__ledger_step_begin(ledger, 1);
    add(ledger, 0x2000, 20, 32, SW_TAG_GRADIENT);
    sw__ledger_step_end(ledger);
    struct sw_block block;
    assert_int_equal(sw__ledger_take(ledger, (const void *)0x3000, 900, false, &block),
                     SW__TAKEN_UNKNOWN);
    assert_int_equal(sw__ledger_take(ledger, (const void *)0x2000, 900, false, &block), SW__TAKEN);
    assert_int_equal(block.requested, 20);
    assert_int_equal(block.tag, SW_TAG_GRADIENT);
    assert_int_equal(block.born_step, 1);
    assert_false(sw__ledger_knows(ledger, (const void *)0x2000));
    block.address = (const void *)0x9000;
    block.requested = 900;
    block.allocated = 1024;
    sw__ledger_put_back(ledger, &block);
    struct sw_stats stats = told_by(ledger);
    assert_int_equal(stats.requested.current, 900);
    assert_int_equal(stats.survivors, 1);
    assert_int_equal(stats.survivor_bytes, 900);
    assert_int_equal(stats.tags[SW_TAG_GRADIENT].blocks.current, 1);
    assert_int_equal(stats.allocs, 1);
    assert_int_equal(stats.frees, 0);
}

/* What was taken out can be put back while requests fail, however many others came meanwhile. */
static void there_is_always_room_to_put_back(void **state) {
    enum { BLOCKS = 300, TAKEN = 250, NEWCOMERS = 1000 };
    static struct sw_block taken[TAKEN];
    struct sw__ledger *ledger = *state;
    for (uintptr_t i = 0; i < BLOCKS; i++)
        add(ledger, 0x10000000 + i * PAGE + 8, 100, PAGE, SW_TAG_OTHER);
    for (uintptr_t i = 0; i < TAKEN; i++)
        assert_int_equal(sw__ledger_take(ledger, (const void *)(0x10000000 + i * PAGE + 8), 200,
                                         false, &taken[i]),
                         SW__TAKEN);
    sw__os_fail_from(1);
    size_t entered = 0;
    for (uintptr_t i = 0; i < NEWCOMERS; i++) {
        struct sw_block newcomer = block_at(0x20000000 + i * PAGE + 8, 10, PAGE, SW_TAG_INPUT);
        entered += sw__ledger_add(ledger, &newcomer);
    }
    assert_true(entered < NEWCOMERS);
    assert_int_equal(told_by(ledger).blocks.current, BLOCKS - TAKEN + entered);
    for (size_t i = 0; i < TAKEN; i++)
        sw__ledger_put_back(ledger, &taken[i]);
    sw__os_fail_from(0);
    assert_int_equal(told_by(ledger).blocks.current, BLOCKS + entered);
    for (uintptr_t i = 0; i < BLOCKS; i++)
        assert_true(removed(ledger, 0x10000000 + i * PAGE + 8));
    assert_int_equal(told_by(ledger).requested.current, 10 * entered);
}

static void out_of_memory_changes_nothing(void **state) {
    struct sw__ledger *ledger = *state;
    size_t refused = 0;
    for (uintptr_t i = 1; i <= 5000; i++) {
        struct sw_stats before = told_by(ledger);
        struct sw_block block = block_at(i * PAGE * 3 + 8, 100, 6000, SW_TAG_INPUT);
        sw__os_fail_nth(1);
        bool entered = sw__ledger_add(ledger, &block);
        sw__os_fail_nth(0);
        if (!entered) {
            struct sw_stats after = told_by(ledger);
            refused++;
            after.metadata = before.metadata; /* one of the two tables may have grown */
            assert_memory_equal(&before, &after, sizeof before);
            assert_true(sw__ledger_add(ledger, &block));
        }
    }
    assert_true(refused > 3);
    assert_int_equal(told_by(ledger).blocks.current, 5000);
}

struct visited {
    size_t count, requested;
};

static int count_block(const struct sw_block *block, void *context) {
    struct visited *visited = context;
    visited->requested += block->requested;
    return ++visited->count == 100 ? 9 : 0;
}

static void visit_shows_all_or_stops(void **state) {
    struct visited visited = {0, 0};
    for (uintptr_t i = 1; i <= 50; i++)
        add(*state, i * 0x100, i, 64, SW_TAG_OTHER);
    assert_int_equal(sw__ledger_visit(*state, count_block, &visited), 0);
    assert_int_equal(visited.count, 50);
    assert_int_equal(visited.requested, 50 * 51 / 2);
    assert_int_equal(sw__ledger_visit(*state, count_block, &visited), 9);
    assert_int_equal(visited.count, 100);
}

/* It is time to look when requested leaves a peak well above the one looked at last. */
static void a_new_peak_is_worth_a_look(void **state) {
    struct sw__ledger *ledger = *state;
    struct sw_block block;
    add(ledger, 0x1000, 1000, 1000, SW_TAG_OTHER);
    add(ledger, 0x2000, 1000, 1000, SW_TAG_OTHER);
    assert_int_equal(sw__ledger_remove(ledger, (const void *)0x1000), SW__TAKEN_LOOK_FIRST);
    assert_int_equal(told_by(ledger).allocated.current, 2000); /* it is still there to be seen */
    assert_int_equal(sw__ledger_remove(ledger, (const void *)0x1000), SW__TAKEN);
    assert_int_equal(sw__ledger_remove(ledger, (const void *)0x2000), SW__TAKEN);
    add(ledger, 0x1000, 2010, 2016, SW_TAG_OTHER); /* hardly more than before */
    assert_int_equal(sw__ledger_remove(ledger, (const void *)0x1000), SW__TAKEN);
    add(ledger, 0x1000, 3000, 3000, SW_TAG_OTHER);
    assert_int_equal(sw__ledger_take(ledger, (const void *)0x1000, 4000, false, &block), SW__TAKEN);
    sw__ledger_put_back(ledger, &block);
    assert_int_equal(sw__ledger_take(ledger, (const void *)0x1000, 2999, false, &block),
                     SW__TAKEN_LOOK_FIRST);
    assert_int_equal(sw__ledger_take(ledger, (const void *)0x1000, 2999, false, &block), SW__TAKEN);
    sw__ledger_put_back(ledger, &block);
    assert_int_equal(sw__ledger_remove(ledger, (const void *)0x1000), SW__TAKEN);
}

/* However many steps there were, the ends that are kept are evenly apart, and no more than fit. */
static void step_ends_are_kept_evenly(void **state) {
    struct sw__ledger *ledger = *state;
    for (uint64_t step = 1; step <= 1000; step++) {
        sw__ledger_step_begin(ledger, step);
        add(ledger, 0x10000 + step * 64, step, 64, SW_TAG_OTHER);
        sw__ledger_step_end(ledger);
        struct sw_stats stats = told_by(ledger);
        assert_in_range(stats.step_end_count, step < 32 ? step : 32, SW_STEP_ENDS);
        uint64_t stride = stats.step_ends[0].step;
        for (size_t i = 0; i < stats.step_end_count; i++) {
            uint64_t at = stats.step_ends[i].step;
            assert_int_equal(at, (i + 1) * stride);
            assert_int_equal(stats.step_ends[i].requested, at * (at + 1) / 2);
        }
        assert_true(stats.step_ends[stats.step_end_count - 1].step + stride > step);
    }
}

#define LEDGER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        LEDGER_TEST(what_was_added_is_known_until_removed),
        LEDGER_TEST(it_grows_and_forgets_nothing),
        LEDGER_TEST(active_counts_each_page_once),
        LEDGER_TEST(tags_are_kept_apart),
        LEDGER_TEST(what_outlives_its_step_is_a_survivor),
        LEDGER_TEST(a_resized_block_keeps_its_tag_and_birth),
        LEDGER_TEST(there_is_always_room_to_put_back),
        LEDGER_TEST(out_of_memory_changes_nothing),
        LEDGER_TEST(visit_shows_all_or_stops),
        LEDGER_TEST(a_new_peak_is_worth_a_look),
        LEDGER_TEST(step_ends_are_kept_evenly),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
