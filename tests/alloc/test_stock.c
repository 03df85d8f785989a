/*
 * test_stock.c - what a thread frees into its closed slabs and takes again: which block comes next,
 * how much is set aside, for whom it makes way, and that it is counted as free.
 */
#include "support.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blocks.h"
#include "heap.h"
#include "slabs/remote.h"
#include "slabs/stock.h"

enum { BLOCK = 8 << 10, BLOCKS = 1024, OF_BIN = 128 << 10, SHARE = 8 };

static void *blocks[BLOCKS];

static sw_heap *make_sizeclass(void) {
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    return heap;
}

static struct sw__cache *cache_of(sw_heap *heap) {
    const struct sw__blocks *inside = heap->state;
    return sw__my_caches->by_slot[inside->slabs.slot];
}

static size_t stocked(sw_heap *heap, size_t size) {
    unsigned class = sw__class_of(size);
    return sw__stock_count(&cache_of(heap)->stocks[class]) * (size_t)sw__class_sizes[class];
}

static size_t limit_of(sw_heap *heap, size_t size) {
    unsigned class = sw__class_of(size);
    return cache_of(heap)->stocks[class].limit * (size_t)sw__class_sizes[class];
}

static void take_missing(sw_heap *heap, size_t size, size_t count) {
    assert_true(count <= BLOCKS);
    for (size_t i = 0; i < count; i++) {
        if (blocks[i])
            continue;
        blocks[i] = sw_alloc(heap, size, SW_TAG_OTHER);
        assert_non_null(blocks[i]);
        fill(blocks[i], size, i);
    }
}

static void free_each(sw_heap *heap, size_t step, size_t count) {
    for (size_t i = 0; i < count; i += step) {
        sw_free(heap, blocks[i]);
        blocks[i] = NULL;
    }
}

static void take(sw_heap *heap, size_t size, size_t count) {
    memset(blocks, 0, sizeof blocks);
    take_missing(heap, size, count);
}

/* Work for which the stock has been too small, and too large, again and again. What lives then fills
 * its slabs. */
static void take_with_stock(sw_heap *heap, size_t size, size_t count) {
    take(heap, size, count);
    for (int round = 0; round < 10; round++) {
        free_each(heap, 4, count);
        take_missing(heap, size, count);
    }
}

/* Each fourth block has moved by then; these, and the next two, are of one slab still. Where the stock
 * is full, a free of the first makes its slab the current one, and a free of the other opens its own. */
enum { IN_CURRENT = BLOCKS / 2 + 1, IN_OPEN = IN_CURRENT + 16 };

static void what_was_freed_the_last_comes_first(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    take_with_stock(heap, BLOCK, BLOCKS);
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
    static const size_t counts[] = {32, 64, 128, BLOCKS};
    for (size_t i = 0; i < LENGTH_OF(counts); i++) {
        sw_heap *heap = make_sizeclass();
        take_with_stock(heap, BLOCK, counts[i]);
        size_t most = least_of(OF_BIN, cache_of(heap)->present / SHARE);
        free_each(heap, 2, counts[i]);
        assert_true(stocked(heap, BLOCK) > 0);
        assert_true(stocked(heap, BLOCK) <= most);
        sw_heap_destroy(heap);
    }
}

/* Work that only grows, or only ends, has no use for one of more than a block. */
static void a_stock_has_no_room_unasked(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    take(heap, BLOCK, BLOCKS);
    assert_int_equal(limit_of(heap, BLOCK), 0);
    free_each(heap, 2, BLOCKS);
    assert_true(limit_of(heap, BLOCK) <= BLOCK);
    sw_heap_destroy(heap);
}

static void small_blocks_are_not_stocked(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    take_with_stock(heap, 512, BLOCKS);
    free_each(heap, 2, BLOCKS);
    assert_int_equal(stocked(heap, 512), 0);
    sw_heap_destroy(heap);
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
    take_with_stock(heap, BLOCK, FIRST);
    size_t of_first = limit_of(heap, BLOCK);
    assert_true(of_first >= cache_of(heap)->present / SHARE / 2);
    take_with_stock(heap, SECOND_BLOCK, SECOND);
    assert_true(limit_of(heap, BLOCK) < of_first);
    assert_true(limit_of(heap, SECOND_BLOCK) >= cache_of(heap)->present / SHARE / 8);
    assert_int_equal(limit_of_all(heap), cache_of(heap)->stock_bytes);
    assert_true(limit_of_all(heap) <= cache_of(heap)->present / SHARE);
    sw_heap_destroy(heap);
}

/* Blocks of one size, freed, are all that keeps slabs there which another size could have. */
static void a_stock_gives_way_to_new_slabs(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    take_with_stock(heap, BLOCK, BLOCKS);
    free_each(heap, 4, BLOCKS);
    assert_int_equal(stocked(heap, BLOCK), OF_BIN);
    take(heap, 30000, BLOCKS / 16); /* two MB: it is looked twice */
    assert_int_equal(stocked(heap, BLOCK), 0);
    sw_heap_destroy(heap);
}

