/*
 * extents.c - the page source: see extents.h.
 *
 * Order of the file: regions and the map from pages to extents, making and unmaking extents, huge
 * pages, growth, then the public calls. Whatever may fail comes before anything is changed.
 */
#include "extents.h"

#include "page_map.h"

#include <assert.h>
#include <string.h>

#define FIRST_REGION ((size_t)64 << 20)
#define LAST_REGION  ((size_t)4 << 30)
/* The frontier moves at least so far where the limit allows: a system call per MiB, not per slab.
 */
#define FRONTIER_STEP ((size_t)1 << 20)
/* How many best fits are tried for a large alignment before one of size + alignment is sought. */
#define ALIGNED_TRIES 16

struct sw__region {
    char *start;
    size_t size;
    size_t committed;
    struct sw__extents *extents; /* whose it is */
    struct sw__region *next;
    struct sw__extent *last;     /* ends at the frontier; NULL while nothing is committed */
    struct sw__extent **by_page; /* the live extent that begins on the page */
    uint64_t *touched;           /* a bit per page */
    uint64_t *huge;              /* a bit per huge page: advised */
};

static size_t align_up(size_t value, size_t alignment) {
    return (value + alignment - 1) & ~(alignment - 1);
}

static struct sw__extent *extent_of(struct sw__treap_node *node) {
    return (struct sw__extent *)node; /* its first member */
}

static char *end_of(const struct sw__extent *extent) {
    return sw__extent_start(extent) + sw__extent_size(extent);
}

static struct sw__extent **page_entry(const struct sw__region *region, const void *address) {
    return &region->by_page[(size_t)((const char *)address - region->start) >> SW__PAGE_SHIFT];
}

/* ---- Extents: spare ones, trees, cutting and joining ----------------------------------------- */

/* Ensures so many spare extents, so that what follows cannot fail. */
static bool ensure_spares(struct sw__extents *extents, int count) {
    for (struct sw__extent *spare = extents->spare_extents; spare && count; spare = spare->after)
        count--;
    for (; count > 0; count--) {
        struct sw__extent *extent = sw__meta_alloc(extents->meta, sizeof *extent);
        if (!extent)
            return false;
        extent->after = extents->spare_extents;
        extents->spare_extents = extent;
    }
    return true;
}

static struct sw__extent *take_spare(struct sw__extents *extents) {
    struct sw__extent *extent = extents->spare_extents;
    extents->spare_extents = extent->after;
    memset(extent, 0, sizeof *extent);
    return extent;
}

static void keep_spare(struct sw__extents *extents, struct sw__extent *extent) {
    extent->after = extents->spare_extents;
    extents->spare_extents = extent;
}

static struct sw__treap_node **tree_of(struct sw__extents *extents, enum sw__extent_state state) {
    return state == SW__EXTENT_DIRTY ? &extents->dirty : &extents->clean;
}

static void uproot(struct sw__extents *extents, struct sw__extent *extent) {
    assert(extent);
    sw__treap_remove(tree_of(extents, extent->state), &extent->node);
}

/* Cuts an extent that is in no tree in two; the front keeps the extent, the tail is returned. */
static struct sw__extent *cut(struct sw__extents *extents, struct sw__extent *extent,
                              size_t front) {
    struct sw__extent *tail = take_spare(extents);
    tail->node.address = extent->node.address + front;
    tail->node.size = extent->node.size - front;
    tail->region = extent->region;
    tail->before = extent;
    tail->after = extent->after;
    if (tail->after)
        tail->after->before = tail;
    else
        tail->region->last = tail;
    extent->after = tail;
    extent->node.size = front;
    return tail;
}

/* Joins the extent behind to the one in front; both are in no tree. */
static void join(struct sw__extents *extents, struct sw__extent *extent) {
    struct sw__extent *behind = extent->after;
    extent->node.size += behind->node.size;
    extent->after = behind->after;
    if (extent->after)
        extent->after->before = extent;
    else
        extent->region->last = extent;
    keep_spare(extents, behind);
}

static bool is_free(const struct sw__extent *extent) {
    return extent && extent->state != SW__EXTENT_LIVE;
}

/* ---- Touched pages --------------------------------------------------------------------------- */

