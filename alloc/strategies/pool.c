/*
 * pool - pooled extents: best fit, split, immediate coalescing. For tensors, and for programs whose
 * sizes are many and whose blocks live long.
 *
 * Two pools. A large block (over SMALL_MAX, or of a page's alignment) is an extent of the page
 * source: see extents.h for its placement. Small ones are cut from segments of 1 MiB, which are
 * extents too:
 *
 *     segment  | pad | header block | header block | ... | header: size 0 |
 *                8     8
 *
 * A header of 8 bytes stands before every block: its own size and that of the block before it, so
 * both neighbours are found without a search (boundary tags; D. Knuth, TAOCP 1, 2.5). Free blocks
 * carry their tree node in what would be the payload; a segment with nothing live goes back to the
 * page source, but for one that is kept.
 *
 * Invariants: the blocks of a segment cover it; no two free ones touch; before == size of the block
 * before (0 for the first). Of equally good fits the lowest address is taken, so same-size blocks
 * come back warm and in the same order, step after step.
 */
#include "align.h"
#include "extents/extents.h"
#include "extents/page_map.h"
#include "strategy.h"

#include <string.h>

#define SMALL_MAX    ((size_t)32 << 10)
#define SEGMENT_SIZE ((size_t)1 << 20)

struct pool {
    struct sw__lock lock; /* guards the small side; extents lock themselves */
    struct sw__treap_node *free_blocks;
    struct sw__extent *empty_segment; /* kept, all one free block */
    size_t live_small;                /* bytes of small blocks with their headers */
    size_t segments;
    struct sw__extents extents;
    struct sw__meta meta;
};

/* Before every small block. */
struct header {
    uint32_t size_and_live; /* with this header, a multiple of 16; bit 0: live */
    uint32_t before;        /* size of the block before, 0 for the first of a segment */
};

#define HEADER      sizeof(struct header)
#define GRANULE     ((size_t)16)
#define LIVE        1u
#define LEAST_BLOCK ((HEADER + sizeof(struct sw__treap_node) + GRANULE - 1) & ~(GRANULE - 1))

_Static_assert(HEADER == 8, "payloads are at 16 and headers end there");
_Static_assert(SEGMENT_SIZE % SW__SLICE == 0, "segments are entered in the page map");

/* ---- Small blocks: headers and neighbours ---------------------------------------------------- */

static size_t size_of(const struct header *block) {
    return block->size_and_live & ~LIVE;
}

static bool is_live(const struct header *block) {
    return block->size_and_live & LIVE;
}

static struct header *after(struct header *block) {
    return (struct header *)((char *)block + size_of(block));
}

static struct header *before(struct header *block) {
    return block->before ? (struct header *)((char *)block - block->before) : NULL;
}

static void *payload_of(struct header *block) {
    return block + 1;
}

static struct header *block_at(const void *payload) {
    return (struct header *)payload - 1;
}

static void set_size(struct header *block, size_t size, uint32_t live) {
    block->size_and_live = (uint32_t)size | live;
    after(block)->before = (uint32_t)size;
}

static void plant(struct pool *pool, struct header *block) {
    struct sw__treap_node *node = payload_of(block);
    node->size = size_of(block);
    node->address = (uintptr_t)block;
    sw__treap_insert(&pool->free_blocks, node);
}

static void uproot(struct pool *pool, struct header *block) {
    sw__treap_remove(&pool->free_blocks, payload_of(block));
}

/* ---- Segments -------------------------------------------------------------------------------- */

static struct header *first_block(const struct sw__extent *segment) {
    return (struct header *)(sw__extent_start(segment) + HEADER);
}

static struct header *add_segment(struct pool *pool) {
    struct sw__extent *segment = sw__extents_alloc(&pool->extents, SEGMENT_SIZE, SW__SLICE);
    if (!segment)
        return NULL;
    sw__extents_mark_segment(&pool->extents, segment, pool);
    pool->segments++;
    struct header *block = first_block(segment);
    size_t size = SEGMENT_SIZE - 2 * HEADER;
    block->before = 0;
    ((struct header *)((char *)block + size))->size_and_live = LIVE; /* the end, never free */
    set_size(block, size, 0);
    plant(pool, block);
    return block;
}

static bool fills_segment(struct header *block) {
    return block->before == 0 && size_of(block) == SEGMENT_SIZE - 2 * HEADER;
}

/* Of empty segments one is kept, so that a block that comes and goes costs no extent. */
static void keep_or_give_back(struct pool *pool, struct header *block) {
    struct sw__extent *segment = sw__extents_segment(pool, block);
    if (!pool->empty_segment) {
        pool->empty_segment = segment;
        return;
    }
    uproot(pool, block);
    pool->segments--;
    sw__extents_free(&pool->extents, segment);
}

/* ---- Small blocks: alloc and free ------------------------------------------------------------ */

static size_t block_size_for(size_t size) {
    size_t block = sw__align_up(size + HEADER, GRANULE);
    return block < LEAST_BLOCK ? LEAST_BLOCK : block;
}

