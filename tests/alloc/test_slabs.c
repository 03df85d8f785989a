/*
 * test_slabs.c - the size classes: every size has the smallest class that holds it, and the
 * rounding loses no more than classes.h says. The sparse slab that stays open, and what is left of a
 * thread that sleeps. The way back of what another thread frees. And what becomes of caches whose
 * thread is at its very end, or was not taken along by a fork.
 */
#include "support.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blocks.h"
#include "heap.h"
#include "slabs/bins.h"

#if defined(__SANITIZE_THREAD__)
#define FORKED_THREADS_CANT_BE 1 /* ThreadSanitizer ends such a child when it starts one */
#else
#define FORKED_THREADS_CANT_BE 0
#endif

static void every_size_has_the_smallest_class_that_holds_it(void **state) {
    (void)state;
    for (size_t size = 1; size <= SW__SMALL_MAX; size++) {
        unsigned class = sw__class_of(size);
        assert_true(class < SW__CLASS_COUNT);
        assert_true(sw__class_sizes[class] >= size);
        assert_true(class == 0 || sw__class_sizes[class - 1] < size);
        assert_int_equal(sw__round_to_class(size), sw__class_sizes[class]);
    }
}

static void classes_rise_and_are_aligned(void **state) {
    (void)state;
    for (size_t i = 0; i < SW__CLASS_COUNT; i++) {
        assert_int_equal(sw__class_sizes[i] % SW_MIN_ALIGNMENT, 0);
        assert_true(i == 0 || sw__class_sizes[i] > sw__class_sizes[i - 1]);
    }
    assert_int_equal(sw__class_sizes[SW__CLASS_COUNT - 1], SW__SMALL_MAX);
}

static void rounding_loses_a_fifth_and_then_a_ninth_at_most(void **state) {
    (void)state;
    for (size_t size = 129; size <= 64 * MIB; size += 1 + size / 1000) {
        size_t rounded = sw__round_to_class(size);
        size_t lost = rounded - size;
        assert_true(rounded >= size);
        assert_true(size <= 1024 ? lost * 5 <= rounded : lost * 9 <= rounded);
        assert_int_equal(sw__round_to_class(rounded), rounded);
    }
}

/* ---- The slab that lingers ------------------------------------------------------------------- */

struct crowd {
    sw_heap *heap;
    size_t size, count;
    void *blocks[4000];
};

static void gather_in(sw_heap *heap, struct crowd *crowd, size_t size) {
    assert_non_null(crowd->heap = heap);
    crowd->size = size;
    crowd->count = 2000;
    for (size_t i = 0; i < crowd->count; i++)
        assert_non_null(crowd->blocks[i] = sw_alloc(crowd->heap, size, SW_TAG_OTHER));
}

static void gather(struct crowd *crowd, size_t size) {
    gather_in(sw_heap_create("sizeclass", "tracking:0"), crowd, size);
}

/* Frees blocks of a slab until so many are left. */
static void leave(struct crowd *crowd, struct sw__slab *slab, size_t left) {
    size_t live = 0;
    for (size_t i = 0; i < crowd->count; i++)
        live += crowd->blocks[i] && sw__slab_of(crowd->blocks[i]) == slab;
    for (size_t i = 0; i < crowd->count && live > left; i++)
        if (crowd->blocks[i] && sw__slab_of(crowd->blocks[i]) == slab) {
            sw_free(crowd->heap, crowd->blocks[i]);
            crowd->blocks[i] = NULL;
            live--;
        }
}

/* Takes blocks until the slab has given all, and is not current any more. */
static void fill_up(struct crowd *crowd, struct sw__slab *slab) {
    while (sw__slab_is_current(slab) || !sw__slab_is_full(slab)) {
        void *block = sw_alloc(crowd->heap, crowd->size, SW_TAG_OTHER);
        CHECK(block && crowd->count < sizeof crowd->blocks / sizeof *crowd->blocks);
        crowd->blocks[crowd->count++] = block;
    }
}

static void disperse(struct crowd *crowd) {
    for (size_t i = 0; i < crowd->count; i++)
        sw_free(crowd->heap, crowd->blocks[i]);
    sw_trim(crowd->heap);
    const struct sw__blocks *inside = crowd->heap->state;
    assert_int_equal(sw__extents_live(&inside->extents), 0);
    sw_heap_destroy(crowd->heap);
}

/* One slab and another of whole size; neither is the last. Half a KiB is not stocked. */
static struct sw__slab *early_slab(const struct crowd *crowd) {
    return sw__slab_of(crowd->blocks[crowd->count / 2]);
}

static struct sw__slab *later_slab(const struct crowd *crowd) {
    struct sw__slab *slab = sw__slab_of(crowd->blocks[crowd->count * 3 / 4]);
    assert_ptr_not_equal(slab, early_slab(crowd));
    return slab;
}

static struct crowd crowd;

/* Each free of a full slab's block makes it current where the one that is has given all: that is closed,
 * as full ones are. */
