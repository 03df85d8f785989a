/*
 * test_stock.c - what a thread frees into its closed slabs and takes again: which block comes next,
 * how much is set aside, for whom it makes way, and that it is counted as free.
 */
#include "support.h"

#include <pthread.h>

#include "blocks.h"
#include "slabs/stock.h"

enum { BLOCK = 8 << 10, BLOCKS = 1024, OF_BIN = 128 << 10, SHARE = 8 };

static void *blocks[BLOCKS];

static sw_heap *make_sizeclass(void) {
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    return heap;
}

static struct sw__cache *cache_of(sw_heap *heap) {
    const struct sw__blocks *inside = sw__heap_state(heap);
    return sw__my_caches->by_slot[inside->slabs.slot];
}

static size_t stocked(sw_heap *heap, size_t size) {
    unsigned class = sw__class_of(size);
    return sw__stock_count(&cache_of(heap)->stocks[class]) * (size_t)sw__class_sizes[class];
}

static void take(sw_heap *heap, size_t size, size_t count) {
    assert_true(count <= BLOCKS);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = sw_alloc(heap, size, SW_TAG_OTHER);
        assert_non_null(blocks[i]);
        fill(blocks[i], size, i);
    }
}

/* In an order in which each is of another slab than the one before. */
static void free_across_slabs(sw_heap *heap, size_t count) {
    for (size_t first = 0; first < 32; first++)
        for (size_t i = first; i < count; i += 32) {
            sw_free(heap, blocks[i]);
            blocks[i] = NULL;
        }
}

static void what_was_freed_the_last_comes_first(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    take(heap, BLOCK, BLOCKS);
    void *freed[8];
    for (size_t i = 0; i < 8; i++) { /* each of a full slab of its own */
        freed[i] = blocks[i * 64];
        sw_free(heap, freed[i]);
    }
    assert_int_equal(stocked(heap, BLOCK), 8 * BLOCK);
    for (size_t i = 8; i-- > 0;)
        assert_ptr_equal(sw_alloc(heap, BLOCK, SW_TAG_OTHER), freed[i]);
    assert_int_equal(stocked(heap, BLOCK), 0);
    sw_heap_destroy(heap);
}

static void a_stock_has_its_bounds(void **state) {
    (void)state;
    static const size_t counts[] = {32, 128, BLOCKS};
    for (size_t i = 0; i < LENGTH_OF(counts); i++) {
        sw_heap *heap = make_sizeclass();
        take(heap, BLOCK, counts[i]);
        size_t most = least_of(OF_BIN, cache_of(heap)->present / SHARE);
        free_across_slabs(heap, counts[i]);
        assert_true(stocked(heap, BLOCK) > 0);
        assert_true(stocked(heap, BLOCK) <= most);
        sw_heap_destroy(heap);
    }
}

static void small_blocks_are_not_stocked(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    take(heap, 512, BLOCKS);
    free_across_slabs(heap, BLOCKS);
    assert_int_equal(stocked(heap, 512), 0);
    sw_heap_destroy(heap);
}

static size_t limit_of(sw_heap *heap, size_t size) {
    unsigned class = sw__class_of(size);
    return cache_of(heap)->stocks[class].limit * (size_t)sw__class_sizes[class];
}

static size_t limit_of_all(sw_heap *heap) {
    size_t all = 0;
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
        all += limit_of(heap, sw__class_sizes[class]);
    return all;
}

