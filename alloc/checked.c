/*
 * checked.c - a layer over any strategy that watches for misuse: see checked.h.
 *
 * A block is a part of a larger one of the strategy below. Canaries stand on both sides; a large
 * block ends at a page that cannot be accessed (the guard), so that the first write past the canary
 * faults, and heaps.c has the fault explained:
 *
 *     below's block  | .... | canary | bytes of the block | canary | guard |
 *                            FRONT    ^ start, aligned      BACK     PAGE
 *
 * The usable size is the requested size: there is no byte that may be used by accident. What is
 * known of a block is in a table by address, out of reach of what overruns. A new block is filled
 * with NEW, which every floating-point type reads as a NaN; a freed one with FREED, which makes no
 * valid address. A freed block goes into the quarantine, a queue of so many bytes at most, and
 * only when it comes out of it back to the strategy: until then a second free is told for certain,
 * and a write through an old pointer is seen in the poison. Of a large block the pages are closed
 * instead, so that a read faults too.
 *
 * Free lists need no encoding. No freed block is in one before it leaves the quarantine; and then
 * the strategy's links lie where the front canary was, before the first byte that an old pointer
 * has any business with.
 *
 * Realloc always moves: an old pointer that is used on is seen.
 *
 * Locks: one per shard of the table, one for the quarantine, never two at once (but round a fork:
 * quarantine, shards in order, then the strategy's).
 */
#include "checked.h"

#include "address_table.h"
#include "align.h"
#include "extents/treap.h"
#include "heaps.h"
#include "lock.h"
#include "os.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define FRONT ((size_t)48)
#define BACK  ((size_t)16)

_Static_assert(FRONT % SW_MIN_ALIGNMENT == 0, "canaries keep the alignment");
_Static_assert(FRONT >= sizeof(struct sw__treap_node), "links of free blocks lie before the start");

enum fill { CANARY = 0xc3, NEW = 0xff, FREED = 0xdb };

/* Of a larger block only the two ends are poisoned: an array of gigabytes that is used here and
 * there must not become resident. */
#define POISON_MAX ((size_t)1 << 20)
#define POISON_END ((size_t)64 << 10)

#define GUARDED_MIN (((size_t)32 << 10) + 1)
/* Each guard may be two mappings more, of the 65,530 that the kernel grants (vm.max_map_count).
 * Large blocks beyond so many have canaries alone. */
#define GUARDS_MAX 8192

#define QUARANTINE_BLOCKS ((size_t)1 << 16)
/* A closed block of at least a quarter of the quarantine gives its pages back, and then counts as a
 * sixteenth of its size. */
#define PURGED_PART    4
#define PURGED_LIGHTER 16

enum { SHARDS = 32 };

struct entry {
    char *start; /* its key in a table */
    char *base;  /* below's block */
    size_t size;
    uint8_t tag;
    bool freed;   /* in the quarantine */
    bool guarded; /* the page behind its last is closed */
    bool closed;  /* in the quarantine, and its whole pages cannot be accessed */
    bool purged;  /* and they have been given back */
};

struct shard {
    _Alignas(64) struct sw__lock lock;
    struct sw__address_table table;
};

struct quarantine {
    struct sw__lock lock;
    size_t first, count;
    size_t bytes, most;
    struct entry queue[QUARANTINE_BLOCKS];
};

struct sw__checked {
    struct sw__strategy slots; /* what heap.c calls */
    const struct sw__strategy *below;
    void *state;  /* below's */
    size_t limit; /* of bytes, below's; 0: none */
    _Atomic(size_t) allocated;
    _Atomic(size_t) metadata;
    _Atomic(size_t) guards;
    struct shard shards[SHARDS];
    struct quarantine quarantine;
};

/* ---- The table ------------------------------------------------------------------------------- */

static struct shard *shard_of(struct sw__checked *checked, const void *start) {
    return &checked->shards[sw__address_table_hash((uintptr_t)start) >> 59];
}

_Static_assert(SHARDS == 1 << (64 - 59), "the highest bits of the hash choose the shard");

