/*
 * heap.c - any sequence of calls on a heap: what each byte of the input means, and what must hold.
 *
 * The first byte chooses the strategy, the second the options, the rest are calls of three bytes:
 * which call, on which of the slots, how large. Every block is filled from a seed of its own, and
 * looked at when it is freed, resized, or asked about, a large one at both ends and once a page: so
 * blocks that overlap, and pages that lose what they had, are found as well as what AddressSanitizer
 * sees. What is wrong aborts.
 *
 * Built with libFuzzer by tests/fuzz/fuzz; with driver.c it reads one input from stdin or from each
 * file named, which is what AFL++ and a debugger want.
 */
#include "stepwell.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOTS = 64, CALLS_MAX = 4096, FILLED = 2048, PAGE = 4096 };

/* What the live blocks of one input may take together. */
#define LIVE_MAX ((size_t)256 << 20)

struct slot {
    unsigned char *block; /* NULL: free */
    size_t size;
    unsigned char seed;
};

struct run {
    sw_heap *heap;
    struct slot slots[SLOTS];
    size_t live, visited;
    unsigned char seed;
    int in_step, tracked;
};

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* All of a small block; of a large one both ends, and a byte of each page. */
static size_t filled_at_front(size_t size) {
    return size < (size_t)2 * FILLED ? size : FILLED;
}

static void fill(const struct slot *slot) {
    size_t front = filled_at_front(slot->size);
    memset(slot->block, slot->seed, front);
    for (size_t at = PAGE; at < slot->size; at += PAGE)
        slot->block[at] = slot->seed;
    if (front < slot->size)
        memset(slot->block + slot->size - FILLED, slot->seed, FILLED);
}

static void check_range(const unsigned char *bytes, size_t size, unsigned char wanted) {
    for (size_t i = 0; i < size; i++)
        CHECK(bytes[i] == wanted);
}

static void check(const struct slot *slot, size_t size) {
    size_t front = filled_at_front(slot->size);
    check_range(slot->block, front < size ? front : size, slot->seed);
    for (size_t at = PAGE; at < size; at += PAGE)
        CHECK(slot->block[at] == slot->seed);
    if (size == slot->size && front < size)
        check_range(slot->block + size - FILLED, FILLED, slot->seed);
}

static void check_zero(const unsigned char *bytes, size_t size) {
    enum { WHOLE = 64 << 10 };
    check_range(bytes, size < WHOLE ? size : WHOLE, 0);
    for (size_t at = WHOLE; at < size; at += PAGE)
        CHECK(bytes[at] == 0);
    if (size > WHOLE)
        check_range(bytes + size - FILLED, FILLED, 0);
}

/* 0..255 bytes, or so many 16ths of a page, pages, 128 KiB. */
static size_t size_of(uint8_t what, uint8_t how_large) {
    static const unsigned shifts[] = {0, 8, 12, 17};
    return ((size_t)how_large << shifts[what >> 6]) + (what >> 4 & 3);
}

static void keep(struct run *run, struct slot *slot, void *block, size_t size) {
    if (!block)
        return; /* out of memory is an answer */
    slot->block = block;
    slot->size = size;
    slot->seed = ++run->seed;
    run->live += size;
    CHECK(sw_usable_size(run->heap, block) >= size);
    fill(slot);
}

static void allocate(struct run *run, struct slot *slot, unsigned call, size_t size) {
    enum sw_tag tag = (enum sw_tag)(size % SW_TAG_COUNT);
    if (run->live + size > LIVE_MAX)
        return;
    if (call == 0) {
        keep(run, slot, sw_alloc(run->heap, size, tag), size);
    } else if (call == 1) {
        unsigned char *block = sw_alloc_zeroed(run->heap, 1, size, tag);
        if (block)
            check_zero(block, size);
        keep(run, slot, block, size);
    } else {
        size_t alignment = (size_t)1 << (call % 4 * 4); /* 1, 16, 256, 4096 */
        void *block = sw_alloc_aligned(run->heap, alignment, size, tag);
        CHECK((uintptr_t)block % alignment == 0);
        keep(run, slot, block, size);
    }
}

static void release(struct run *run, struct slot *slot) {
    check(slot, slot->size);
    sw_free(run->heap, slot->block);
    run->live -= slot->size;
    slot->block = NULL;
}

