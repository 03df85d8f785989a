/*
 * supply.c - the physical side of extents: see supply.h.
 */
#include "supply.h"

#include "align.h"
#include "moves.h"

#include <string.h>

/* One in so many extents of the size of a huge page stays on small pages, to show whether such
 * extents are used to their end. */
#define ONE_PROBE_IN 8
/* Zeroed extents may take fresh address space until twice what is held is reserved, and so much. */
#define MOST_IN_ADVANCE ((size_t)64 << 20)
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

/* Purges a part of an extent; false if the kernel would not. */
static bool purge(struct sw__extents *extents, struct sw__extent *extent, char *start,
                  size_t size) {
    sw__extents_close_witnesses(extents, start, size);
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
    if (extents->huge_pages == SW__HUGE_AUTO && sw__extents_cuts_left(extents) > 0)
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
    if (covers_more && sw__extent_size(extent) > SW__SMALL_EXTENT &&
        sw__extents_cuts_left(extents) > 0)
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

/* Of what is missing from there on, as much comes from free extents as the budget is short of. True if
 * any did. */
static bool fill_from_free(struct sw__extents *extents, struct sw__extent *extent, char *from) {
    size_t missing = sw__extent_size(extent) - extent->touched;
    size_t wanted = sw__supply_over_budget(extents, missing);
    return wanted > 0 && sw__moves_fill(extents, extent, from, wanted);
}

/* The pages of a new or larger extent that are not there: they come from holes where the budget
 * asks for it, and may be written from now on. */
static __attribute__((noinline)) bool bring(struct sw__extents *extents, struct sw__extent *extent,
                                            char *from, enum sw__filling filling) {
    if (may_be_filled(extents, extent, filling))
        extent->zero &= !fill_from_free(extents, extent, from);
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

/* Has the limit room for what will not move? */
static bool make_room_to_move(struct sw__extents *extents, const struct sw__extent *from,
                              const struct sw__extent *to) {
    return make_room(extents, sw__extent_size(to) - to->touched - sw__moves_possible(from, to));
}

/* If moves are refused on the way, what is copied instead may be held above the limit for as long
 * as that takes. */
bool sw__supply_relocate(struct sw__extents *extents, struct sw__extent *from,
                         struct sw__extent *to) {
    char *start = sw__extent_start(to);
    size_t size = sw__extent_size(to);
    size_t left = sw__extents_cuts_left(extents);
    if (left < extents->most_cuts / 2) /* the rest is for what can't be copied */
        return false;
    sw__moves_make_way(from, to);
    if (sw__moves_possible(from, to) == 0)
        return false;
    if (!make_room_to_move(extents, from, to) &&
        (!purge(extents, to, start, size) || !make_room_to_move(extents, from, to)))
        return false;
    sw__extents_close_witnesses(extents, sw__extent_start(from), sw__extent_size(from));
    sw__moves_alike(from, to);
    bool has_moved = from->touched < sw__extent_size(from);
    if (!has_moved && !make_room(extents, size - to->touched))
        return false;
    fill_from_free(extents, to, start);
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