static void what_becomes_current_takes_the_place_of_another(void **state) {
    (void)state;
    gather(&crowd, KIB / 2);
    struct sw__slab *early = early_slab(&crowd);
    struct sw__slab *last = sw__slab_of(crowd.blocks[crowd.count - 1]);
    assert_true(sw__slab_is_current(last));
    while (!sw__slab_is_full(last))
        assert_non_null(crowd.blocks[crowd.count++] =
                            sw_alloc(crowd.heap, crowd.size, SW_TAG_OTHER));
    assert_false(sw__slab_is_closed(last));
    leave(&crowd, early, sw__slab_used(early) - 1);
    assert_true(sw__slab_is_current(early));
    assert_true(sw__slab_is_closed(last));
    disperse(&crowd);
}

static void one_sparse_slab_stays_open(void **state) {
    (void)state;
    gather(&crowd, KIB / 2);
    struct sw__slab *early = early_slab(&crowd), *later = later_slab(&crowd);
    leave(&crowd, early, 20);
    assert_false(sw__slab_is_closed(early));
    leave(&crowd, early, 2);
    assert_false(sw__slab_is_closed(early));
    leave(&crowd, later, 2);
    assert_true(sw__slab_is_closed(early));
    assert_false(sw__slab_is_closed(later));
    disperse(&crowd);
}

static void what_lingered_and_is_empty_goes_back(void **state) {
    (void)state;
    gather(&crowd, KIB / 2);
    const struct sw__blocks *inside = crowd.heap->state;
    leave(&crowd, early_slab(&crowd), 0); /* the bin keeps it */
    size_t before = sw__extents_live(&inside->extents);
    leave(&crowd, later_slab(&crowd), 0);
    assert_int_equal(sw__extents_live(&inside->extents), before - 64 * KIB);
    disperse(&crowd);
}

/* Its blocks are wanted: then it is not to be closed for another's sake. */
static void what_lingered_may_become_current(void **state) {
    (void)state;
    gather(&crowd, KIB / 2);
    struct sw__slab *early = early_slab(&crowd), *later = later_slab(&crowd);
    leave(&crowd, early, 2);
    void *more[2000];
    size_t count = 0;
    do
        assert_non_null(more[count] = sw_alloc(crowd.heap, crowd.size, SW_TAG_OTHER));
    while (sw__slab_of(more[count++]) != early);
    leave(&crowd, later, 2);
    assert_true(sw__slab_is_current(early));
    assert_false(sw__slab_is_closed(early));
    while (count > 0)
        sw_free(crowd.heap, more[--count]);
    disperse(&crowd);
}

/* Again and again it is the one that becomes sparse. */
static void one_lingers_as_often_as_it_may(void **state) {
    (void)state;
    gather(&crowd, KIB / 2);
    struct sw__slab *slab = early_slab(&crowd);
    for (int round = 0; round < 3; round++) {
        leave(&crowd, slab, 2);
        assert_false(sw__slab_is_closed(slab));
        fill_up(&crowd, slab);
    }
    disperse(&crowd);
}

/* One of eight, the first of which is said. */
static void free_some(struct crowd *crowd, size_t first) {
    for (size_t i = first; i < crowd->count; i += 8) {
        sw_free(crowd->heap, crowd->blocks[i]);
        crowd->blocks[i] = NULL;
    }
}

static void *help_to_empty(void *crowd) {
    free_some(crowd, 0);
    return NULL;
}

/* Where others have freed some, too, no slab is ever empty by its owner's doing. */
static void what_others_helped_to_empty_goes_back(void **state) {
    (void)state;
    static struct crowd stays;
    pthread_t other;
    gather(&crowd, KIB / 2);
    gather_in(crowd.heap, &stays, 3 * KIB / 4); /* so that the thread has not freed most */
    const struct sw__blocks *inside = crowd.heap->state;
    size_t before = sw__extents_live(&inside->extents);
    free_some(&crowd, 1); /* none is full, and closed, now */
    assert_int_equal(pthread_create(&other, NULL, help_to_empty, &crowd), 0);
    pthread_join(other, NULL);
    for (size_t first = 2; first < 8; first++)
        free_some(&crowd, first);
    assert_true(sw__extents_live(&inside->extents) <= before - 768 * KIB);
    for (size_t i = 0; i < stays.count; i++)
        sw_free(crowd.heap, stays.blocks[i]);
    disperse(&crowd);
}

struct waiters {
    sw_heap *heap;
    pthread_barrier_t turn;
    pthread_t threads[256];
    unsigned count;
};

static void *wait_with_a_cache(void *argument) {
    struct waiters *waiters = argument;
    sw_free(waiters->heap, sw_alloc(waiters->heap, 100, SW_TAG_OTHER));
    pthread_barrier_wait(&waiters->turn);
    pthread_barrier_wait(&waiters->turn);
    return NULL;
}

