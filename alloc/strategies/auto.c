/*
 * auto - the one to take when in doubt: small blocks from slabs as sizeclass has them, tensors as
 * extents of their exact pages as pool has them, and free memory kept by what recent work needed.
 *
 * Time is counted in work, not by a clock. A period is a step where steps are marked, and otherwise
 * as many bytes of large blocks as PERIOD_TURNS times the most that has lived at once in it: long
 * enough to hold a step. The heap keeps as many physical pages as the deepest of the last
 * KEPT_PERIODS periods needed, a little for rounding, and room for the holes among blocks whose pages
 * cannot move; and gives back what is above it, the largest free extents first. So a spike is
 * forgotten after some steps, and steady work neither faults nor calls the system. Where work goes on
 * that is much smaller and no steps are marked, a period is over after a second as well: else the turnover of a spike might
 * take hours. A clock also tells that work has stopped (keeper.h): then nothing is kept, and when work
 * is back its pages are brought ahead of it. Nor is anything kept near the limit of a container
 * (pressure.h).
 */
#include "align.h"
#include "blocks.h"
#include "keeper.h"
#include "pressure.h"

#include <errno.h>
#include <string.h>

#define KEPT_PERIODS 16
#define EARLIER      (KEPT_PERIODS - 1)
#define PERIOD_TURNS 4
/* So many looks of the keeper, of a tenth of a second each, during which no more lived than such a
 * share of what recent periods needed, end a period: KEPT_PERIODS of them are longer than a step of
 * ten seconds, whose pages are to stay. */
#define LOOKS_IN_PERIOD 10
#define MUCH_LESS       2
/* A step that turns over so much is the last: the program marks no more. */
#define LONGEST_STEP_TURNS 256
/* The budget is needed + needed / LOOSE_SHARE + room + looseness * the larger of DEGREE_BYTES and
 * needed / DEGREE_SHARE. */
#define LOOSE_SHARE    170
#define DEGREE_BYTES   ((size_t)128 << 10)
#define DEGREE_SHARE   1024
#define LOOSE_AT_FIRST 3
#define LOOSEST        25
/* So many bytes of large blocks may be taken between two looks at how things stand. */
#define COUNTED_AT_ONCE ((size_t)4 << 20)
/* After a rest so many times what lives more than then is brought: most work wants all it had, and
 * who wants little is not to pay for it. */
#define AHEAD 4

struct auto_heap {
    struct sw__blocks blocks;     /* first: the slots of blocks.h work on it */
    struct sw__lock lock;         /* guards the rest */
    _Atomic(size_t) deepest;      /* the most that lived at once in this period */
    size_t earlier[EARLIER];      /* the same of those before, as a ring */
    unsigned oldest;              /* of them */
    size_t deepest_earlier;       /* of them */
    size_t in_period;             /* bytes of large blocks allocated in this period */
    size_t seen_live;             /* the most that was seen to live since `looks` was 0 */
    int looks;                    /* of the keeper's: see LOOKS_IN_PERIOD */
    _Atomic(size_t) work_counted; /* of keeper.work, what is counted there */
    size_t announced;             /* to `pressure`, and not in keeper.work when that was counted */
    bool steps_are_marked;
    bool has_rested;     /* all was given back, */
    size_t live_at_rest; /* beside so much; */
    size_t work_at_rest;
    size_t ahead; /* since the rest, pages are brought ahead of work up to so much held */
    size_t ahead_looked_for;   /* `ahead` when the control group was last asked for room */
    unsigned looseness;        /* of the budget */
    size_t room;               /* in it, for the sake of what was purged */
    unsigned calm_periods;     /* since anything was purged to be missed */
    size_t moved_before;       /* extents.moved and */
    size_t purged_before;      /* extents.purged as this period began */
    size_t let_go;             /* by so much the budget has fallen in this period */
    atomic_bool is_restrained; /* the budget depends on what is live */
    size_t retain, soft_limit; /* as configured; 0: none */
    struct sw__pressure pressure;
    struct sw__keeper_client keeper;
};

/* ---- The budget ------------------------------------------------------------------------------ */

/* What may stay free beside what is live: little at first, more where pages keep shifting, and room
 * where what is given back is missed. */
