/*
 * test_auto.c - what auto keeps: as much as recent steps needed, nothing when work has stopped, no
 * more than it was told; when it shifts pages, and has a thread; and what its forked children keep.
 */
#include "support.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "blocks.h"
#include "heap.h"
#include "keeper.h"
#include "slabs/bins.h"

static size_t resident_of(sw_heap *heap) {
    return stats_of(heap).resident.current;
}

static void sleep_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* ThreadSanitizer has a thread of its own, from some time on: then nothing is said. */
static size_t threads_of_process(void) {
    if (SANITIZED)
        return 1;
    char line[128];
    size_t threads = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Threads: %zu", &threads) == 1)
            break;
    fclose(file);
    return threads;
}

/* One that has been joined is counted for a moment longer. */
static void wait_for_threads(size_t wanted) {
    for (int i = 0; i < 200 && threads_of_process() > wanted; i++)
        sleep_ms(5);
    assert_int_equal(threads_of_process(), wanted);
}

/* How often threads but this one have been woken. */
static size_t times_others_were_woken(void) {
    char path[64], line[128];
    size_t woken = 0, times;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *task; (task = readdir(tasks));) {
        if (task->d_name[0] == '.' || strtol(task->d_name, NULL, 10) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%.20s/status", task->d_name);
        FILE *file = fopen(path, "r");
        while (file && fgets(line, sizeof line, file))
            if (sscanf(line, "voluntary_ctxt_switches: %zu", &times) == 1)
                woken += times;
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return woken;
}

/* In a process of its own, which has learned nothing yet, and not forked before. */
static void live_in_a_child(int (*live)(void)) {
    pid_t child = fork();
    if (child == 0)
        _exit(live());
    assert_int_equal(exit_code_of(child), 0);
}

enum { BLOCKS = 8 };
#define BLOCK (3 * MIB + 5 * PAGE)

/* A block that is there. */
static void *take_written(sw_heap *heap, size_t size) {
    void *block = sw_alloc(heap, size, SW_TAG_OTHER);
    assert_non_null(block);
    touch(block, size);
    return block;
}

/* A step: so many blocks live at once, all written. */
static void step(sw_heap *heap, size_t blocks, size_t size) {
    void *live[BLOCKS];
    for (size_t i = 0; i < blocks; i++)
        live[i] = take_written(heap, size);
    for (size_t i = 0; i < blocks; i++)
        sw_free(heap, live[i]);
}

static sw_heap *make_auto(const char *conf) {
    sw_heap *heap = sw_heap_create("auto", conf);
    assert_non_null(heap);
    return heap;
}

static void steady_steps_neither_give_back_nor_fault(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    for (int i = 0; i < 5; i++)
        step(heap, BLOCKS, BLOCK);
    size_t held = resident_of(heap);
    assert_true(held >= BLOCKS * BLOCK);
    for (int i = 0; i < 200; i++)
        step(heap, BLOCKS, BLOCK);
    assert_int_equal(resident_of(heap), held);
    sw_heap_destroy(heap);
}

/* Forward, where each tensor is larger than the one before, and back, with a gradient for each. */
static void train(sw_heap *heap) {
    static const size_t parts[] = {1, 2, 3, 4, 6, 7, 9, 12, 16, 24, 33, 48};
    enum { TENSORS = LENGTH_OF(parts) };
    void *tensors[TENSORS];
    for (size_t i = 0; i < TENSORS; i++)
        tensors[i] = take_written(heap, 8 * MIB * parts[i] / 48);
    for (size_t i = TENSORS; i-- > 0;) {
        sw_free(heap, take_written(heap, 8 * MIB * parts[i] / 48));
        sw_free(heap, tensors[i]);
    }
}

static size_t bytes_shifted(sw_heap *heap) {
    struct sw__blocks *blocks = heap->state;
    return blocks->extents.moved + blocks->extents.purged;
}

/* Among the tensors are some of whole huge pages, which begin on one where that costs nothing. */
static void tensors_of_any_size_lie_side_by_side(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    const size_t needed = 8 * MIB * (165 + 48) / 48; /* all of them, and the largest gradient */
    for (int i = 0; i < 3; i++)
        train(heap);
    size_t shifted = bytes_shifted(heap);
    for (int i = 0; i < 20; i++)
        train(heap);
    assert_int_equal(bytes_shifted(heap), shifted);
    assert_true(resident_of(heap) < needed + needed / 32);
    sw_heap_destroy(heap);
}

/* A step in which tensors take each other's places: the same in every step. */
static void shuffle(sw_heap *heap) {
    enum { TENSORS = 12, TIMES = 100 };
    void *tensors[TENSORS] = {0};
    uint64_t random = 88172645463325252;
    for (int i = 0; i < TIMES; i++) {
        void **tensor = &tensors[below(&random, TENSORS)];
        sw_free(heap, *tensor);
        *tensor = take_written(heap, 257 * KIB + below(&random, MIB));
    }
    for (int i = 0; i < TENSORS; i++)
        sw_free(heap, tensors[i]);
}

static void work_that_repeats_itself_stops_shifting_pages(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    for (int i = 0; i < 100; i++)
        shuffle(heap);
    size_t shifted = bytes_shifted(heap);
    assert_true(shifted > 0);
    for (int i = 0; i < 100; i++)
        shuffle(heap);
    assert_int_equal(bytes_shifted(heap), shifted);
    sw_heap_destroy(heap);
}

/* Blocks too small for their pages to move, replaced in any order. */
static void replace_at_random(sw_heap *heap, void **blocks, size_t count, int times) {
    static uint64_t random = 88172645463325252;
    for (int i = 0; i < times; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        void **block = &blocks[random % count];
        size_t size = 33 * KIB + (random >> 20) % (217 * KIB);
        sw_free(heap, *block);
        *block = sw_alloc(heap, size, SW_TAG_OTHER);
        assert_non_null(*block);
        touch(*block, size);
    }
}

static size_t bytes_purged(sw_heap *heap) {
    struct sw__blocks *blocks = heap->state;
    return blocks->extents.purged;
}

/* They get room for the holes among them: else a tenth of all pages would be given back and missed. */
static void what_comes_and_goes_in_any_order_is_not_purged_for_ever(void **state) {
    (void)state;
    enum { COUNT = 300, TIMES = 10000 };
    static void *blocks[COUNT];
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    replace_at_random(heap, blocks, COUNT, TIMES);
    size_t purged = bytes_purged(heap);
    replace_at_random(heap, blocks, COUNT, TIMES);
    assert_true(bytes_purged(heap) - purged < TIMES * (140 * KIB) / 100);
    for (int i = 0; i < COUNT; i++)
        sw_free(heap, blocks[i]);
    sw_heap_destroy(heap);
}

/* A buffer that grows between others is not needed twice, and where that is done again and again
 * few pages come or go: of those at its ends. */
static void a_block_that_moves_is_needed_once(void **state) {
    (void)state;
    if (!kernel_can_move())
        skip();
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    size_t held = 0;
    for (int i = 0; i < 20; i++) {
        char *block = sw_alloc(heap, 2 * BLOCK, SW_TAG_OTHER);
        touch(block, 2 * BLOCK);
        void *wall = sw_alloc(heap, BLOCK, SW_TAG_OTHER);
        touch(wall, BLOCK);
        fill(block, 100 * KIB, (uint64_t)i);
        block = sw_realloc(heap, block, 3 * BLOCK);
        assert_non_null(block);
        touch(block + 2 * BLOCK, BLOCK);
        assert_true(holds(block, 100 * KIB, (uint64_t)i));
        assert_true(resident_of(heap) < 5 * BLOCK);
        assert_true(i < 16 || labs((long)(resident_of(heap) - held)) <= 64 * (long)PAGE);
        held = resident_of(heap);
        sw_free(heap, wall);
        sw_free(heap, block);
    }
    sw_heap_destroy(heap);
}

/* Each by a page, as logs and lists do: without room of their own each would be in the way of the
 * next, and be copied a page later again. */
static void blocks_that_grow_in_turn_seldom_move(void **state) {
    (void)state;
    enum { GROWING = 40, FIRST = 10, LAST = 200 };
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    char *blocks[GROWING];
    int moves = 0;
    for (int i = 0; i < GROWING; i++)
        blocks[i] = take_written(heap, FIRST * PAGE);
    for (size_t pages = FIRST + 1; pages <= LAST; pages++)
        for (int i = 0; i < GROWING; i++) {
            char *block = sw_realloc(heap, blocks[i], pages * PAGE);
            assert_non_null(block);
            moves += block != blocks[i];
            fill(block + (pages - 1) * PAGE, PAGE, pages);
            assert_true(pages == FIRST + 1 || holds(block + (pages - 2) * PAGE, PAGE, pages - 1));
            blocks[i] = block;
        }
    assert_true(moves < GROWING * 40); /* 20 times its size by a ninth each time is 27 */
    for (int i = 0; i < GROWING; i++) {
        size_t large = sw_usable_size(heap, blocks[i]);
        assert_in_range(large, LAST * PAGE, LAST * PAGE + LAST * PAGE / 7);
        /* What it shrinks by is given back all the same. */
        assert_ptr_equal(sw_realloc(heap, blocks[i], large / 2), blocks[i]);
        assert_in_range(sw_usable_size(heap, blocks[i]), large / 2, large / 2 + PAGE);
        sw_free(heap, blocks[i]);
    }
    sw_heap_destroy(heap);
}

/* As a buffer does that is filled and cut to what came, over and over. */
static void a_block_near_the_least_large_size_stays(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    char *block = take_written(heap, 40 * KIB);
    fill(block, 30 * KIB, 1);
    for (size_t size = 30 * KIB; size < 40 * KIB; size += 700) {
        assert_ptr_equal(sw_realloc(heap, block, size), block);
        assert_in_range(sw_usable_size(heap, block), size, size + PAGE);
        assert_true(holds(block, 30 * KIB, 1));
        assert_ptr_equal(sw_realloc(heap, block, 40 * KIB), block);
    }
    char *small = sw_realloc(heap, block, 24 * KIB); /* it would leave a hole behind */
    assert_ptr_not_equal(small, block);
    assert_true(holds(small, 24 * KIB, 1));
    sw_free(heap, small);
    sw_heap_destroy(heap);
}

/* It is small by then, and goes where small ones are. */
static void a_block_that_shrank_and_has_no_room_to_grow_is_small(void **state) {
    (void)state;
    const size_t sizes[] = {48 * KIB, 36 * KIB, 27 * KIB, 21 * KIB, 18 * KIB};
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    char *walled = take_written(heap, 64 * KIB), *wall = take_written(heap, 40 * KIB);
    for (size_t i = 0; i < LENGTH_OF(sizes); i++)
        assert_ptr_equal(sw_realloc(heap, walled, sizes[i]), walled);
    fill(walled, 18 * KIB, 2);
    char *behind = take_written(heap, 44 * KIB);
    assert_ptr_equal(behind, walled + 20 * KIB);
    char *small = sw_realloc(heap, walled, 26 * KIB);
    assert_int_equal(sw_usable_size(heap, small), 26 * KIB);
    assert_true(holds(small, 18 * KIB, 2));
    sw_free(heap, small);
    sw_free(heap, behind);
    sw_free(heap, wall);
    sw_heap_destroy(heap);
}

/* Buffers that are hardly written have nothing to move. */
static void what_was_never_written_does_not_move(void **state) {
    (void)state;
    enum { LIVE = 60 };
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    struct sw__blocks *blocks = heap->state;
    void *live[LIVE] = {0};
    size_t moved = 0;
    for (size_t i = 0; i < 2000; i++) {
        size_t place = i * 7 % LIVE;
        sw_free(heap, live[place]);
        live[place] = sw_alloc(heap, 2 * MIB + (i * 37 % 500) * PAGE, SW_TAG_OTHER);
        assert_non_null(live[place]);
        touch(live[place], 1);
        moved = i == 200 ? blocks->extents.moved : moved;
    }
    assert_true(blocks->extents.moved == moved);
    for (size_t i = 0; i < LIVE; i++)
        sw_free(heap, live[i]);
    sw_heap_destroy(heap);
}

static void a_spike_is_forgotten(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    step(heap, BLOCKS, BLOCK);
    size_t spike = resident_of(heap);
    for (int i = 0; i < 1000; i++)
        step(heap, 2, BLOCK);
    assert_true(resident_of(heap) < spike / 2);
    sw_heap_destroy(heap);
}

static double now_in_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void compute(int ms) {
    clock_t until = clock() + ms * CLOCKS_PER_SEC / 1000;
    for (volatile unsigned i = 0; clock() < until; i++)
        ;
}

/* Though what follows is so much smaller that its turnover would take hours, and is no rest; that it
 * would be taken for after 30 seconds. */
static void a_spike_is_forgotten_by_time_as_well(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0");
    step(heap, BLOCKS, BLOCK);
    size_t spike = resident_of(heap);
    for (double began = now_in_ms(); now_in_ms() - began < 28000; step(heap, 1, 40 * KIB)) {
        compute(25);
        if (resident_of(heap) < spike / 4)
            break;
    }
    assert_true(resident_of(heap) < spike / 4);
    sw_heap_destroy(heap);
}

/* As where an evaluation follows: the last step had an end, but nobody says so of what comes. */
static void marks_that_end_do_not_keep_what_steps_needed(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    for (int i = 0; i < 3; i++) {
        sw_step_begin(heap);
        step(heap, BLOCKS, BLOCK);
        sw_step_end(heap);
    }
    assert_true(resident_of(heap) >= BLOCKS * BLOCK);
    for (int i = 0; i < 600; i++)
        step(heap, 1, BLOCK);
    assert_true(resident_of(heap) <= 2 * BLOCK);
    sw_heap_destroy(heap);
}

/* Tensors, and then as much again and more in small blocks, while there are none. */
static void what_small_blocks_need_is_kept_as_well(void **state) {
    (void)state;
    enum { COUNT = 40 << 10, SIZE = 1 << 10, TURNS = 20 };
    static void *blocks[COUNT];
    struct rusage before, after;
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    for (int turn = 0; turn < TURNS; turn++) {
        if (turn == TURNS / 2)
            getrusage(RUSAGE_SELF, &before);
        step(heap, BLOCKS, BLOCK);
        for (size_t i = 0; i < COUNT; i++)
            blocks[i] = take_written(heap, SIZE);
        for (size_t i = 0; i < COUNT; i++)
            sw_free(heap, blocks[i]);
    }
    getrusage(RUSAGE_SELF, &after);
    if (!SANITIZED && kernel_can_move()) /* else each turn brings a third of it anew */
        assert_in_range(after.ru_minflt - before.ru_minflt, 0,
                        (size_t)TURNS / 2 * COUNT * SIZE / PAGE / 20);
    sw_heap_destroy(heap);
}

static void what_was_refused_is_not_kept_for(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    const size_t nobodys = (size_t)1 << 50;
    step(heap, BLOCKS, BLOCK);
    size_t spike = resident_of(heap);
    void *block = sw_alloc(heap, BLOCK, SW_TAG_OTHER);
    for (int i = 0; i < 1000; i++) {
        if (i % 100 == 0) {
            assert_null(sw_alloc(heap, nobodys, SW_TAG_OTHER));
            assert_null(sw_alloc_zeroed(heap, 1, nobodys, SW_TAG_OTHER));
            assert_null(sw_realloc(heap, block, nobodys));
        }
        step(heap, 2, BLOCK);
    }
    assert_true(resident_of(heap) < spike / 2);
    sw_free(heap, block);
    sw_heap_destroy(heap);
}

/* Sizes that never come back fit into what the deepest step needed. */
static void ragged_steps_hold_no_more_than_the_deepest(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    uint64_t random = run_seed();
    step(heap, BLOCKS, 4 * MIB);
    size_t deepest = resident_of(heap);
    for (int i = 0; i < 60; i++)
        step(heap, BLOCKS, MIB + below(&random, 3 * MIB));
    assert_true(stats_of(heap).resident.peak <= deepest + deepest / 16);
    sw_heap_destroy(heap);
}

/* Five seconds at most. To ask is work under a sanitizer, and rest is 600 ms without. */
static void wait_until_no_more_than(sw_heap *heap, size_t bytes) {
    const int interval = SANITIZED ? 900 : 50, most = SANITIZED ? 9000 : 5000;
    for (int i = 0; i < most / interval && resident_of(heap) > bytes; i++)
        sleep_ms(interval);
    assert_true(resident_of(heap) <= bytes);
}

static void wait_until_given_back(sw_heap *heap) {
    wait_until_no_more_than(heap, 2 * BLOCK);
}

static void when_work_has_stopped_nothing_is_kept(void **state) {
    (void)state;
    wait_for_threads(1);
    sw_heap *heap = make_auto("tracking:0");
    void *live = sw_alloc(heap, BLOCK, SW_TAG_OTHER);
    fill(live, BLOCK, 1);
    for (int rests = 0; rests < 3; rests++) { /* work may come back */
        step(heap, BLOCKS, BLOCK);
        assert_true(resident_of(heap) >= BLOCKS * BLOCK);
        wait_until_given_back(heap);
        assert_true(holds(live, BLOCK, 1));
    }
    sw_free(heap, live);
    sw_heap_destroy(heap);
    wait_for_threads(1);
}

/* Blocks that lie several to a slab, and one of so many stays longer. */
struct holder {
    sw_heap *heap;
    pthread_t owner;
    pthread_barrier_t turn; /* the owner's, and the test's */
    void *blocks[4 << 10];
};

enum {
    SMALL_COUNT = LENGTH_OF(((struct holder *)0)->blocks),
    SMALL_SIZE = 8 << 10,
    SMALL_KEEP = 7
};

static void hold(struct holder *holder) {
    for (size_t i = 0; i < SMALL_COUNT; i++) {
        holder->blocks[i] = sw_alloc(holder->heap, SMALL_SIZE, SW_TAG_OTHER);
        CHECK(holder->blocks[i]);
        fill(holder->blocks[i], SMALL_SIZE, i);
    }
}

/* Returns the bytes that stay. */
static size_t free_but_some(struct holder *holder) {
    for (size_t i = 0; i < SMALL_COUNT; i++)
        if (i % SMALL_KEEP)
            sw_free(holder->heap, holder->blocks[i]);
    return (size_t)SMALL_COUNT / SMALL_KEEP * SMALL_SIZE;
}

static void free_the_others(struct holder *holder) {
    for (size_t i = 0; i < SMALL_COUNT; i += SMALL_KEEP) {
        CHECK(holds(holder->blocks[i], SMALL_SIZE, i));
        sw_free(holder->heap, holder->blocks[i]);
    }
}

/* Though something stays in every slab, and no thread comes to look at them. */
static void at_rest_what_is_free_inside_slabs_goes_too(void **state) {
    (void)state;
    static struct holder holder;
    holder.heap = make_auto("tracking:0");
    hold(&holder);
    size_t left = free_but_some(&holder);
    wait_until_no_more_than(holder.heap, left + 2 * MIB);
    free_the_others(&holder);
    sw_heap_destroy(holder.heap);
}

/* Does its slab stay current behind a pair of malloc and free, where only its thread may take it? */
static bool stays_current_after_pair(sw_heap *heap) {
    void *block = sw_alloc(heap, 512, SW_TAG_OTHER);
    assert_non_null(block);
    struct sw__slab *slab = sw__slab_of(block);
    sw_free(heap, block);
    return sw__slab_owner(slab) && sw__slab_is_current(slab);
}

/* Whoever looks at the budget looks at slabs, too: what empties is heeded again by and by. */
static void as_long_as_work_goes_on_what_empties_is_heeded(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0");
    for (int times = 0; times < 3; times++) {
        bool stays = true;
        for (int waited = 0; waited < 500 && stays; waited++) {
            step(heap, BLOCKS, BLOCK);
            stays = stays_current_after_pair(heap);
            sleep_ms(stays ? 10 : 0);
        }
        assert_false(stays);
    }
    sw_heap_destroy(heap);
}

static void start_owner(struct holder *holder, void *(*work)(void *)) {
    holder->heap = make_auto("tracking:0");
    pthread_barrier_init(&holder->turn, NULL, 2);
    assert_int_equal(pthread_create(&holder->owner, NULL, work, holder), 0);
}

static void end_owner(struct holder *holder) {
    pthread_barrier_wait(&holder->turn);
    pthread_join(holder->owner, NULL);
    pthread_barrier_destroy(&holder->turn);
    sw_heap_destroy(holder->heap);
}

static void wait_until_keeper_sleeps(void) {
    for (int i = 0; i < 300 && sw__keeper_is_awake; i++)
        sleep_ms(100);
    assert_false(sw__keeper_is_awake);
}

static void *hold_and_wait(void *argument) {
    struct holder *holder = argument;
    hold(holder);
    pthread_barrier_wait(&holder->turn);
    pthread_barrier_wait(&holder->turn);
    return NULL;
}

/* After the rest, when nobody looks round any more, another thread frees what the owner has. */
static void at_rest_what_another_thread_frees_goes_too(void **state) {
    (void)state;
    static struct holder holder;
    start_owner(&holder, hold_and_wait);
    pthread_barrier_wait(&holder.turn);
    wait_until_keeper_sleeps();
    size_t left = free_but_some(&holder);
    wait_until_no_more_than(holder.heap, left + 2 * MIB);
    free_the_others(&holder);
    end_owner(&holder);
}

enum { ROUNDS = 64, EACH = SMALL_COUNT / ROUNDS };

/* A slab's blocks and one more in each round, so that it takes over what others have freed. */
static void *hold_and_take_on(void *argument) {
    struct holder *holder = argument;
    void *more[ROUNDS][9];
    hold(holder);
    for (size_t round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&holder->turn);
        pthread_barrier_wait(&holder->turn);
        for (size_t i = 0; i < LENGTH_OF(more[round]); i++)
            CHECK(more[round][i] = sw_alloc(holder->heap, SMALL_SIZE, SW_TAG_OTHER));
    }
    pthread_barrier_wait(&holder->turn);
    pthread_barrier_wait(&holder->turn);
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < LENGTH_OF(more[round]); i++)
            sw_free(holder->heap, more[round][i]);
    return NULL;
}