static void start_waiters(struct waiters *waiters, sw_heap *heap, unsigned count) {
    waiters->heap = heap;
    waiters->count = count;
    pthread_barrier_init(&waiters->turn, NULL, count + 1);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_create(&waiters->threads[i], NULL, wait_with_a_cache, waiters), 0);
    pthread_barrier_wait(&waiters->turn);
}

static void end_waiters(struct waiters *waiters) {
    pthread_barrier_wait(&waiters->turn);
    for (unsigned i = 0; i < waiters->count; i++)
        pthread_join(waiters->threads[i], NULL);
    pthread_barrier_destroy(&waiters->turn);
}

/* Does it stay open, in a heap of so many threads more? */
static bool lingers_beside(unsigned threads, size_t size) {
    struct waiters waiters;
    gather(&crowd, size);
    start_waiters(&waiters, crowd.heap, threads);
    struct sw__slab *slab = early_slab(&crowd);
    leave(&crowd, slab, 2);
    bool lingers = !sw__slab_is_closed(slab);
    end_waiters(&waiters);
    disperse(&crowd);
    return lingers;
}

/* 64 KiB of each of five are too much, where that is not little beside what its cache has. */
static void of_many_threads_little_lingers(void **state) {
    (void)state;
    assert_true(lingers_beside(3, KIB / 4));
    assert_false(lingers_beside(4, KIB / 4));
    assert_true(lingers_beside(4, 3 * KIB / 4));
}

static void no_large_slab_lingers(void **state) {
    (void)state;
    gather(&crowd, 12 * KIB);
    struct sw__slab *slab = early_slab(&crowd);
    assert_int_equal(sw__extent_size(slab->extent), 256 * KIB);
    leave(&crowd, slab, 2);
    assert_true(sw__slab_is_closed(slab));
    disperse(&crowd);
}

static void a_trim_sweeps_what_lingers(void **state) {
    (void)state;
    gather(&crowd, KIB / 2);
    struct sw__slab *slab = early_slab(&crowd);
    leave(&crowd, slab, 2);
    sw_trim(crowd.heap);
    assert_true(sw__slab_present(slab) <= 2 * SW__PAGE);
    disperse(&crowd);
}

static void *gather_and_leave(void *slab) {
    gather(&crowd, KIB / 2);
    *(struct sw__slab **)slab = early_slab(&crowd);
    leave(&crowd, early_slab(&crowd), 2);
    return NULL;
}

static void nothing_lingers_when_its_thread_has_ended(void **state) {
    (void)state;
    pthread_t thread;
    struct sw__slab *slab;
    assert_int_equal(pthread_create(&thread, NULL, gather_and_leave, &slab), 0);
    pthread_join(thread, NULL);
    assert_true(sw__slab_is_closed(slab));
    disperse(&crowd);
}

/* ---- A thread that frees most of what it has, and sleeps ------------------------------------- */

static void *trim(void *heap) {
    sw_trim(heap);
    return NULL;
}

static void trim_from_elsewhere(sw_heap *heap) {
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, trim, heap), 0);
    pthread_join(other, NULL);
}

/* Two thousand blocks of all small sizes; all but one of so many go, in their order, and then whatever
 * others may take away. What is live in the heap then. */
static size_t live_after_most_is_freed(size_t keep) {
    enum { MANY = 2000 };
    static char *blocks[MANY];
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    const struct sw__blocks *inside = heap->state;
    for (size_t i = 0; i < MANY; i++) {
        assert_non_null(blocks[i] = sw_alloc(heap, 16 + i * 37 % 2032, SW_TAG_OTHER));
        blocks[i][0] = (char)i;
    }
    assert_true(sw__extents_live(&inside->extents) > 2 * MIB);
    for (size_t i = 0; i < MANY; i++)
        if (i % keep)
            sw_free(heap, blocks[i]);
    trim_from_elsewhere(heap);
    size_t live = sw__extents_live(&inside->extents);
    for (size_t i = 0; i < MANY; i += keep) {
        CHECK(blocks[i][0] == (char)i);
        sw_free(heap, blocks[i]);
    }
    sw_trim(heap);
    assert_int_equal(sw__extents_live(&inside->extents), 0);
    sw_heap_destroy(heap);
    return live;
}

/* A little of each size, and not enough to shrink. After each rest the slabs are new. */
static void nothing_stays_of_what_was_used_a_little(void **state) {
    (void)state;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    const struct sw__blocks *inside = heap->state;
    for (int rests = 0; rests < 3; rests++) {
        void *blocks[64];
        for (size_t i = 0; i < 64; i++)
            assert_non_null(blocks[i] = sw_alloc(heap, 16 + i * 16, SW_TAG_OTHER));
        for (size_t i = 0; i < 64; i++)
            sw_free(heap, blocks[i]);
        trim_from_elsewhere(heap);
        assert_int_equal(sw__extents_live(&inside->extents), 0);
    }
    sw_heap_destroy(heap);
}