static size_t slack(const struct auto_heap *heap, size_t needed) {
    size_t share = needed / DEGREE_SHARE;
    size_t degree = sw__larger(share, DEGREE_BYTES);
    return needed / LOOSE_SHARE + heap->looseness * degree + heap->room;
}

static size_t deepest_of(const struct auto_heap *heap) {
    return atomic_load_explicit(&heap->deepest, memory_order_relaxed);
}

static void set_deepest(struct auto_heap *heap, size_t live) {
    atomic_store_explicit(&heap->deepest, live, memory_order_relaxed);
}

static size_t needed_of_late(const struct auto_heap *heap) {
    size_t deepest = deepest_of(heap);
    return sw__larger(deepest, heap->deepest_earlier);
}

static size_t deepest_in_ring(const struct auto_heap *heap) {
    size_t deepest = 0;
    for (int i = 0; i < EARLIER; i++)
        deepest = sw__larger(deepest, heap->earlier[i]);
    return deepest;
}

/* This period takes the place of the oldest one. */
static void remember_period(struct auto_heap *heap) {
    size_t deepest = deepest_of(heap), forgotten = heap->earlier[heap->oldest];
    heap->earlier[heap->oldest] = deepest;
    heap->oldest = (heap->oldest + 1) % EARLIER;
    if (deepest >= heap->deepest_earlier)
        heap->deepest_earlier = deepest;
    else if (forgotten == heap->deepest_earlier)
        heap->deepest_earlier = deepest_in_ring(heap);
}

static size_t deepest_periods_ago(const struct auto_heap *heap, unsigned periods) {
    return heap->earlier[(heap->oldest + EARLIER - periods) % EARLIER];
}

static size_t work_of(const struct auto_heap *heap) {
    return atomic_load_explicit(&heap->keeper.work, memory_order_relaxed);
}

/* Where work repeats itself, shifting pages is waste, and room is given until it ends. Where it
 * does not, some is the price of holding no more than is needed. */
static void loosen(struct auto_heap *heap) {
    size_t last = deepest_periods_ago(heap, 1), before = deepest_periods_ago(heap, 2);
    size_t apart = last > before ? last - before : before - last;
    bool repeats = apart <= last / 512;
    if (repeats && heap->looseness < LOOSEST)
        heap->looseness++;
}

/* By how much a count has grown since it was looked at. */
static size_t since(const _Atomic(size_t) *count, size_t *before) {
    size_t now = atomic_load_explicit(count, memory_order_relaxed), more = now - *before;
    *before = now;
    return more;
}

/* Of this period, but for what went because the budget fell. */
static size_t purged_to_be_missed(struct auto_heap *heap) {
    size_t purged = since(&heap->blocks.extents.purged, &heap->purged_before);
    purged -= sw__smaller(heap->let_go, purged);
    heap->let_go = 0;
    return purged;
}

/* What is purged for the budget's sake comes anew with the next block that needs it, at many times
 * the cost of a page that moves. So it should be for a spike, and not for blocks too small for their
 * pages to move that come and go in any order: these get room for as many holes as there will be
 * among them, and lose it by and by when nothing is purged any more. */
static void heed_purges(struct auto_heap *heap, size_t purged) {
    heap->room = sw__smaller(heap->room + purged / 16, needed_of_late(heap) / 4);
    heap->calm_periods = purged ? 0 : heap->calm_periods + 1;
    if (heap->calm_periods % KEPT_PERIODS == KEPT_PERIODS - 1)
        heap->room -= heap->room / 8;
}

/* For a second of much less: see forget_by_time(). */
static void begin_watch(struct auto_heap *heap, size_t live) {
    heap->looks = 0;
    heap->seen_live = live;
}

static void end_period(struct auto_heap *heap) {
    remember_period(heap);
    set_deepest(heap, sw__extents_live(&heap->blocks.extents));
    heap->in_period = 0;
    begin_watch(heap, deepest_of(heap));
    if (work_of(heap) - heap->work_at_rest > PERIOD_TURNS * needed_of_late(heap))
        heap->has_rested = false; /* this work has all it needs */
    size_t moved = since(&heap->blocks.extents.moved, &heap->moved_before);
    size_t purged = purged_to_be_missed(heap);
    if (moved + purged > needed_of_late(heap) / 64)
        loosen(heap);
    heed_purges(heap, purged);
}

/* What is enough to hold: what was needed of late, and a little for rounding; but no more than the
 * configuration allows. */
