/*
 * test_slab_pages.c - what lives is never swept, what nothing lives on is, and its blocks come
 * again: when asked to, when the thread needs more slabs, and from another thread meanwhile.
 */
#include "support.h"

#include <pthread.h>
#include <unistd.h>

#include "blocks.h"
#include "heap.h"

enum { MOST = 1 << 18 };

struct crowd {
    sw_heap *heap;
    size_t size, count;
    char *blocks[MOST];
};

/* One at a time: cmocka runs them so. */
static struct crowd crowd, others;

static const struct sw__blocks *inside(sw_heap *heap) {
    return heap->state;
}

static size_t live_of(sw_heap *heap) {
    return sw__extents_live(&inside(heap)->extents);
}

/* Blocks for whatever is not there. Returns how many were refused. */
static size_t take_what_comes(struct crowd *crowd) {
    size_t refused = 0;
    for (size_t i = 0; i < crowd->count; i++) {
        if (crowd->blocks[i])
            continue;
        crowd->blocks[i] = sw_alloc(crowd->heap, crowd->size, SW_TAG_OTHER);
        if (crowd->blocks[i])
            fill(crowd->blocks[i], crowd->size, i);
        else
            refused++;
    }
    return refused;
}

static void take(struct crowd *crowd) {
    CHECK(take_what_comes(crowd) == 0);
}

static void gather(struct crowd *crowd, sw_heap *heap, size_t size, size_t bytes) {
    memset(crowd, 0, sizeof *crowd);
    crowd->heap = heap;
    crowd->size = size;
    crowd->count = bytes / size;
    CHECK(crowd->count <= MOST);
    take(crowd);
}

static void check(const struct crowd *crowd) {
    for (size_t i = 0; i < crowd->count; i++)
        CHECK(!crowd->blocks[i] || holds(crowd->blocks[i], crowd->size, i));
}

/* All but every so-manieth. */
static void thin_out(struct crowd *crowd, size_t keep) {
    for (size_t i = 0; i < crowd->count; i++)
        if (i % keep != 0 && crowd->blocks[i]) {
            sw_free(crowd->heap, crowd->blocks[i]);
            crowd->blocks[i] = NULL;
        }
}

static void disperse(struct crowd *crowd) {
    for (size_t i = 0; i < crowd->count; i++)
        sw_free(crowd->heap, crowd->blocks[i]);
}

static void end_with_nothing_live(struct crowd *crowd) {
    disperse(crowd);
    sw_trim(crowd->heap);
    assert_int_equal(live_of(crowd->heap), 0);
}

static size_t survivors(const struct crowd *crowd) {
    size_t count = 0;
    for (size_t i = 0; i < crowd->count; i++)
        count += crowd->blocks[i] != NULL;
    return count;
}

/* The last slab, on pages that were touched before, is half cut when they go. */
static void what_was_never_cut_comes_by_the_page(void **state) {
    (void)state;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    char *before = sw_alloc(heap, MIB / 4, SW_TAG_OTHER);
    memset(before, 1, MIB / 4);
    sw_free(heap, before);
    gather(&crowd, heap, KIB / 2, 257 * KIB / 2);
    sw_trim(heap);
    char *more[120];
    for (size_t i = 0; i < 120; i++) {
        size_t live = live_of(heap);
        CHECK(more[i] = sw_alloc(heap, KIB / 2, SW_TAG_OTHER));
        CHECK(live_of(heap) <= live + SW__PAGE);
    }
    for (size_t i = 0; i < 120; i++)
        sw_free(heap, more[i]);
    end_with_nothing_live(&crowd);
    sw_heap_destroy(heap);
}