/* The slab of a block that was taken and freed. */
static struct sw__slab *slab_of_pair(sw_heap *heap, unsigned class) {
    void *block = sw_alloc(heap, sw__class_sizes[class], SW_TAG_OTHER);
    struct sw__slab *slab = sw__slab_of(block);
    CHECK(slab);
    sw_free(heap, block);
    return slab;
}

static bool is_current_after_pair(sw_heap *heap, unsigned class) {
    struct sw__slab *slab = slab_of_pair(heap, class);
    return sw__slab_owner(slab) && sw__slab_is_current(slab);
}

/* Pairs of any size go the short way, but for the first after a look from outside. Of all sizes at once
 * there is no room to keep an empty slab. */
static void an_emptiness_is_heeded_once_between_two_looks(void **state) {
    (void)state;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    struct sw__blocks *inside = heap->state;
    for (int looks = 0; looks < 3; looks++) {
        for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
            assert_false(is_current_after_pair(heap, class));
        sw__slabs_look(&inside->slabs);
    }
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
        assert_false(is_current_after_pair(heap, class));
    for (unsigned class = SW__CLASS_COUNT; class -- > 0;)
        assert_true(is_current_after_pair(heap, class) && is_current_after_pair(heap, class));
    sw_heap_destroy(heap);
}

/* Each of its looks finds that a slab was taken again. */
static void where_pairs_follow_each_other_few_looks_count(void **state) {
    (void)state;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    struct sw__blocks *inside = heap->state;
    for (int times = 0; times < 3; times++) {
        assert_false(is_current_after_pair(heap, 3));
        for (int looks = 1; looks < SW__LOOKS_AT_BUSY; looks++) {
            assert_true(is_current_after_pair(heap, 3));
            sw__slabs_look(&inside->slabs);
        }
        assert_true(is_current_after_pair(heap, 3));
        sw__slabs_look(&inside->slabs);
    }
    sw_heap_destroy(heap);
}

static void *freed_first;

static void free_it_again(sw_heap *heap) {
    sw_free(heap, freed_first);
}

/* A look finds it empty: that does not count, and what is freed twice then is seen. */
static void a_look_at_an_empty_slab_hides_no_double_free(void **state) {
    (void)state;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    struct sw__blocks *inside = heap->state;
    for (int round = 0; round < 2; round++) { /* the second time it stays current */
        assert_non_null(freed_first = sw_alloc(heap, 64, SW_TAG_OTHER));
        void *freed_last = sw_alloc(heap, 64, SW_TAG_OTHER);
        assert_non_null(freed_last);
        sw_free(heap, freed_first);
        sw_free(heap, freed_last);
    }
    for (int looks = 0; looks < SW__LOOKS_AT_BUSY; looks++)
        sw__slabs_look(&inside->slabs);
    assert_is_misuse(free_it_again, heap);
    sw_heap_destroy(heap);
}

/* A little more than one slab, again and again: from the second time on the second stays, too. */
static void what_empties_beside_another_stays_current(void **state) {
    (void)state;
    enum { MORE_THAN_A_SLAB = 33 };
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    void *blocks[MORE_THAN_A_SLAB];
    struct sw__slab *last = NULL;
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < MORE_THAN_A_SLAB; i++)
            assert_non_null(blocks[i] = sw_alloc(heap, KIB / 2, SW_TAG_OTHER));
        last = sw__slab_of(blocks[MORE_THAN_A_SLAB - 1]);
        CHECK(last);
        for (size_t i = 0; i < MORE_THAN_A_SLAB; i++)
            sw_free(heap, blocks[i]);
        bool stays = sw__slab_owner(last) && sw__slab_is_current(last);
        assert_true(stays || round == 0);
    }
    sw_heap_destroy(heap);
}

/* What is kept of the slabs that emptied while they were current, of every class one, in a heap of so many
 * threads more. */
static size_t kept_beside(unsigned threads) {
    struct waiters waiters;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    struct sw__blocks *inside = heap->state;
    start_waiters(&waiters, heap, threads);
    for (unsigned class = 0; class < SW__CLASS_COUNT; class ++)
        sw_free(heap, sw_alloc(heap, sw__class_sizes[class], SW_TAG_OTHER));
    size_t kept = sw__slabs_my_cache(&inside->slabs)->bytes_retired;
    end_waiters(&waiters);
    sw_heap_destroy(heap);
    return kept;
}

static void of_many_threads_each_keeps_little(void **state) {
    (void)state;
    assert_in_range(kept_beside(0), MIB - 64 * KIB, MIB);
    assert_in_range(kept_beside(31), 192 * KIB, 256 * KIB);
    assert_int_equal(kept_beside(255), 64 * KIB);
}

/* Its slab, which is empty, stays current where it is the second that this thread has of the class
 * between two looks. */
static struct sw__slab *leave_current(sw_heap *heap, unsigned class) {
    slab_of_pair(heap, class);
    struct sw__slab *slab = slab_of_pair(heap, class);
    CHECK(sw__slab_is_current(slab));
    return slab;
}

