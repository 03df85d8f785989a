/*
 * meta.c - memory for a heap's own bookkeeping: see meta.h.
 */
#include "meta.h"

#include "align.h"
#include "os.h"

#include <stdint.h>

#define BLOCK_SIZE ((size_t)64 << 10)

struct meta_block {
    struct meta_block *older;
    size_t size;
};

void sw__level_add(struct sw_level *level, size_t amount) {
    level->current += amount;
    if (level->current > level->peak)
        level->peak = level->current;
}

static struct meta_block *map_block(size_t least) {
    size_t size = sw__align_up(least + sizeof(struct meta_block) + 64, BLOCK_SIZE);
    struct meta_block *block = sw__os_map(size);
    if (block)
        block->size = size;
    return block;
}

static void cut_from(struct sw__meta *meta, struct meta_block *block) {
    block->older = meta->blocks;
    meta->blocks = block;
    meta->used = sw__align_up(sizeof *block, 64);
    sw__level_add(&meta->bytes, block->size);
}

void sw__meta_feed(struct sw__meta *meta, void *start, size_t size) {
    struct meta_block *block = start;
    block->size = size;
    cut_from(meta, block);
}

void *sw__meta_cut(struct sw__meta *meta, size_t size) {
    size_t at = sw__align_up(meta->used, size >= 64 ? 64 : 16);
    if (!meta->blocks || at + size > meta->blocks->size)
        return NULL;
    meta->used = at + size;
    return (char *)meta->blocks + at;
}

void *sw__meta_alloc(struct sw__meta *meta, size_t size) {
    void *piece = sw__meta_cut(meta, size);
    if (piece)
        return piece;
    struct meta_block *block = map_block(size);
    if (!block)
        return NULL;
    cut_from(meta, block);
    return sw__meta_cut(meta, size);
}

size_t sw__meta_present(const struct sw__meta *meta) {
    size_t present = 0;
    for (const struct meta_block *block = meta->blocks; block; block = block->older)
        present += sw__os_resident(block, block->size);
    return present;
}

void sw__meta_release(struct sw__meta *meta) {
    struct meta_block *block = meta->blocks;
    while (block) {
        struct meta_block *older = block->older;
        sw__os_release(block, block->size);
        block = older;
    }
}

void *sw__meta_create(size_t size, size_t meta_offset) {
    struct sw__meta first = {0};
    char *state = sw__meta_alloc(&first, size);
    if (state)
        *(struct sw__meta *)(state + meta_offset) = first;
    return state;
}