/* Of every class, again and again, with more and more gone. */
static void what_lives_outlasts_every_sweep(void **state) {
    (void)state;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    for (size_t class = 0; class < SW__CLASS_COUNT; class += SANITIZED ? 7 : 1) {
        gather(&crowd, heap, sw__class_sizes[class], MIB / 2);
        for (size_t keep = 2; keep < 5000; keep = 3 * keep + 1) {
            thin_out(&crowd, keep);
            sw_trim(heap);
            check(&crowd);
            assert_int_equal(stats_of(heap).allocated.current, survivors(&crowd) * crowd.size);
            if (keep % 2) /* what is absent comes, wherever that is, and lies over nothing */
                take(&crowd);
            check(&crowd);
        }
        end_with_nothing_live(&crowd);
    }
    sw_heap_destroy(heap);
}

/* But for the pages that survivors lie on. */
static void pages_with_nothing_live_are_given_back(void **state) {
    (void)state;
    static const size_t sizes[] = {64, 200, 1024, 3000, 4096, 5000, 9000, 20000, 32768};
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        gather(&crowd, heap, sizes[i], 16 * MIB);
        size_t before = stats_of(heap).resident.current;
        size_t keep = sizes[i] < PAGE ? 4 * PAGE / sizes[i] : 50;
        thin_out(&crowd, keep / 4); /* of small ones, so that one stays on each page */
        sw_trim(heap);
        thin_out(&crowd, keep);
        size_t pages = survivors(&crowd) * ((sizes[i] + PAGE - 1) / PAGE + 1);
        sw_trim(heap);
        size_t resident = stats_of(heap).resident.current;
        assert_true(before >= 16 * MIB);
        assert_true(resident <= pages * PAGE + 512 * KIB);
        assert_true(live_of(heap) <= pages * PAGE + 512 * KIB);
        assert_int_equal(sw_trim(heap), 0);
        disperse(&crowd);
    }
    sw_heap_destroy(heap);
}

/* What comes again counts as what lives, and what is over the limit does not come. */
static void what_is_absent_comes_within_the_limit(void **state) {
    (void)state;
    enum { SIZE = 8 << 10 };
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0,limit:20M");
    assert_non_null(heap);
    gather(&crowd, heap, SIZE, 16 * MIB);
    thin_out(&crowd, 16);
    sw_trim(heap);
    void *large = sw_alloc(heap, 16 * MIB, SW_TAG_OTHER);
    assert_non_null(large);
    fill(large, 16 * MIB, 1);
    assert_true(take_what_comes(&crowd) > 0);
    assert_true(live_of(heap) <= 20 * MIB);
    assert_int_equal(sw__extents_kept(&inside(heap)->extents), 0);
    assert_true(holds(large, 16 * MIB, 1));
    check(&crowd);
    sw_free(heap, large);
    take(&crowd);
    check(&crowd);
    end_with_nothing_live(&crowd);
    sw_heap_destroy(heap);
}

/* The kernel takes no page back that is locked, nor where it says so for any other reason. */
static void what_the_kernel_refuses_is_still_there(void **state) {
    (void)state;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    for (long nth = 1; nth < 40; nth += 3) {
        gather(&crowd, heap, 10000, MIB);
        thin_out(&crowd, 9);
        sw__os_fail_nth(nth);
        sw_trim(heap);
        sw__os_fail_nth(0);
        check(&crowd);
        take(&crowd);
        check(&crowd);
        end_with_nothing_live(&crowd);
    }
    sw_heap_destroy(heap);
}

/* Which has what its parent had swept, and sweeps for itself. */
static void a_child_finds_what_was_swept(void **state) {
    (void)state;
    sw_heap *heap = sw_heap_create("sizeclass", "tracking:0");
    assert_non_null(heap);
    gather(&crowd, heap, 6000, 4 * MIB);
    thin_out(&crowd, 9);
    sw_trim(heap);
    pid_t child = fork();
    if (child == 0) {
        take(&crowd);
        check(&crowd);
        thin_out(&crowd, 20);
        sw_trim(heap);
        check(&crowd);
        _exit(live_of(heap) > 2 * MIB);
    }
    assert_int_equal(exit_code_of(child), 0);
    check(&crowd);
    disperse(&crowd);
    sw_heap_destroy(heap);
}

