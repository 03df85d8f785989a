/*
 * arena - bump allocation, used again when all of a step is freed. For steps that make many blocks of
 * short life and free nearly all of them before they end.
 *
 * Blocks are cut from chunks one behind the other; free only counts. There are two sides, so that
 * what lasts does not pin what passes: `passing` for blocks born in a step, `lasting` for those
 * born outside any, or tagged parameter, gradient or optimizer_state. A chunk is
 *
 *     current   the one that its side bumps in
 *     full      has live blocks; nothing more is cut from it. When its last block is freed, it is
 *               empty
 *     empty     waits to be current again
 *
 * Step end is O(1): the current passing chunk starts anew if nothing in it lives, else it is full.
 * A survivor thus pins its own chunk and no other, until it is freed. The newest block of a chunk
 * can be taken back or resized in place. A block over LARGE is in no chunk: it is an extent of its
 * own that goes back to the page source when it is freed.
 *
 * Every block has a header of 16 bytes with its size; it also tells a double free.
 */
#include "align.h"
#include "extents/extents.h"
#include "extents/page_map.h"
#include "strategy.h"

#include <string.h>

#define CHUNK_SHIFT 20
#define CHUNK_SIZE  ((size_t)1 << CHUNK_SHIFT)
#define LARGE       (CHUNK_SIZE / 8)

struct chunk {
    struct sw__extent *extent; /* NULL while the descriptor is a spare */
    size_t used;               /* where the next block goes */
    size_t live;               /* blocks */
    struct side *side;         /* whose current it is; NULL when full or empty */
    struct chunk *next;        /* empty, or spare */
};

struct side {
    struct chunk *current;
};

struct arena {
    struct sw__lock lock;
    bool in_step;
    struct side passing, lasting;
    struct chunk *empty; /* chunks with an extent and nothing live */
    struct chunk *spare; /* descriptors without one */
    size_t chunk_bytes;  /* extents of chunks, live or not, so that the rest is large blocks */
    size_t live_bytes[CHUNK_SHIFT]; /* of blocks in chunks, by the power of two that holds one */
    struct sw__extents extents;
    struct sw__meta meta;
};

struct header {
    uint32_t size; /* usable bytes behind the header; 0 once freed */
    uint32_t mark; /* follows from where it is, so that a pointer into a block is told */
    struct chunk *chunk;
};

_Static_assert(sizeof(struct header) == SW_MIN_ALIGNMENT, "payloads follow headers directly");

static struct header *header_of(const void *block) {
    return (struct header *)block - 1;
}

static char *chunk_start(const struct chunk *chunk) {
    return sw__extent_start(chunk->extent);
}

/* ---- Chunks ---------------------------------------------------------------------------------- */

static struct chunk *make_chunk(struct arena *arena) {
    struct chunk *chunk = arena->spare;
    if (!chunk) {
        chunk = sw__extents_meta_alloc(&arena->extents, sizeof *chunk);
        if (!chunk)
            return NULL;
        chunk->next = NULL;
        arena->spare = chunk;
    }
    chunk->extent = sw__extents_alloc(&arena->extents, CHUNK_SIZE, SW__SLICE);
    if (!chunk->extent)
        return NULL;
    arena->spare = chunk->next;
    sw__extents_mark_segment(&arena->extents, chunk->extent, arena);
    arena->chunk_bytes += CHUNK_SIZE;
    return chunk;
}

/* The side's current chunk, new: nothing is cut yet. The old one is full from now on. */
static struct chunk *next_chunk(struct arena *arena, struct side *side) {
    struct chunk *chunk = arena->empty;
    if (chunk)
        arena->empty = chunk->next;
    else
        chunk = make_chunk(arena);
    if (!chunk)
        return NULL;
    if (side->current)
        side->current->side = NULL;
    chunk->used = 0;
    chunk->side = side;
    side->current = chunk;
    return chunk;
}

/* A chunk nothing lives in: a current one starts anew, a full one waits to be used again. */
static void recycle(struct arena *arena, struct chunk *chunk) {
    chunk->used = 0;
    if (chunk->side)
        return;
    chunk->next = arena->empty;
    arena->empty = chunk;
}

static uint32_t mark_of(const void *block) {
    return (uint32_t)((uintptr_t)block >> 4) ^ UINT32_C(0x5ca1ab1e);
}