static void set_budget(struct auto_heap *heap, size_t live) {
    size_t needed = needed_of_late(heap);
    size_t budget = needed + slack(heap, needed);
    if (heap->retain)
        budget = sw__smaller(budget, live + sw__smaller(heap->retain, SIZE_MAX - live));
    if (heap->soft_limit)
        budget = sw__smaller(budget, heap->soft_limit);
    if (heap->pressure.is_tight)
        budget = live;
    heap->is_restrained = heap->retain || heap->soft_limit || heap->pressure.is_tight;
    if (needed == 0 && !heap->is_restrained)
        budget = SIZE_MAX; /* before there was a large block nothing is known */
    size_t before = atomic_load_explicit(&heap->blocks.extents.budget, memory_order_relaxed);
    if (before != SIZE_MAX && before > budget)
        heap->let_go += before - budget;
    sw__extents_set_budget(&heap->blocks.extents, budget);
}

/* So much lives, or is about to. */
static void expect_keeper(const struct auto_heap *heap, size_t live) {
    size_t held = atomic_load_explicit(&heap->blocks.extents.held, memory_order_relaxed);
    if (sw__keeper_is_wanted(&heap->keeper, sw__larger(held, live)) &&
        sw__slabs_mind_end_of_thread())
        sw__keeper_start();
}

/* After a rest, what is worth holding where so much lives. */
static size_t ahead_of(const struct auto_heap *heap, size_t live) {
    size_t more = live > heap->live_at_rest ? live - heap->live_at_rest : 0;
    size_t budget = atomic_load_explicit(&heap->blocks.extents.budget, memory_order_relaxed);
    return sw__smaller(heap->live_at_rest + AHEAD * sw__smaller(more, PTRDIFF_MAX / AHEAD), budget);
}

/* Work has come to so much. Is more to be brought ahead of it? */
static bool runs_ahead(struct auto_heap *heap, size_t live) {
    bool has_any = atomic_load_explicit(&heap->blocks.extents.noted, memory_order_relaxed) > 0;
    size_t ahead = heap->has_rested && has_any ? ahead_of(heap, live) : 0;
    if (ahead < heap->ahead + SW__HUGE_PAGE)
        return false;
    heap->ahead = ahead;
    return true;
}

/* Large blocks taken since the last count. */
static size_t count_work(struct auto_heap *heap) {
    size_t work = work_of(heap), more = work - heap->work_counted;
    atomic_store_explicit(&heap->work_counted, work, memory_order_relaxed);
    heap->in_period += more;
    return more;
}

/* Asks before the block is there, when there is still something to give back for it. */
static bool is_tight_with(struct auto_heap *heap, size_t taken, size_t coming) {
    size_t unannounced = taken - sw__smaller(taken, heap->announced);
    heap->announced = coming;
    return sw__pressure_is_tight(&heap->pressure, unannounced + coming);
}

/* So much lives, with what is coming. What expect_large() leaves to be done under the lock. */
static __attribute__((noinline)) void reconsider(struct auto_heap *heap, size_t live,
                                                 size_t coming) {
    sw__lock(&heap->lock);
    size_t taken = count_work(heap);
    if (live > deepest_of(heap))
        set_deepest(heap, live);
    heap->seen_live = sw__larger(heap->seen_live, live);
    if (heap->in_period / LONGEST_STEP_TURNS > deepest_of(heap))
        heap->steps_are_marked = false; /* any more, as when training is over */
    if (!heap->steps_are_marked && heap->in_period / PERIOD_TURNS > deepest_of(heap))
        end_period(heap);
    bool was_tight = heap->pressure.is_tight;
    bool is_tight = is_tight_with(heap, taken, coming);
    set_budget(heap, live);
    bool urges = runs_ahead(heap, live);
    sw__unlock(&heap->lock);
    if (is_tight && !was_tight)
        sw__blocks_trim(heap);
    expect_keeper(heap, live);
    if (urges)
        sw__keeper_call();
}

/* What lives with a large block that is about to be taken, and the most that did so far in this
 * period: two words, so that they stay in registers. */
struct expected {
    size_t live, deepest_before;
};