static struct entry *find(const struct shard *shard, const void *start) {
    return sw__address_table_find(&shard->table, (uintptr_t)start);
}

/* False when out of memory. */
static bool enter(struct sw__checked *checked, const struct entry *entry) {
    struct shard *shard = shard_of(checked, entry->start);
    sw__lock(&shard->lock);
    size_t before = sw__address_table_bytes(&shard->table);
    bool room = sw__address_table_ensure_room(&shard->table, shard->table.count + 1);
    if (room) {
        checked->metadata += sw__address_table_bytes(&shard->table) - before;
        *(struct entry *)sw__address_table_enter(&shard->table, (uintptr_t)entry->start) = *entry;
    }
    sw__unlock(&shard->lock);
    return room;
}

static void erase(struct sw__checked *checked, const void *start) {
    struct shard *shard = shard_of(checked, start);
    sw__lock(&shard->lock);
    sw__address_table_erase(&shard->table, find(shard, start));
    sw__unlock(&shard->lock);
}

/* A copy of the entry of a live block; false if there is none. With mark, it is freed from now on:
 * of two frees at once, one finds it live. */
static bool look_up(struct sw__checked *checked, const void *start, struct entry *copy, bool mark) {
    struct shard *shard = shard_of(checked, start);
    sw__lock(&shard->lock);
    struct entry *entry = find(shard, start);
    bool live = entry && !entry->freed;
    if (live) {
        *copy = *entry;
        entry->freed = mark;
    }
    sw__unlock(&shard->lock);
    return live;
}

/* ---- Canaries and poison --------------------------------------------------------------------- */

static char *end_of(const struct entry *entry) {
    return entry->start + entry->size;
}

static char *guard_of(const struct entry *entry) {
    return (char *)sw__align_up((uintptr_t)end_of(entry), SW__PAGE);
}

static size_t back_canary(const struct entry *entry) {
    return entry->guarded ? (size_t)(guard_of(entry) - end_of(entry)) : BACK;
}

/* The first byte that is another; NULL if there is none. */
static const char *first_other(const char *start, size_t size, unsigned char byte) {
    if (size == 0 || ((unsigned char)start[0] == byte && !memcmp(start, start + 1, size - 1)))
        return NULL;
    while ((unsigned char)*start == byte)
        start++;
    return start;
}

static void poison(char *start, size_t size, enum fill fill) {
    if (size <= POISON_MAX) {
        memset(start, fill, size);
        return;
    }
    memset(start, fill, POISON_END);
    memset(start + size - POISON_END, fill, POISON_END);
}

static const char *first_unpoisoned(const char *start, size_t size, enum fill fill) {
    if (size <= POISON_MAX)
        return first_other(start, size, fill);
    const char *other = first_other(start, POISON_END, fill);
    return other ? other : first_other(start + size - POISON_END, POISON_END, fill);
}

/* How much of a freed block is poisoned: all, or what lies before its closed pages. */
static size_t poisoned_size(const struct entry *entry) {
    return entry->closed ? -(uintptr_t)entry->start & (SW__PAGE - 1) : entry->size;
}

_Noreturn static void report(enum sw__misuse what, const struct entry *entry, const char *at) {
    char details[160];
    snprintf(details, sizeof details, "at byte %td of the block of %zu bytes at %p, tagged %s",
             at - entry->start, entry->size, (void *)entry->start,
             sw_tag_name((enum sw_tag)entry->tag));
    sw__misuse(what, details);
}

static void check_canaries(const struct entry *entry) {
    const char *at = first_other(entry->start - FRONT, FRONT, CANARY);
    if (at)
        report(SW__MISUSE_UNDERRUN, entry, at);
    at = entry->closed ? NULL : first_other(end_of(entry), back_canary(entry), CANARY);
    if (at)
        report(SW__MISUSE_OVERRUN, entry, at);
}

static void check_freed(const struct entry *entry) {
    const char *at = first_unpoisoned(entry->start, poisoned_size(entry), FREED);
    if (at)
        report(SW__MISUSE_USE_AFTER_FREE, entry, at);
    check_canaries(entry);
}