/* And where the owner, who frees nothing, has taken it over bit by bit. */
static void at_rest_what_was_taken_over_goes_too(void **state) {
    (void)state;
    static struct holder holder;
    start_owner(&holder, hold_and_take_on);
    for (size_t round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&holder.turn);
        if (round == 0)
            wait_until_keeper_sleeps();
        for (size_t i = round * EACH; i < (round + 1) * EACH; i++)
            if (i % SMALL_KEEP)
                sw_free(holder.heap, holder.blocks[i]);
        pthread_barrier_wait(&holder.turn);
    }
    pthread_barrier_wait(&holder.turn);
    size_t left = (SMALL_COUNT / SMALL_KEEP + (size_t)ROUNDS * 9) * SMALL_SIZE;
    wait_until_no_more_than(holder.heap, left + 4 * MIB);
    free_the_others(&holder);
    end_owner(&holder);
}

/* Blocks that lie many to a slab, some to be freed by their owner and some by another thread. */
enum { TINY = 112, TINY_COUNT = 200000, IN_EACH_SLAB = 100 };
struct shared {
    sw_heap *heap;
    pthread_barrier_t turn; /* the owner's, and the test's */
    size_t owners_part;     /* one of so many, */
    size_t stays;           /* and of those that is not freed before the end; or 0 */
    bool owner_begins;      /* with one in each slab, which opens them */
    void *blocks[TINY_COUNT];
};