/* ---- Of another thread's --------------------------------------------------------------------- */

struct work {
    sw_heap *heap;
    pthread_barrier_t turn;
    atomic_bool over;
    _Atomic(uint64_t) seed; /* of the next thread */
};

/* Fills slab upon slab, and waits. */
static void *gather_and_wait(void *argument) {
    struct work *work = argument;
    gather(&crowd, work->heap, 8 << 10, 16 * MIB);
    pthread_barrier_wait(&work->turn);
    pthread_barrier_wait(&work->turn);
    return NULL;
}

/* Its slabs were full, and nearly all that was in them others free. */
static void what_was_full_is_swept_without_the_owner(void **state) {
    (void)state;
    struct work work = {.heap = sw_heap_create("sizeclass", "tracking:0")};
    pthread_t thread;
    assert_non_null(work.heap);
    pthread_barrier_init(&work.turn, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, gather_and_wait, &work), 0);
    pthread_barrier_wait(&work.turn);
    thin_out(&crowd, 7);
    sw_trim(work.heap);
    check(&crowd);
    assert_true(live_of(work.heap) <= survivors(&crowd) * crowd.size + MIB);
    pthread_barrier_wait(&work.turn);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&work.turn);
    end_with_nothing_live(&crowd);
    sw_heap_destroy(work.heap);
}

/* Leaves little of much, and waits. */
static void *thin_out_and_wait(void *argument) {
    struct work *work = argument;
    gather(&crowd, work->heap, 8 << 10, 16 * MIB);
    thin_out(&crowd, 7); /* so that each slab has one */
    pthread_barrier_wait(&work->turn);
    pthread_barrier_wait(&work->turn);
    check(&crowd);
    take(&crowd);
    check(&crowd);
    disperse(&crowd);
    return NULL;
}

static void a_thread_that_waits_keeps_nothing_back(void **state) {
    (void)state;
    struct work work = {.heap = sw_heap_create("sizeclass", "tracking:0")};
    pthread_t thread;
    assert_non_null(work.heap);
    pthread_barrier_init(&work.turn, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, thin_out_and_wait, &work), 0);
    pthread_barrier_wait(&work.turn);
    assert_true(sw__slabs_unswept((struct sw__slabs *)&inside(work.heap)->slabs) >= 12 * MIB);
    sw_trim(work.heap);
    assert_true(live_of(work.heap) <= 3 * MIB);
    assert_int_equal(sw__slabs_unswept((struct sw__slabs *)&inside(work.heap)->slabs), 0);
    pthread_barrier_wait(&work.turn);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&work.turn);
    sw_heap_destroy(work.heap);
}

/* What others free is swept as well, though the owner never looks. */
static void what_others_free_is_swept_without_the_owner(void **state) {
    (void)state;
    struct work work = {.heap = sw_heap_create("sizeclass", "tracking:0")};
    pthread_t thread;
    assert_non_null(work.heap);
    pthread_barrier_init(&work.turn, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, thin_out_and_wait, &work), 0);
    pthread_barrier_wait(&work.turn);
    sw_trim(work.heap);
    gather(&others, work.heap, 8 << 10, 16 * MIB);
    pthread_barrier_wait(&work.turn);
    pthread_join(thread, NULL);

    assert_int_equal(pthread_create(&thread, NULL, thin_out_and_wait, &work), 0);
    pthread_barrier_wait(&work.turn);
    thin_out(&others, 16);
    for (size_t i = 0; i < crowd.count; i += 14) { /* of those that are the other thread's */
        sw_free(work.heap, crowd.blocks[i]);
        crowd.blocks[i] = NULL;
    }
    sw_trim(work.heap);
    check(&crowd);
    check(&others);
    size_t live = survivors(&crowd) * 8 * KIB + survivors(&others) * 8 * KIB;
    assert_int_equal(stats_of(work.heap).allocated.current, live);
    assert_true(live_of(work.heap) <= live + MIB);
    pthread_barrier_wait(&work.turn);
    pthread_join(thread, NULL);
    disperse(&others);
    pthread_barrier_destroy(&work.turn);
    sw_trim(work.heap);
    assert_int_equal(live_of(work.heap), 0);
    sw_heap_destroy(work.heap);
}