/* The header of a live block in a chunk; any other pointer into one is misuse. */
static struct header *live_header(const struct sw__extent *extent, const void *block,
                                  enum sw__misuse otherwise) {
    struct header *header = header_of(block);
    if (((uintptr_t)block & (SW_MIN_ALIGNMENT - 1)) != 0 ||
        (char *)header < sw__extent_start(extent) || header->mark != mark_of(block) ||
        header->size == 0)
        sw__misuse(otherwise, NULL);
    return header;
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

/* Where a block of that size, which is not 0, is counted. */
static size_t *live_bytes_of(struct arena *arena, size_t size) {
    return &arena->live_bytes[size > 1 ? 64 - __builtin_clzll(size - 1) : 0];
}

static bool is_large(size_t size, size_t alignment) {
    return size > LARGE || alignment > SW__PAGE;
}

static bool tag_lasts(enum sw_tag tag) {
    return tag == SW_TAG_PARAMETER || tag == SW_TAG_GRADIENT || tag == SW_TAG_OPTIMIZER_STATE;
}

/* Where in the chunk a block would start. */
static size_t place(const struct chunk *chunk, size_t alignment) {
    uintptr_t lowest = (uintptr_t)chunk_start(chunk) + chunk->used + sizeof(struct header);
    return sw__align_up(lowest, alignment) - (uintptr_t)chunk_start(chunk);
}

static size_t round_up(size_t size) {
    return sw__align_up(size, SW_MIN_ALIGNMENT);
}

/* The fast path: place, write the header, move the mark. */
static void *bump(struct arena *arena, struct side *side, size_t size, size_t alignment) {
    struct chunk *chunk = side->current;
    size_t at = chunk ? place(chunk, alignment) : 0;
    if (!chunk || at + size > CHUNK_SIZE) {
        chunk = next_chunk(arena, side);
        if (!chunk)
            return NULL;
        at = place(chunk, alignment);
    }
    void *block = chunk_start(chunk) + at;
    *header_of(block) = (struct header){(uint32_t)size, mark_of(block), chunk};
    chunk->used = at + size;
    chunk->live++;
    *live_bytes_of(arena, size) += size;
    return block;
}

static bool is_newest(const struct chunk *chunk, const void *block, size_t size) {
    return (const char *)block + size == chunk_start(chunk) + chunk->used;
}

static void free_in_chunk(struct arena *arena, const struct sw__extent *extent, void *block) {
    sw__lock(&arena->lock);
    struct header *header = live_header(extent, block, SW__MISUSE_FREE);
    struct chunk *chunk = header->chunk;
    *live_bytes_of(arena, header->size) -= header->size;
    if (is_newest(chunk, block, header->size))
        chunk->used = (size_t)((char *)header - chunk_start(chunk));
    header->size = 0;
    if (--chunk->live == 0)
        recycle(arena, chunk);
    sw__unlock(&arena->lock);
}

static bool resize_in_chunk(struct arena *arena, const struct sw__extent *extent, void *block,
                            size_t size) {
    sw__lock(&arena->lock);
    struct header *header = live_header(extent, block, SW__MISUSE_REALLOC);
    struct chunk *chunk = header->chunk;
    size_t at = (size_t)((char *)block - chunk_start(chunk));
    bool fits = size <= header->size;
    if (is_newest(chunk, block, header->size) && at + size <= CHUNK_SIZE) {
        *live_bytes_of(arena, header->size) -= header->size;
        *live_bytes_of(arena, size) += size;
        header->size = (uint32_t)size;
        chunk->used = at + size;
        fits = true;
    }
    sw__unlock(&arena->lock);
    return fits;
}

/* ---- The slots ------------------------------------------------------------------------------- */

static void *create(const struct sw__config *config) {
    struct arena *arena = sw__meta_create(sizeof *arena, offsetof(struct arena, meta));
    if (arena)
        sw__extents_init(&arena->extents, &arena->meta, config);
    return arena;
}

static void destroy(void *state) {
    struct arena *arena = state;
    sw__extents_destroy(&arena->extents);
    sw__meta_release(&arena->meta);
}

static void *alloc(void *state, size_t size, size_t alignment, enum sw_tag tag) {
    struct arena *arena = state;
    if (is_large(size, alignment)) {
        struct sw__extent *extent = sw__extents_alloc(&arena->extents, size, alignment);
        return extent ? sw__extent_start(extent) : NULL;
    }
    sw__lock(&arena->lock);
    struct side *side = arena->in_step && !tag_lasts(tag) ? &arena->passing : &arena->lasting;
    void *block = bump(arena, side, round_up(size), alignment);
    sw__unlock(&arena->lock);
    return block;
}

static void give_back(void *state, void *block) {
    struct arena *arena = state;
    const struct sw__extent *chunk = sw__extents_segment(arena, block);
    if (chunk)
        free_in_chunk(arena, chunk, block);
    else
        sw__extents_free(&arena->extents, sw__extents_block(&arena->extents, block));
}

static size_t usable_size(void *state, const void *block) {
    struct arena *arena = state;
    const struct sw__extent *chunk = sw__extents_segment(arena, block);
    if (chunk)
        return live_header(chunk, block, SW__MISUSE_USABLE_SIZE)->size;
    return sw__extent_size(sw__extents_block_to(&arena->extents, block, SW__MISUSE_USABLE_SIZE));
}

static void *resize(void *state, void *block, size_t size) {
    struct arena *arena = state;
    const struct sw__extent *chunk = sw__extents_segment(arena, block);
    if (chunk)
        return !is_large(size, 1) && resize_in_chunk(arena, chunk, block, round_up(size)) ? block
                                                                                          : NULL;
    struct sw__extent *extent = sw__extents_block_to(&arena->extents, block, SW__MISUSE_REALLOC);
    return is_large(size, 1) ? sw__extents_resize(&arena->extents, extent, size) : NULL;
}

static void step_begin(void *state) {
    struct arena *arena = state;
    sw__lock(&arena->lock);
    arena->in_step = true;
    sw__unlock(&arena->lock);
}

static void step_end(void *state) {
    struct arena *arena = state;
    sw__lock(&arena->lock);
    arena->in_step = false;
    struct chunk *chunk = arena->passing.current;
    if (chunk && chunk->live) { /* survivors: it is theirs alone now */
        chunk->side = NULL;
        arena->passing.current = NULL;
    } else if (chunk) {
        chunk->used = 0;
    }
    sw__unlock(&arena->lock);
}

static size_t trim(void *state) {
    struct arena *arena = state;
    sw__lock(&arena->lock);
    while (arena->empty) {
        struct chunk *chunk = arena->empty;
        arena->empty = chunk->next;
        sw__extents_free(&arena->extents, chunk->extent);
        arena->chunk_bytes -= CHUNK_SIZE;
        chunk->extent = NULL;
        chunk->next = arena->spare;
        arena->spare = chunk;
    }
    sw__unlock(&arena->lock);
    return sw__extents_trim(&arena->extents);
}

static void stats(void *state, struct sw__strategy_stats *stats) {
    struct arena *arena = state;
    sw__extents_stats(&arena->extents, stats);
    sw__lock(&arena->lock);
    stats->allocated = sw__extents_live(&arena->extents) - arena->chunk_bytes;
    for (int shift = 0; shift < CHUNK_SHIFT; shift++)
        stats->allocated += arena->live_bytes[shift];
    sw__unlock(&arena->lock);
}

static size_t present_behind(const struct chunk *chunk) {
    return sw__os_resident(chunk_start(chunk) + chunk->used, CHUNK_SIZE - chunk->used);
}

static size_t rest_of(const struct side *side) {
    return side->current ? present_behind(side->current) : 0;
}

static size_t largest_free(void *state) {
    struct arena *arena = state;
    size_t largest = sw__extents_largest_free(&arena->extents);
    sw__lock(&arena->lock);
    largest = sw__larger(largest, rest_of(&arena->passing));
    largest = sw__larger(largest, rest_of(&arena->lasting));
    for (const struct chunk *chunk = arena->empty; chunk; chunk = chunk->next)
        largest = sw__larger(largest, present_behind(chunk));
    sw__unlock(&arena->lock);
    return largest;
}

static size_t metadata_present(void *state) {
    struct arena *arena = state;
    return sw__extents_metadata_present(&arena->extents);
}

static void visit_ranges(void *state, sw__range_visitor *visitor, void *context) {
    struct arena *arena = state;
    sw__extents_visit(&arena->extents, visitor, context);
}

static void visit_sizes(void *state, sw__size_visitor *visitor, void *context) {
    struct arena *arena = state;
    sw__lock(&arena->lock);
    for (int shift = 0; shift < CHUNK_SHIFT; shift++)
        visitor(context, (size_t)1 << shift, arena->live_bytes[shift]);
    sw__unlock(&arena->lock);
    sw__extents_visit_sizes(&arena->extents, visitor, context);
}

static void visit_locks(void *state, sw__lock_visitor *visitor, void *context) {
    struct arena *arena = state;
    visitor(context, &arena->lock);
    visitor(context, &arena->extents.lock);
}

const struct sw__strategy sw__strategy_arena = {
    .info.name = "arena",
    .info.summary = "bump allocation, used again when all of a step is freed",
    .create = create,
    .destroy = destroy,
    .alloc = alloc,
    .free = give_back,
    .resize = resize,
    .usable_size = usable_size,
    .step_begin = step_begin,
    .step_end = step_end,
    .trim = trim,
    .stats = stats,
    .metadata_present = metadata_present,
    .largest_free = largest_free,
    .visit_ranges = visit_ranges,
    .visit_sizes = visit_sizes,
    .visit_locks = visit_locks,
    .in_page_map = true,
};