static void take_all(struct shared *shared) {
    for (size_t i = 0; i < TINY_COUNT; i++) {
        CHECK(shared->blocks[i] = sw_alloc(shared->heap, TINY, SW_TAG_OTHER));
        touch(shared->blocks[i], TINY);
    }
}

static bool stays(const struct shared *shared, size_t i) {
    return shared->stays && i % (shared->owners_part * shared->stays) == 0;
}

static void free_part(struct shared *shared, bool owners) {
    for (size_t i = 0; i < TINY_COUNT; i++)
        if ((i % shared->owners_part == 0) == owners && !stays(shared, i))
            sw_free(shared->heap, shared->blocks[i]);
}

static void free_what_stayed(struct shared *shared) {
    for (size_t i = 0; i < TINY_COUNT; i++)
        if (stays(shared, i))
            sw_free(shared->heap, shared->blocks[i]);
}

static void free_one_in_each_slab(struct shared *shared) {
    for (size_t i = 0; i < TINY_COUNT; i += IN_EACH_SLAB) {
        sw_free(shared->heap, shared->blocks[i]);
        shared->blocks[i] = NULL;
    }
}

static void *own_and_free_last(void *argument) {
    struct shared *shared = argument;
    take_all(shared);
    if (shared->owner_begins)
        free_one_in_each_slab(shared);
    pthread_barrier_wait(&shared->turn); /* now the other frees, */
    pthread_barrier_wait(&shared->turn);
    free_part(shared, true);
    pthread_barrier_wait(&shared->turn); /* and now it is waited */
    pthread_barrier_wait(&shared->turn);
    return NULL;
}