/* ---- Guards ---------------------------------------------------------------------------------- */

static bool take_guard(struct sw__checked *checked) {
    if (atomic_fetch_add(&checked->guards, 1) < GUARDS_MAX)
        return true;
    checked->guards--;
    return false;
}

/* Takes access to a freed block's whole pages away, up to and with the guard. */
static void close_pages(struct entry *entry, bool purge) {
    char *first = (char *)sw__align_up((uintptr_t)entry->start, SW__PAGE);
    size_t size = (size_t)(guard_of(entry) + SW__PAGE - first);
    entry->closed = sw__os_set_access(first, size, false);
    entry->purged = entry->closed && purge && sw__os_purge(first, size);
}

/* Opens whatever was closed. False if the kernel would not: it may be out of mappings. */
static bool open_pages(struct sw__checked *checked, const struct entry *entry) {
    if (!entry->guarded)
        return true;
    char *first =
        entry->closed ? (char *)sw__align_up((uintptr_t)entry->start, SW__PAGE) : guard_of(entry);
    if (!sw__os_set_access(first, (size_t)(guard_of(entry) + SW__PAGE - first), true))
        return false;
    checked->guards--;
    return true;
}

/* ---- The quarantine -------------------------------------------------------------------------- */

static size_t weight_of(const struct entry *entry) {
    return FRONT + entry->size / (entry->purged ? PURGED_LIGHTER : 1) + BACK;
}

/* A block that cannot be opened now stays away until the heap ends. */
static void let_go(struct sw__checked *checked, const struct entry *entry) {
    if (!open_pages(checked, entry))
        return;
    check_freed(entry);
    erase(checked, entry->start);
    checked->below->free(checked->state, entry->base);
}

/* Under the lock. */
static struct entry take_oldest(struct quarantine *quarantine) {
    struct entry oldest = quarantine->queue[quarantine->first];
    quarantine->first = (quarantine->first + 1) % QUARANTINE_BLOCKS;
    quarantine->count--;
    quarantine->bytes -= weight_of(&oldest);
    return oldest;
}

/* The oldest make room. What weighs more than all the room is in it alone. */
static void quarantine_block(struct sw__checked *checked, const struct entry *entry) {
    struct quarantine *quarantine = &checked->quarantine;
    size_t weight = weight_of(entry);
    sw__lock(&quarantine->lock);
    while (quarantine->count && (quarantine->count == QUARANTINE_BLOCKS ||
                                 quarantine->bytes + weight > quarantine->most)) {
        struct entry oldest = take_oldest(quarantine);
        sw__unlock(&quarantine->lock);
        let_go(checked, &oldest);
        sw__lock(&quarantine->lock);
    }
    quarantine->queue[(quarantine->first + quarantine->count) % QUARANTINE_BLOCKS] = *entry;
    quarantine->count++;
    quarantine->bytes += weight;
    sw__unlock(&quarantine->lock);
}

/* False when there was nothing. */
static bool empty_quarantine(struct sw__checked *checked) {
    struct quarantine *quarantine = &checked->quarantine;
    bool any = false;
    sw__lock(&quarantine->lock);
    for (; quarantine->count; any = true) {
        struct entry oldest = take_oldest(quarantine);
        sw__unlock(&quarantine->lock);
        let_go(checked, &oldest);
        sw__lock(&quarantine->lock);
    }
    sw__unlock(&quarantine->lock);
    return any;
}

/* ---- What is wrong with a pointer ------------------------------------------------------------ */

static bool is_around(const struct entry *entry, const char *pointer) {
    const char *end = entry->guarded ? guard_of(entry) + SW__PAGE : end_of(entry) + BACK;
    return entry->base <= pointer && pointer < end;
}

/* The block, live or freed, that the pointer points into, with what belongs to it on both sides.
 * Looks at all of them: the process is about to end, or the pointer is a stranger's. */
