/*
 * auto - the one to take when in doubt: small blocks from slabs as sizeclass has them, tensors as
 * extents of their exact pages as pool has them, and free memory kept by what recent work needed.
 *
 * The heap keeps as many physical pages as recent work needed (budget.h), and gives back what is
 * above it, the largest free extents first. When the work has stopped (keeper.h) nothing is kept,
 * and when it is back its pages are brought ahead of it. Nor is anything kept near the limit of a
 * container (pressure.h).
 */
#include "align.h"
#include "blocks.h"
#include "budget.h"
#include "keeper.h"
#include "pressure.h"

#include <errno.h>
#include <string.h>

/* So many bytes of large blocks may be taken between two looks at how things stand. */
#define COUNTED_AT_ONCE ((size_t)4 << 20)
/* The control group is told of slabs when so much has come. */
#define SLABS_ANNOUNCED ((size_t)1 << 20)
/* After a rest so many times what lives more than then is brought: most work wants all it had, and
 * who wants little is not to pay for it. */
#define AHEAD 4
/* A block that has to move to grow is given so much of its size more. */
#define ROOM_SHARE 8

struct auto_heap {
    struct sw__blocks blocks;     /* first: the slots of blocks.h work on it */
    struct sw__lock lock;         /* guards the rest */
    struct sw__budget recent;     /* what recent work needed */
    _Atomic(size_t) work_counted; /* of keeper.work, what `recent` has been told */
    size_t announced;             /* to `pressure`, and not in keeper.work when that was counted */
    bool has_rested;              /* all was given back, */
    size_t live_at_rest;          /* beside so much; */
    size_t work_at_rest;
    size_t ahead; /* since the rest, pages are brought ahead of work up to so much held */
    size_t ahead_looked_for;   /* the keeper's: `ahead` when the group was last asked for room */
    atomic_bool is_restrained; /* the budget depends on what is live */
    size_t retain, soft_limit; /* as configured; 0: none */
    struct sw__pressure pressure;
    struct sw__keeper_client keeper;
};

/* ---- The budget ------------------------------------------------------------------------------ */

static size_t work_of(const struct auto_heap *heap) {
    return atomic_load_explicit(&heap->keeper.work, memory_order_relaxed);
}

static size_t moved_by(const struct auto_heap *heap) {
    return atomic_load_explicit(&heap->blocks.extents.moved, memory_order_relaxed);
}

static size_t purged_by(const struct auto_heap *heap) {
    return atomic_load_explicit(&heap->blocks.extents.purged, memory_order_relaxed);
}

static void end_period(struct auto_heap *heap, size_t live) {
    sw__budget_end_period(&heap->recent, live, moved_by(heap), purged_by(heap));
    if (work_of(heap) - heap->work_at_rest > SW__PERIOD_TURNS * sw__budget_needed(&heap->recent))
        heap->has_rested = false; /* this work has all it needs */
}

/* What may be held by the configuration; near a group's limit nothing is kept. */
static size_t allowed(const struct auto_heap *heap, size_t live) {
    if (heap->pressure.is_tight)
        return live;
    size_t most = heap->soft_limit ? heap->soft_limit : SIZE_MAX;
    if (heap->retain)
        most = sw__smaller(most, live + sw__smaller(heap->retain, SIZE_MAX - live));
    return most;
}

/* What is enough to hold: what was needed of late, but no more than is allowed. */
static size_t enough(const struct auto_heap *heap, size_t live) {
    return sw__smaller(sw__budget_bytes(&heap->recent), allowed(heap, live));
}

static void set_budget(struct auto_heap *heap, size_t live) {
    heap->is_restrained = heap->retain || heap->soft_limit || heap->pressure.is_tight;
    sw__extents_set_budget(&heap->blocks.extents, enough(heap, live));
}

/* What is purged because the budget falls is not missed. */
static void adapt_budget(struct auto_heap *heap, size_t live) {
    _Atomic(size_t) *budget = &heap->blocks.extents.budget;
    size_t before = atomic_load_explicit(budget, memory_order_relaxed);
    set_budget(heap, live);
    size_t after = atomic_load_explicit(budget, memory_order_relaxed);
    if (before != SIZE_MAX && before > after)
        sw__budget_fell(&heap->recent, before - after);
}

/* So much lives. What is about to may be refused, and no thread is started for that. */
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
    return more;
}