static void let_owner_and_another_free(size_t owners_part, size_t stays, bool owner_begins) {
    static struct shared shared;
    pthread_t owner;
    shared.heap = make_auto("tracking:0");
    shared.owners_part = owners_part;
    shared.stays = stays;
    shared.owner_begins = owner_begins;
    pthread_barrier_init(&shared.turn, NULL, 2);
    assert_int_equal(pthread_create(&owner, NULL, own_and_free_last, &shared), 0);
    pthread_barrier_wait(&shared.turn);
    free_part(&shared, false);
    pthread_barrier_wait(&shared.turn);
    pthread_barrier_wait(&shared.turn);
    wait_until_no_more_than(shared.heap, stays ? 6 * MIB : 2 * MIB); /* of 22 */
    pthread_barrier_wait(&shared.turn);
    pthread_join(owner, NULL);
    free_what_stayed(&shared);
    pthread_barrier_destroy(&shared.turn);
    sw_heap_destroy(shared.heap);
}

/* The owner, who sleeps by then, never comes to look at what the other has freed. */
static void at_rest_what_owner_and_another_free_goes_too(void **state) {
    (void)state;
    let_owner_and_another_free(2, 0, false);
    let_owner_and_another_free(150, 2, false); /* of each slab a few, one of which stays */
    let_owner_and_another_free(2, 0, true);
}

enum { LEAVERS = 12, LEFT_COUNT = 900 };

/* One of many threads that leave less behind than is worth a call. */
struct leaver {
    sw_heap *heap;
    pthread_barrier_t *turn;
    bool another_frees; /* what it leaves: the test does, and the thread sleeps */
    void *blocks[LEFT_COUNT];
};

/* One stays in each slab. */
static void free_most(struct leaver *leaver) {
    for (int i = 0; i < LEFT_COUNT; i++)
        if (i % 16)
            sw_free(leaver->heap, leaver->blocks[i]);
}

static void *leave_a_little(void *argument) {
    struct leaver *leaver = argument;
    for (int i = 0; i < LEFT_COUNT; i++) {
        CHECK(leaver->blocks[i] = sw_alloc(leaver->heap, KIB, SW_TAG_OTHER));
        touch(leaver->blocks[i], KIB);
    }
    pthread_barrier_wait(leaver->turn);
    pthread_barrier_wait(leaver->turn);
    if (!leaver->another_frees)
        free_most(leaver);
    pthread_barrier_wait(leaver->turn);
    pthread_barrier_wait(leaver->turn);
    for (int i = 0; i < LEFT_COUNT; i += 16)
        sw_free(leaver->heap, leaver->blocks[i]);
    return NULL;
}

static void let_many_leave_a_little(bool another_frees) {
    static struct leaver leavers[LEAVERS];
    pthread_barrier_t turn;
    pthread_t threads[LEAVERS];
    sw_heap *heap = make_auto("tracking:0");
    pthread_barrier_init(&turn, NULL, LEAVERS + 1);
    for (int i = 0; i < LEAVERS; i++) {
        leavers[i] = (struct leaver){heap, &turn, another_frees, {NULL}};
        assert_int_equal(pthread_create(&threads[i], NULL, leave_a_little, &leavers[i]), 0);
    }
    pthread_barrier_wait(&turn);
    step(heap, 1, 16 * MIB); /* so that there is a keeper */
    wait_until_keeper_sleeps();
    pthread_barrier_wait(&turn);
    for (int i = 0; i < LEAVERS && another_frees; i++)
        free_most(&leavers[i]);
    pthread_barrier_wait(&turn);
    wait_until_no_more_than(heap, LEAVERS * (LEFT_COUNT * KIB) / 2);
    pthread_barrier_wait(&turn);
    for (int i = 0; i < LEAVERS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&turn);
    sw_heap_destroy(heap);
}

static void at_rest_what_many_leave_a_little_of_goes_too(void **state) {
    (void)state;
    let_many_leave_a_little(false);
    let_many_leave_a_little(true);
}

static size_t most_resident_meanwhile(sw_heap *heap, int ms) {
    size_t most = 0;
    for (int i = 0; i < ms; i++) {
        size_t resident = resident_of(heap);
        most = resident > most ? resident : most;
        sleep_ms(1);
    }
    return most;
}

