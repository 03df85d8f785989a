/*
 * ledger.c - every live block of a heap: see ledger.h.
 */
#include "observe/ledger.h"

#include "address_table.h"
#include "lock.h"
#include "meta.h"
#include "os.h"

#include <stdint.h>
#include <string.h>

struct block_entry {
    uintptr_t address;
    size_t requested;
    size_t allocated;
    uint64_t birth; /* step << 8 | tag */
};

struct page_entry {
    uintptr_t page;
    size_t blocks; /* how many live blocks touch it */
};

struct tag_counts {
    struct sw_level requested, allocated, blocks;
    size_t survivors, survivor_bytes;
    size_t young, young_bytes; /* born in the step that is open */
};

struct sw__ledger {
    struct sw__lock lock;
    struct sw__address_table blocks;
    struct sw__address_table pages;
    size_t taken; /* blocks whose room is kept for put_back */

    bool in_step;
    uint64_t step;           /* the open one, or the last that ended; 0 before the first */
    size_t looked_at;        /* the highest requested at which resident was asked for */
    uint64_t looked_in_step; /* and the last step in which it was */
    size_t last_step_survivors, last_step_survivor_bytes;

    struct sw_level requested, allocated, active, live;
    size_t allocs, frees;
    struct sw_level metadata;
    struct tag_counts tags[SW_TAG_COUNT];

    struct sw_step_end step_ends[SW_STEP_ENDS]; /* of steps that are multiples of the stride */
    size_t step_end_count;
    uint64_t stride; /* a power of two */
};

/* ---- The tables ------------------------------------------------------------------------------ */

static bool ensure_room(struct sw__ledger *ledger, struct sw__address_table *table, size_t wanted) {
    size_t before = sw__address_table_bytes(table);
    bool room = sw__address_table_ensure_room(table, wanted);
    size_t after = sw__address_table_bytes(table);
    if (after > before) { /* for a moment there were both */
        sw__level_add(&ledger->metadata, after);
        ledger->metadata.current -= before;
    }
    return room;
}

/* For a block that comes, or was taken and comes back at an address that may lie on two new pages. */
static bool ensure_room_for_one_more(struct sw__ledger *ledger) {
    size_t blocks = ledger->taken + 1;
    return ensure_room(ledger, &ledger->blocks, ledger->blocks.count + blocks) &&
           ensure_room(ledger, &ledger->pages, ledger->pages.count + 2 * blocks);
}

/* ---- Counting -------------------------------------------------------------------------------- */

/* Pages at the block's two ends that it may share with others, 0 where it covers the page's end. */
static void shared_pages(uintptr_t start, uintptr_t end, uintptr_t *first, uintptr_t *last) {
    uintptr_t first_page = start & ~(SW__PAGE - 1);
    uintptr_t last_page = (end - 1) & ~(SW__PAGE - 1);
    bool one_page = first_page == last_page;
    *first = (start & (SW__PAGE - 1)) || (one_page && (end & (SW__PAGE - 1))) ? first_page : 0;
    *last = !one_page && (end & (SW__PAGE - 1)) ? last_page : 0;
}

static size_t own_pages(uintptr_t start, uintptr_t end, uintptr_t first, uintptr_t last) {
    size_t touched = (((end - 1) >> SW__PAGE_SHIFT) - (start >> SW__PAGE_SHIFT)) + 1;
    return (touched - (first != 0) - (last != 0)) << SW__PAGE_SHIFT;
}

static void touch_page(struct sw__ledger *ledger, uintptr_t page) {
    struct page_entry *entry = page ? sw__address_table_enter(&ledger->pages, page) : NULL;
    if (entry && entry->blocks++ == 0)
        sw__level_add(&ledger->active, SW__PAGE);
}

static void untouch_page(struct sw__ledger *ledger, uintptr_t page) {
    struct page_entry *entry = page ? sw__address_table_find(&ledger->pages, page) : NULL;
    if (entry && --entry->blocks == 0) {
        sw__address_table_erase(&ledger->pages, entry);
        ledger->active.current -= SW__PAGE;
    }
}