/* Of all current slabs others take away what is empty; but not of the class that was taken from last, for
 * the thread may be at it. */
static void what_is_current_and_empty_is_taken_away(void **state) {
    (void)state;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    const struct sw__blocks *inside = heap->state;
    for (int rests = 0; rests < 3; rests++) {
        for (unsigned class = 1; class < SW__CLASS_COUNT; class ++)
            leave_current(heap, class);
        struct sw__slab *last = leave_current(heap, 0);
        assert_true(sw__extents_live(&inside->extents) > MIB);
        trim_from_elsewhere(heap);
        assert_true(sw__slab_is_current(last));
        assert_int_equal(sw__extents_live(&inside->extents), sw__extent_size(last->extent));
    }
    sw_trim(heap);
    assert_int_equal(sw__extents_live(&inside->extents), 0);
    sw_heap_destroy(heap);
}

/* Blocks of ever other sizes, a few at once, so that a slab is empty every moment. */
static void *empty_slabs_again_and_again(void *heap) {
    uint64_t chance = (uintptr_t)&chance; /* each thread's own */
    for (size_t round = 0; round < 200000; round++) {
        unsigned char *blocks[3];
        size_t size = sw__class_sizes[below(&chance, SW__CLASS_COUNT / 2)];
        for (size_t i = 0; i < LENGTH_OF(blocks); i++) {
            CHECK(blocks[i] = sw_alloc(heap, size, SW_TAG_OTHER));
            fill(blocks[i], size, round + i);
        }
        for (size_t i = 0; i < LENGTH_OF(blocks); i++) {
            CHECK(holds(blocks[i], size, round + i));
            sw_free(heap, blocks[i]);
        }
    }
    return NULL;
}

static atomic_bool trims_go_on;

static void *trim_again_and_again(void *heap) {
    while (trims_go_on)
        sw_trim(heap);
    return NULL;
}

static void nothing_is_taken_away_from_who_is_at_it(void **state) {
    (void)state;
    pthread_t owners[2], trimmer;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    const struct sw__blocks *inside = heap->state;
    trims_go_on = true;
    assert_int_equal(pthread_create(&trimmer, NULL, trim_again_and_again, heap), 0);
    for (size_t i = 0; i < LENGTH_OF(owners); i++)
        assert_int_equal(pthread_create(&owners[i], NULL, empty_slabs_again_and_again, heap), 0);
    for (size_t i = 0; i < LENGTH_OF(owners); i++)
        pthread_join(owners[i], NULL);
    trims_go_on = false;
    pthread_join(trimmer, NULL);
    assert_int_equal(stats_of(heap).allocated.current, 0);
    assert_int_equal(sw__extents_live(&inside->extents), 0);
    sw_heap_destroy(heap);
}

static void little_stays_of_a_thread_that_sleeps(void **state) {
    (void)state;
    assert_true(live_after_most_is_freed(2000) <= 128 * KIB);
    assert_true(live_after_most_is_freed(50) <= 40 * SW__PAGE + 256 * KIB);
}

/* ---- Frees from other threads ---------------------------------------------------------------- */

enum { BLOCKS = 1024, BLOCK = 16 << 10, PIN = 16, ROUNDS = 60 };

struct table {
    sw_heap *heap;
    pthread_barrier_t turn;
    void *blocks[BLOCKS];
};

/* Of a slab that its bin keeps, and one that is current, all blocks are freed. */
static void empty_two_slabs(sw_heap *heap, size_t size) {
    static void *blocks[16 << 10]; /* more than a slab has */
    size_t count = 0;
    do
        blocks[count] = sw_alloc(heap, size, SW_TAG_OTHER);
    while (sw__slab_of(blocks[count++]) == sw__slab_of(blocks[0]));
    sw_free(heap, blocks[count - 1]); /* its emptiness is heeded, and the next one is not */
    blocks[count - 1] = sw_alloc(heap, size, SW_TAG_OTHER);
    while (count > 0)
        sw_free(heap, blocks[--count]);
}

static void what_is_empty_is_collected(void **state) {
    (void)state;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    const struct sw__blocks *inside = heap->state;
    for (size_t size = 16; size <= SW__SMALL_MAX; size *= 2) {
        empty_two_slabs(heap, size);
        assert_true(sw__extents_live(&inside->extents) > 0);
        sw_trim(heap);
        assert_int_equal(sw__extents_live(&inside->extents), 0);
    }
    sw_heap_destroy(heap);
}

static void *empty_two_slabs_of_each_size(void *heap) {
    for (size_t size = 16; size <= SW__SMALL_MAX; size *= 2)
        empty_two_slabs(heap, size);
    return NULL;
}

