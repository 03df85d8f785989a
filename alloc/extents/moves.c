/*
 * moves.c - pages of one extent become another's: see moves.h.
 */
#include "moves.h"

#include "align.h"

/* How many free extents are asked for their pages, the largest first, before a new extent does
 * without. */
#define MOST_DONORS 64
/* A run of pages of a live extent that is longer moves in parts: it takes as much address space. */
#define MOST_AT_ONCE ((size_t)64 << 20)

/* ---- From free extents to a live one --------------------------------------------------------- */

/* Where pages are wanted: the untouched grains of a range, from its end downwards. */
struct hole {
    struct sw__region *region;
    char *start, *end;
    enum sw__grain grain;
};

/* Moves full grains from [start, end) into the hole until `wanted` bytes came or either has no
 * more. From the ends of both, downwards: the end of a free extent is used last, and neighbours
 * that move together stay one mapping. Returns the bytes moved. */
static size_t move_from(struct sw__region *region, char *start, char *end, struct hole *hole,
                        size_t wanted) {
    size_t moved = 0;
    struct sw__passage passage = {
        .from = &region->pages, .to = &hole->region->pages, .grain = hole->grain};
    while (moved < wanted) {
        passage.empty = sw__pages_last_empty(passage.to, hole->start, hole->end, hole->grain);
        passage.full = sw__pages_last_full(passage.from, start, end, hole->grain);
        if (!passage.empty || !passage.full)
            break;
        passage.size = sw__grain_size(hole->grain);
        sw__passage_widen(&passage, start, hole->start, wanted - moved);
        hole->end = passage.empty;
        end = passage.full;
        sw__extents_close_witnesses(region->extents, passage.full, passage.size);
        if (sw__passage_move(&passage))
            moved += passage.size;
    }
    return moved;
}

/* Fills untouched grains with those of one side's free extents, the largest first. Returns the
 * bytes moved. */
static size_t move_from_side(struct sw__side *side, struct hole *hole, size_t wanted) {
    size_t size = SIZE_MAX, moved = 0;
    uintptr_t address = 0;
    if (!sw__pages_last_empty(&hole->region->pages, hole->start, hole->end, hole->grain))
        return 0;
    for (int tries = 0; moved < wanted && tries < MOST_DONORS; tries++) {
        struct sw__treap_node *node = sw__size_index_below(&side->dirty, size, address);
        if (!node || node->size < sw__grain_size(hole->grain))
            break;
        struct sw__extent *donor = sw__extent_of(node);
        size = node->size;
        address = node->address;
        size_t came = move_from(donor->region, sw__extent_start(donor), sw__extent_end(donor), hole,
                                wanted - moved);
        donor->touched -= came;
        moved += came;
        if (came && donor->touched == 0) {
            sw__size_index_remove(&side->dirty, &donor->node);
            sw__extent_plant(donor);
        }
    }
    return moved;
}

/* The hole that an extent is from there on, with the rest of the units at its edges if that is free:
 * it is filled along with it. */
static struct hole hole_of(const struct sw__extent *extent, char *from) {
    char *start = sw__extent_start(extent), *end = sw__extent_end(extent);
    char *unit_start = start - ((uintptr_t)start & (SW__UNIT - 1));
    char *unit_end = end + (-(uintptr_t)end & (SW__UNIT - 1));
    bool front_is_free =
        from == start && sw__extent_is_free_over(extent->before, unit_start, start);
    return (struct hole){.region = extent->region,
                         .start = front_is_free ? unit_start : from,
                         .end = sw__extent_is_free_over(extent->after, end, unit_end) ? unit_end
                                                                                      : end};
}

/* Pages may have come to the part [start, end) of a free extent, which had so many. */
static void share(struct sw__extent *extent, const char *start, const char *end, size_t before) {
    if (start == end)
        return;
    size_t now = sw__pages_touched(&extent->region->pages, start, (size_t)(end - start));
    sw__extent_uproot(extent);
    extent->touched += now - before;
    sw__extent_plant(extent);
}

/* Huge pages first: the same work moves more, and what moves as a huge page stays one. */
bool sw__moves_fill(struct sw__extents *extents, struct sw__extent *extent, char *from,
                    size_t wanted) {
    size_t moved = 0;
    if (sw__extents_cuts_left(extents) == 0)
        return false;
    const struct hole whole = hole_of(extent, from);
    const char *front = whole.start < from ? whole.start : from, *end = sw__extent_end(extent);
    const struct sw__pages *pages = &extent->region->pages;
    size_t in_front = sw__pages_touched(pages, front, (size_t)(from - front));
    size_t inside = sw__pages_touched(pages, from, (size_t)(end - from));
    size_t behind = sw__pages_touched(pages, end, (size_t)(whole.end - end));
    for (int grain = SW__GRAIN_HUGE; grain >= SW__GRAIN_UNIT; grain--)
        for (int side = SW__SIDES - 1; side >= 0 && moved < wanted; side--) {
            struct hole hole = whole;
            hole.grain = (enum sw__grain)grain;
            moved += move_from_side(&extents->sides[side], &hole, wanted - moved);
        }
    if (moved == 0)
        return false;
    share(extent->before, front, from, in_front);
    share(extent->after, end, whole.end, behind);
    extent->touched += sw__pages_touched(pages, from, (size_t)(end - from)) - inside;
    sw__extents_count(&extents->moved, moved);
    return true;
}

/* ---- From a live extent to a larger one ------------------------------------------------------ */

void sw__moves_make_way(const struct sw__extent *from, const struct sw__extent *to) {
    char *start = sw__extent_start(to), *end = start + sw__extent_size(from);
    for (int grain = SW__GRAIN_HUGE; grain >= SW__GRAIN_UNIT; grain--) {
        struct hole tail = {to->region, end, sw__extent_end(to), (enum sw__grain)grain};
        move_from(to->region, start, end, &tail, SIZE_MAX);
    }
}

/* Moves full grains of a live extent to the same place in another, wherever that has none. A run
 * that is refused, as one that is several mappings by the program's doing, goes in parts. */
static void move_alike(struct sw__extent *from, struct sw__extent *to, enum sw__grain grain) {
    char *start = sw__extent_start(from), *end = sw__extent_end(from);
    ptrdiff_t distance = sw__extent_start(to) - start;
    size_t size = sw__grain_size(grain), most = MOST_AT_ONCE;
    struct sw__passage passage = {
        .from = &from->region->pages, .to = &to->region->pages, .grain = grain};
    while ((passage.full = sw__pages_last_full(passage.from, start, end, grain))) {
        passage.empty = passage.full + distance;
        passage.size = size;
        if (sw__pages_last_empty(passage.to, passage.empty, passage.empty + size, grain) ==
            passage.empty) {
            sw__passage_widen(&passage, start, start + distance, most);
            if (sw__passage_move(&passage)) {
                from->touched -= passage.size;
                to->touched += passage.size;
                most = sw__smaller(2 * most, MOST_AT_ONCE);
            } else if (passage.size > size) {
                most = (passage.size / 2) & ~(size - 1);
                continue;
            }
        }
        end = passage.full;
    }
}

void sw__moves_alike(struct sw__extent *from, struct sw__extent *to) {
    for (int grain = SW__GRAIN_HUGE; grain >= SW__GRAIN_UNIT; grain--)
        move_alike(from, to, (enum sw__grain)grain);
}

size_t sw__moves_possible(const struct sw__extent *from, const struct sw__extent *to) {
    return sw__pages_movable(&from->region->pages, sw__extent_start(from), sw__extent_end(from),
                             &to->region->pages, sw__extent_start(to));
}