/* What the group is to be told of, with what is coming: it is asked before the block is there, when
 * there is still something to give back for it. The lock is held. */
static size_t unannounced(struct auto_heap *heap, size_t taken, size_t coming) {
    size_t unannounced = taken - sw__smaller(taken, heap->announced);
    heap->announced = coming;
    return unannounced + coming;
}

/* So much lives, with what is coming. What expect_large() leaves to be done under the lock. */
static __attribute__((noinline)) void reconsider(struct auto_heap *heap, size_t live,
                                                 size_t coming) {
    sw__lock(&heap->lock);
    size_t taken = count_work(heap);
    if (sw__budget_work(&heap->recent, taken, live))
        end_period(heap, sw__extents_live(&heap->blocks.extents));
    size_t more = unannounced(heap, taken, coming);
    sw__unlock(&heap->lock);
    bool was_tight = heap->pressure.is_tight;
    bool is_tight = sw__pressure_is_tight(&heap->pressure, more);
    sw__lock(&heap->lock);
    adapt_budget(heap, live);
    bool urges = runs_ahead(heap, live);
    sw__unlock(&heap->lock);
    if (is_tight && !was_tight)
        sw__blocks_trim(heap);
    expect_keeper(heap, live - coming);
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
    size_t live = sw__extents_live(&heap->blocks.extents) + size;
    size_t deepest = sw__budget_deepest(&heap->recent);
    size_t counted = atomic_load_explicit(&heap->work_counted, memory_order_relaxed);
    if (live > deepest || work_of(heap) + size - counted >= COUNTED_AT_ONCE || heap->is_restrained)
        reconsider(heap, live, size);
    return (struct expected){live, deepest};
}

/* It was refused, so nothing is kept for it; and what the budget falls by was never purged. */
static __attribute__((noinline, cold)) void unexpect_large(struct auto_heap *heap,
                                                           struct expected expected) {
    size_t live = sw__extents_live(&heap->blocks.extents);
    sw__lock(&heap->lock);
    heap->ahead = sw__smaller(heap->ahead, ahead_of(heap, live));
    heap->announced = 0;
    sw__budget_refuse(&heap->recent, expected.live, expected.deepest_before, live);
    set_budget(heap, live);
    sw__unlock(&heap->lock);
}