static bool find_around(struct sw__checked *checked, const void *pointer, struct entry *found) {
    bool inside = false;
    for (int i = 0; i < SHARDS && !inside; i++) {
        struct shard *shard = &checked->shards[i];
        sw__lock(&shard->lock);
        const struct entry *entry = NULL;
        while (!inside && (entry = sw__address_table_next(&shard->table, entry))) {
            *found = *entry;
            inside = is_around(found, pointer);
        }
        sw__unlock(&shard->lock);
    }
    return inside;
}

enum sw__standing sw__checked_standing(struct sw__checked *checked, const void *pointer) {
    struct shard *shard = shard_of(checked, pointer);
    sw__lock(&shard->lock);
    const struct entry *entry = find(shard, pointer);
    enum sw__standing standing = !entry ? SW__UNKNOWN : entry->freed ? SW__FREED : SW__LIVE;
    sw__unlock(&shard->lock);
    struct entry around;
    if (standing == SW__UNKNOWN && find_around(checked, pointer, &around))
        standing = SW__INSIDE;
    return standing;
}

_Noreturn void sw__checked_misuse_free(struct sw__checked *checked, const void *pointer) {
    struct entry entry;
    if (find_around(checked, pointer, &entry))
        report(entry.start == pointer ? SW__MISUSE_FREE_TWICE : SW__MISUSE_FREE_INSIDE, &entry,
               pointer);
    if (sw__heaps_have_live(pointer))
        sw__misuse(SW__MISUSE_FREE_ELSEWHERE, NULL);
    sw__misuse_free();
}

void sw__checked_explain_fault(struct sw__checked *checked, const void *address) {
    struct entry entry;
    if (!find_around(checked, address, &entry))
        return;
    if (entry.freed)
        report(SW__MISUSE_USE_AFTER_FREE, &entry, address);
    if (entry.guarded && (const char *)address >= end_of(&entry))
        report(SW__MISUSE_OVERRUN, &entry, address);
}

void sw__checked_verify(struct sw__checked *checked) {
    for (int i = 0; i < SHARDS; i++) {
        struct shard *shard = &checked->shards[i];
        sw__lock(&shard->lock);
        for (const struct entry *entry = NULL;
             (entry = sw__address_table_next(&shard->table, entry));)
            if (!entry->freed)
                check_canaries(entry);
        sw__unlock(&shard->lock);
    }
    struct quarantine *quarantine = &checked->quarantine;
    sw__lock(&quarantine->lock);
    for (size_t i = 0; i < quarantine->count; i++)
        check_freed(&quarantine->queue[(quarantine->first + i) % QUARANTINE_BLOCKS]);
    sw__unlock(&quarantine->lock);
}

/* ---- The slots ------------------------------------------------------------------------------- */

/* What to ask of below, whose blocks are aligned to SW_MIN_ALIGNMENT. */
static size_t room_for(size_t size, size_t alignment, bool guarded) {
    if (!guarded)
        return FRONT + (alignment - SW_MIN_ALIGNMENT) + size + BACK;
    if (alignment <= SW__PAGE)
        return FRONT + sw__align_up(size, alignment) + 2 * SW__PAGE;
    return FRONT + alignment + sw__align_up(size, SW__PAGE) + SW__PAGE;
}

/* Where in below's block the block starts: as near to its guard as the alignment lets it. */
static char *place_in(char *base, size_t room, size_t size, size_t alignment, bool guarded) {
    if (!guarded || alignment > SW__PAGE)
        return (char *)sw__align_up((uintptr_t)base + FRONT, alignment);
    uintptr_t guard = sw__align_down((uintptr_t)base + room - SW__PAGE, SW__PAGE);
    return (char *)(guard - sw__align_up(size, alignment));
}

static char *ask_below(struct sw__checked *checked, size_t size, enum sw_tag tag, bool zeroed) {
    const struct sw__strategy *below = checked->below;
    if (size > PTRDIFF_MAX)
        return NULL;
    if (zeroed && below->alloc_zeroed)
        return below->alloc_zeroed(checked->state, size, tag);
    char *base = below->alloc(checked->state, size, SW_MIN_ALIGNMENT, tag);
    return base && zeroed ? memset(base, 0, size) : base;
}

