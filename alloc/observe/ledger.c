/*
 * ledger.c - every live block of a heap: see ledger.h.
 *
 * The tables are open addressing with linear probing; a removed entry is closed by shifting those
 * behind it back (Knuth, The Art of Computer Programming 3, 6.4, algorithm R), so there are no
 * tombstones and a long-lived heap's tables stay as fast as a new one's.
 */
#include "observe/ledger.h"

#include "lock.h"
#include "meta.h"
#include "os.h"

#include <stdint.h>
#include <string.h>

/* An entry begins with its key, which is never 0: 0 marks a free place. */
struct table {
    char *places;
    size_t entry_size;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

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
    struct table blocks;
    struct table pages;
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

static uintptr_t *key_at(const struct table *table, size_t index) {
    return (uintptr_t *)(table->places + index * table->entry_size);
}

/* Where the key's probing starts: Fibonacci hashing of the address without its alignment bits. */
static size_t home_of(const struct table *table, uintptr_t key) {
    return (size_t)(((key >> 4) * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (table->capacity - 1);
}

/* The index of the key's entry, or of the free place where it would go. */
static size_t find(const struct table *table, uintptr_t key) {
    size_t index = home_of(table, key);
    while (*key_at(table, index) != 0 && *key_at(table, index) != key)
        index = (index + 1) & (table->capacity - 1);
    return index;
}

static void *look_up(const struct table *table, uintptr_t key) {
    if (!table->capacity)
        return NULL;
    uintptr_t *entry = key_at(table, find(table, key));
    return *entry ? entry : NULL;
}

/* The key's entry, made (all zero but the key) if there was none. Room has been ensured. */
static void *find_or_insert(struct table *table, uintptr_t key) {
    uintptr_t *entry = key_at(table, find(table, key));
    if (*entry == 0) {
        memset(entry, 0, table->entry_size);
        *entry = key;
        table->count++;
    }
    return entry;
}

static void erase(struct table *table, void *entry) {
    size_t mask = table->capacity - 1;
    size_t hole = (size_t)((char *)entry - table->places) / table->entry_size;
    for (size_t next = (hole + 1) & mask; *key_at(table, next) != 0; next = (next + 1) & mask) {
        size_t home = home_of(table, *key_at(table, next));
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            memcpy(key_at(table, hole), key_at(table, next), table->entry_size);
            hole = next;
        }
    }
    *key_at(table, hole) = 0;
    table->count--;
}

static size_t bytes_of(const struct table *table) {
    return table->capacity * table->entry_size;
}

/* Room for `wanted` entries at a load of 3/4 at most. */
static bool ensure_room(struct sw__ledger *ledger, struct table *table, size_t wanted) {
    size_t capacity = table->capacity ? table->capacity : SW__PAGE / table->entry_size;
    while (wanted > capacity / 4 * 3)
        capacity *= 2;
    if (capacity == table->capacity)
        return true;
    struct table larger = {sw__os_map(capacity * table->entry_size), table->entry_size, capacity,
                           0};
    if (!larger.places)
        return false;
    for (size_t i = 0; i < table->capacity; i++)
        if (*key_at(table, i) != 0)
            memcpy(find_or_insert(&larger, *key_at(table, i)), key_at(table, i), table->entry_size);
    sw__level_add(&ledger->metadata, bytes_of(&larger));
    if (table->capacity) {
        ledger->metadata.current -= bytes_of(table);
        sw__os_release(table->places, bytes_of(table));
    }
    *table = larger;
    return true;
}

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
    struct page_entry *entry = page ? find_or_insert(&ledger->pages, page) : NULL;
    if (entry && entry->blocks++ == 0)
        sw__level_add(&ledger->active, SW__PAGE);
}

static void untouch_page(struct sw__ledger *ledger, uintptr_t page) {
    struct page_entry *entry = page ? look_up(&ledger->pages, page) : NULL;
    if (entry && --entry->blocks == 0) {
        erase(&ledger->pages, entry);
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
    struct block_entry *entry = find_or_insert(&ledger->blocks, (uintptr_t)block->address);
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
    struct block_entry *entry = look_up(&ledger->blocks, (uintptr_t)address);
    if (!entry)
        return false;
    *block = block_of(entry);
    erase(&ledger->blocks, entry);
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

bool sw__ledger_remove(struct sw__ledger *ledger, const void *address, bool *worth_a_look) {
    struct sw_block block;
    sw__lock(&ledger->lock);
    *worth_a_look = is_worth_a_look(ledger);
    bool known = take_out(ledger, address, &block);
    ledger->frees += known;
    sw__unlock(&ledger->lock);
    return known;
}

bool sw__ledger_take(struct sw__ledger *ledger, const void *address, struct sw_block *block) {
    sw__lock(&ledger->lock);
    bool known = take_out(ledger, address, block);
    ledger->taken += known;
    sw__unlock(&ledger->lock);
    return known;
}

void sw__ledger_put_back(struct sw__ledger *ledger, const struct sw_block *block) {
    sw__lock(&ledger->lock);
    ledger->taken--;
    enter(ledger, block);
    sw__unlock(&ledger->lock);
}

bool sw__ledger_knows(struct sw__ledger *ledger, const void *address) {
    sw__lock(&ledger->lock);
    bool known = look_up(&ledger->blocks, (uintptr_t)address) != NULL;
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
    for (size_t i = 0; i < ledger->blocks.capacity && answer == 0; i++) {
        struct block_entry *entry = (struct block_entry *)key_at(&ledger->blocks, i);
        if (entry->address) {
            struct sw_block block = block_of(entry);
            answer = visitor(&block, context);
        }
    }
    sw__unlock(&ledger->lock);
    return answer;
}

/* ---- Fork ------------------------------------------------------------------------------------ */

void sw__ledger_lock(struct sw__ledger *ledger) {
    sw__lock(&ledger->lock);
}

void sw__ledger_unlock(struct sw__ledger *ledger) {
    sw__unlock(&ledger->lock);
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
    struct table *tables[] = {&ledger->blocks, &ledger->pages};
    for (int i = 0; i < 2; i++)
        if (tables[i]->capacity)
            sw__os_release(tables[i]->places, bytes_of(tables[i]));
    sw__os_release(ledger, SW__PAGE);
}