/* Without a trim. */
static void a_thread_that_ends_leaves_nothing_empty(void **state) {
    (void)state;
    pthread_t thread;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    const struct sw__blocks *inside = heap->state;
    assert_int_equal(pthread_create(&thread, NULL, empty_two_slabs_of_each_size, heap), 0);
    pthread_join(thread, NULL);
    assert_int_equal(sw__extents_live(&inside->extents), 0);
    sw_heap_destroy(heap);
}

static void *clear_the_table(void *argument) {
    struct table *table = argument;
    for (size_t round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&table->turn);
        for (size_t i = 0; i < BLOCKS; i++)
            if (i % PIN)
                sw_free(table->heap, table->blocks[i]);
        pthread_barrier_wait(&table->turn);
    }
    return NULL;
}

/* One thread only allocates and another only frees: not one block may be lost on the way back. A
 * block that stays in each slab keeps it from being emptied, which would heal the loss. */
static void what_another_thread_frees_comes_back(void **state) {
    (void)state;
    struct table table = {.heap = sw_heap_create("sizeclass", "tracking:0")};
    pthread_t other;
    assert_non_null(table.heap);
    pthread_barrier_init(&table.turn, NULL, 2);
    assert_int_equal(pthread_create(&other, NULL, clear_the_table, &table), 0);
    size_t reserved = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            if (round > 0 && i % PIN == 0)
                continue;
            table.blocks[i] = sw_alloc(table.heap, BLOCK, SW_TAG_INPUT);
            CHECK(table.blocks[i]);
        }
        if (round == 0)
            reserved = stats_of(table.heap).reserved.peak;
        pthread_barrier_wait(&table.turn);
        pthread_barrier_wait(&table.turn);
        /* It has not come back yet, but is freed. */
        CHECK(stats_of(table.heap).allocated.current == (size_t)BLOCKS / PIN * BLOCK);
    }
    pthread_join(other, NULL);
    pthread_barrier_destroy(&table.turn);
    assert_true(stats_of(table.heap).reserved.peak <= reserved + MIB);
    for (size_t i = 0; i < BLOCKS; i += PIN)
        sw_free(table.heap, table.blocks[i]);
    sw_trim(table.heap);
    assert_int_equal(stats_of(table.heap).allocated.current, 0);
    sw_heap_destroy(table.heap);
}

static void *free_all(void *argument) {
    struct table *table = argument;
    for (size_t i = 0; i < BLOCKS; i++)
        sw_free(table->heap, table->blocks[i]);
    return NULL;
}

/* The owner sits and waits, or has ended: it will never look what came back. */
static void pages_go_back_without_their_owner(void **state) {
    (void)state;
    struct table table = {.heap = sw_heap_create("sizeclass", "tracking:0")};
    assert_non_null(table.heap);
    for (size_t i = 0; i < BLOCKS; i++) {
        table.blocks[i] = sw_alloc(table.heap, BLOCK, SW_TAG_INPUT);
        assert_non_null(table.blocks[i]);
    }
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, free_all, &table), 0);
    pthread_join(other, NULL);
    /* But for the slab that the next block would come from. */
    const struct sw__blocks *inside = table.heap->state;
    assert_true(sw__extents_live(&inside->extents) <= 256 * KIB);
    assert_int_equal(stats_of(table.heap).allocated.current, 0);
    sw_heap_destroy(table.heap);
}

static void *allocate_a_little(void *heap) {
    sw_free(heap, sw_alloc(heap, 100, SW_TAG_OTHER));
    return NULL;
}

/* As of a server with a thread for each request. */
static void a_thread_after_others_asks_the_system_for_nothing(void **state) {
    (void)state;
    enum { THREADS = 50 };
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    long before = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, allocate_a_little, heap), 0);
        pthread_join(thread, NULL);
        if (i == 0)
            before = sw__os_requests();
    }
    assert_int_equal(sw__os_requests(), before);
    sw_heap_destroy(heap);
}

enum { ROUNDS_OF_RACE = 2000, BLOCKS_OF_RACE = 128, RACER = 1000 };

struct race {
    sw_heap *heap;
    pthread_barrier_t turn;
    void *blocks[BLOCKS_OF_RACE];
};

static void free_half(struct race *race, size_t first) {
    for (size_t i = first; i < BLOCKS_OF_RACE; i += 2) {
        CHECK(holds(race->blocks[i], RACER, i));
        sw_free(race->heap, race->blocks[i]);
    }
}

static void *free_odd_ones(void *argument) {
    struct race *race = argument;
    for (size_t round = 0; round < ROUNDS_OF_RACE; round++) {
        pthread_barrier_wait(&race->turn);
        free_half(race, 1);
        pthread_barrier_wait(&race->turn);
    }
    return NULL;
}