/* One block of each slab, so that the owner frees into it without a lock; of some it is in stock. */
static void *leave_open_and_wait(void *argument) {
    struct work *work = argument;
    gather(&crowd, work->heap, 8 << 10, 8 * MIB);
    for (size_t i = 0; i < crowd.count; i += 8) {
        sw_free(work->heap, crowd.blocks[i]);
        crowd.blocks[i] = NULL;
    }
    pthread_barrier_wait(&work->turn);
    pthread_barrier_wait(&work->turn);
    take(&crowd);
    check(&crowd);
    disperse(&crowd);
    return NULL;
}

/* The blocks that the open slabs of the crowd count as handed out, once for each that is live. */
static size_t used_in_open(const struct crowd *crowd, size_t *open) {
    size_t used = 0;
    *open = 0;
    for (size_t i = 0; i < crowd->count; i++) {
        struct sw__slab *slab = crowd->blocks[i] ? sw__slab_of(crowd->blocks[i]) : NULL;
        if (slab && sw__slab_is_open_to(slab, sw__slab_owner(slab))) {
            used += slab->used;
            ++*open;
        }
    }
    return used;
}

/* What others free into an open slab waits for the owner, who may be at the slab's list. */
static void an_open_slab_is_its_owners(void **state) {
    (void)state;
    struct work work = {.heap = sw_heap_create("sizeclass", "tracking:0")};
    pthread_t thread;
    size_t open, open_after;
    assert_non_null(work.heap);
    pthread_barrier_init(&work.turn, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, leave_open_and_wait, &work), 0);
    pthread_barrier_wait(&work.turn);
    for (size_t i = 1; i < crowd.count; i += 8) {
        sw_free(work.heap, crowd.blocks[i]);
        crowd.blocks[i] = NULL;
    }
    size_t used = used_in_open(&crowd, &open);
    sw_trim(work.heap);
    assert_true(open > crowd.count / 2);
    assert_int_equal(used_in_open(&crowd, &open_after), used);
    assert_int_equal(open_after, open);
    pthread_barrier_wait(&work.turn);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&work.turn);
    sw_heap_destroy(work.heap);
}

static _Atomic(void *) handed_over[64];

/* Blocks of all sizes come and go; some of them go by other threads' hands. */
static void *churn(void *argument) {
    enum { KEPT = 400 };
    struct work *work = argument;
    struct {
        char *block;
        size_t size;
    } kept[KEPT] = {0};
    uint64_t random = atomic_fetch_add(&work->seed, 1);
    for (size_t i = 0; i < scaled(200000); i++) {
        size_t at = below(&random, KEPT);
        if (kept[at].block) {
            CHECK(holds(kept[at].block, kept[at].size, at));
            sw_free(work->heap, below(&random, 4)
                                    ? kept[at].block
                                    : atomic_exchange(&handed_over[at % 64], kept[at].block));
        }
        bool stays_empty = i / 20000 % 2 && below(&random, 8);
        kept[at].size = (size_t)1 << below(&random, 16);
        kept[at].size = kept[at].size / 2 + below(&random, kept[at].size / 2 + 1);
        kept[at].block = stays_empty ? NULL : sw_alloc(work->heap, kept[at].size, SW_TAG_OTHER);
        if (kept[at].block)
            fill(kept[at].block, kept[at].size, at);
    }
    for (size_t at = 0; at < KEPT; at++)
        sw_free(work->heap, kept[at].block);
    return NULL;
}

static void *trim_until_over(void *argument) {
    struct work *work = argument;
    while (!work->over)
        sw_trim(work->heap);
    return NULL;
}