/* Not all that is watched goes for what nobody can have: programs ask for that to see whether they
 * can. */
static char *obtain(struct sw__checked *checked, size_t size, enum sw_tag tag, bool zeroed) {
    char *base = ask_below(checked, size, tag, zeroed);
    while (!base && sw__os_could_serve(checked->limit, size, SW_MIN_ALIGNMENT) &&
           empty_quarantine(checked))
        base = ask_below(checked, size, tag, zeroed);
    return base;
}

static void dress(const struct entry *entry, bool zeroed) {
    memset(entry->start - FRONT, CANARY, FRONT);
    memset(end_of(entry), CANARY, back_canary(entry));
    if (!zeroed)
        poison(entry->start, entry->size, NEW);
}

static void *allocate(struct sw__checked *checked, size_t size, size_t alignment, enum sw_tag tag,
                      bool zeroed) {
    bool guarded = size >= GUARDED_MIN && take_guard(checked);
    size_t room = room_for(size, alignment, guarded);
    char *base = obtain(checked, room, tag, zeroed);
    if (!base) {
        checked->guards -= guarded;
        return NULL;
    }
    struct entry entry = {.base = base, .size = size, .tag = (uint8_t)tag};
    entry.start = place_in(base, room, size, alignment, guarded);
    entry.guarded = guarded && sw__os_set_access(guard_of(&entry), SW__PAGE, false);
    checked->guards -= guarded && !entry.guarded;
    dress(&entry, zeroed);
    if (!enter(checked, &entry)) {
        if (open_pages(checked, &entry))
            checked->below->free(checked->state, base);
        return NULL;
    }
    checked->allocated += size;
    return entry.start;
}

static void *alloc(void *state, size_t size, size_t alignment, enum sw_tag tag) {
    return allocate(state, size, alignment, tag, false);
}

static void *alloc_zeroed(void *state, size_t size, enum sw_tag tag) {
    return allocate(state, size, SW_MIN_ALIGNMENT, tag, true);
}

static void give_back(void *state, void *block) {
    struct sw__checked *checked = state;
    struct entry entry;
    if (!look_up(checked, block, &entry, true))
        sw__checked_misuse_free(checked, block);
    check_canaries(&entry);
    checked->allocated -= entry.size;
    if (entry.guarded)
        close_pages(&entry, entry.size >= checked->quarantine.most / PURGED_PART);
    poison(entry.start, poisoned_size(&entry), FREED);
    quarantine_block(checked, &entry);
}

static void *resize(void *state, void *block, size_t size) {
    struct sw__checked *checked = state;
    struct entry old;
    if (!look_up(checked, block, &old, false))
        sw__misuse(SW__MISUSE_REALLOC, NULL);
    void *moved = allocate(checked, size, SW_MIN_ALIGNMENT, (enum sw_tag)old.tag, false);
    if (!moved)
        return NULL;
    memcpy(moved, block, old.size < size ? old.size : size);
    give_back(checked, block);
    return moved;
}

static size_t usable_size(void *state, const void *block) {
    struct entry entry;
    if (!look_up(state, block, &entry, false))
        sw__misuse(SW__MISUSE_USABLE_SIZE, NULL);
    return entry.size;
}

static void step_begin(void *state) {
    struct sw__checked *checked = state;
    checked->below->step_begin(checked->state);
}

static void step_end(void *state) {
    struct sw__checked *checked = state;
    checked->below->step_end(checked->state);
}

static size_t trim(void *state) {
    struct sw__checked *checked = state;
    empty_quarantine(checked);
    return checked->below->trim ? checked->below->trim(checked->state) : 0;
}

static void stats(void *state, struct sw__strategy_stats *stats) {
    struct sw__checked *checked = state;
    checked->below->stats(checked->state, stats);
    stats->allocated = checked->allocated;
    stats->metadata.current += checked->metadata;
    stats->metadata.peak += checked->metadata;
}