static void resize(struct run *run, struct slot *slot, size_t size) {
    if (run->live + size > LIVE_MAX)
        return;
    struct slot old = *slot;
    unsigned char *moved = sw_realloc(run->heap, slot->block, size);
    if (!moved) {
        check(slot, slot->size);
        return;
    }
    old.block = moved;
    check(&old, size < old.size ? size : old.size);
    run->live -= old.size;
    keep(run, slot, moved, size);
}

static int check_block(const struct sw_block *block, void *context) {
    struct run *run = context;
    run->visited++;
    for (size_t i = 0; i < SLOTS; i++)
        if (run->slots[i].block == block->address)
            return run->slots[i].size > block->requested; /* 0 counts as 1 */
    return 1;
}

static size_t blocks_of(const struct run *run) {
    size_t blocks = 0;
    for (size_t i = 0; i < SLOTS; i++)
        blocks += run->slots[i].block != NULL;
    return blocks;
}

static void look(struct run *run) {
    struct sw_stats stats;
    CHECK(sw_heap_stats(run->heap, &stats, sizeof stats) == 0);
    CHECK(stats.resident.current <= stats.reserved.current);
    if (run->tracked) {
        CHECK(stats.requested.current >= run->live);
        CHECK(stats.requested.current <= stats.allocated.current);
        run->visited = 0;
        CHECK(sw_heap_visit(run->heap, check_block, run) == 0);
        CHECK(run->visited == blocks_of(run));
    }
    /* What others count, who have more than this heap, is not ours to say. */
    const char *strategy = sw_heap_strategy(run->heap);
    if (blocks_of(run) == 0 && strcmp(strategy, "system") != 0 && strcmp(strategy, "jemalloc") != 0)
        CHECK(stats.allocated.current == 0);
}

static void turn_step(struct run *run) {
    CHECK((run->in_step ? sw_step_end(run->heap) : sw_step_begin(run->heap)) == 0);
    run->in_step = !run->in_step;
}

static void call(struct run *run, uint8_t what, uint8_t where, uint8_t how_large) {
    struct slot *slot = &run->slots[where % SLOTS];
    unsigned which = what & 15;
    size_t size = size_of(what, how_large);
    if (which < 7 && !slot->block)
        allocate(run, slot, which, size);
    else if (which < 7 || which == 7)
        slot->block ? release(run, slot) : (void)0;
    else if (which < 11)
        slot->block ? resize(run, slot, size) : allocate(run, slot, 0, size);
    else if (which == 11)
        slot->block ? check(slot, slot->size) : (void)0;
    else if (which == 12)
        turn_step(run);
    else if (which == 13)
        look(run);
    else if (which == 14)
        sw_trim(run->heap);
}

static sw_heap *create(uint8_t strategy, uint8_t options, int *tracked) {
    size_t count = 1; /* there is one at least */
    while (sw_strategy_info(count))
        count++;
    char conf[160];
    *tracked = options & 1;
    snprintf(conf, sizeof conf, "tracking:%d,checked:%d,huge_pages:%s%s%s%s%s%s", options & 1,
             options >> 1 & 1, options & 4 ? "never" : "auto", options & 8 ? ",limit:32M" : "",
             options & 16 ? ",retain:1M" : "", options & 32 ? ",soft_limit:8M" : "",
             options & 64 ? ",background_thread:0" : "", options & 128 ? ",quarantine:64K" : "");
    return sw_heap_create(sw_strategy_info(strategy % count)->name, conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct run run = {0};
    if (size < 2)
        return 0;
    run.heap = create(data[0], data[1], &run.tracked);
    if (!run.heap) {
        CHECK(errno == ENOMEM || errno == ENOTSUP); /* no such strategy in this build */
        return 0;
    }
    size_t calls = (size - 2) / 3;
    for (size_t i = 0; i < calls && i < CALLS_MAX; i++)
        call(&run, data[2 + 3 * i], data[3 + 3 * i], data[4 + 3 * i]);
    for (size_t i = 0; i < SLOTS; i++)
        if (run.slots[i].block)
            release(&run, &run.slots[i]);
    look(&run);
    sw_heap_destroy(run.heap);
    return 0;
}