/* Cuts a block in no tree down to size; what is left over is free, if it is enough for a block. */
static void trim_to(struct pool *pool, struct header *block, size_t size) {
    size_t rest = size_of(block) - size;
    if (rest < LEAST_BLOCK)
        return;
    set_size(block, size, block->size_and_live & LIVE);
    struct header *tail = after(block);
    set_size(tail, rest, 0);
    plant(pool, tail);
}

/* Moves the start of a block in no tree up to the alignment; the front becomes a free block. */
static struct header *align_start(struct pool *pool, struct header *block, size_t alignment) {
    size_t gap = -(uintptr_t)payload_of(block) & (alignment - 1);
    if (gap == 0)
        return block;
    while (gap < LEAST_BLOCK)
        gap += alignment;
    size_t whole = size_of(block);
    struct header *aligned = (struct header *)((char *)block + gap);
    set_size(block, gap, 0);
    set_size(aligned, whole - gap, 0);
    plant(pool, block);
    return aligned;
}

static struct header *take_fit(struct pool *pool, size_t size) {
    struct sw__treap_node *node = sw__treap_at_least(pool->free_blocks, size, 0);
    struct header *block = node ? block_at(node) : add_segment(pool);
    if (!block)
        return NULL;
    if (pool->empty_segment && fills_segment(block) &&
        pool->empty_segment == sw__extents_segment(pool, block))
        pool->empty_segment = NULL;
    uproot(pool, block);
    return block;
}

static void *alloc_small(struct pool *pool, size_t size, size_t alignment) {
    size_t wanted = block_size_for(size);
    size_t slack = alignment > GRANULE ? alignment + LEAST_BLOCK : 0;
    sw__lock(&pool->lock);
    struct header *block = take_fit(pool, wanted + slack);
    if (block) {
        block = align_start(pool, block, alignment);
        trim_to(pool, block, wanted);
        block->size_and_live |= LIVE;
        pool->live_small += size_of(block);
    }
    sw__unlock(&pool->lock);
    return block ? payload_of(block) : NULL;
}

static struct header *join_free_neighbours(struct pool *pool, struct header *block) {
    struct header *next = after(block);
    size_t size = size_of(block);
    if (!is_live(next)) {
        uproot(pool, next);
        size += size_of(next);
    }
    struct header *previous = before(block);
    if (previous && !is_live(previous)) {
        uproot(pool, previous);
        size += size_of(previous);
        block->size_and_live = 0; /* no block any more, should it be freed again */
        block = previous;
    }
    set_size(block, size, 0);
    return block;
}

/* The header is what a live block's must be, and neighbours agree with it; else it is misuse. */
static void check_sound(const void *payload, enum sw__misuse otherwise) {
    struct header *block = block_at(payload);
    if (((uintptr_t)payload & (GRANULE - 1)) != 0 || !is_live(block) ||
        after(block)->before != size_of(block))
        sw__misuse(otherwise, NULL);
}

static void free_small(struct pool *pool, void *payload) {
    struct header *block = block_at(payload);
    sw__lock(&pool->lock);
    check_sound(payload, SW__MISUSE_FREE);
    pool->live_small -= size_of(block);
    block = join_free_neighbours(pool, block);
    plant(pool, block);
    if (fills_segment(block))
        keep_or_give_back(pool, block);
    sw__unlock(&pool->lock);
}

/* True if the block now has room for size: cut down, or grown over a free block behind it. */
static bool resize_small(struct pool *pool, void *payload, size_t size) {
    struct header *block = block_at(payload);
    size_t wanted = block_size_for(size);
    sw__lock(&pool->lock);
    check_sound(payload, SW__MISUSE_REALLOC);
    size_t old = size_of(block);
    struct header *next = after(block);
    size_t room = old + (is_live(next) ? 0 : size_of(next));
    bool fits = wanted <= room;
    if (fits) {
        if (!is_live(next)) {
            uproot(pool, next);
            set_size(block, room, LIVE);
        }
        trim_to(pool, block, wanted);
        pool->live_small += size_of(block) - old;
    }
    sw__unlock(&pool->lock);
    return fits;
}

/* ---- The slots ------------------------------------------------------------------------------- */

static void *create(const struct sw__config *config) {
    struct pool *pool = sw__meta_create(sizeof *pool, offsetof(struct pool, meta));
    if (pool)
        sw__extents_init(&pool->extents, &pool->meta, config);
    return pool;
}

static void destroy(void *state) {
    struct pool *pool = state;
    sw__extents_destroy(&pool->extents);
    sw__meta_release(&pool->meta);
}

static bool is_small(size_t size, size_t alignment) {
    return size <= SMALL_MAX && alignment < SW__PAGE;
}

static void *alloc(void *state, size_t size, size_t alignment, enum sw_tag tag) {
    struct pool *pool = state;
    (void)tag;
    if (is_small(size, alignment))
        return alloc_small(pool, size, alignment);
    struct sw__extent *extent = sw__extents_alloc(&pool->extents, size, alignment);
    return extent ? sw__extent_start(extent) : NULL;
}

