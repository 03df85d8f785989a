/*
 * supply.c - the physical side of extents: see supply.h.
 */
#include "supply.h"

#include "align.h"

#include <string.h>

/* How many free extents are asked for their pages, the largest first, before a new extent does
 * without. */
#define MOST_DONORS 64
/* A run of pages of a live extent that is longer moves in parts: it takes as much address space. */
#define MOST_AT_ONCE ((size_t)64 << 20)
/* One in so many extents of the size of a huge page stays on small pages, to show whether such
 * extents are used to their end. */
#define ONE_PROBE_IN 8
/* Zeroed extents may take fresh address space until twice what is held is reserved, and so much. */
#define MOST_IN_ADVANCE ((size_t)64 << 20)
/* So many extents are zeroed without asking what is there, at most. Never large ones: of these the
 * question is a small part of the work, and what zeros bring in vain is there the next time. */
#define MOST_UNASKED 15
#define ALWAYS_ASKED SW__HUGE_PAGE
/* So much is zeroed by the kernel as it is used, unless extents are used whole. */
#define WORTH_RENEWING ((size_t)32 << 20)
/* What a huge page too many adds to an extent of that size is nothing. */
#define ONE_MORE_IS_NOTHING (32 * SW__HUGE_PAGE)

/* How much more than the budget, or the limit, the heap would hold with so many bytes more. */
size_t sw__supply_over_budget(const struct sw__extents *extents, size_t more) {
    size_t budget = atomic_load_explicit(&extents->budget, memory_order_relaxed);
    size_t held = atomic_load_explicit(&extents->held, memory_order_relaxed);
    size_t enough = sw__smaller(budget, extents->limit);
    return held + more > enough ? sw__smaller(held + more - enough, more) : 0;
}

/* ---- Pages go -------------------------------------------------------------------------------- */

/* The pages of a part of an extent are not touched any more. */
void sw__supply_gone(struct sw__extents *extents, struct sw__extent *extent, char *start,
                     size_t size) {
    size_t gone = sw__pages_mark(&extent->region->pages, start, size, false);
    extent->touched -= gone;
    sw__extents_count(&extents->held, -gone);
}

/* Zeroed extents are often for later: they are judged by themselves. */
static struct sw__usage *usage_of(struct sw__extents *extents, bool dense) {
    return dense ? &extents->usage : &extents->zeroed_usage;
}

static void close_witnesses(struct sw__extents *extents, const char *start, size_t size) {
    sw__usage_close(&extents->usage, start, size);
    sw__usage_close(&extents->zeroed_usage, start, size);
}

/* Purges a part of an extent; false if the kernel would not. */
static bool purge(struct sw__extents *extents, struct sw__extent *extent, char *start,
                  size_t size) {
    close_witnesses(extents, start, size);
    if (!sw__os_purge(start, size))
        return false;
    sw__supply_gone(extents, extent, start, size);
    return true;
}

/* Of a huge page that went in part: else the kernel might fill it again beside what lives there, and
 * nobody would give that back. */
static void decline_edges(struct sw__extents *extents, struct sw__extent *extent, const char *start,
                          const char *end) {
    if (extents->huge_pages == SW__HUGE_AUTO)
        sw__pages_decline_shared(&extent->region->pages, start, end);
}

bool sw__supply_purge_from(struct sw__extents *extents, struct sw__extent *extent, char *start) {
    char *end = sw__extent_touched_end(extent, start);
    sw__extent_uproot(extent);
    bool went = purge(extents, extent, start, (size_t)(end - start));
    sw__extent_plant(extent);
    if (went)
        decline_edges(extents, extent, start, end);
    return went;
}

/* Purges what is above the budget from the ends of the largest free extents of a side. One that the
 * kernel would not purge, as it does not what is locked, is passed over. */