static void sweeps_and_work_go_on_at_once(void **state) {
    (void)state;
    enum { THREADS = 3 };
    for (size_t kind = 0; kind < 2; kind++) {
        struct work work = {.heap = sw_heap_create(kind ? "auto" : "sizeclass", "tracking:0")};
        pthread_t threads[THREADS], trimmer;
        assert_non_null(work.heap);
        work.seed = run_seed();
        assert_int_equal(pthread_create(&trimmer, NULL, trim_until_over, &work), 0);
        for (size_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, churn, &work), 0);
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        work.over = true;
        pthread_join(trimmer, NULL);
        for (size_t i = 0; i < LENGTH_OF(handed_over); i++)
            sw_free(work.heap, atomic_exchange(&handed_over[i], NULL));
        sw_trim(work.heap);
        assert_int_equal(live_of(work.heap), 0);
        sw_heap_destroy(work.heap);
    }
}

/* ---- When a thread needs more slabs ---------------------------------------------------------- */

static sw_heap *make_auto(void) {
    sw_heap *heap = sw_heap_create("auto", "tracking:0,background_thread:0");
    assert_non_null(heap);
    return heap;
}

/* Phase upon phase of another size, and a little stays of each. */
static void what_a_phase_leaves_free_serves_the_next(void **state) {
    (void)state;
    enum { PHASES = 12, KEEP = 50 };
    const size_t volume = 8 * MIB;
    static struct crowd phases[PHASES];
    sw_heap *heap = make_auto();
    for (size_t phase = 0; phase < PHASES; phase++) {
        gather(&phases[phase], heap, 5000 + 2000 * phase, volume);
        assert_true(stats_of(heap).resident.current <= 3 * volume);
        thin_out(&phases[phase], KEEP);
    }
    for (size_t phase = 0; phase < PHASES; phase++) {
        check(&phases[phase]);
        disperse(&phases[phase]);
    }
    sw_heap_destroy(heap);
}

/* Where two sizes take turns it stays, as soon as that is seen: nothing is asked of the system. */
static void what_is_missed_again_and_again_stays(void **state) {
    (void)state;
    enum { ROUNDS = 30, LAST = 10 };
    sw_heap *heap = make_auto();
    void *base = sw_alloc(heap, 64 * MIB, SW_TAG_OTHER);
    assert_non_null(base);
    touch(base, 64 * MIB);
    gather(&crowd, heap, 6000, 4 * MIB);
    gather(&others, heap, 10000, 4 * MIB);
    long before = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        if (round == ROUNDS - LAST)
            before = sw__os_requests();
        thin_out(&crowd, 50);
        take(&others);
        thin_out(&others, 50);
        take(&crowd);
    }
    assert_int_equal(sw__os_requests(), before);
    check(&crowd);
    disperse(&crowd);
    check(&others);
    disperse(&others);
    sw_free(heap, base);
    sw_heap_destroy(heap);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_never_cut_comes_by_the_page),
        cmocka_unit_test(what_lives_outlasts_every_sweep),
        cmocka_unit_test(pages_with_nothing_live_are_given_back),
        cmocka_unit_test(what_is_absent_comes_within_the_limit),
        cmocka_unit_test(what_the_kernel_refuses_is_still_there),
        cmocka_unit_test(a_child_finds_what_was_swept),
        cmocka_unit_test(what_was_full_is_swept_without_the_owner),
        cmocka_unit_test(a_thread_that_waits_keeps_nothing_back),
        cmocka_unit_test(what_others_free_is_swept_without_the_owner),
        cmocka_unit_test(an_open_slab_is_its_owners),
        cmocka_unit_test(sweeps_and_work_go_on_at_once),
        cmocka_unit_test(what_a_phase_leaves_free_serves_the_next),
        cmocka_unit_test(what_is_missed_again_and_again_stays),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("slab_pages", tests, NULL, NULL);
}