static size_t page_index(const struct sw__region *region, const char *address) {
    return (size_t)(address - region->start) >> SW__PAGE_SHIFT;
}

/* The bits of a word that belong to pages [first, last). */
static uint64_t bits_in_word(size_t word, size_t first, size_t last) {
    uint64_t bits = ~UINT64_C(0);
    if (first > word * 64)
        bits &= ~UINT64_C(0) << (first - word * 64);
    if (last < (word + 1) * 64)
        bits &= ~UINT64_C(0) >> ((word + 1) * 64 - last);
    return bits;
}

/* Bytes of touched pages in the range. */
static size_t touched_bytes(const struct sw__region *region, const char *start, size_t size) {
    size_t first = page_index(region, start), last = first + (size >> SW__PAGE_SHIFT);
    size_t pages = 0;
    for (size_t word = first / 64; word * 64 < last; word++)
        pages +=
            (size_t)__builtin_popcountll(region->touched[word] & bits_in_word(word, first, last));
    return pages << SW__PAGE_SHIFT;
}

/* Marks the range as touched, or as not; held follows. */
static void mark_touched(struct sw__extents *extents, struct sw__region *region, const char *start,
                         size_t size, bool touched) {
    size_t before = touched_bytes(region, start, size);
    size_t first = page_index(region, start), last = first + (size >> SW__PAGE_SHIFT);
    for (size_t word = first / 64; word * 64 < last; word++) {
        uint64_t bits = bits_in_word(word, first, last);
        region->touched[word] =
            touched ? region->touched[word] | bits : region->touched[word] & ~bits;
    }
    extents->held += (touched ? size : 0) - before;
}

static void plant(struct sw__extents *extents, struct sw__extent *extent) {
    bool dirty = touched_bytes(extent->region, sw__extent_start(extent), sw__extent_size(extent));
    extent->state = dirty ? SW__EXTENT_DIRTY : SW__EXTENT_CLEAN;
    sw__treap_insert(tree_of(extents, extent->state), &extent->node);
}

/* Makes an extent that is in no tree free, joined with its free neighbours. */
static void release(struct sw__extents *extents, struct sw__extent *extent) {
    if (is_free(extent->after)) {
        uproot(extents, extent->after);
        join(extents, extent);
    }
    if (is_free(extent->before)) {
        extent = extent->before;
        uproot(extents, extent);
        join(extents, extent);
    }
    plant(extents, extent);
}

/* ---- Huge pages ------------------------------------------------------------------------------ */

static bool test_and_set(uint64_t *bits, size_t index, bool value) {
    uint64_t mask = UINT64_C(1) << (index & 63);
    bool was = bits[index >> 6] & mask;
    if (was != value)
        bits[index >> 6] ^= mask;
    return was;
}

/* Advises the huge pages that lie whole in [start, end) and were not yet told so, run by run. */
static void advise(struct sw__region *region, char *start, char *end, bool wanted) {
    size_t first = align_up((size_t)(start - region->start), SW__HUGE_PAGE) >> SW__HUGE_PAGE_SHIFT;
    size_t last = (size_t)(end - region->start) >> SW__HUGE_PAGE_SHIFT;
    for (size_t i = first, run = first; i < last; run = ++i) {
        while (i < last && test_and_set(region->huge, i, wanted) != wanted)
            i++;
        if (i > run)
            sw__os_advise_huge(region->start + (run << SW__HUGE_PAGE_SHIFT),
                               (i - run) << SW__HUGE_PAGE_SHIFT, wanted);
    }
}

static void advise_live(struct sw__extents *extents, struct sw__extent *extent) {
    if (extents->huge_pages == SW__HUGE_AUTO && sw__extent_size(extent) >= SW__HUGE_PAGE)
        advise(extent->region, sw__extent_start(extent), end_of(extent), true);
}

/* ---- Moving pages ---------------------------------------------------------------------------- */

/* Smaller pieces are not worth a mapping, and so many mappings are enough (vm.max_map_count is
 * 65,530 where nobody changed it). */
#define LEAST_MOVE ((size_t)256 << 10)
#define MOST_MOVES 16384

/* A run of pages of a region. */
struct run {
    size_t first, last; /* [first, last) by index */
};