static bool born_in_open_step(const struct sw__ledger *ledger, uint64_t born) {
    return ledger->in_step && born == ledger->step;
}

static void count_in(struct sw__ledger *ledger, const struct sw_block *block) {
    uintptr_t start = (uintptr_t)block->address, end = start + block->allocated;
    uintptr_t first, last;
    shared_pages(start, end, &first, &last);
    sw__level_add(&ledger->active, own_pages(start, end, first, last));
    touch_page(ledger, first);
    touch_page(ledger, last);

    struct tag_counts *tag = &ledger->tags[block->tag];
    sw__level_add(&ledger->requested, block->requested);
    sw__level_add(&ledger->allocated, block->allocated);
    sw__level_add(&ledger->live, 1);
    sw__level_add(&tag->requested, block->requested);
    sw__level_add(&tag->allocated, block->allocated);
    sw__level_add(&tag->blocks, 1);
    if (born_in_open_step(ledger, block->born_step)) {
        tag->young++;
        tag->young_bytes += block->requested;
    } else if (block->born_step) {
        tag->survivors++;
        tag->survivor_bytes += block->requested;
    }
}

static void count_out(struct sw__ledger *ledger, const struct sw_block *block) {
    uintptr_t start = (uintptr_t)block->address, end = start + block->allocated;
    uintptr_t first, last;
    shared_pages(start, end, &first, &last);
    ledger->active.current -= own_pages(start, end, first, last);
    untouch_page(ledger, first);
    untouch_page(ledger, last);

    struct tag_counts *tag = &ledger->tags[block->tag];
    ledger->requested.current -= block->requested;
    ledger->allocated.current -= block->allocated;
    ledger->live.current--;
    tag->requested.current -= block->requested;
    tag->allocated.current -= block->allocated;
    tag->blocks.current--;
    if (born_in_open_step(ledger, block->born_step)) {
        tag->young--;
        tag->young_bytes -= block->requested;
    } else if (block->born_step) {
        tag->survivors--;
        tag->survivor_bytes -= block->requested;
    }
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

static void enter(struct sw__ledger *ledger, const struct sw_block *block) {
    struct block_entry *entry = sw__address_table_enter(&ledger->blocks, (uintptr_t)block->address);
    entry->requested = block->requested;
    entry->allocated = block->allocated;
    entry->birth = block->born_step << 8 | block->tag;
    count_in(ledger, block);
}

static struct sw_block block_of(const struct block_entry *entry) {
    return (struct sw_block){.address = (const void *)entry->address,
                             .requested = entry->requested,
                             .allocated = entry->allocated,
                             .tag = (enum sw_tag)(entry->birth & 0xff),
                             .born_step = entry->birth >> 8};
}

static bool take_out(struct sw__ledger *ledger, const void *address, struct sw_block *block) {
    struct block_entry *entry = sw__address_table_find(&ledger->blocks, (uintptr_t)address);
    if (!entry)
        return false;
    *block = block_of(entry);
    sw__address_table_erase(&ledger->blocks, entry);
    count_out(ledger, block);
    return true;
}

bool sw__ledger_add(struct sw__ledger *ledger, const struct sw_block *block) {
    sw__lock(&ledger->lock);
    bool room = ensure_room_for_one_more(ledger);
    if (room) {
        struct sw_block newborn = *block;
        newborn.born_step = ledger->in_step ? ledger->step : 0;
        enter(ledger, &newborn);
        ledger->allocs++;
    }
    sw__unlock(&ledger->lock);
    return room;
}

/* Steps 1, 2, 4, 8, ... are looked into: often enough to see growth, seldom enough to cost nothing.
 */
static bool step_is_looked_into(const struct sw__ledger *ledger) {
    return ledger->in_step && (ledger->step & (ledger->step - 1)) == 0;
}

static bool is_worth_a_look(struct sw__ledger *ledger) {
    size_t now = ledger->requested.current;
    if (now > ledger->looked_at + ledger->looked_at / 32 && now == ledger->requested.peak) {
        ledger->looked_at = now;
        return true;
    }
    if (step_is_looked_into(ledger) && ledger->looked_in_step != ledger->step &&
        now >= ledger->requested.peak - ledger->requested.peak / 32) {
        ledger->looked_in_step = ledger->step;
        return true;
    }
    return false;
}

static enum sw__taken remove(struct sw__ledger *ledger, const void *address) {
    struct sw_block block;
    if (is_worth_a_look(ledger))
        return SW__TAKEN_LOOK_FIRST;
    if (!take_out(ledger, address, &block))
        return SW__TAKEN_UNKNOWN;
    ledger->frees++;
    return SW__TAKEN;
}

enum sw__taken sw__ledger_remove(struct sw__ledger *ledger, const void *address) {
    sw__lock(&ledger->lock);
    enum sw__taken taken = remove(ledger, address);
    sw__unlock(&ledger->lock);
    return taken;
}

static bool is_live(const struct sw__ledger *ledger, const void *address) {
    return sw__address_table_find(&ledger->blocks, (uintptr_t)address) != NULL;
}

static bool becomes_smaller(const struct sw__ledger *ledger, const void *address, size_t size) {
    const struct block_entry *entry = sw__address_table_find(&ledger->blocks, (uintptr_t)address);
    return entry && size < entry->requested;
}

static enum sw__taken take(struct sw__ledger *ledger, const void *address, size_t size, bool stays,
                           struct sw_block *block) {
    if (becomes_smaller(ledger, address, size) && is_worth_a_look(ledger))
        return SW__TAKEN_LOOK_FIRST;
    if (!stays && !ensure_room_for_one_more(ledger))
        return is_live(ledger, address) ? SW__TAKEN_NO_ROOM : SW__TAKEN_UNKNOWN;
    if (!take_out(ledger, address, block))
        return SW__TAKEN_UNKNOWN;
    ledger->taken++;
    return SW__TAKEN;
}

enum sw__taken sw__ledger_take(struct sw__ledger *ledger, const void *address, size_t size,
                               bool stays, struct sw_block *block) {
    sw__lock(&ledger->lock);
    enum sw__taken taken = take(ledger, address, size, stays, block);
    sw__unlock(&ledger->lock);
    return taken;
}

void sw__ledger_put_back(struct sw__ledger *ledger, const struct sw_block *block) {
    sw__lock(&ledger->lock);
    ledger->taken--;
    enter(ledger, block);
    sw__unlock(&ledger->lock);
}

bool sw__ledger_knows(struct sw__ledger *ledger, const void *address) {
    sw__lock(&ledger->lock);
    bool known = is_live(ledger, address);
    sw__unlock(&ledger->lock);
    return known;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

void sw__ledger_step_begin(struct sw__ledger *ledger, uint64_t step) {
    sw__lock(&ledger->lock);
    ledger->in_step = true;
    ledger->step = step;
    sw__unlock(&ledger->lock);
}

/* What is young becomes a survivor. O(tags), however many blocks there are. */
static void grow_old(struct sw__ledger *ledger) {
    ledger->last_step_survivors = 0;
    ledger->last_step_survivor_bytes = 0;
    for (int i = 0; i < SW_TAG_COUNT; i++) {
        struct tag_counts *tag = &ledger->tags[i];
        ledger->last_step_survivors += tag->young;
        ledger->last_step_survivor_bytes += tag->young_bytes;
        tag->survivors += tag->young;
        tag->survivor_bytes += tag->young_bytes;
        tag->young = 0;
        tag->young_bytes = 0;
    }
}

/* Of the step ends kept every second stays. */
static void double_stride(struct sw__ledger *ledger) {
    size_t kept = 0;
    ledger->stride *= 2;
    for (size_t i = 0; i < ledger->step_end_count; i++)
        if (ledger->step_ends[i].step % ledger->stride == 0)
            ledger->step_ends[kept++] = ledger->step_ends[i];
    ledger->step_end_count = kept;
}

static void keep_step_end(struct sw__ledger *ledger) {
    if (ledger->step_end_count == SW_STEP_ENDS)
        double_stride(ledger);
    if (ledger->step % ledger->stride == 0)
        ledger->step_ends[ledger->step_end_count++] =
            (struct sw_step_end){ledger->step, ledger->requested.current};
}

void sw__ledger_step_end(struct sw__ledger *ledger) {
    sw__lock(&ledger->lock);
    grow_old(ledger);
    keep_step_end(ledger);
    ledger->in_step = false;
    sw__unlock(&ledger->lock);
}

/* ---- Telling --------------------------------------------------------------------------------- */

void sw__ledger_stats(struct sw__ledger *ledger, struct sw_stats *stats) {
    sw__lock(&ledger->lock);
    stats->tracked = true;
    stats->requested = ledger->requested;
    stats->allocated = ledger->allocated;
    stats->active = ledger->active;
    stats->blocks = ledger->live;
    stats->metadata.current += ledger->metadata.current;
    stats->metadata.peak += ledger->metadata.peak;
    stats->last_step_survivors = ledger->last_step_survivors;
    stats->last_step_survivor_bytes = ledger->last_step_survivor_bytes;
    stats->allocs = ledger->allocs;
    stats->frees = ledger->frees;
    stats->step_end_count = ledger->step_end_count;
    memcpy(stats->step_ends, ledger->step_ends, sizeof stats->step_ends);
    for (int i = 0; i < SW_TAG_COUNT; i++) {
        const struct tag_counts *tag = &ledger->tags[i];
        stats->survivors += tag->survivors;
        stats->survivor_bytes += tag->survivor_bytes;
        stats->tags[i] = (struct sw_tag_stats){tag->requested, tag->allocated, tag->blocks,
                                               tag->survivors, tag->survivor_bytes};
    }
    sw__unlock(&ledger->lock);
}

int sw__ledger_visit(struct sw__ledger *ledger, int (*visitor)(const struct sw_block *, void *),
                     void *context) {
    sw__lock(&ledger->lock);
    int answer = 0;
    const struct block_entry *entry = NULL;
    while (answer == 0 && (entry = sw__address_table_next(&ledger->blocks, entry))) {
        struct sw_block block = block_of(entry);
        answer = visitor(&block, context);
    }
    sw__unlock(&ledger->lock);
    return answer;
}

struct sw__lock *sw__ledger_lock_of(struct sw__ledger *ledger) {
    return &ledger->lock;
}

size_t sw__ledger_metadata_present(struct sw__ledger *ledger) {
    sw__lock(&ledger->lock);
    size_t present = sw__address_table_present(&ledger->blocks) +
                     sw__address_table_present(&ledger->pages) + sw__os_resident(ledger, SW__PAGE);
    sw__unlock(&ledger->lock);
    return present;
}

/* ---- Its life -------------------------------------------------------------------------------- */

struct sw__ledger *sw__ledger_create(void) {
    struct sw__ledger *ledger = sw__os_map(SW__PAGE);
    _Static_assert(sizeof *ledger <= SW__PAGE, "the ledger's head is one page");
    if (ledger) {
        ledger->blocks.entry_size = sizeof(struct block_entry);
        ledger->pages.entry_size = sizeof(struct page_entry);
        ledger->stride = 1;
        sw__level_add(&ledger->metadata, SW__PAGE);
    }
    return ledger;
}

void sw__ledger_destroy(struct sw__ledger *ledger) {
    sw__address_table_release(&ledger->blocks);
    sw__address_table_release(&ledger->pages);
    sw__os_release(ledger, SW__PAGE);
}