/* The budget is to have room for it. Mostly, in work that repeats itself, it has. */
static inline struct expected expect_large(struct auto_heap *heap, size_t size) {
    size_t live = sw__extents_live(&heap->blocks.extents) + size, deepest = deepest_of(heap);
    size_t counted = atomic_load_explicit(&heap->work_counted, memory_order_relaxed);
    if (live > deepest || work_of(heap) + size - counted >= COUNTED_AT_ONCE || heap->is_restrained)
        reconsider(heap, live, size);
    return (struct expected){live, deepest};
}

/* Another thread may have ended the period meanwhile. */
static void forget_in_earlier(struct auto_heap *heap, size_t refused, size_t live) {
    for (int i = 0; i < EARLIER; i++)
        if (heap->earlier[i] == refused)
            heap->earlier[i] = live;
    heap->deepest_earlier = deepest_in_ring(heap);
}

/* It was refused, so nothing is kept for it; and what the budget falls by was never purged. */
static __attribute__((noinline, cold)) void unexpect_large(struct auto_heap *heap,
                                                           struct expected expected) {
    size_t live = sw__extents_live(&heap->blocks.extents);
    sw__lock(&heap->lock);
    heap->ahead = sw__smaller(heap->ahead, ahead_of(heap, live));
    heap->announced = 0;
    if (heap->seen_live == expected.live)
        heap->seen_live = live;
    /* Of two that are refused at once, the second may have seen the first. */
    size_t deepest = sw__smaller(deepest_of(heap), expected.deepest_before);
    set_deepest(heap, sw__larger(deepest, live));
    forget_in_earlier(heap, expected.live, live);
    size_t let_go = heap->let_go;
    set_budget(heap, live);
    heap->let_go = let_go;
    sw__unlock(&heap->lock);
}

/* It has come, and is work, or was refused. */
static inline void settle_large(struct auto_heap *heap, size_t size, struct expected expected,
                                bool came) {
    if (__builtin_expect(came, 1))
        atomic_fetch_add_explicit(&heap->keeper.work, size, memory_order_relaxed);
    else
        unexpect_large(heap, expected);
    sw__extents_keep_budget(&heap->blocks.extents);
}

/* Free pages, in extents and inside slabs. */
static size_t all_kept(struct auto_heap *heap) {
    return sw__extents_kept(&heap->blocks.extents) + sw__slabs_unswept(&heap->blocks.slabs);
}

/* The work has stopped: nothing is kept. What recent work needed is still known, so that its
 * return finds the budget it had, and it is brought ahead of it. */
static size_t give_back(void *state) {
    struct auto_heap *heap = state;
    size_t held = atomic_load_explicit(&heap->blocks.extents.held, memory_order_relaxed);
    sw__slabs_collect_at_rest(&heap->blocks.slabs, NULL);
    sw__lock(&heap->lock);
    heap->has_rested = true;
    heap->live_at_rest = heap->ahead = sw__extents_live(&heap->blocks.extents);
    heap->work_at_rest = work_of(heap);
    sw__unlock(&heap->lock);
    sw__extents_rest(&heap->blocks.extents);
    size_t left = atomic_load_explicit(&heap->blocks.extents.held, memory_order_relaxed);
    return held > left ? held - left : 0;
}

/* Others may have taken the room since the rest. The lock is held. */
static bool has_room_ahead(struct auto_heap *heap) {
    bool is_tight = heap->ahead == heap->ahead_looked_for
                        ? sw__pressure_is_tight(&heap->pressure, SW__HUGE_PAGE)
                        : sw__pressure_look(&heap->pressure);
    heap->ahead_looked_for = heap->ahead;
    return !is_tight;
}

/* Work is back. */
static bool bring_back(void *state) {
    struct auto_heap *heap = state;
    struct sw__extents *extents = &heap->blocks.extents;
    sw__lock(&heap->lock);
    bool wanted = heap->has_rested && sw__extents_live(extents) > heap->live_at_rest;
    bool is_tight = wanted && !has_room_ahead(heap);
    size_t ahead = heap->ahead;
    if (is_tight)
        heap->has_rested = false;
    sw__unlock(&heap->lock);
    if (is_tight)
        sw__blocks_trim(heap);
    return wanted && !is_tight && sw__extents_bring_back(extents, ahead);
}