/* Two slabs' worth: either may free the last block of the one that is not current. */
static void two_may_empty_a_slab_at_once(void **state) {
    (void)state;
    static struct race race;
    pthread_t other;
    race.heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(race.heap);
    pthread_barrier_init(&race.turn, NULL, 2);
    assert_int_equal(pthread_create(&other, NULL, free_odd_ones, &race), 0);
    for (size_t round = 0; round < ROUNDS_OF_RACE; round++) {
        for (size_t i = 0; i < BLOCKS_OF_RACE; i++) {
            race.blocks[i] = sw_alloc(race.heap, RACER, SW_TAG_OTHER);
            CHECK(race.blocks[i]);
            fill(race.blocks[i], RACER, i);
        }
        pthread_barrier_wait(&race.turn);
        free_half(&race, 0);
        pthread_barrier_wait(&race.turn);
    }
    pthread_join(other, NULL);
    pthread_barrier_destroy(&race.turn);
    assert_true(stats_of(race.heap).reserved.peak <= 2 * MIB);
    sw_trim(race.heap);
    assert_int_equal(stats_of(race.heap).allocated.current, 0);
    sw_heap_destroy(race.heap);
}

/* ---- The very end of a thread ---------------------------------------------------------------- */

static sw_heap *late_heap;
static pthread_key_t late_key;
static _Atomic(void *) left_behind;

/* Comes after the library's own, which was made before it; and again in every round. */
static void allocate_late(void *argument) {
    void *block = sw_alloc(late_heap, 100, SW_TAG_OTHER);
    CHECK(block);
    fill(block, 100, 1);
    sw_free(late_heap, atomic_exchange(&left_behind, block));
    CHECK(pthread_setspecific(late_key, argument) == 0);
}

static void *end_late(void *argument) {
    sw_free(late_heap, sw_alloc(late_heap, 100, SW_TAG_OTHER));
    CHECK(pthread_setspecific(late_key, &late_key) == 0);
    return argument;
}

static void run_late_threads(size_t count) {
    for (size_t i = 0; i < count; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, end_late, NULL), 0);
        pthread_join(thread, NULL);
    }
}

static void the_last_destructor_of_a_thread_may_allocate(void **state) {
    (void)state;
    late_heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(late_heap);
    sw_free(late_heap, sw_alloc(late_heap, 100, SW_TAG_OTHER)); /* the library's key comes first */
    assert_int_equal(pthread_key_create(&late_key, allocate_late), 0);
    run_late_threads(10);
    size_t metadata = stats_of(late_heap).metadata.current;
    size_t mapped = process_mappings().bytes;
    run_late_threads(400);
    assert_true(stats_of(late_heap).metadata.current <= metadata + 64 * KIB);
    if (!SANITIZED) /* which maps for itself */
        assert_true(process_mappings().bytes <= mapped + 256 * KIB);
    pthread_key_delete(late_key);
    assert_true(holds(left_behind, 100, 1));
    sw_free(late_heap, left_behind);
    sw_trim(late_heap); /* with what is on its way back */
    assert_int_equal(stats_of(late_heap).allocated.current, 0);
    sw_heap_destroy(late_heap);
}

/* ---- Fork ------------------------------------------------------------------------------------ */

enum { BUSY = 3, FORKS = 40, GENERATIONS_OF_FORKS = 12 };

struct busy {
    sw_heap *heap;
    atomic_bool stop;
    pthread_barrier_t filled;
    _Atomic(void *) shared[64];
};

/* One block of every class, and all of them freed: what a thread's cache keeps of that is MiB. */
static void fill_cache(sw_heap *heap) {
    static _Thread_local void *blocks[SW__CLASS_COUNT];
    for (size_t class = 0; class < SW__CLASS_COUNT; class ++)
        blocks[class] = sw_alloc(heap, sw__class_sizes[class], SW_TAG_OTHER);
    for (size_t class = 0; class < SW__CLASS_COUNT; class ++)
        sw_free(heap, blocks[class]);
}

static void *work_until_stopped(void *argument) {
    struct busy *busy = argument;
    uint64_t chance = (uintptr_t)&chance;
    fill_cache(busy->heap);
    pthread_barrier_wait(&busy->filled);
    while (!busy->stop)
        for (size_t i = 0; i < 1000; i++) {
            void *block = sw_alloc(busy->heap, 1 + below(&chance, 300), SW_TAG_OTHER);
            CHECK(block);
            sw_free(busy->heap, atomic_exchange(&busy->shared[below(&chance, 64)], block));
        }
    return NULL;
}

static void start_busy(struct busy *busy, pthread_t *threads) {
    busy->stop = false;
    pthread_barrier_init(&busy->filled, NULL, BUSY + 1);
    for (size_t i = 0; i < BUSY; i++)
        CHECK(pthread_create(&threads[i], NULL, work_until_stopped, busy) == 0);
    pthread_barrier_wait(&busy->filled);
}

static void stop_busy(struct busy *busy, const pthread_t *threads) {
    busy->stop = true;
    for (size_t i = 0; i < BUSY; i++)
        pthread_join(threads[i], NULL);
}

/* The child has threads of its own and forks from among them, and so on. The last one tells what
 * the heap holds by then, in MiB. */