/* It has come, and is work, or was refused. */
static inline void settle_large(struct auto_heap *heap, size_t size, struct expected expected,
                                bool came) {
    if (__builtin_expect(came, 1)) {
        atomic_fetch_add_explicit(&heap->keeper.work, size, memory_order_relaxed);
        if (size >= COUNTED_AT_ONCE) /* a smaller one is seen when things are next looked at */
            expect_keeper(heap, expected.live);
    } else {
        unexpect_large(heap, expected);
    }
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

/* Others may have taken the room since the rest. */
static bool has_room_ahead(struct auto_heap *heap, size_t ahead) {
    bool is_tight = ahead == heap->ahead_looked_for
                        ? sw__pressure_is_tight(&heap->pressure, SW__HUGE_PAGE)
                        : sw__pressure_look(&heap->pressure);
    heap->ahead_looked_for = ahead;
    return !is_tight;
}

/* Work is back. */
static bool bring_back(void *state) {
    struct auto_heap *heap = state;
    struct sw__extents *extents = &heap->blocks.extents;
    sw__lock(&heap->lock);
    bool wanted = heap->has_rested && sw__extents_live(extents) > heap->live_at_rest;
    size_t ahead = heap->ahead;
    sw__unlock(&heap->lock);
    if (!wanted)
        return false;
    if (has_room_ahead(heap, ahead))
        return sw__extents_bring_back(extents, ahead);
    sw__lock(&heap->lock);
    heap->has_rested = false;
    sw__unlock(&heap->lock);
    sw__blocks_trim(heap);
    return false;
}

/* What the parent's work needed is not what the child's will. */
static void begin_in_child(void *state) {
    struct auto_heap *heap = state;
    struct sw__extents *extents = &heap->blocks.extents;
    extents->refused = 0; /* a child inherits no locked pages */
    sw__extents_set_budget(extents, 0);
    sw__extents_keep_budget(extents);
    size_t live = sw__extents_live(extents);
    sw__lock(&heap->lock);
    heap->has_rested = false;
    sw__budget_restart(&heap->recent, live, moved_by(heap), purged_by(heap));
    set_budget(heap, live);
    sw__unlock(&heap->lock);
}

/* Others may have taken what the group's limit leaves, or work may have become less. */
static size_t look(void *state) {
    struct auto_heap *heap = state;
    size_t live = sw__extents_live(&heap->blocks.extents);
    bool is_tight = sw__pressure_look(&heap->pressure);
    sw__slabs_look(&heap->blocks.slabs);
    sw__lock(&heap->lock);
    bool is_over = sw__budget_look(&heap->recent, live);
    if (is_over)
        end_period(heap, live);
    if (is_tight || is_over)
        adapt_budget(heap, live);
    sw__unlock(&heap->lock);
    if (is_tight || is_over)
        sw__extents_keep_budget(&heap->blocks.extents);
    return all_kept(heap);
}

/* What the keeper would do if it were there. */
static __attribute__((noinline, cold)) void stand_in_for_keeper(struct auto_heap *heap) {
    int kept_errno = errno;
    if (!sw__keeper_may_be_stood_in_for())
        return;
    sw__slabs_collect_from_outside(&heap->blocks.slabs, NULL);
    size_t gone = sw__extents_rest(&heap->blocks.extents);
    if (gone < SW__WORTH_A_THREAD && sw__keeper_is_missed(&heap->keeper, all_kept(heap)))
        sw__keeper_do_without(); /* it will not go: all memory is locked */
    errno = kept_errno;
}

/* A thread's own cache mostly tells enough. But many threads may leave a little each: so all caches
 * are looked at whenever a part more has come to one. */
static size_t kept_with(struct auto_heap *heap, struct sw__cache *cache, size_t unswept) {
    size_t kept = sw__extents_kept(&heap->blocks.extents) + unswept;
    bool has_more = kept < SW__WORTH_A_CALL && cache && sw__cache_has_more_unswept(cache, unswept);
    return has_more ? all_kept(heap) : kept;
}

static __attribute__((noinline)) void wake_keeper(struct auto_heap *heap, struct sw__cache *cache,
                                                  size_t unswept) {
    size_t kept = kept_with(heap, cache, unswept);
    if (sw__keeper_is_missed(&heap->keeper, kept))
        stand_in_for_keeper(heap);
    else if (kept >= SW__WORTH_A_CALL)
        sw__keeper_call();
}

static struct auto_heap *heap_of(struct sw__slabs *slabs) {
    _Static_assert(offsetof(struct auto_heap, blocks.slabs) == 0, "the slabs come first");
    return (struct auto_heap *)slabs;
}

static __attribute__((noinline)) void announce_slabs(struct auto_heap *heap, size_t live) {
    bool was_tight = heap->pressure.is_tight;
    bool is_tight = sw__pressure_is_tight(&heap->pressure, SLABS_ANNOUNCED);
    if (is_tight == was_tight)
        return;
    sw__lock(&heap->lock);
    adapt_budget(heap, live);
    sw__unlock(&heap->lock);
    if (is_tight)
        sw__blocks_trim(heap);
}

/* Slabs are part of what work needs, once there is a budget for it. */
static void when_slab_made(struct sw__slabs *slabs, size_t bytes) {
    struct auto_heap *heap = heap_of(slabs);
    size_t live = sw__extents_live(slabs->extents), deepest = sw__budget_deepest(&heap->recent);
    size_t before = atomic_fetch_add_explicit(&heap->keeper.slab_work, bytes, memory_order_relaxed);
    if (before / SLABS_ANNOUNCED != (before + bytes) / SLABS_ANNOUNCED)
        announce_slabs(heap, live);
    if (deepest && live > deepest)
        reconsider(heap, live, 0);
    expect_keeper(heap, live);
    sw__slabs_sweep_for_growth(slabs);
}

/* Is so much above what is allowed that it is worth a lock? */
static bool is_beyond(const struct auto_heap *heap, size_t live) {
    size_t held = atomic_load_explicit(&heap->blocks.extents.held, memory_order_relaxed);
    size_t most = allowed(heap, live);
    return held > most && held - most > sw__extents_tolerated(most);
}

/* The budget depends on what lives, and some of it was freed. */
static __attribute__((noinline)) void restrain(struct auto_heap *heap) {
    int kept_errno = errno;
    size_t live = sw__extents_live(&heap->blocks.extents);
    if (is_beyond(heap, live)) {
        sw__lock(&heap->lock);
        adapt_budget(heap, live);
        sw__unlock(&heap->lock);
        sw__extents_keep_budget(&heap->blocks.extents);
    }
    errno = kept_errno;
}

/* Memory was freed: a large block or some of it, or up to so much inside that cache's slabs. */
static inline void consider_giving_back(struct auto_heap *heap, struct sw__cache *cache,
                                        size_t unswept) {
    if (__builtin_expect(heap->is_restrained, 0))
        restrain(heap);
    if (__builtin_expect(sw__keeper_is_asleep(&heap->keeper), 0))
        wake_keeper(heap, cache, unswept);
}

static void when_slab_freeable(struct sw__slabs *slabs, struct sw__cache *cache, size_t unswept) {
    consider_giving_back(heap_of(slabs), cache, unswept);
}

/* ---- The slots ------------------------------------------------------------------------------- */

static size_t exact(size_t size) {
    return size;
}

static void *create(const struct sw__config *config) {
    struct auto_heap *heap = sw__blocks_create(sizeof *heap, config, exact);
    if (!heap)
        return NULL;
    sw__budget_init(&heap->recent);
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
    if (sw__is_small(size, alignment))
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

static void give_block_back(void *state, void *block) {
    struct auto_heap *heap = state;
    struct sw__extent *large = sw__blocks_free_small(&heap->blocks, block);
    if (large) {
        sw__extents_free(&heap->blocks.extents, large);
        consider_giving_back(heap, NULL, 0);
    }
}

/* To another place, with room of its own to grow further: what grows by a little, among others that
 * do, would have to move each time. NULL, with nothing changed, where there is none. */
static void *move_with_room(struct auto_heap *heap, void *block, size_t old, size_t size) {
    size_t roomy = size <= PTRDIFF_MAX / 2 ? size + size / ROOM_SHARE : size;
    void *moved = alloc(heap, roomy, SW_MIN_ALIGNMENT, SW_TAG_OTHER);
    if (!moved)
        return NULL;
    sw__extents_find(&heap->blocks.extents, moved)->roomy = true;
    memcpy(moved, block, old);
    give_block_back(heap, block);
    return moved;
}

/* Is the size within a block and the room it was given? */
static bool is_in_room(const struct sw__extent *extent, size_t size) {
    size_t old = sw__extent_size(extent);
    return extent->roomy && size <= old && size > old - old / ROOM_SHARE;
}

/* Growing takes pages as a new block does. */
static void *resize_large(struct auto_heap *heap, struct sw__extent *extent, size_t size) {
    void *block = sw__extent_start(extent);
    size_t old = sw__extent_size(extent), more = size > old ? size - old : 0;
    struct expected expected = more ? expect_large(heap, more) : (struct expected){0};
    void *resized = sw__extents_resize(&heap->blocks.extents, extent, size);
    settle_large(heap, more, expected, resized || !more);
    if (resized && (size < old || resized != block))
        consider_giving_back(heap, NULL, 0);
    /* What fits into a slab goes there. */
    bool may_move = !resized && more && size > SW__SMALL_MAX;
    return may_move ? move_with_room(heap, block, old, size) : resized;
}

static void *resize(void *state, void *block, size_t size) {
    struct auto_heap *heap = state;
    struct sw__extent *extent = sw__extents_find(&heap->blocks.extents, block);
    if (!extent || !sw__blocks_stays_large(extent, size))
        return sw__blocks_resize(state, block, size);
    return is_in_room(extent, size) ? block : resize_large(heap, extent, size);
}

static void step_begin(void *state) {
    struct auto_heap *heap = state;
    sw__lock(&heap->lock);
    sw__budget_mark(&heap->recent);
    sw__unlock(&heap->lock);
}

static void step_end(void *state) {
    struct auto_heap *heap = state;
    sw__lock(&heap->lock);
    size_t live = sw__extents_live(&heap->blocks.extents);
    end_period(heap, live);
    adapt_budget(heap, live);
    sw__unlock(&heap->lock);
    sw__extents_keep_budget(&heap->blocks.extents);
}

static void visit_locks(void *state, sw__lock_visitor *visitor, void *context) {
    struct auto_heap *heap = state;
    visitor(context, &heap->pressure.lock);
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
    .metadata_present = sw__blocks_metadata_present,
    .visit_ranges = sw__blocks_visit_ranges,
    .visit_sizes = sw__blocks_visit_sizes,
    .visit_locks = visit_locks,
    .in_page_map = true,
    .small_in_slabs = true,
};
