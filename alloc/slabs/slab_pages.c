/*
 * slab_pages.c - the pages inside a slab: see slab_pages.h.
 */
#include "slab_pages.h"

#include "align.h"

#define ALL (~UINT64_C(0))

/* So many blocks of a slab whose pages may be there are cut at once. */
#define CUT_OF_TOUCHED 64

static char *block_at(const struct sw__slab *slab, size_t index) {
    return sw__extent_start(slab->extent) + index * slab->block_size;
}

/* The pages on which the bytes [start, end) of a slab lie, a bit each; there is a byte. */
static uint64_t pages_between(size_t start, size_t end) {
    size_t first = start >> SW__PAGE_SHIFT, last = (end - 1) >> SW__PAGE_SHIFT;
    return ALL >> (63 - (last - first)) << first;
}

static uint64_t pages_of_blocks(const struct sw__slab *slab, size_t first, size_t end) {
    return first == end ? 0 : pages_between(first * slab->block_size, end * slab->block_size);
}

bool sw__slab_is_withheld(const struct sw__slab *slab, const void *block) {
    size_t at = (size_t)((const char *)block - sw__extent_start(slab->extent));
    return pages_between(at, at + slab->block_size) & sw__slab_absent(slab);
}

static void offer(struct sw__slab *slab, size_t block) {
    struct sw__free_block *free = (void *)block_at(slab, block);
    free->next = slab->free;
    slab->free = free;
}

/* ---- Blocks come ----------------------------------------------------------------------------- */

static void set_absent(struct sw__slab *slab, uint64_t pages) {
    atomic_store_explicit(&slab->absent, pages, memory_order_relaxed);
}

/* An absent page comes again; both changes under the heap's lock, so that statistics never see one
 * without the other. */
static bool bring_page(struct sw__slabs *slabs, struct sw__slab *slab, unsigned page) {
    char *start = sw__extent_start(slab->extent) + ((size_t)page << SW__PAGE_SHIFT);
    sw__lock(&slabs->lock);
    bool came = sw__extents_bring_part(slabs->extents, slab->extent, start, SW__PAGE);
    if (came)
        set_absent(slab, sw__slab_absent(slab) & ~(UINT64_C(1) << page));
    sw__unlock(&slabs->lock);
    return came;
}

/* The blocks on a page that has come are free, but for those on an absent one as well. */
static void offer_blocks_on(struct sw__slab *slab, unsigned page) {
    size_t start = (size_t)page << SW__PAGE_SHIFT, end = start + SW__PAGE;
    size_t first = start / slab->block_size;
    size_t last = (end + slab->block_size - 1) / slab->block_size;
    for (size_t block = last < sw__slab_carved(slab) ? last : sw__slab_carved(slab);
         block-- > first;)
        if (!sw__slab_is_withheld(slab, block_at(slab, block)))
            offer(slab, block);
}

/* Those of the pages that are absent; false where one would not come. */
static bool bring(struct sw__slabs *slabs, struct sw__slab *slab, uint64_t pages) {
    for (pages &= sw__slab_absent(slab); pages; pages &= pages - 1) {
        unsigned page = (unsigned)__builtin_ctzll(pages);
        if (!bring_page(slabs, slab, page))
            return false;
        sw__slab_count_present(slab, SW__PAGE);
        offer_blocks_on(slab, page);
    }
    return true;
}

static void note_missed(struct sw__cache *cache, size_t bytes) {
    if (!cache->is_rested)
        cache->missed = sw__smaller(cache->missed + bytes, cache->present / SW__MISSED_SHARE);
}

/* Of the pages that have been cut, until a block is free. */
static bool bring_block(struct sw__slabs *slabs, struct sw__slab *slab) {
    uint64_t pages = pages_of_blocks(slab, 0, sw__slab_carved(slab)) & sw__slab_absent(slab);
    for (; pages && !slab->free; pages &= pages - 1) {
        if (!bring(slabs, slab, pages & -pages))
            return false;
        note_missed(sw__slab_owner(slab), SW__PAGE);
    }
    return true;
}

/* How many blocks are cut at once: a page's worth, one at least, so that pages are touched as they are
 * needed. Where they were touched before, many: each cut is under a lock. */
static uint32_t cut_at_once(const struct sw__slab *slab) {
    uint32_t left = slab->capacity - sw__slab_carved(slab);
    uint32_t count = (uint32_t)(SW__PAGE / slab->block_size);
    if (!slab->extent->zero && sw__slab_absent(slab) == 0 && count < CUT_OF_TOUCHED)
        count = CUT_OF_TOUCHED;
    if (count == 0)
        count = 1;
    return count < left ? count : left;
}