static size_t purge_side_above(struct sw__extents *extents, struct sw__side *side, size_t budget) {
    size_t size = SIZE_MAX, refused = 0;
    uintptr_t address = 0;
    for (struct sw__treap_node *node; extents->held > budget;
         size = node->size, address = node->address) {
        node = sw__size_index_below(&side->dirty, size, address);
        if (!node)
            break;
        struct sw__extent *extent = sw__extent_of(node);
        char *start = sw__pages_last_touched(&extent->region->pages, sw__extent_start(extent),
                                             sw__extent_end(extent), extents->held - budget);
        if (!sw__supply_purge_from(extents, extent, start))
            refused += extent->touched;
    }
    return refused;
}

size_t sw__supply_purge_above(struct sw__extents *extents, size_t budget) {
    size_t refused = 0;
    for (int side = SW__SIDES - 1; side >= 0; side--)
        refused += purge_side_above(extents, &extents->sides[side], budget);
    return refused;
}

/* ---- Cuts ------------------------------------------------------------------------------------ */

/* Into how many mappings more the heap may be cut, by moves and by advice on parts of it. The
 * kernel grants a process so many, and the program is to have the half. */
static size_t cuts_left(struct sw__extents *extents) {
    size_t cuts = 0;
    if (!extents->most_cuts)
        extents->most_cuts = sw__os_most_mappings() / 2 + 1;
    for (struct sw__region *region = NULL; (region = sw__region_after(extents, region));)
        cuts += sw__pages_cuts(&region->pages);
    return cuts < extents->most_cuts ? extents->most_cuts - cuts : 0;
}

/* ---- Pages move ------------------------------------------------------------------------------ */

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
        close_witnesses(region->extents, passage.full, passage.size);
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

/* Fills untouched pages of a live extent, from there on, with those of free ones, as far as the
 * budget is short. Huge pages first: the same work moves more, and what moves as a huge page stays
 * one. True if any page came. */