/* All stocks of a cache have a part of it, which no class has for ever. */
static void a_class_that_wants_more_takes_from_others(void **state) {
    enum { FIRST = 128, SECOND = 64, SECOND_BLOCK = 2 << 10 };
    (void)state;
    sw_heap *heap = make_sizeclass();
    take(heap, BLOCK, FIRST);
    size_t of_first = limit_of(heap, BLOCK);
    assert_true(of_first >= cache_of(heap)->present / SHARE / 2);
    free_across_slabs(heap, FIRST / 2);
    take(heap, SECOND_BLOCK, SECOND);
    assert_true(limit_of(heap, BLOCK) < of_first);
    assert_true(limit_of(heap, SECOND_BLOCK) >= cache_of(heap)->present / SHARE / 4);
    assert_int_equal(limit_of_all(heap), cache_of(heap)->stock_bytes);
    assert_true(limit_of_all(heap) <= cache_of(heap)->present / SHARE);
    sw_heap_destroy(heap);
}

/* Blocks of one size, freed, are all that keeps slabs there which another size could have. */
static void a_stock_gives_way_to_new_slabs(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    take(heap, BLOCK, BLOCKS);
    free_across_slabs(heap, BLOCKS);
    assert_int_equal(stocked(heap, BLOCK), OF_BIN);
    size_t present = cache_of(heap)->present;
    take(heap, 30000, BLOCKS / 32); /* a MB: of what was held a MB goes */
    assert_int_equal(stocked(heap, BLOCK), 0);
    assert_true(cache_of(heap)->present <= present + MIB / 2);
    sw_heap_destroy(heap);
}

/* Of a slab that was swept any free block may be one that is not there. */
static void what_was_swept_is_not_stocked(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    take(heap, BLOCK, BLOCKS);
    for (size_t i = 0; i < BLOCKS; i++)
        if (i % 8 > 1) /* two of each slab stay */
            sw_free(heap, blocks[i]);
    sw_trim(heap);
    assert_true(sw__slab_of(blocks[BLOCKS - 8])->absent != 0);
    for (size_t i = 0; cache_of(heap)->stocks[sw__class_of(BLOCK)].limit == 0; i++)
        assert_non_null(sw_alloc(heap, BLOCK, SW_TAG_OTHER));
    sw_free(heap, blocks[BLOCKS - 8]);
    assert_int_equal(stocked(heap, BLOCK), 0);
    sw_heap_destroy(heap);
}

static void count_size(void *context, size_t size, size_t bytes) {
    if (size == BLOCK)
        *(size_t *)context += bytes;
}

static void what_is_stocked_counts_as_free(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    struct sw__blocks *inside = (struct sw__blocks *)sw__heap_state(heap);
    take(heap, BLOCK, BLOCKS / 2);
    for (size_t i = 0; i < 8; i++)
        sw_free(heap, blocks[i * 32]);
    size_t live = (BLOCKS / 2 - 8) * (size_t)BLOCK, of_size = 0;
    assert_int_equal(stocked(heap, BLOCK), 8 * BLOCK);
    assert_int_equal(stats_of(heap).allocated.current, live);
    sw__slabs_visit_sizes(&inside->slabs, count_size, &of_size);
    assert_int_equal(of_size, live);
    assert_true(sw__slabs_largest_free(&inside->slabs) >= BLOCK);
    sw_heap_destroy(heap);
}

/* ---- By another thread ----------------------------------------------------------------------- */

struct sleeper {
    sw_heap *heap;
    pthread_barrier_t turn;
    size_t stocked;
};

static void *stock_and_sleep(void *argument) {
    struct sleeper *sleeper = argument;
    take(sleeper->heap, BLOCK, BLOCKS);
    free_across_slabs(sleeper->heap, BLOCKS);
    sleeper->stocked = stocked(sleeper->heap, BLOCK);
    pthread_barrier_wait(&sleeper->turn);
    pthread_barrier_wait(&sleeper->turn);
    take(sleeper->heap, BLOCK, BLOCKS);
    for (size_t i = 0; i < BLOCKS; i++)
        CHECK(holds(blocks[i], BLOCK, i));
    free_across_slabs(sleeper->heap, BLOCKS);
    return NULL;
}