static void cut(struct sw__slabs *slabs, struct sw__slab *slab) {
    uint32_t carved = sw__slab_carved(slab), count = cut_at_once(slab);
    if (!bring(slabs, slab, pages_of_blocks(slab, carved, carved + count)))
        return;
    for (uint32_t block = carved + count; block-- > carved;)
        offer(slab, block);
    atomic_store_explicit(&slab->carved, carved + count, memory_order_relaxed);
}

bool sw__slab_ensure_block(struct sw__slabs *slabs, struct sw__slab *slab) {
    if (slab->free)
        return true;
    if (bring_block(slabs, slab) && !slab->free)
        cut(slabs, slab);
    return slab->free;
}

/* ---- Pages go -------------------------------------------------------------------------------- */

/* A bit for each block of a slab. */
struct blocks {
    uint64_t bits[SW__SLAB_BLOCKS_MAX / 64];
};

static bool has(const struct blocks *blocks, size_t block) {
    return blocks->bits[block / 64] >> (block % 64) & 1;
}

/* Divides by multiplying, of which there is much to do: exact for what lies in a slab. */
#define SHIFT 40
_Static_assert((uint64_t)SW__SLAB_PAGES_MAX *SW__PAGE *SW__SMALL_MAX < UINT64_C(1) << SHIFT,
               "the error of the inverse, times an offset, is less than one");

static void find_free(const struct sw__slab *slab, struct blocks *found) {
    uint64_t inverse = (UINT64_C(1) << SHIFT) / slab->block_size + 1;
    for (struct sw__free_block *each = slab->free; each; each = each->next) {
        size_t at = (size_t)((char *)each - sw__extent_start(slab->extent));
        size_t block = at < sw__extent_size(slab->extent) ? at * inverse >> SHIFT : slab->capacity;
        if (block >= slab->capacity || block * slab->block_size != at || has(found, block))
            sw__misuse(SW__MISUSE_FREE_LIST, NULL); /* freed twice, it is a circle */
        found->bits[block / 64] |= UINT64_C(1) << (block % 64);
    }
}

/* The pages on which something is live. */
static uint64_t busy_pages(const struct sw__slab *slab, const struct blocks *free) {
    uint64_t busy = 0;
    for (size_t block = 0; block < sw__slab_carved(slab); block++)
        if (!has(free, block) && !sw__slab_is_withheld(slab, block_at(slab, block)))
            busy |= pages_of_blocks(slab, block, block + 1);
    return busy;
}

/* The pages that follow each other, from the first on. */
static unsigned first_run(uint64_t pages, unsigned first) {
    uint64_t others = ~(pages >> first);
    return others ? (unsigned)__builtin_ctzll(others) : SW__SLAB_PAGES_MAX;
}

/* Under the heap's lock, as in bring_page(). */
static void give_run_back(struct sw__slabs *slabs, struct sw__slab *slab, size_t start, size_t size,
                          size_t *released) {
    sw__lock(&slabs->lock);
    if (sw__extents_give_part_back(slabs->extents, slab->extent,
                                   sw__extent_start(slab->extent) + start, size, released)) {
        set_absent(slab, sw__slab_absent(slab) | pages_between(start, start + size));
        sw__slab_count_present(slab, -size);
    }
    sw__unlock(&slabs->lock);
}

static void give_back(struct sw__slabs *slabs, struct sw__slab *slab, uint64_t pages,
                      size_t *released) {
    while (pages) {
        unsigned first = (unsigned)__builtin_ctzll(pages), count = first_run(pages, first);
        size_t start = (size_t)first << SW__PAGE_SHIFT, size = (size_t)count << SW__PAGE_SHIFT;
        give_run_back(slabs, slab, start, size, released);
        pages &= ~pages_between(start, start + size);
    }
}

/* The links of the free list went with the pages, so it is made anew. */
void sw__slab_sweep(struct sw__slabs *slabs, struct sw__slab *slab, size_t *released) {
    struct blocks free = {0};
    find_free(slab, &free);
    uint64_t pages = pages_of_blocks(slab, 0, slab->capacity) & ~busy_pages(slab, &free) &
                     ~sw__slab_absent(slab);
    if (!pages)
        return;
    give_back(slabs, slab, pages, released);
    slab->free = NULL;
    for (size_t block = sw__slab_carved(slab); block-- > 0;)
        if (has(&free, block) && !sw__slab_is_withheld(slab, block_at(slab, block)))
            offer(slab, block);
}