/* Ahead of the work that wants it, but in proportion to what it took so far. */
static void after_a_rest_what_work_had_comes_again(void **state) {
    (void)state;
    if (!sw__os_can_bring())
        skip();
    wait_for_threads(1);
    sw_heap *heap = make_auto("tracking:0");
    void *live = sw_alloc(heap, 16 * MIB, SW_TAG_OTHER);
    fill(live, 16 * MIB, 1);
    for (int i = 0; i < 10; i++)
        step(heap, BLOCKS, 8 * MIB);
    wait_until_no_more_than(heap, 20 * MIB);
    sw_free(heap, sw_alloc(heap, 3 * MIB, SW_TAG_OTHER)); /* and another, after little work */
    sleep_ms(900);
    wait_until_no_more_than(heap, 20 * MIB);
    sw_free(heap, sw_realloc(heap, sw_alloc(heap, 20 << 10, SW_TAG_OTHER), 40 << 10));
    /* Nothing of it is written; but it may come to where pages are already. */
    void *begun = sw_alloc(heap, 8 * MIB, SW_TAG_OTHER);
    size_t most = most_resident_meanwhile(heap, 200);
    assert_true(most >= (16 + 3 * 8 - 2) * MIB && most <= (16 + 4 * 8 + 2) * MIB);
    wait_until_no_more_than(heap, (16 + 8 + 2) * MIB);
    assert_true(holds(live, 16 * MIB, 1));
    sw_free(heap, begun);
    sw_free(heap, live);
    sw_heap_destroy(heap);
    wait_for_threads(1);
}

/* Work that waits for something again and again is not at its end; that is told from how soon it
 * comes back, even if it begins with little. */
static void work_that_is_back_at_once_is_waited_for(void **state) {
    (void)state;
    enum { SO_OFTEN = 8 };
    if (SANITIZED) /* it is not told soon enough there that all has gone */
        skip();
    sw_heap *heap = make_auto("tracking:0");
    double stopped = 0;
    for (int rests = 0; rests <= SO_OFTEN; rests++) {
        sw_free(heap, sw_alloc(heap, MIB, SW_TAG_OTHER));
        step(heap, BLOCKS, 12 * MIB);
        stopped = now_in_ms();
        wait_until_no_more_than(heap, 2 * MIB);
    }
    assert_true(now_in_ms() - stopped >= 1150); /* 600 at first */
    sw_heap_destroy(heap);
}

/* In a process of its own, which has not learned patience yet. */
static int come_back_with_small_work(void) {
    enum { SO_OFTEN = 8, COUNT = 8000, SIZE = 30 << 10 };
    static void *blocks[COUNT];
    sw_heap *heap = make_auto("tracking:0");
    double stopped = 0;
    for (int rests = 0; rests <= SO_OFTEN; rests++) {
        for (size_t i = 0; i < COUNT; i++)
            blocks[i] = take_written(heap, SIZE);
        for (size_t i = 0; i < COUNT; i++)
            sw_free(heap, blocks[i]);
        stopped = now_in_ms();
        for (int i = 0; i < 100 && resident_of(heap) > 2 * MIB; i++)
            sleep_ms(50);
        CHECK(resident_of(heap) <= 2 * MIB);
    }
    CHECK(now_in_ms() - stopped >= 1150); /* 600 at first */
    return 0;
}

static void small_work_that_is_back_at_once_is_waited_for(void **state) {
    (void)state;
    if (SANITIZED) /* to ask is work */
        skip();
    live_in_a_child(come_back_with_small_work);
}

/* The thread comes before the block does, which is not held by then. */
static void a_single_block_is_given_back_too(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0");
    step(heap, 1, 16 * MIB);
    wait_until_no_more_than(heap, MIB);
    sw_heap_destroy(heap);
}

/* Of a block that becomes smaller the rest is free. */
static void what_a_block_shrinks_by_is_given_back_too(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0");
    void *block = take_written(heap, 64 * MIB);
    wait_until_keeper_sleeps();
    block = sw_realloc(heap, block, MIB);
    assert_non_null(block);
    wait_until_no_more_than(heap, 2 * MIB);
    sw_free(heap, block);
    sw_heap_destroy(heap);
}

/* As an evaluation between two rests does, which needs less than the training before. */
static void little_work_is_forgotten_as_well(void **state) {
    (void)state;
    wait_for_threads(1);
    sw_heap *heap = make_auto("tracking:0");
    step(heap, BLOCKS, BLOCK);
    wait_until_given_back(heap);
    sleep_ms(200); /* for the thread to lie down */
    for (int rests = 0; rests < 3; rests++) {
        step(heap, 2, 2 * MIB);
        wait_until_no_more_than(heap, MIB);
    }
    sw_heap_destroy(heap);
}

enum { WORKERS = 4 };

struct workers {
    sw_heap *heap;
    pthread_barrier_t done, end;
};

/* A block of each size, and at last none. Of each one was freed before: so nobody is told of the slabs
 * that are empty now. */
static void use_each_size(sw_heap *heap) {
    void *blocks[SW__CLASS_COUNT];
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++) {
        size_t size = sw__class_sizes[class];
        sw_free(heap, sw_alloc(heap, size, SW_TAG_OTHER));
        CHECK(blocks[class] = sw_alloc(heap, size, SW_TAG_OTHER));
        touch(blocks[class], size);
    }
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
        sw_free(heap, blocks[class]);
}

static void *work_a_little(void *argument) {
    struct workers *workers = argument;
    use_each_size(workers->heap);
    pthread_barrier_wait(&workers->done);
    pthread_barrier_wait(&workers->end);
    return NULL;
}

/* What they had cached is given back, though nothing happens any more. */
static void the_end_of_threads_is_work_that_has_stopped(void **state) {
    (void)state;
    struct workers workers = {.heap = make_auto("tracking:0")};
    pthread_t threads[WORKERS];
    pthread_barrier_init(&workers.done, NULL, WORKERS + 1);
    pthread_barrier_init(&workers.end, NULL, WORKERS + 1);
    step(workers.heap, BLOCKS, BLOCK);
    wait_until_given_back(workers.heap);
    wait_until_keeper_sleeps();
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work_a_little, &workers), 0);
    pthread_barrier_wait(&workers.done);
    assert_true(resident_of(workers.heap) >
                2 * MIB); /* in slabs that they would take blocks from */
    assert_false(sw__keeper_is_awake);
    pthread_barrier_wait(&workers.end);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);

    wait_until_no_more_than(workers.heap, MIB / 2);
    pthread_barrier_destroy(&workers.done);
    pthread_barrier_destroy(&workers.end);
    sw_heap_destroy(workers.heap);
}

/* In a program of its own, whose main thread has taken nothing from any heap. */
static void *train_and_end(void *heap) {
    step(heap, BLOCKS, BLOCK);
    return NULL;
}

static int wait_for_the_only_worker(void) {
    pthread_t worker;
    sw_heap *heap = make_auto("tracking:0");
    for (int workers = 0; workers < 3; workers++) {
        CHECK(pthread_create(&worker, NULL, train_and_end, heap) == 0);
        pthread_join(worker, NULL);
        CHECK(resident_of(heap) <= 2 * BLOCK);
    }
    return 0;
}

static const char only_worker[] = "STEPWELL_TEST_ONLY_WORKER";