static bool is_touched(const struct sw__region *region, size_t page) {
    return region->touched[page / 64] >> (page % 64) & 1;
}

static size_t untouched_bytes(const struct sw__extent *extent) {
    return sw__extent_size(extent) -
           touched_bytes(extent->region, sw__extent_start(extent), sw__extent_size(extent));
}

/* Would the heap hold too much with so many bytes more? */
static bool over_budget(const struct sw__extents *extents, size_t more) {
    size_t budget = atomic_load_explicit(&extents->budget, memory_order_relaxed);
    return more && extents->held + more > budget;
}

/* The next run of touched, or of untouched, pages in [from, end). Empty when there is none. */
static struct run next_run(const struct sw__region *region, size_t from, size_t end, bool touched) {
    while (from < end && is_touched(region, from) != touched)
        from++;
    struct run run = {from, from};
    while (run.last < end && is_touched(region, run.last) == touched)
        run.last++;
    return run;
}

static char *page_address(const struct sw__region *region, size_t page) {
    return region->start + (page << SW__PAGE_SHIFT);
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Both runs cut so that whole huge pages go to whole huge pages, where both have one. */
static void align_to_huge(struct run *from, struct run *to) {
    size_t huge = SW__HUGE_PAGE >> SW__PAGE_SHIFT; /* regions are aligned to it */
    struct run donor = {align_up(from->first, huge), from->last};
    struct run taker = {align_up(to->first, huge), to->last};
    if (donor.first + huge <= donor.last && taker.first + huge <= taker.last) {
        size_t pages = smaller(donor.last - donor.first, taker.last - taker.first) & ~(huge - 1);
        *from = (struct run){donor.first, donor.first + pages};
        *to = (struct run){taker.first, taker.first + pages};
    }
}

/* Moves what it can of one run to another, less and less of it while the kernel refuses: a range
 * may be of several pieces for it. Returns the bytes moved. */
static size_t move_run(struct sw__extents *extents, struct sw__region *donor, struct run from,
                       struct sw__region *taker, struct run to) {
    align_to_huge(&from, &to);
    size_t size = smaller(from.last - from.first, to.last - to.first) << SW__PAGE_SHIFT;
    char *source = page_address(donor, from.first), *target = page_address(taker, to.first);
    while (size >= LEAST_MOVE && !sw__os_move(source, target, size))
        size = align_up(size / 2, SW__PAGE);
    if (size < LEAST_MOVE)
        return 0;
    extents->moves++;
    mark_touched(extents, donor, source, size, false);
    mark_touched(extents, taker, target, size, true);
    return size;
}

/* Moves pages of one free extent into one run. Returns the bytes moved. */
static size_t move_from(struct sw__extents *extents, struct sw__extent *donor,
                        struct sw__region *taker, struct run to) {
    struct sw__region *region = donor->region;
    size_t first = page_index(region, sw__extent_start(donor));
    size_t end = first + (sw__extent_size(donor) >> SW__PAGE_SHIFT);
    for (struct run from = next_run(region, first, end, true); from.first < end;
         from = next_run(region, from.last, end, true)) {
        if ((from.last - from.first) << SW__PAGE_SHIFT < LEAST_MOVE)
            continue;
        size_t moved = move_run(extents, region, from, taker, to);
        if (moved)
            return moved;
    }
    return 0;
}

/* Fills untouched pages of a new live extent with those of free ones, the largest first, as far as
 * the budget is short. True if any page came in. The donors that had none to give wait aside. */
static bool move_pages_in(struct sw__extents *extents, struct sw__extent *extent) {
    struct sw__region *region = extent->region;
    size_t page = page_index(region, sw__extent_start(extent));
    size_t end = page + (sw__extent_size(extent) >> SW__PAGE_SHIFT);
    struct sw__treap_node *aside = NULL;
    bool any = false;
    while (page < end && extents->dirty && extents->moves < MOST_MOVES &&
           over_budget(extents, untouched_bytes(extent))) {
        struct run to = next_run(region, page, end, false);
        if ((to.last - to.first) << SW__PAGE_SHIFT < LEAST_MOVE) {
            page = to.last + (to.last < end);
            continue;
        }
        struct sw__extent *donor = extent_of(sw__treap_largest(extents->dirty));
        uproot(extents, donor);
        if (move_from(extents, donor, region, to)) {
            any = true;
            plant(extents, donor);
        } else {
            sw__treap_insert(&aside, &donor->node);
        }
    }
    while (aside) {
        struct sw__extent *donor = extent_of(aside);
        sw__treap_remove(&aside, aside);
        plant(extents, donor);
    }
    return any;
}

/* ---- Growth ---------------------------------------------------------------------------------- */

static bool within_limit(const struct sw__extents *extents, size_t more) {
    return !extents->limit || more <= extents->limit - extents->reserved.current;
}

static size_t free_at_frontier(const struct sw__region *region) {
    return is_free(region->last) ? sw__extent_size(region->last) : 0;
}

static size_t touched_words(size_t size) {
    return (size >> SW__PAGE_SHIFT) / 64 + 1;
}

static size_t huge_words(size_t size) {
    return (size >> SW__HUGE_PAGE_SHIFT) / 64 + 1;
}

/* A region descriptor with its tables for a region of that size. */
static struct sw__region *make_region(struct sw__extents *extents, size_t size) {
    for (struct sw__region **link = &extents->spare_regions; *link; link = &(*link)->next) {
        if ((*link)->size == size) {
            struct sw__region *spare = *link;
            *link = spare->next;
            return spare;
        }
    }
    size_t by_page = (size >> SW__PAGE_SHIFT) * sizeof(struct sw__extent *);
    size_t touched = touched_words(size) * sizeof(uint64_t);
    size_t huge = huge_words(size) * sizeof(uint64_t);
    struct sw__region *region =
        sw__meta_alloc(extents->meta, sizeof *region + by_page + touched + huge);
    if (!region)
        return NULL;
    region->by_page = (struct sw__extent **)(region + 1);
    region->touched = (uint64_t *)((char *)region->by_page + by_page);
    region->huge = region->touched + touched_words(size);
    region->size = size;
    region->extents = extents;
    return region;
}

static void keep_spare_region(struct sw__extents *extents, struct sw__region *region) {
    region->start = NULL;
    region->next = extents->spare_regions;
    extents->spare_regions = region;
}

static struct sw__region *reserve_region(struct sw__extents *extents, size_t size) {
    struct sw__region *region = make_region(extents, size);
    if (!region)
        return NULL;
    region->start = sw__os_reserve(size, SW__HUGE_PAGE);
    if (region->start && !sw__page_map_prepare(region->start, size)) {
        sw__os_release(region->start, size);
        region->start = NULL;
    }
    if (!region->start) {
        keep_spare_region(extents, region);
        return NULL;
    }
    region->committed = 0;
    region->last = NULL;
    memset(region->huge, 0, huge_words(size) * sizeof *region->huge);
    region->next = extents->regions;
    extents->regions = region;
    return region;
}

/* A region with room for size: twice as large as the one before, or just large enough where address
 * space is short. */
static struct sw__region *add_region(struct sw__extents *extents, size_t size) {
    size_t least = align_up(size, SW__HUGE_PAGE);
    if (!within_limit(extents, align_up(size, SW__SLICE)))
        return NULL;
    size_t wanted = extents->regions ? 2 * extents->regions->size : FIRST_REGION;
    if (wanted > LAST_REGION)
        wanted = LAST_REGION;
    struct sw__region *region = reserve_region(extents, wanted > least ? wanted : least);
    return region || wanted <= least ? region : reserve_region(extents, least);
}

/* Moves a region's frontier up, so that its last extent is free and of at least that size. */
static bool move_frontier(struct sw__extents *extents, struct sw__region *region, size_t size) {
    size_t room = region->size - region->committed;
    size_t least = align_up(size - free_at_frontier(region), SW__SLICE);
    size_t step = least < FRONTIER_STEP ? FRONTIER_STEP : least;
    if (step > room || !within_limit(extents, step))
        step = least;
    char *frontier = region->start + region->committed;
    if (!within_limit(extents, step) || !ensure_spares(extents, 1) ||
        !sw__os_commit(frontier, step))
        return false;
    sw__page_map_set(frontier, step, region);
    region->committed += step;
    sw__level_add(&extents->reserved, step);
    if (extents->huge_pages != SW__HUGE_AUTO)
        sw__os_advise_huge(frontier, step, extents->huge_pages == SW__HUGE_ALWAYS);

    struct sw__extent *extent = take_spare(extents);
    extent->node.address = (uintptr_t)frontier;
    extent->node.size = step;
    extent->region = region;
    extent->before = region->last;
    if (region->last)
        region->last->after = extent;
    region->last = extent;
    release(extents, extent);
    return true;
}

/* A free extent of at least that size at a frontier. */
static struct sw__extent *grow(struct sw__extents *extents, size_t size) {
    struct sw__region *region = extents->regions;
    while (region &&
           align_up(size - (free_at_frontier(region) < size ? free_at_frontier(region) : size),
                    SW__SLICE) > region->size - region->committed)
        region = region->next;
    if (!region)
        region = add_region(extents, size);
    return region && move_frontier(extents, region, size) ? region->last : NULL;
}

/* ---- Placement ------------------------------------------------------------------------------- */

static size_t gap_before(const struct sw__extent *extent, size_t alignment) {
    return -extent->node.address & (alignment - 1);
}

/* The best fit in a tree. A few of the smallest are tried for a large alignment; one with room for
 * the worst case ends the search. */
static struct sw__extent *best_fit(struct sw__treap_node *tree, size_t size, size_t alignment) {
    uintptr_t from = 0;
    size_t least = size;
    for (int tries = 0; tries < ALIGNED_TRIES; tries++) {
        struct sw__treap_node *node = sw__treap_at_least(tree, least, from);
        if (!node)
            return NULL;
        if (gap_before(extent_of(node), alignment) + size <= node->size)
            return extent_of(node);
        least = node->size;
        from = node->address + 1;
    }
    struct sw__treap_node *node = sw__treap_at_least(tree, size + alignment - SW__PAGE, 0);
    return node ? extent_of(node) : NULL;
}

static struct sw__extent *find_fit(struct sw__extents *extents, size_t size, size_t alignment) {
    struct sw__extent *extent = best_fit(extents->dirty, size, alignment);
    if (!extent)
        extent = best_fit(extents->clean, size, alignment);
    if (!extent)
        extent = grow(extents, alignment > SW__PAGE ? size + alignment - SW__PAGE : size);
    return extent;
}

/* Cuts the wanted part out of a free extent and makes it live. Needs two spares. */
static struct sw__extent *carve(struct sw__extents *extents, struct sw__extent *extent, size_t size,
                                size_t alignment) {
    size_t gap = gap_before(extent, alignment);
    uproot(extents, extent);
    if (gap) {
        struct sw__extent *rest = cut(extents, extent, gap);
        plant(extents, extent);
        extent = rest;
    }
    if (extent->node.size > size)
        plant(extents, cut(extents, extent, size));
    char *start = sw__extent_start(extent);
    extent->state = SW__EXTENT_LIVE;
    extent->zero = touched_bytes(extent->region, start, size) == 0;
    extent->holder = NULL;
    if (over_budget(extents, untouched_bytes(extent)) && move_pages_in(extents, extent))
        extent->zero = false;
    mark_touched(extents, extent->region, start, size, true);
    *page_entry(extent->region, start) = extent;
    extents->live += size;
    return extent;
}

/* ---- The public calls ------------------------------------------------------------------------ */

void sw__extents_init(struct sw__extents *extents, struct sw__meta *meta,
                      const struct sw__config *config) {
    memset(extents, 0, sizeof *extents);
    extents->meta = meta;
    extents->limit = config->limit;
    extents->huge_pages = config->huge_pages;
    extents->budget = SIZE_MAX;
}

void sw__extents_destroy(struct sw__extents *extents) {
    for (struct sw__region *region = extents->regions; region; region = region->next) {
        sw__page_map_set(region->start, region->committed, NULL);
        sw__os_release(region->start, region->size);
    }
}

struct sw__extent *sw__extents_alloc(struct sw__extents *extents, size_t size, size_t alignment) {
    size = align_up(size, SW__PAGE);
    if (alignment < SW__PAGE)
        alignment = SW__PAGE;
    if (size > PTRDIFF_MAX || alignment > PTRDIFF_MAX - size)
        return NULL;
    sw__lock(&extents->lock);
    struct sw__extent *extent = NULL;
    if (ensure_spares(extents, 2) && (extent = find_fit(extents, size, alignment)) != NULL) {
        /* Growing may have used a spare; without two there is still the plain failure. */
        extent = ensure_spares(extents, 2) ? carve(extents, extent, size, alignment) : NULL;
    }
    if (extent)
        advise_live(extents, extent);
    sw__unlock(&extents->lock);
    return extent;
}

/* The region's entries in the page map again, where a holder had marked the slices as its own. */
static void unmark(struct sw__extent *extent) {
    char *start = sw__extent_start(extent);
    size_t size = sw__extent_size(extent);
    if ((extent->node.address & (SW__SLICE - 1)) == 0 && (size & (SW__SLICE - 1)) == 0 &&
        sw__page_map_get(start) != extent->region)
        sw__page_map_set(start, size, extent->region);
}

void sw__extents_free(struct sw__extents *extents, struct sw__extent *extent) {
    sw__lock(&extents->lock);
    unmark(extent);
    *page_entry(extent->region, sw__extent_start(extent)) = NULL;
    extents->live -= sw__extent_size(extent);
    release(extents, extent);
    sw__unlock(&extents->lock);
}

static void shrink(struct sw__extents *extents, struct sw__extent *extent, size_t size) {
    extents->live -= sw__extent_size(extent) - size;
    release(extents, cut(extents, extent, size));
}

/* Takes what is missing from a free extent behind, moving the frontier for it if need be. */
static bool extend(struct sw__extents *extents, struct sw__extent *extent, size_t size) {
    size_t missing = size - sw__extent_size(extent);
    struct sw__region *region = extent->region;
    size_t behind = is_free(extent->after) ? sw__extent_size(extent->after) : 0;
    if (behind < missing) {
        bool at_frontier = region->last == extent || (behind && region->last == extent->after);
        if (!at_frontier || missing - behind > region->size - region->committed ||
            !move_frontier(extents, region, missing))
            return false;
    }
    struct sw__extent *tail = extent->after;
    uproot(extents, tail);
    if (tail->node.size > missing)
        plant(extents, cut(extents, tail, missing));
    mark_touched(extents, region, sw__extent_start(tail), missing, true);
    join(extents, extent);
    extents->live += missing;
    return true;
}

bool sw__extents_resize(struct sw__extents *extents, struct sw__extent *extent, size_t size) {
    size = align_up(size, SW__PAGE);
    sw__lock(&extents->lock);
    bool done = true;
    if (size != sw__extent_size(extent)) {
        done = ensure_spares(extents, 2);
        if (done && size < sw__extent_size(extent))
            shrink(extents, extent, size);
        else if (done)
            done = extend(extents, extent, size);
        if (done)
            advise_live(extents, extent);
    }
    sw__unlock(&extents->lock);
    return done;
}

struct sw__extent *sw__extents_find(struct sw__extents *extents, const void *address) {
    struct sw__region *region = sw__page_map_get(address);
    if (!region || ((uintptr_t)region & 1) || region->extents != extents ||
        ((uintptr_t)address & (SW__PAGE - 1)) != 0)
        return NULL;
    return *page_entry(region, address);
}

struct sw__extent *sw__extents_block(struct sw__extents *extents, const void *block) {
    struct sw__extent *extent = sw__extents_find(extents, block);
    if (!extent)
        sw__misuse_free();
    return extent;
}

void sw__extents_mark(struct sw__extents *extents, struct sw__extent *extent, void *holder) {
    sw__lock(&extents->lock);
    sw__page_map_set(sw__extent_start(extent), sw__extent_size(extent), holder);
    sw__unlock(&extents->lock);
}

/* Purges a part of a free extent; false if the kernel would not. Advice goes too: the next holder
 * of these pages may be small. */
static bool purge(struct sw__extents *extents, struct sw__region *region, char *start,
                  size_t size) {
    if (!sw__os_purge(start, size))
        return false;
    mark_touched(extents, region, start, size, false);
    if (extents->huge_pages == SW__HUGE_AUTO)
        advise(region, start, start + size, false);
    return true;
}

/* Every dirty extent moves to the clean tree; one the kernel would not purge stays dirty. */
static size_t purge_all(struct sw__extents *extents) {
    size_t released = 0;
    struct sw__treap_node *refused = NULL;
    while (extents->dirty) {
        struct sw__extent *extent = extent_of(extents->dirty);
        char *start = sw__extent_start(extent);
        size_t size = sw__extent_size(extent);
        size_t resident = sw__os_resident(start, size);
        uproot(extents, extent);
        if (purge(extents, extent->region, start, size)) {
            plant(extents, extent);
            released += resident;
        } else {
            sw__treap_insert(&refused, &extent->node);
        }
    }
    extents->dirty = refused;
    return released;
}

/* Where the last `wanted` touched bytes of the extent begin, or its start if it has fewer. */
static char *start_of_last_touched(const struct sw__extent *extent, size_t wanted) {
    const struct sw__region *region = extent->region;
    size_t first = page_index(region, sw__extent_start(extent));
    size_t page = first + (sw__extent_size(extent) >> SW__PAGE_SHIFT);
    for (size_t found = 0; page > first && found < wanted;) {
        page--;
        if (region->touched[page / 64] >> (page % 64) & 1)
            found += SW__PAGE;
    }
    return region->start + (page << SW__PAGE_SHIFT);
}

void sw__extents_keep_budget(struct sw__extents *extents) {
    size_t bytes = atomic_load_explicit(&extents->budget, memory_order_relaxed);
    if (atomic_load_explicit(&extents->held, memory_order_relaxed) <= bytes)
        return;
    sw__lock(&extents->lock);
    while (extents->held > bytes && extents->dirty) {
        struct sw__extent *extent = extent_of(sw__treap_largest(extents->dirty));
        char *end = end_of(extent);
        char *start = start_of_last_touched(extent, extents->held - bytes);
        uproot(extents, extent);
        bool purged = purge(extents, extent->region, start, (size_t)(end - start));
        plant(extents, extent);
        if (!purged)
            break;
    }
    sw__unlock(&extents->lock);
}

static void release_free_regions(struct sw__extents *extents) {
    for (struct sw__region **link = &extents->regions; *link;) {
        struct sw__region *region = *link;
        bool all_free = is_free(region->last) && !region->last->before;
        if (!all_free) {
            link = &region->next;
            continue;
        }
        *link = region->next;
        uproot(extents, region->last);
        keep_spare(extents, region->last);
        extents->reserved.current -= region->committed;
        mark_touched(extents, region, region->start, region->committed, false);
        sw__page_map_set(region->start, region->committed, NULL);
        sw__os_release(region->start, region->size);
        keep_spare_region(extents, region);
    }
}

size_t sw__extents_trim(struct sw__extents *extents) {
    sw__lock(&extents->lock);
    size_t released = purge_all(extents);
    release_free_regions(extents);
    extents->moves = 0;
    sw__unlock(&extents->lock);
    return released;
}

void sw__extents_visit(struct sw__extents *extents, sw__range_visitor *visitor, void *context) {
    sw__lock(&extents->lock);
    for (struct sw__region *region = extents->regions; region; region = region->next)
        visitor(context, region->start, region->committed);
    sw__unlock(&extents->lock);
}

/* The most that is physically present of one free extent, if it is above `most`. The kernel is
 * asked only of those that may have it. */
static size_t most_present(struct sw__treap_node *node, size_t most) {
    if (!node)
        return most;
    const struct sw__extent *extent = extent_of(node);
    char *start = sw__extent_start(extent);
    size_t size = sw__extent_size(extent);
    if (touched_bytes(extent->region, start, size) > most) {
        size_t present = sw__os_resident(start, size);
        most = present > most ? present : most;
    }
    return most_present(node->right, most_present(node->left, most));
}

size_t sw__extents_largest_free(struct sw__extents *extents) {
    sw__lock(&extents->lock);
    size_t most = most_present(extents->dirty, 0);
    sw__unlock(&extents->lock);
    return most;
}

void sw__extents_stats(struct sw__extents *extents, struct sw__strategy_stats *stats) {
    sw__lock(&extents->lock);
    stats->reserved = extents->reserved;
    stats->metadata = extents->meta->bytes;
    sw__unlock(&extents->lock);
}