static void *alloc_zeroed(void *state, size_t size, enum sw_tag tag) {
    struct pool *pool = state;
    if (is_small(size, SW_MIN_ALIGNMENT)) {
        void *block = alloc(state, size, SW_MIN_ALIGNMENT, tag);
        return block ? memset(block, 0, size) : NULL;
    }
    return sw__extents_alloc_zeroed(&pool->extents, size);
}

static void give_back(void *state, void *block) {
    struct pool *pool = state;
    if (sw__extents_segment(pool, block))
        free_small(pool, block);
    else
        sw__extents_free(&pool->extents, sw__extents_block(&pool->extents, block));
}

static size_t usable_size(void *state, const void *block) {
    struct pool *pool = state;
    if (sw__extents_segment(pool, block)) {
        check_sound(block, SW__MISUSE_USABLE_SIZE);
        return size_of(block_at(block)) - HEADER;
    }
    return sw__extent_size(sw__extents_block_to(&pool->extents, block, SW__MISUSE_USABLE_SIZE));
}

static void *resize(void *state, void *block, size_t size) {
    struct pool *pool = state;
    if (sw__extents_segment(pool, block))
        return size <= SMALL_MAX && resize_small(pool, block, size) ? block : NULL;
    struct sw__extent *extent = sw__extents_block_to(&pool->extents, block, SW__MISUSE_REALLOC);
    return size > SMALL_MAX ? sw__extents_resize(&pool->extents, extent, size) : NULL;
}

/* Gives back the pages that lie whole inside free small blocks; their headers and tree nodes stay.
 */
static size_t purge_inside(const struct sw__treap_node *node) {
    if (!node)
        return 0;
    uintptr_t start = sw__align_up(node->address + LEAST_BLOCK, SW__PAGE);
    uintptr_t end = sw__align_down(node->address + node->size, SW__PAGE);
    size_t released = 0;
    if (start < end) {
        released = sw__os_resident((void *)start, end - start);
        if (released && !sw__os_purge((void *)start, end - start))
            released = 0;
    }
    return released + purge_inside(node->left) + purge_inside(node->right);
}

/* The empty segment that was kept goes back, free pages inside the others, and all free extents. */
static size_t trim(void *state) {
    struct pool *pool = state;
    sw__lock(&pool->lock);
    struct sw__extent *segment = pool->empty_segment;
    if (segment) {
        uproot(pool, first_block(segment));
        pool->empty_segment = NULL;
        pool->segments--;
        sw__extents_free(&pool->extents, segment);
    }
    size_t released = purge_inside(pool->free_blocks);
    sw__unlock(&pool->lock);
    return released + sw__extents_trim(&pool->extents);
}

static void stats(void *state, struct sw__strategy_stats *stats) {
    struct pool *pool = state;
    sw__extents_stats(&pool->extents, stats);
    sw__lock(&pool->lock);
    stats->allocated =
        sw__extents_live(&pool->extents) - pool->segments * SEGMENT_SIZE + pool->live_small;
    sw__unlock(&pool->lock);
}

/* The most that is physically present of one free small block, if it is above `most`. */
static size_t most_present(const struct sw__treap_node *node, size_t most) {
    if (!node)
        return most;
    if (node->size > most) {
        size_t present = sw__os_resident((const void *)node->address, node->size);
        most = sw__larger(present, most);
    }
    return most_present(node->right, most_present(node->left, most));
}

static size_t largest_free(void *state) {
    struct pool *pool = state;
    sw__lock(&pool->lock);
    size_t small = most_present(pool->free_blocks, 0);
    sw__unlock(&pool->lock);
    size_t large = sw__extents_largest_free(&pool->extents);
    return sw__larger(small, large);
}

static size_t metadata_present(void *state) {
    struct pool *pool = state;
    return sw__extents_metadata_present(&pool->extents);
}

static void visit_ranges(void *state, sw__range_visitor *visitor, void *context) {
    struct pool *pool = state;
    sw__extents_visit(&pool->extents, visitor, context);
}

/* Of small blocks only the sum is kept. */
static void visit_sizes(void *state, sw__size_visitor *visitor, void *context) {
    struct pool *pool = state;
    sw__lock(&pool->lock);
    visitor(context, SMALL_MAX, pool->live_small);
    sw__unlock(&pool->lock);
    sw__extents_visit_sizes(&pool->extents, visitor, context);
}

static void visit_locks(void *state, sw__lock_visitor *visitor, void *context) {
    struct pool *pool = state;
    visitor(context, &pool->lock);
    visitor(context, &pool->extents.lock);
}

const struct sw__strategy sw__strategy_pool = {
    .info.name = "pool",
    .info.summary = "pooled extents: best fit, split, coalesced at once",
    .create = create,
    .destroy = destroy,
    .alloc = alloc,
    .alloc_zeroed = alloc_zeroed,
    .free = give_back,
    .resize = resize,
    .usable_size = usable_size,
    .trim = trim,
    .stats = stats,
    .metadata_present = metadata_present,
    .largest_free = largest_free,
    .visit_ranges = visit_ranges,
    .visit_sizes = visit_sizes,
    .visit_locks = visit_locks,
    .in_page_map = true,
};