static void the_end_of_the_only_worker_is_work_that_has_stopped(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        setenv(only_worker, "1", 1);
        execl("/proc/self/exe", "test_auto", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(exit_code_of(child), 0);
}

static void an_idle_process_is_not_woken(void **state) {
    (void)state;
    if (SANITIZED) /* has threads of its own */
        skip();
    sw_heap *heap = make_auto("tracking:0");
    step(heap, BLOCKS, BLOCK);
    wait_until_given_back(heap);
    sleep_ms(200); /* for it to lie down */
    size_t woken = times_others_were_woken();
    assert_true(woken > 0);
    sleep_ms(500);
    assert_int_equal(times_others_were_woken(), woken);
    sw_heap_destroy(heap);
}

/* A server's own house: a little is taken again and again, and is nothing beside what is kept. */
static void little_work_beside_what_is_kept_is_rest(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0");
    step(heap, BLOCKS, BLOCK);
    for (int i = 0; i < 100 && resident_of(heap) > 2 * BLOCK; i++) {
        step(heap, 1, 40 * KIB);
        sleep_ms(50);
    }
    assert_true(resident_of(heap) <= 2 * BLOCK);
    sw_heap_destroy(heap);
}

/* A program that asks for more than there is, time and again, does not work. */
static void what_is_refused_is_rest(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0");
    step(heap, BLOCKS, BLOCK);
    for (int i = 0; i < 100 && resident_of(heap) > 2 * BLOCK; i++)
        for (int j = 0; j < (SANITIZED ? 10 : 1); j++) {
            assert_null(sw_alloc(heap, (size_t)1 << 50, SW_TAG_OTHER));
            sleep_ms(50);
        }
    assert_true(resident_of(heap) <= 2 * BLOCK);
    sw_heap_destroy(heap);
}

static void fork_one_that_ends(void) {
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(exit_code_of(child), 0);
}

/* Libc frees what a thread had with a lock in hand that the start of another one takes. */
static void no_thread_is_started_where_memory_is_freed(void **state) {
    (void)state;
    enum { COUNT = 16 << 10, SIZE = 1 << 10 };
    static void *blocks[COUNT];
    wait_for_threads(1);
    sw_heap *heap = make_auto("tracking:0");
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = take_written(heap, SIZE);
    if (!SANITIZED)
        assert_int_equal(threads_of_process(), 2);
    fork_one_that_ends(); /* and ends the thread */
    wait_for_threads(1);
    for (size_t i = 0; i < COUNT; i++)
        sw_free(heap, blocks[i]);
    assert_int_equal(threads_of_process(), 1);
    void *live = sw_alloc(heap, 16 * MIB, SW_TAG_OTHER);
    assert_non_null(live);
    if (!SANITIZED)
        assert_int_equal(threads_of_process(), 2);
    sw_free(heap, live);
    sw_heap_destroy(heap);
}

static void no_thread_is_started_for_what_is_refused(void **state) {
    (void)state;
    wait_for_threads(1);
    sw_heap *heap = make_auto("tracking:0");
    assert_null(sw_alloc(heap, (size_t)1 << 60, SW_TAG_OTHER));
    assert_int_equal(threads_of_process(), 1);
    sw_heap_destroy(heap);
    heap = make_auto("tracking:0,limit:4M");
    assert_null(sw_alloc(heap, 16 * MIB, SW_TAG_OTHER));
    assert_int_equal(threads_of_process(), 1);
    sw_heap_destroy(heap);
}

static void a_busy_process_keeps_its_pages(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0");
    step(heap, BLOCKS, BLOCK);
    compute(1000);
    assert_true(resident_of(heap) >= BLOCKS * BLOCK);
    sw_heap_destroy(heap);
}

static void without_the_thread_it_stays(void **state) {
    (void)state;
    wait_for_threads(1);
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    step(heap, BLOCKS, BLOCK);
    assert_int_equal(threads_of_process(), 1);
    sleep_ms(1200);
    assert_true(resident_of(heap) >= BLOCKS * BLOCK);
    sw_heap_destroy(heap);
}

static void small_heaps_start_no_thread(void **state) {
    (void)state;
    wait_for_threads(1);
    sw_heap *heap = make_auto(NULL);
    for (int i = 0; i < 100; i++)
        step(heap, 2, MIB);
    assert_int_equal(threads_of_process(), 1);
    sw_heap_destroy(heap);
}

static void no_more_is_retained_than_allowed(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0,background_thread:0,retain:4M");
    for (int i = 0; i < 5; i++) {
        step(heap, BLOCKS, BLOCK);
        assert_true(resident_of(heap) <= 5 * MIB);
    }
    sw_heap_destroy(heap);
}

static void of_what_a_block_shrinks_by_no_more_is_retained(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0,background_thread:0,retain:4M");
    void *block = take_written(heap, 64 * MIB);
    block = sw_realloc(heap, block, 2 * MIB);
    assert_non_null(block);
    assert_true(resident_of(heap) <= 7 * MIB);
    sw_free(heap, block);
    sw_heap_destroy(heap);
}

/* They are extents, however small. */
static void what_blocks_of_large_alignment_need_is_kept_as_well(void **state) {
    (void)state;
    enum { ALIGNED = 200 };
    void *blocks[ALIGNED];
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    step(heap, 1, 100 * KIB);
    for (int i = 0; i < ALIGNED; i++) {
        blocks[i] = sw_alloc_aligned(heap, 64 * KIB, 32 * KIB, SW_TAG_OTHER);
        assert_non_null(blocks[i]);
        touch(blocks[i], 32 * KIB);
    }
    for (int i = 0; i < ALIGNED; i++)
        sw_free(heap, blocks[i]);
    step(heap, 1, 100 * KIB);
    assert_true(resident_of(heap) >= ALIGNED * (32 * KIB));
    sw_heap_destroy(heap);
}

static void a_soft_limit_gives_back_first_and_refuses_nothing(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0,background_thread:0,soft_limit:16M");
    step(heap, BLOCKS, BLOCK);
    assert_true(resident_of(heap) <= 17 * MIB);
    sw_heap_destroy(heap);
}

/* Slabs are a quarter of a MiB each, and the last that would fit is a smaller one. */
static void small_blocks_come_near_to_the_limit(void **state) {
    (void)state;
    enum { SIZE = 10 << 10, MOST = 32 };
    void *blocks[MOST];
    size_t count = 0;
    sw_heap *heap = make_auto("tracking:0,background_thread:0,limit:320K");
    while (count < MOST && (blocks[count] = sw_alloc(heap, SIZE, SW_TAG_OTHER)))
        count++;
    assert_true(count * SIZE >= 280 * KIB && count < MOST);
    while (count > 0)
        sw_free(heap, blocks[--count]);
    sw_heap_destroy(heap);
}

static void hold_and_free_small_blocks(sw_heap *heap, size_t bytes) {
    static void *blocks[100 * KIB];
    size_t count = bytes / KIB;
    assert_true(count <= LENGTH_OF(blocks));
    for (size_t i = 0; i < count; i++) {
        assert_non_null(blocks[i] = sw_alloc(heap, KIB, SW_TAG_OTHER));
        touch(blocks[i], KIB);
    }
    for (size_t i = 0; i < count; i++)
        sw_free(heap, blocks[i]);
}

static void of_small_blocks_no_more_is_kept_than_allowed_either(void **state) {
    (void)state;
    static const char *const confs[] = {"tracking:0,background_thread:0,retain:4M",
                                        "tracking:0,background_thread:0,soft_limit:16M"};
    static const size_t allowed[] = {4 * MIB, 16 * MIB};
    for (size_t i = 0; i < LENGTH_OF(confs); i++) {
        sw_heap *heap = make_auto(confs[i]);
        hold_and_free_small_blocks(heap, 100 * MIB);
        assert_true(resident_of(heap) <= allowed[i] + 2 * MIB);
        sw_heap_destroy(heap);
    }
}

/* A group of 256 MiB, of which so much is used. */
static void tell_of_group(size_t used) {
    write_file("proc/self/cgroup", "0::/job\n");
    write_file("sys/fs/cgroup/job/memory.stat", "anon 0\ninactive_file 0\nactive_file 0\n");
    write_number("sys/fs/cgroup/job/memory.max", 256 * MIB);
    write_number("sys/fs/cgroup/job/memory.current", used);
}

static void near_the_limit_of_a_group_no_slab_is_kept(void **state) {
    (void)state;
    tell_of_group(10 * MIB);
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    hold_and_free_small_blocks(heap, 100 * MIB);
    assert_true(resident_of(heap) >= 90 * MIB);
    tell_of_group(250 * MIB);
    void *held[40 * KIB];
    for (size_t i = 0; i < LENGTH_OF(held); i++) /* another size: its slabs are new */
        assert_non_null(held[i] = sw_alloc(heap, 2 * KIB, SW_TAG_OTHER));
    assert_true(resident_of(heap) <= LENGTH_OF(held) * 2 * KIB + 4 * MIB);
    for (size_t i = 0; i < LENGTH_OF(held); i++)
        sw_free(heap, held[i]);
    assert_true(resident_of(heap) <= 4 * MIB);
    sw_heap_destroy(heap);
}

static void near_the_limit_of_a_group_nothing_is_kept(void **state) {
    (void)state;
    static const size_t used[] = {10 * MIB, 250 * MIB, 10 * MIB};
    tell_of_group(used[0]);
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    for (size_t i = 0; i < LENGTH_OF(used); i++) {
        tell_of_group(used[i]);
        for (int steps = 0; steps < 10; steps++)
            step(heap, BLOCKS, BLOCK);
        bool is_near = used[i] > 240 * MIB;
        assert_true(is_near ? resident_of(heap) <= MIB : resident_of(heap) >= BLOCKS * BLOCK);
    }
    sw_heap_destroy(heap);
}

/* Which is asked for and not yet written, so that the group knows nothing of it. */
static void for_a_block_that_comes_near_the_limit_all_is_given_back(void **state) {
    (void)state;
    tell_of_group(150 * MIB);
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    for (int i = 0; i < 5; i++)
        step(heap, BLOCKS, BLOCK);
    assert_true(resident_of(heap) >= BLOCKS * BLOCK);
    void *block = sw_alloc(heap, 120 * MIB, SW_TAG_OTHER);
    assert_non_null(block);
    assert_true(resident_of(heap) <= MIB);
    sw_free(heap, block);
    sw_heap_destroy(heap);
}

/* As of DataLoader's workers: what the parent keeps for its steps is no use to them. */
static void a_child_keeps_no_copy_of_what_is_free(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0");
    step(heap, BLOCKS, BLOCK);
    void *live = sw_alloc(heap, BLOCK, SW_TAG_OTHER);
    fill(live, BLOCK, 1);
    pid_t child = fork();
    if (child == 0) {
        bool right =
            threads_of_process() == 1 && resident_of(heap) <= 2 * BLOCK && holds(live, BLOCK, 1);
        step(heap, BLOCKS, BLOCK);
        _exit(right ? 0 : 1);
    }
    assert_int_equal(exit_code_of(child), 0);
    assert_true(holds(live, BLOCK, 1));
    sw_free(heap, live);
    sw_heap_destroy(heap);
}

/* In a process of its own, which has not forked before. */
static int wait_for_children(void) {
    sw_heap *heap = make_auto("tracking:0");
    step(heap, BLOCKS, BLOCK);
    fork_one_that_ends();
    CHECK(resident_of(heap) <= 2 * BLOCK);
    step(heap, BLOCKS, BLOCK);
    fork_one_that_ends();
    CHECK(resident_of(heap) >= BLOCKS * BLOCK); /* it forks again and again */
    return 0;                                   /* (all within the 5 s that this is about) */
}

/* The thread that would notice it is gone, and comes with the next memory that is taken. */
static void a_parent_that_waits_for_its_child_keeps_nothing(void **state) {
    (void)state;
    live_in_a_child(wait_for_children);
}

static void *wait_for_turn(void *turn) {
    pthread_barrier_wait(turn);
    return NULL;
}

/* Nor one that has threads, however often it forks. In a process of its own, as before. */
static int wait_for_children_among_threads(void) {
    pthread_t others[2];
    pthread_barrier_t turn;
    sw_heap *heap = make_auto("tracking:0");
    pthread_barrier_init(&turn, NULL, 3);
    for (size_t i = 0; i < LENGTH_OF(others); i++)
        CHECK(pthread_create(&others[i], NULL, wait_for_turn, &turn) == 0);
    for (int forks = 0; forks < 2; forks++) {
        step(heap, BLOCKS, BLOCK);
        fork_one_that_ends();
    }
    for (int i = 0; i < 50 && resident_of(heap) > 2 * BLOCK; i++)
        sleep_ms(100);
    CHECK(resident_of(heap) <= 2 * BLOCK);
    pthread_barrier_wait(&turn);
    return 0;
}

static void a_parent_with_threads_that_waits_keeps_nothing(void **state) {
    (void)state;
    live_in_a_child(wait_for_children_among_threads);
}

/* As of a server that has loaded all before its workers are made. */
static int free_after_a_fork(void) {
    static void *blocks[BLOCKS];
    sw_heap *heap = make_auto("tracking:0");
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(blocks[i] = sw_alloc(heap, BLOCK, SW_TAG_INPUT));
        fill(blocks[i], BLOCK, i);
    }
    fork_one_that_ends();
    for (size_t i = 0; i < BLOCKS; i++)
        sw_free(heap, blocks[i]);
    CHECK(resident_of(heap) < 8 * MIB);
    sw_heap_destroy(heap);
    return 0;
}