/* What the parent's work needed is not what the child's will. */
static void begin_in_child(void *state) {
    struct auto_heap *heap = state;
    struct sw__extents *extents = &heap->blocks.extents;
    sw__slabs_collect_orphans(&heap->blocks.slabs);
    sw__extents_set_budget(extents, 0);
    sw__extents_keep_budget(extents);
    size_t live = sw__extents_live(extents);
    sw__lock(&heap->lock);
    heap->has_rested = false;
    set_deepest(heap, needed_of_late(heap) ? live : 0);
    memset(heap->earlier, 0, sizeof heap->earlier);
    heap->deepest_earlier = heap->in_period = 0;
    heap->looseness = LOOSE_AT_FIRST;
    heap->room = heap->calm_periods = 0;
    since(&extents->moved, &heap->moved_before);
    purged_to_be_missed(heap);
    set_budget(heap, live);
    heap->let_go = 0;
    sw__unlock(&heap->lock);
}

/* Has less been needed for so long that the period is to end? Ends it. */
static bool forget_by_time(struct auto_heap *heap, size_t live) {
    heap->seen_live = sw__larger(heap->seen_live, live);
    if (heap->steps_are_marked || ++heap->looks < LOOKS_IN_PERIOD)
        return false;
    bool is_over = heap->seen_live < needed_of_late(heap) / MUCH_LESS;
    if (is_over)
        end_period(heap);
    else
        begin_watch(heap, live);
    return is_over;
}

/* Others may have taken what the group's limit leaves, or work may have become less. */
static size_t look(void *state) {
    struct auto_heap *heap = state;
    size_t live = sw__extents_live(&heap->blocks.extents);
    sw__lock(&heap->lock);
    bool is_tight = sw__pressure_look(&heap->pressure), is_over = forget_by_time(heap, live);
    if (is_tight || is_over)
        set_budget(heap, live);
    sw__unlock(&heap->lock);
    if (is_tight || is_over)
        sw__extents_keep_budget(&heap->blocks.extents);
    return all_kept(heap);
}

/* What the keeper would do if it were there. */
static __attribute__((noinline, cold)) void stand_in_for_keeper(struct auto_heap *heap,
                                                                struct sw__cache *cache) {
    int kept_errno = errno;
    if (cache)
        sw__cache_collect_closed(cache, NULL);
    sw__extents_rest(&heap->blocks.extents);
    size_t left = sw__extents_kept(&heap->blocks.extents) + sw__cache_unswept(cache);
    if (sw__keeper_is_missed(&heap->keeper, left))
        sw__keeper_do_without(); /* it will not go: all memory is locked */
    errno = kept_errno;
}

/* Memory was freed, up to so much of it inside that cache's slabs. */
static void wake_keeper(struct auto_heap *heap, struct sw__cache *cache, size_t unswept) {
    size_t kept = sw__extents_kept(&heap->blocks.extents) + unswept;
    if (kept < SW__WORTH_A_CALL)
        return;
    if (sw__keeper_is_missed(&heap->keeper, kept))
        stand_in_for_keeper(heap, cache);
    else
        sw__keeper_wake(&heap->keeper);
}

static struct auto_heap *heap_of(struct sw__slabs *slabs) {
    _Static_assert(offsetof(struct auto_heap, blocks.slabs) == 0, "the slabs come first");
    return (struct auto_heap *)slabs;
}

/* Slabs are part of what work needs, once there is a budget for it. */
static void when_slab_made(struct sw__slabs *slabs) {
    struct auto_heap *heap = heap_of(slabs);
    size_t live = sw__extents_live(slabs->extents), deepest = deepest_of(heap);
    if (deepest && live > deepest)
        reconsider(heap, live, 0);
    expect_keeper(heap, live);
    sw__slabs_sweep_for_growth(slabs);
}

static void when_slab_freeable(struct sw__slabs *slabs, struct sw__cache *cache, size_t unswept) {
    wake_keeper(heap_of(slabs), cache, unswept);
}

/* A large block was freed. */
static void consider_giving_back(struct auto_heap *heap) {
    struct sw__extents *extents = &heap->blocks.extents;
    if (heap->is_restrained) {
        sw__lock(&heap->lock);
        set_budget(heap, sw__extents_live(extents));
        sw__unlock(&heap->lock);
        sw__extents_keep_budget(extents);
    }
    wake_keeper(heap, NULL, 0);
}

/* ---- The slots ------------------------------------------------------------------------------- */