static void a_sleepers_stock_is_emptied_for_it(void **state) {
    (void)state;
    struct sleeper sleeper = {.heap = make_sizeclass()};
    const struct sw__blocks *inside = sw__heap_state(sleeper.heap);
    pthread_t thread;
    pthread_barrier_init(&sleeper.turn, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, stock_and_sleep, &sleeper), 0);
    pthread_barrier_wait(&sleeper.turn);
    assert_int_equal(sleeper.stocked, OF_BIN);
    sw_trim(sleeper.heap);
    assert_true(sw__extents_live(&inside->extents) <= 64 * KIB); /* its current slab */
    pthread_barrier_wait(&sleeper.turn);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&sleeper.turn);
    sw_trim(sleeper.heap);
    assert_int_equal(sw__extents_live(&inside->extents), 0);
    sw_heap_destroy(sleeper.heap);
}

/* Fills the stock with a block of each of several slabs, and opens the first of them, of which this
 * block and the next are. */
enum { IN_FIRST = BLOCKS / 2 };
static void *stock_of_open_and_sleep(void *argument) {
    struct sleeper *sleeper = argument;
    take(sleeper->heap, BLOCK, BLOCKS);
    const struct sw__stock *stock = &cache_of(sleeper->heap)->stocks[sw__class_of(BLOCK)];
    for (size_t i = IN_FIRST; i < BLOCKS && stock->room; i += 16)
        sw_free(sleeper->heap, blocks[i]);
    sw_free(sleeper->heap, blocks[IN_FIRST + 1]);
    pthread_barrier_wait(&sleeper->turn);
    pthread_barrier_wait(&sleeper->turn);
    sleeper->stocked = stocked(sleeper->heap, BLOCK);
    return NULL;
}

/* Its thread frees there without a lock. */
static void an_open_slabs_block_stays_in_stock(void **state) {
    (void)state;
    struct sleeper sleeper = {.heap = make_sizeclass()};
    pthread_t thread;
    pthread_barrier_init(&sleeper.turn, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, stock_of_open_and_sleep, &sleeper), 0);
    pthread_barrier_wait(&sleeper.turn);
    const struct sw__slab *slab = sw__slab_of(blocks[IN_FIRST + 2]);
    assert_true(sw__slab_is_open_to(slab, sw__slab_owner(slab)));
    size_t used = slab->used;
    sw_trim(sleeper.heap);
    assert_int_equal(slab->used, used);
    pthread_barrier_wait(&sleeper.turn);
    pthread_join(thread, NULL);
    assert_int_equal(sleeper.stocked, BLOCK);
    pthread_barrier_destroy(&sleeper.turn);
    sw_heap_destroy(sleeper.heap);
}

/* A fork finds another thread between the list and the count of it. */
static void the_list_tells_how_many_there_are(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    const struct sw__blocks *inside = sw__heap_state(heap);
    take(heap, BLOCK, BLOCKS);
    free_across_slabs(heap, BLOCKS);
    struct sw__stock *stock = &cache_of(heap)->stocks[sw__class_of(BLOCK)];
    assert_int_equal(stock->room, 0);
    stock->room = 1;
    sw_trim(heap);
    assert_int_equal(sw__stock_count(stock), 0);
    assert_int_equal(sw__extents_live(&inside->extents), 0);
    sw_heap_destroy(heap);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_freed_the_last_comes_first),
        cmocka_unit_test(a_stock_has_its_bounds),
        cmocka_unit_test(small_blocks_are_not_stocked),
        cmocka_unit_test(a_class_that_wants_more_takes_from_others),
        cmocka_unit_test(a_stock_gives_way_to_new_slabs),
        cmocka_unit_test(what_was_swept_is_not_stocked),
        cmocka_unit_test(what_is_stocked_counts_as_free),
        cmocka_unit_test(a_sleepers_stock_is_emptied_for_it),
        cmocka_unit_test(an_open_slabs_block_stays_in_stock),
        cmocka_unit_test(the_list_tells_how_many_there_are),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("stock", tests, NULL, NULL);
}