static void what_a_parent_frees_after_a_fork_is_not_kept(void **state) {
    (void)state;
    live_in_a_child(free_after_a_fork);
}

/* Nor inside slabs. */
static int free_inside_slabs_after_a_fork(void) {
    static struct holder holder;
    holder.heap = make_auto("tracking:0");
    hold(&holder);
    fork_one_that_ends();
    size_t left = free_but_some(&holder);
    CHECK(resident_of(holder.heap) < left + 10 * MIB);
    free_the_others(&holder);
    sw_heap_destroy(holder.heap);
    return 0;
}

static void what_a_parent_frees_inside_slabs_goes_too(void **state) {
    (void)state;
    live_in_a_child(free_inside_slabs_after_a_fork);
}

/* Nor where another thread owns them, and waits. */
static int free_others_blocks_after_a_fork(void) {
    static struct holder holder;
    start_owner(&holder, hold_and_wait);
    pthread_barrier_wait(&holder.turn);
    fork_one_that_ends();
    size_t left = free_but_some(&holder);
    CHECK(resident_of(holder.heap) < left + 10 * MIB);
    free_the_others(&holder);
    end_owner(&holder);
    return 0;
}

static void what_others_free_after_a_fork_goes_too(void **state) {
    (void)state;
    live_in_a_child(free_others_blocks_after_a_fork);
}