static size_t metadata_present(void *state) {
    struct sw__checked *checked = state;
    const struct sw__strategy *below = checked->below;
    size_t present = below->metadata_present ? below->metadata_present(checked->state) : 0;
    for (int i = 0; i < SHARDS; i++) {
        sw__lock(&checked->shards[i].lock);
        present += sw__address_table_present(&checked->shards[i].table);
        sw__unlock(&checked->shards[i].lock);
    }
    return present + sw__os_resident(checked, sw__align_up(sizeof *checked, SW__PAGE));
}

static size_t largest_free(void *state) {
    struct sw__checked *checked = state;
    return checked->below->largest_free(checked->state);
}

static void visit_ranges(void *state, sw__range_visitor *visitor, void *context) {
    struct sw__checked *checked = state;
    checked->below->visit_ranges(checked->state, visitor, context);
}

static void visit_sizes(void *state, sw__size_visitor *visitor, void *context) {
    struct sw__checked *checked = state;
    for (int i = 0; i < SHARDS; i++) {
        struct shard *shard = &checked->shards[i];
        sw__lock(&shard->lock);
        for (const struct entry *entry = NULL;
             (entry = sw__address_table_next(&shard->table, entry));)
            if (!entry->freed)
                visitor(context, entry->size, entry->size);
        sw__unlock(&shard->lock);
    }
}

static void visit_locks(void *state, sw__lock_visitor *visitor, void *context) {
    struct sw__checked *checked = state;
    visitor(context, &checked->quarantine.lock);
    for (int i = 0; i < SHARDS; i++)
        visitor(context, &checked->shards[i].lock);
    if (checked->below->visit_locks)
        checked->below->visit_locks(checked->state, visitor, context);
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* A block that is live at the end of its heap, or was not let go. Every guard is opened: what below
 * gives back to the system may be handed to others without a look. */
static void end_block(struct sw__checked *checked, struct entry *entry) {
    if (!entry->freed)
        check_canaries(entry);
    entry->closed = entry->freed;
    if (open_pages(checked, entry) && checked->below->blocks_outlive_state)
        checked->below->free(checked->state, entry->base);
}

static void destroy(void *state) {
    struct sw__checked *checked = state;
    empty_quarantine(checked);
    for (int i = 0; i < SHARDS; i++) {
        struct sw__address_table *table = &checked->shards[i].table;
        for (struct entry *entry = NULL; (entry = sw__address_table_next(table, entry));)
            end_block(checked, entry);
        sw__address_table_release(table);
    }
    checked->below->destroy(checked->state);
    sw__os_release(checked, sw__align_up(sizeof *checked, SW__PAGE));
}

struct sw__checked *sw__checked_create(const struct sw__strategy *below, void *state,
                                       size_t quarantine, size_t limit) {
    size_t size = sw__align_up(sizeof(struct sw__checked), SW__PAGE);
    struct sw__checked *checked = sw__os_map(size);
    if (!checked)
        return NULL;
    checked->below = below;
    checked->state = state;
    checked->metadata = size;
    for (int i = 0; i < SHARDS; i++)
        checked->shards[i].table.entry_size = sizeof(struct entry);
    checked->quarantine.most = quarantine;
    checked->limit = limit;
    checked->slots = (struct sw__strategy){
        .info = below->info,
        .destroy = destroy,
        .alloc = alloc,
        .alloc_zeroed = alloc_zeroed,
        .free = give_back,
        .realloc = resize,
        .usable_size = usable_size,
        .step_begin = below->step_begin ? step_begin : NULL,
        .step_end = below->step_end ? step_end : NULL,
        .trim = trim,
        .trim_unknown = below->trim_unknown,
        .stats = stats,
        .metadata_present = metadata_present,
        .largest_free = largest_free,
        .visit_ranges = below->visit_ranges ? visit_ranges : NULL,
        .visit_sizes = visit_sizes,
        .visit_locks = visit_locks,
        .in_page_map = below->in_page_map,
    };
    return checked;
}

const struct sw__strategy *sw__checked_strategy(const struct sw__checked *checked) {
    return &checked->slots;
}