static bool fill_from_holes(struct sw__extents *extents, struct sw__extent *extent, char *from) {
    size_t wanted = sw__supply_over_budget(extents, sw__extent_size(extent) - extent->touched);
    size_t moved = 0;
    if (wanted == 0 || cuts_left(extents) == 0)
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

/* ---- Pages come ------------------------------------------------------------------------------ */

/* The untouched part of a free extent comes. */
static void come(struct sw__extents *extents, struct sw__extent *extent, const char *start,
                 size_t size) {
    sw__extent_uproot(extent);
    sw__pages_mark(&extent->region->pages, start, size, true);
    extent->touched += size;
    sw__extents_count(&extents->held, size);
    sw__extent_plant(extent);
}

void sw__supply_come(struct sw__extents *extents, struct sw__extent *extent, const char *start,
                     size_t size) {
    if (extents->huge_pages == SW__HUGE_AUTO && cuts_left(extents) > 0)
        sw__pages_want_huge(&extent->region->pages, start, start + size);
    come(extents, extent, start, size);
}

/* Wants a huge page of which an extent covers a part, if nothing of it has been touched and what
 * lies beside the extent is free. */
static void want_shared(struct sw__extents *extents, struct sw__extent *extent, char *huge_page) {
    struct sw__region *region = extent->region;
    char *start = sw__extent_start(extent), *end = sw__extent_end(extent);
    char *huge_end = huge_page + SW__HUGE_PAGE;
    if (sw__pages_touched(&region->pages, huge_page, SW__HUGE_PAGE) > 0 ||
        (huge_page < start && !sw__extent_is_free_over(extent->before, huge_page, start)) ||
        (end < huge_end && !sw__extent_is_free_over(extent->after, end, huge_end)))
        return;
    if (huge_page < start)
        come(extents, extent->before, huge_page, (size_t)(start - huge_page));
    if (end < huge_end)
        come(extents, extent->after, end, (size_t)(huge_end - end));
    sw__pages_want_huge(&region->pages, huge_page, huge_end);
}

/* After a rest, what recent steps needed is soon wanted again, and a huge page comes at a fraction
 * of what its pages cost one by one. So while the budget has room the huge pages at an extent's
 * edges come whole, for the extents that follow. */
static void want_edges(struct sw__extents *extents, struct sw__extent *extent) {
    size_t size = sw__extent_size(extent);
    if (extents->budget == SIZE_MAX || sw__supply_over_budget(extents, size + 2 * SW__HUGE_PAGE))
        return;
    char *huge_start = sw__huge_page_at(sw__extent_start(extent));
    char *huge_last = sw__huge_page_at(sw__extent_end(extent) - 1);
    want_shared(extents, extent, huge_start);
    if (huge_last != huge_start)
        want_shared(extents, extent, huge_last);
}

/* On a huge page all of an extent is there with its first byte, and nobody can tell whether it is
 * used: one in ONE_PROBE_IN stays on small pages, and each while the last that was seen was not. */
static bool is_probe(struct sw__extents *extents, const struct sw__extent *extent) {
    return sw__extent_size(extent) == SW__HUGE_PAGE &&
           (++extents->single_huge_pages % ONE_PROBE_IN == 0 ||
            sw__usage_is_in_doubt(&extents->usage));
}

/* Of an extent smaller than a huge page this is about its edges. */
static bool is_wanted_huge(struct sw__extents *extents, const struct sw__extent *extent,
                           enum sw__use use) {
    size_t size = sw__extent_size(extent);
    if (size < SW__HUGE_PAGE)
        return use != SW__UNUSED;
    return use == SW__USED ? !is_probe(extents, extent)
                           : use == SW__USE_UNKNOWN && size >= ONE_MORE_IS_NOTHING;
}

/* Of the part of a live extent from there on, which is its beginning where nothing of it is left out. */
static void advise_part(struct sw__extents *extents, struct sw__extent *extent, char *from,
                        bool dense) {
    struct sw__pages *pages = &extent->region->pages;
    char *end = sw__extent_end(extent);
    size_t size = sw__extent_size(extent);
    struct sw__usage *usage = usage_of(extents, dense);
    enum sw__use use = size < SW__HUGE_PAGE ? usage->last : sw__usage_look(usage);
    if (dense && is_wanted_huge(extents, extent, use)) {
        /* Where it is not known how extents are used, the beginning of this one at least will be:
         * by a byte, perhaps. */
        bool is_beginning = from == sw__extent_start(extent);
        char *wanted = use == SW__USED || !is_beginning ? from : from + SW__HUGE_PAGE;
        if (wanted < end)
            sw__pages_want_huge(pages, wanted, end);
        if (use == SW__USED || size < SW__HUGE_PAGE)
            want_edges(extents, extent);
    } else if (dense || use != SW__USED) {
        sw__pages_decline_missing(pages, from, end);
    }
}

/* A huge page that one live extent covers whole is wanted huge. One that it shares is not, where it
 * would come as a whole for the first page touched. The extent is new from there on: where it has
 * only grown, what it covers whole since then is looked at. */
static void advise_live(struct sw__extents *extents, struct sw__extent *extent, char *from,
                        bool dense) {
    if (extents->huge_pages != SW__HUGE_AUTO)
        return;
    char *start = sw__extent_start(extent), *end = sw__extent_end(extent);
    char *huge_page = sw__huge_page_at(from);
    sw__pages_decline_shared(&extent->region->pages, start, end);
    bool covers_more = from == start || huge_page < sw__huge_page_at(end);
    if (covers_more && sw__extent_size(extent) > SW__SMALL_EXTENT && cuts_left(extents) > 0)
        advise_part(extents, extent, huge_page < start ? start : huge_page, dense);
}

/* How extents are used: those that were to be zero, where they are. Else we write them ourselves. */
static void watch(struct sw__extents *extents, struct sw__extent *extent, bool dense) {
    if ((dense || extent->zero) && sw__extent_size(extent) >= SW__HUGE_PAGE)
        sw__usage_watch(usage_of(extents, dense), extent);
}

/* Gives free pages back until the limit has room for so many bytes more. False when the kernel
 * would not take them. */
static bool make_room(struct sw__extents *extents, size_t more) {
    if (extents->held <= extents->limit - more)
        return true;
    sw__supply_purge_above(extents, extents->limit - more);
    return extents->held <= extents->limit - more;
}

bool sw__supply_purge_part(struct sw__extents *extents, struct sw__extent *extent, char *start,
                           size_t size) {
    bool went = purge(extents, extent, start, size);
    if (went) /* else the kernel might make them a huge page again */
        sw__pages_decline_missing(&extent->region->pages, start, start + size);
    return went;
}

bool sw__supply_bring_part(struct sw__extents *extents, struct sw__extent *extent,
                           const char *start, size_t size) {
    if (!make_room(extents, size))
        return false;
    sw__pages_mark(&extent->region->pages, start, size, true);
    extent->touched += size;
    sw__extents_count(&extents->held, size);
    return true;
}

/* What pages are still missing, from there on, may come new from now on. */
static void admit(struct sw__extents *extents, struct sw__extent *extent, char *from, bool dense) {
    size_t size = sw__extent_size(extent);
    advise_live(extents, extent, from, dense);
    watch(extents, extent, dense);
    sw__pages_mark(&extent->region->pages, from, (size_t)(sw__extent_end(extent) - from), true);
    sw__extents_count(&extents->held, size - extent->touched);
    extent->touched = size;
}

/* Is it worth the while to move pages there? Not where such extents are hardly written: pages that
 * nobody has touched would move from hole to hole. */
static bool may_be_filled(const struct sw__extents *extents, const struct sw__extent *extent,
                          enum sw__filling filling) {
    bool is_large = sw__extent_size(extent) >= SW__HUGE_PAGE;
    enum sw__use zeroed = extents->zeroed_usage.last;
    if (filling == SW__ZEROED)
        return is_large ? zeroed == SW__USED : zeroed != SW__UNUSED;
    return filling == SW__DENSE && !(is_large && extents->usage.last == SW__UNUSED);
}

/* The pages of a new or larger extent that are not there: they come from holes where the budget
 * asks for it, and may be written from now on. */
static __attribute__((noinline)) bool bring(struct sw__extents *extents, struct sw__extent *extent,
                                            char *from, enum sw__filling filling) {
    if (may_be_filled(extents, extent, filling))
        extent->zero &= !fill_from_holes(extents, extent, from);
    if (!make_room(extents, sw__extent_size(extent) - extent->touched))
        return false;
    admit(extents, extent, from, filling != SW__ZEROED);
    return true;
}

/* Of smaller ones it is not known how they are used. And address space is not to grow out of all
 * proportion to what is held, nor at all where nothing is ever given back. */
bool sw__supply_wants_fresh(struct sw__extents *extents, size_t size) {
    size_t budget = atomic_load_explicit(&extents->budget, memory_order_relaxed);
    if (size < SW__HUGE_PAGE || budget == SIZE_MAX)
        return false;
    size_t proportionate = 2 * sw__smaller(extents->held, budget) + MOST_IN_ADVANCE;
    return extents->reserved.current + size <= proportionate &&
           sw__usage_look(&extents->zeroed_usage) != SW__USED;
}

/* Where work repeats itself all pages are there already. */
bool sw__supply_furnish(struct sw__extents *extents, struct sw__extent *extent,
                        enum sw__filling filling) {
    extent->zero = extent->touched == 0;
    return extent->touched == sw__extent_size(extent) ||
           bring(extents, extent, sw__extent_start(extent), filling);
}

bool sw__supply_furnish_more(struct sw__extents *extents, struct sw__extent *extent, char *from) {
    extent->zero = false;
    return extent->touched == sw__extent_size(extent) || bring(extents, extent, from, SW__DENSE);
}

/* ---- A live extent moves --------------------------------------------------------------------- */

/* Moves full grains from the part of a place that an extent is to fill to what is missing behind
 * it. */
static void make_way(const struct sw__extent *from, const struct sw__extent *to) {
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

/* What of a live extent can move to another, in bytes. */
static size_t movable(const struct sw__extent *from, const struct sw__extent *to) {
    return sw__pages_movable(&from->region->pages, sw__extent_start(from), sw__extent_end(from),
                             &to->region->pages, sw__extent_start(to));
}

/* Has the limit room for what will not move? */
static bool make_room_to_move(struct sw__extents *extents, const struct sw__extent *from,
                              const struct sw__extent *to) {
    return make_room(extents, sw__extent_size(to) - to->touched - movable(from, to));
}

/* If moves are refused on the way, what is copied instead may be held above the limit for as long
 * as that takes. */
bool sw__supply_relocate(struct sw__extents *extents, struct sw__extent *from,
                         struct sw__extent *to) {
    char *start = sw__extent_start(to);
    size_t size = sw__extent_size(to);
    size_t left = cuts_left(extents);
    if (left < extents->most_cuts / 2) /* the rest is for what can't be copied */
        return false;
    make_way(from, to);
    if (movable(from, to) == 0)
        return false;
    if (!make_room_to_move(extents, from, to) &&
        (!purge(extents, to, start, size) || !make_room_to_move(extents, from, to)))
        return false;
    close_witnesses(extents, sw__extent_start(from), sw__extent_size(from));
    for (int grain = SW__GRAIN_HUGE; grain >= SW__GRAIN_UNIT; grain--)
        move_alike(from, to, (enum sw__grain)grain);
    bool has_moved = from->touched < sw__extent_size(from);
    if (!has_moved && !make_room(extents, size - to->touched))
        return false;
    fill_from_holes(extents, to, start);
    admit(extents, to, start, true);
    to->zero = false;
    return true;
}

void sw__supply_copy_rest(const struct sw__extent *from, const struct sw__extent *to) {
    char *start = sw__extent_start(from), *end = sw__extent_end(from);
    for (char *piece = start, *next; piece < end; piece = next) {
        next = piece + SW__UNIT - ((uintptr_t)piece & (SW__UNIT - 1));
        next = next < end ? next : end;
        size_t size = (size_t)(next - piece);
        /* The bits of a whole unit are no neighbour's. */
        if (size < SW__UNIT || sw__pages_touched(&from->region->pages, piece, size))
            memcpy(sw__extent_start(to) + (piece - start), piece, size);
    }
}

bool sw__supply_renew(struct sw__extents *extents, struct sw__extent *extent) {
    char *start = sw__extent_start(extent);
    size_t size = sw__extent_size(extent);
    if (size < WORTH_RENEWING)
        return false;
    sw__lock(&extents->lock);
    close_witnesses(extents, start, size);
    bool is_worth_it = sw__usage_look(&extents->zeroed_usage) != SW__USED;
    if (is_worth_it && extents->huge_pages == SW__HUGE_AUTO)
        sw__pages_decline(&extent->region->pages, start, sw__extent_end(extent));
    sw__unlock(&extents->lock);
    if (!is_worth_it || !sw__os_purge(start, size))
        return false;
    sw__lock(&extents->lock);
    sw__usage_watch_renewed(&extents->zeroed_usage, extent);
    sw__unlock(&extents->lock);
    return true;
}

/* Where all was there the last times, the next few are written without a question. */
static bool is_asked_for(struct sw__extents *extents, size_t size) {
    bool is_asked_for = extents->unasked == 0 || size >= ALWAYS_ASKED;
    extents->unasked -= !is_asked_for;
    return is_asked_for;
}

/* Of large ones each is asked for, so they tell nothing of others; but where little is there, that
 * such extents are not used. That much is would tell nothing: somebody else may have used it. */
static void heed_answer(struct sw__extents *extents, size_t there, size_t size) {
    unsigned longer = 2 * extents->unasked_next + 1;
    if (size < ALWAYS_ASKED) {
        extents->unasked_next = there < size ? 0 : longer < MOST_UNASKED ? longer : MOST_UNASKED;
        extents->unasked = extents->unasked_next;
    } else if (there < size / 2) {
        sw__usage_deny(&extents->zeroed_usage);
    }
}

void sw__supply_zero(struct sw__extents *extents, struct sw__extent *extent) {
    size_t size = sw__extent_size(extent);
    bool asks = size >= SW__WORTH_ASKING;
    if (asks) {
        sw__lock(&extents->lock);
        asks = is_asked_for(extents, size);
        sw__unlock(&extents->lock);
    }
    if (!asks) {
        memset(sw__extent_start(extent), 0, size);
        return;
    }
    size_t there = sw__os_zero(sw__extent_start(extent), size);
    sw__lock(&extents->lock);
    heed_answer(extents, there, size);
    sw__unlock(&extents->lock);
}