static size_t exact(size_t size) {
    return size;
}

static void *create(const struct sw__config *config) {
    struct auto_heap *heap = sw__blocks_create(sizeof *heap, config, exact);
    if (!heap)
        return NULL;
    heap->looseness = LOOSE_AT_FIRST;
    heap->retain = config->retain;
    heap->soft_limit = config->soft_limit;
    heap->is_restrained = heap->retain || heap->soft_limit;
    heap->keeper.look = look;
    heap->keeper.give_back = give_back;
    heap->keeper.bring_back = bring_back;
    heap->keeper.begin_in_child = begin_in_child;
    heap->keeper.state = heap;
    heap->keeper.wants_no_thread = !config->background_thread;
    heap->blocks.slabs.when_made = when_slab_made;
    heap->blocks.slabs.when_freeable = when_slab_freeable;
    sw__keeper_add(&heap->keeper);
    return heap;
}

static void destroy(void *state) {
    struct auto_heap *heap = state;
    sw__keeper_remove(&heap->keeper);
    sw__blocks_destroy(heap);
}

static void *alloc(void *state, size_t size, size_t alignment, enum sw_tag tag) {
    if (__builtin_expect(size <= SW__SMALL_MAX, 1))
        return sw__blocks_alloc(state, size, alignment, tag);
    struct auto_heap *heap = state;
    struct expected expected = expect_large(heap, size);
    void *block = sw__blocks_alloc(state, size, alignment, tag);
    settle_large(heap, size, expected, block != NULL);
    return block;
}

static void *alloc_zeroed(void *state, size_t size, enum sw_tag tag) {
    if (size <= SW__SMALL_MAX)
        return sw__blocks_alloc_zeroed(state, size, tag);
    struct auto_heap *heap = state;
    struct expected expected = expect_large(heap, size);
    void *block = sw__blocks_alloc_zeroed(state, size, tag);
    settle_large(heap, size, expected, block != NULL);
    return block;
}

/* Growing takes pages as a new block does. */
static void *resize(void *state, void *block, size_t size) {
    struct auto_heap *heap = state;
    if (size <= SW__SMALL_MAX)
        return sw__blocks_resize(state, block, size);
    size_t old = sw__blocks_usable_size(state, block);
    size_t more = size > old ? size - old : 0;
    struct expected expected = more ? expect_large(heap, more) : (struct expected){0};
    void *resized = sw__blocks_resize(state, block, size);
    settle_large(heap, more, expected, resized || !more);
    return resized;
}

static void give_block_back(void *state, void *block) {
    struct auto_heap *heap = state;
    struct sw__extent *large = sw__blocks_free_small(&heap->blocks, block);
    if (large) {
        sw__extents_free(&heap->blocks.extents, large);
        consider_giving_back(heap);
    }
}

static void step_begin(void *state) {
    struct auto_heap *heap = state;
    sw__lock(&heap->lock);
    heap->steps_are_marked = true;
    sw__unlock(&heap->lock);
}

static void step_end(void *state) {
    struct auto_heap *heap = state;
    sw__lock(&heap->lock);
    end_period(heap);
    set_budget(heap, sw__extents_live(&heap->blocks.extents));
    sw__unlock(&heap->lock);
    sw__extents_keep_budget(&heap->blocks.extents);
}

static void visit_locks(void *state, sw__lock_visitor *visitor, void *context) {
    struct auto_heap *heap = state;
    visitor(context, &heap->lock);
    sw__blocks_visit_locks(state, visitor, context);
}

const struct sw__strategy sw__strategy_auto = {
    .info.name = "auto",
    .info.summary = "small sizes as sizeclass, tensors as pool, keeps what recent steps needed",
    .create = create,
    .destroy = destroy,
    .alloc = alloc,
    .alloc_zeroed = alloc_zeroed,
    .free = give_block_back,
    .resize = resize,
    .usable_size = sw__blocks_usable_size,
    .step_begin = step_begin,
    .step_end = step_end,
    .trim = sw__blocks_trim,
    .stats = sw__blocks_stats,
    .largest_free = sw__blocks_largest_free,
    .visit_ranges = sw__blocks_visit_ranges,
    .visit_sizes = sw__blocks_visit_sizes,
    .visit_locks = visit_locks,
    .in_page_map = true,
    .small_in_slabs = true,
};