static int reserved_after_forks(struct busy *busy, int generations) {
    pthread_t threads[BUSY];
    start_busy(busy, threads);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(60); /* a lock left held ends here */
        _exit(generations > 1 ? reserved_after_forks(busy, generations - 1)
                              : (int)(stats_of(busy->heap).reserved.peak / MIB));
    }
    stop_busy(busy, threads);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void children_take_over_what_other_threads_had_cached(void **state) {
    (void)state;
    if (FORKED_THREADS_CANT_BE)
        skip();
    static struct busy busy;
    busy.heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(busy.heap);
    int one = reserved_after_forks(&busy, 1);
    int many = reserved_after_forks(&busy, GENERATIONS_OF_FORKS);
    assert_true(many <= 2 * one + 2);
    for (size_t i = 0; i < LENGTH_OF(busy.shared); i++)
        sw_free(busy.heap, busy.shared[i]);
    sw_heap_destroy(busy.heap);
}

/* In the child everything still fits together, wherever the other threads stood. */
static void check_after_fork(struct busy *busy) {
    for (size_t i = 0; i < LENGTH_OF(busy->shared); i++)
        sw_free(busy->heap, busy->shared[i]);
    sw_trim(busy->heap); /* with what is on its way back */
    size_t live = stats_of(busy->heap).allocated.current;
    CHECK(live <= (size_t)BUSY * 2 * 320); /* what the threads had in hand */
    for (size_t round = 0; round < 2; round++) {
        static char *blocks[4000];
        for (size_t i = 0; i < LENGTH_OF(blocks); i++) {
            blocks[i] = sw_alloc(busy->heap, i % 300 + 1, SW_TAG_OTHER);
            CHECK(blocks[i]);
            fill(blocks[i], i % 300 + 1, i);
        }
        for (size_t i = 0; i < LENGTH_OF(blocks); i++)
            CHECK(holds(blocks[i], i % 300 + 1, i));
        for (size_t i = 0; i < LENGTH_OF(blocks); i++)
            sw_free(busy->heap, blocks[i]);
        sw_trim(busy->heap);
        CHECK(stats_of(busy->heap).allocated.current <= live);
    }
}

static void children_find_a_heap_in_order(void **state) {
    (void)state;
    static struct busy busy;
    pthread_t threads[BUSY];
    busy.heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(busy.heap);
    start_busy(&busy, threads);
    for (size_t i = 0; i < FORKS; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60);
            check_after_fork(&busy);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(status == 0);
    }
    stop_busy(&busy, threads);
    for (size_t i = 0; i < LENGTH_OF(busy.shared); i++)
        sw_free(busy.heap, busy.shared[i]);
    sw_heap_destroy(busy.heap);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_has_the_smallest_class_that_holds_it),
        cmocka_unit_test(classes_rise_and_are_aligned),
        cmocka_unit_test(rounding_loses_a_fifth_and_then_a_ninth_at_most),
        cmocka_unit_test(what_is_empty_is_collected),
        cmocka_unit_test(a_thread_that_ends_leaves_nothing_empty),
        cmocka_unit_test(what_becomes_current_takes_the_place_of_another),
        cmocka_unit_test(one_sparse_slab_stays_open),
        cmocka_unit_test(what_lingered_and_is_empty_goes_back),
        cmocka_unit_test(what_lingered_may_become_current),
        cmocka_unit_test(one_lingers_as_often_as_it_may),
        cmocka_unit_test(what_others_helped_to_empty_goes_back),
        cmocka_unit_test(of_many_threads_little_lingers),
        cmocka_unit_test(no_large_slab_lingers),
        cmocka_unit_test(a_trim_sweeps_what_lingers),
        cmocka_unit_test(nothing_lingers_when_its_thread_has_ended),
        cmocka_unit_test(nothing_stays_of_what_was_used_a_little),
        cmocka_unit_test(an_emptiness_is_heeded_once_between_two_looks),
        cmocka_unit_test(where_pairs_follow_each_other_few_looks_count),
        cmocka_unit_test(a_look_at_an_empty_slab_hides_no_double_free),
        cmocka_unit_test(what_empties_beside_another_stays_current),
        cmocka_unit_test(of_many_threads_each_keeps_little),
        cmocka_unit_test(what_is_current_and_empty_is_taken_away),
        cmocka_unit_test(nothing_is_taken_away_from_who_is_at_it),
        cmocka_unit_test(little_stays_of_a_thread_that_sleeps),
        cmocka_unit_test(what_another_thread_frees_comes_back),
        cmocka_unit_test(pages_go_back_without_their_owner),
        cmocka_unit_test(a_thread_after_others_asks_the_system_for_nothing),
        cmocka_unit_test(two_may_empty_a_slab_at_once),
        cmocka_unit_test(the_last_destructor_of_a_thread_may_allocate),
        cmocka_unit_test(children_take_over_what_other_threads_had_cached),
        cmocka_unit_test(children_find_a_heap_in_order),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("slabs", tests, NULL, NULL);
}