/* Where it gives one again, it comes: nothing is left for the parent's or the child's life. */
static int live_without_threads(void) {
    sw_heap *heap = make_auto("tracking:0");
    step(heap, 1, BLOCK); /* address space is there */
    struct rlimit limit = {process_mappings().bytes, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    step(heap, BLOCKS, BLOCK);
    CHECK(threads_of_process() == 1);
    limit.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    step(heap, BLOCKS, BLOCK);
    CHECK(threads_of_process() == 1); /* it is not asked for with each block */
    CHECK(resident_of(heap) >= BLOCKS * BLOCK);
    sleep_ms(1100);
    step(heap, BLOCKS, BLOCK);
    for (int i = 0; i < 30 && resident_of(heap) > 2 * BLOCK; i++)
        sleep_ms(100);
    CHECK(resident_of(heap) <= 2 * BLOCK);
    return 0;
}

static void a_thread_that_was_refused_comes_later(void **state) {
    (void)state;
    if (SANITIZED)
        skip(); /* a sanitizer takes terabytes of address space */
    live_in_a_child(live_without_threads);
}

static size_t budget_of(sw_heap *heap) {
    struct sw__blocks *blocks = heap->state;
    return blocks->extents.budget;
}

/* What a spike has left goes once and is not missed. */
static void a_spike_that_is_forgotten_leaves_no_room(void **state) {
    (void)state;
    enum { FEW = 2 };
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    for (int i = 0; i < 40; i++)
        step(heap, FEW, BLOCK);
    size_t budget = budget_of(heap);
    step(heap, BLOCKS, BLOCK);
    assert_true(budget_of(heap) > 2 * budget);
    for (int i = 0; i < 400; i++)
        step(heap, FEW, BLOCK);
    assert_int_equal(budget_of(heap), budget);
    assert_true(bytes_purged(heap) > (BLOCKS - FEW - 1) * BLOCK);
    sw_heap_destroy(heap);
}

/* Nor does it have the room that its parent's blocks take. */
static void a_child_needs_no_room_for_its_parents_holes(void **state) {
    (void)state;
    enum { COUNT = 300 };
    static void *blocks[COUNT];
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    replace_at_random(heap, blocks, COUNT, 10000);
    size_t live = stats_of(heap).allocated.current;
    assert_true(budget_of(heap) > live + live / 16);
    pid_t child = fork();
    if (child == 0) {
        step(heap, 1, MIB);
        _exit(budget_of(heap) < live + live / 16 ? 0 : 1);
    }
    assert_int_equal(exit_code_of(child), 0);
    for (int i = 0; i < COUNT; i++)
        sw_free(heap, blocks[i]);
    sw_heap_destroy(heap);
}

static void a_child_has_its_own_needs(void **state) {
    (void)state;
    sw_heap *heap = make_auto("tracking:0,background_thread:0");
    step(heap, BLOCKS, BLOCK);
    assert_true(budget_of(heap) >= BLOCKS * BLOCK);
    pid_t child = fork();
    if (child == 0) {
        step(heap, 1, MIB);
        _exit(budget_of(heap) >= MIB && budget_of(heap) < BLOCK ? 0 : 1);
    }
    assert_int_equal(exit_code_of(child), 0);
    assert_true(budget_of(heap) >= BLOCKS * BLOCK);
    sw_heap_destroy(heap);
}

int main(int argc, char **argv) {
    if (getenv(only_worker))
        return wait_for_the_only_worker();
    const struct CMUnitTest tests[] = {
        /* First: libc has no stack at hand yet of a thread that has ended. */
        cmocka_unit_test(a_thread_that_was_refused_comes_later),
        cmocka_unit_test(steady_steps_neither_give_back_nor_fault),
        cmocka_unit_test(tensors_of_any_size_lie_side_by_side),
        cmocka_unit_test(work_that_repeats_itself_stops_shifting_pages),
        cmocka_unit_test(what_comes_and_goes_in_any_order_is_not_purged_for_ever),
        cmocka_unit_test(a_block_that_moves_is_needed_once),
        cmocka_unit_test(blocks_that_grow_in_turn_seldom_move),
        cmocka_unit_test(a_block_near_the_least_large_size_stays),
        cmocka_unit_test(a_block_that_shrank_and_has_no_room_to_grow_is_small),
        cmocka_unit_test(what_was_never_written_does_not_move),
        cmocka_unit_test(a_spike_is_forgotten),
        cmocka_unit_test(a_spike_is_forgotten_by_time_as_well),
        cmocka_unit_test(marks_that_end_do_not_keep_what_steps_needed),
        cmocka_unit_test(what_small_blocks_need_is_kept_as_well),
        cmocka_unit_test(what_blocks_of_large_alignment_need_is_kept_as_well),
        cmocka_unit_test(what_was_refused_is_not_kept_for),
        cmocka_unit_test(ragged_steps_hold_no_more_than_the_deepest),
        cmocka_unit_test(at_rest_what_is_free_inside_slabs_goes_too),
        cmocka_unit_test(as_long_as_work_goes_on_what_empties_is_heeded),
        cmocka_unit_test(at_rest_what_another_thread_frees_goes_too),
        cmocka_unit_test(at_rest_what_was_taken_over_goes_too),
        cmocka_unit_test(at_rest_what_owner_and_another_free_goes_too),
        cmocka_unit_test(at_rest_what_many_leave_a_little_of_goes_too),
        cmocka_unit_test(after_a_rest_what_work_had_comes_again),
        cmocka_unit_test(work_that_is_back_at_once_is_waited_for),
        cmocka_unit_test(small_work_that_is_back_at_once_is_waited_for),
        cmocka_unit_test(when_work_has_stopped_nothing_is_kept),
        cmocka_unit_test(a_single_block_is_given_back_too),
        cmocka_unit_test(what_a_block_shrinks_by_is_given_back_too),
        cmocka_unit_test(little_work_is_forgotten_as_well),
        cmocka_unit_test(little_work_beside_what_is_kept_is_rest),
        cmocka_unit_test(what_is_refused_is_rest),
        cmocka_unit_test(the_end_of_threads_is_work_that_has_stopped),
        cmocka_unit_test(the_end_of_the_only_worker_is_work_that_has_stopped),
        cmocka_unit_test(an_idle_process_is_not_woken),
        cmocka_unit_test(no_thread_is_started_where_memory_is_freed),
        cmocka_unit_test(no_thread_is_started_for_what_is_refused),
        cmocka_unit_test(a_busy_process_keeps_its_pages),
        cmocka_unit_test(without_the_thread_it_stays),
        cmocka_unit_test(small_heaps_start_no_thread),
        cmocka_unit_test(no_more_is_retained_than_allowed),
        cmocka_unit_test(of_what_a_block_shrinks_by_no_more_is_retained),
        cmocka_unit_test(small_blocks_come_near_to_the_limit),
        cmocka_unit_test(of_small_blocks_no_more_is_kept_than_allowed_either),
        cmocka_unit_test_setup_teardown(near_the_limit_of_a_group_nothing_is_kept, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(near_the_limit_of_a_group_no_slab_is_kept, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(for_a_block_that_comes_near_the_limit_all_is_given_back,
                                        make_root, remove_root),
        cmocka_unit_test(a_soft_limit_gives_back_first_and_refuses_nothing),
        cmocka_unit_test(a_child_keeps_no_copy_of_what_is_free),
        cmocka_unit_test(a_parent_that_waits_for_its_child_keeps_nothing),
        cmocka_unit_test(a_parent_with_threads_that_waits_keeps_nothing),
        cmocka_unit_test(what_a_parent_frees_after_a_fork_is_not_kept),
        cmocka_unit_test(what_a_parent_frees_inside_slabs_goes_too),
        cmocka_unit_test(what_others_free_after_a_fork_goes_too),
        cmocka_unit_test(a_spike_that_is_forgotten_leaves_no_room),
        cmocka_unit_test(a_child_needs_no_room_for_its_parents_holes),
        cmocka_unit_test(a_child_has_its_own_needs),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