/* When nearly all is free a stock may be what many slabs are there for. */
static void what_is_mostly_free_has_no_stock(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    take_with_stock(heap, BLOCK, BLOCKS);
    for (size_t first = 0; first < 8; first++)
        for (size_t i = first; i < BLOCKS; i += 8)
            sw_free(heap, blocks[i]);
    assert_true(stocked(heap, BLOCK) <= BLOCK);
    assert_true(cache_of(heap)->present <= 256 * KIB);
    sw_heap_destroy(heap);
}

/* Of a slab that was swept any free block may be one that is not there. */
static void what_was_swept_is_not_stocked(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    take_with_stock(heap, BLOCK, BLOCKS);
    struct sw__slab *slab = sw__slab_of(blocks[BLOCKS / 2]);
    slab->absent = UINT64_C(1) << 63; /* of another page than any block's */
    sw_free(heap, blocks[BLOCKS / 2]);
    assert_int_equal(stocked(heap, BLOCK), 0);
    slab->absent = 0;
    sw_heap_destroy(heap);
}

static void count_size(void *context, size_t size, size_t bytes) {
    if (size == BLOCK)
        *(size_t *)context += bytes;
}

static void what_is_stocked_counts_as_free(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    struct sw__blocks *inside = (struct sw__blocks *)heap->state;
    take_with_stock(heap, BLOCK, BLOCKS / 2);
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

/* ---- Double frees straight after the first --------------------------------------------------- */

static const struct sw__stock *fill_stock_but_for(sw_heap *heap, uint32_t room) {
    const struct sw__stock *stock = &cache_of(heap)->stocks[sw__class_of(BLOCK)];
    for (size_t i = IN_CURRENT + 32; i < BLOCKS && stock->room > room; i += 8)
        sw_free(heap, blocks[i]);
    CHECK(stock->room == room);
    return stock;
}

static void free_last_stocked_twice(sw_heap *heap) {
    fill_stock_but_for(heap, 1);
    sw_free(heap, blocks[1]);
    sw_free(heap, blocks[1]);
}

/* The second finds its slab closed, by the first, and room in the stock. */
static void free_into_sparse_twice(sw_heap *heap) {
    const struct sw__stock *stock = fill_stock_but_for(heap, 0);
    sw_free(heap, blocks[IN_CURRENT]);
    sw_free(heap, blocks[IN_OPEN]);
    sw_free(heap, blocks[IN_OPEN + 1]);
    sw_free(heap, blocks[IN_CURRENT + 8]); /* in place of the other slab this one lingers */
    sw_free(heap, blocks[IN_CURRENT + 9]);
    while (stock->room == 0)
        CHECK(sw_alloc(heap, BLOCK, SW_TAG_OTHER));
    sw_free(heap, blocks[IN_OPEN + 1]);
}

static void a_double_free_is_told_of(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    take_with_stock(heap, BLOCK, BLOCKS);
    assert_is_misuse(free_last_stocked_twice, heap);
    assert_is_misuse(free_into_sparse_twice, heap);
    sw_heap_destroy(heap);
}

/* ---- By another thread ----------------------------------------------------------------------- */

struct sleeper {
    sw_heap *heap;
    pthread_t thread;
    pthread_barrier_t turn;
    size_t stocked;
};

/* Until it sleeps. */
static void begin(struct sleeper *sleeper, void *(*work)(void *)) {
    sleeper->heap = make_sizeclass();
    pthread_barrier_init(&sleeper->turn, NULL, 2);
    assert_int_equal(pthread_create(&sleeper->thread, NULL, work, sleeper), 0);
    pthread_barrier_wait(&sleeper->turn);
}

static void wake_and_join(struct sleeper *sleeper) {
    pthread_barrier_wait(&sleeper->turn);
    pthread_join(sleeper->thread, NULL);
    pthread_barrier_destroy(&sleeper->turn);
}

/* Each slab of the thread's is full, but for one block that is in stock. */
static void *stock_and_sleep(void *argument) {
    struct sleeper *sleeper = argument;
    take_with_stock(sleeper->heap, BLOCK, BLOCKS);
    for (size_t i = BLOCKS / 2; i < BLOCKS && limit_of(sleeper->heap, BLOCK) > sleeper->stocked;
         i += 16) {
        sw_free(sleeper->heap, blocks[i]);
        blocks[i] = NULL;
        sleeper->stocked = stocked(sleeper->heap, BLOCK);
    }
    pthread_barrier_wait(&sleeper->turn);
    pthread_barrier_wait(&sleeper->turn);
    take_missing(sleeper->heap, BLOCK, BLOCKS);
    for (size_t i = 0; i < BLOCKS; i++)
        CHECK(holds(blocks[i], BLOCK, i));
    free_each(sleeper->heap, 1, BLOCKS);
    return NULL;
}

static void a_sleepers_stock_is_emptied_for_it(void **state) {
    (void)state;
    struct sleeper sleeper = {0};
    begin(&sleeper, stock_and_sleep);
    const struct sw__blocks *inside = sleeper.heap->state;
    assert_int_equal(sleeper.stocked, OF_BIN);
    size_t before = sw__extents_live(&inside->extents);
    sw_trim(sleeper.heap);
    assert_true(sw__extents_live(&inside->extents) <= before - OF_BIN);
    wake_and_join(&sleeper);
    sw_trim(sleeper.heap);
    assert_int_equal(sw__extents_live(&inside->extents), 0);
    sw_heap_destroy(sleeper.heap);
}

/* Fills the stock with a block of each of several slabs, and opens two of them. */
static void *stock_of_open_and_sleep(void *argument) {
    struct sleeper *sleeper = argument;
    take_with_stock(sleeper->heap, BLOCK, BLOCKS);
    const struct sw__stock *stock = &cache_of(sleeper->heap)->stocks[sw__class_of(BLOCK)];
    for (size_t i = IN_CURRENT; i < BLOCKS && stock->room; i += 16)
        sw_free(sleeper->heap, blocks[i]);
    sw_free(sleeper->heap, blocks[IN_CURRENT + 1]);
    sw_free(sleeper->heap, blocks[IN_OPEN + 1]);
    pthread_barrier_wait(&sleeper->turn);
    pthread_barrier_wait(&sleeper->turn);
    sleeper->stocked = stocked(sleeper->heap, BLOCK);
    return NULL;
}

/* Its thread frees there without a lock: what is put back comes as from another thread. */
static void an_open_slab_is_not_touched(void **state) {
    (void)state;
    struct sleeper sleeper = {0};
    begin(&sleeper, stock_of_open_and_sleep);
    const struct sw__slab *slab = sw__slab_of(blocks[IN_OPEN + 2]);
    assert_true(sw__slab_is_open_to(slab, sw__slab_owner(slab)));
    size_t used = slab->used;
    sw_trim(sleeper.heap);
    assert_int_equal(slab->used, used);
    assert_int_equal(sw__remote_count(slab), 1);
    wake_and_join(&sleeper);
    assert_int_equal(sleeper.stocked, 0);
    sw_heap_destroy(sleeper.heap);
}

/* Others have freed all else of the slab, which is open: it goes with the block. */
static void an_open_slab_goes_with_its_last_block(void **state) {
    (void)state;
    struct sleeper sleeper = {0};
    begin(&sleeper, stock_of_open_and_sleep);
    struct sw__slab *slab = sw__slab_of(blocks[IN_OPEN + 2]);
    for (size_t i = 0; i < BLOCKS; i++)
        if (i != IN_OPEN && i != IN_OPEN + 1 && sw__slab_of(blocks[i]) == slab)
            sw_free(sleeper.heap, blocks[i]);
    assert_non_null(slab->extent);
    sw_trim(sleeper.heap);
    assert_null(slab->extent);
    wake_and_join(&sleeper);
    sw_heap_destroy(sleeper.heap);
}

/* A thread without a table of its own may collect, while the only one that has one forks. */
static void a_child_finds_its_stocks_open(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    take_with_stock(heap, BLOCK, BLOCKS);
    cache_of(heap)->stock_shuts = 1;
    pid_t child = fork();
    if (child == 0) {
        sw_free(heap, blocks[IN_CURRENT]);
        _exit(stocked(heap, BLOCK) == BLOCK ? 0 : 1);
    }
    assert_int_equal(exit_code_of(child), 0);
    cache_of(heap)->stock_shuts = 0;
    sw_heap_destroy(heap);
}

/* A fork finds another thread between the list and the count of it. */
static void the_list_tells_how_many_there_are(void **state) {
    (void)state;
    sw_heap *heap = make_sizeclass();
    const struct sw__blocks *inside = heap->state;
    take_with_stock(heap, BLOCK, BLOCKS);
    free_each(heap, 4, BLOCKS);
    struct sw__stock *stock = &cache_of(heap)->stocks[sw__class_of(BLOCK)];
    assert_int_equal(stock->room, 0);
    stock->room = 1;
    sw_trim(heap);
    assert_int_equal(sw__stock_count(stock), 0);
    free_each(heap, 1, BLOCKS);
    sw_trim(heap);
    assert_int_equal(sw__extents_live(&inside->extents), 0);
    sw_heap_destroy(heap);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_freed_the_last_comes_first),
        cmocka_unit_test(a_stock_has_its_bounds),
        cmocka_unit_test(a_stock_has_no_room_unasked),
        cmocka_unit_test(small_blocks_are_not_stocked),
        cmocka_unit_test(a_class_that_wants_more_takes_from_others),
        cmocka_unit_test(a_stock_gives_way_to_new_slabs),
        cmocka_unit_test(what_is_mostly_free_has_no_stock),
        cmocka_unit_test(what_was_swept_is_not_stocked),
        cmocka_unit_test(what_is_stocked_counts_as_free),
        cmocka_unit_test(a_double_free_is_told_of),
        cmocka_unit_test(a_sleepers_stock_is_emptied_for_it),
        cmocka_unit_test(an_open_slab_is_not_touched),
        cmocka_unit_test(an_open_slab_goes_with_its_last_block),
        cmocka_unit_test(a_child_finds_its_stocks_open),
        cmocka_unit_test(the_list_tells_how_many_there_are),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("stock", tests, NULL, NULL);
}
