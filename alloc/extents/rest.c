/*
 * rest.c - all that is free goes (extents.h): for good in a trim; in a rest of the work what was
 * there whole comes again, ahead of the work that wants it.
 */
#include "align.h"
#include "placement.h"
#include "supply.h"

static void note(struct sw__extents *extents, struct sw__pages *pages, enum sw__note what,
                 const char *piece, bool is_so) {
    sw__extents_count(&extents->noted, (size_t)is_so - sw__pages_note(pages, what, piece, is_so));
}

/* ---- What was whole -------------------------------------------------------------------------- */

/* Touched means handed out: the kernel knows whether it was ever written. */
static bool is_whole(const struct sw__pages *pages, const char *piece) {
    return sw__pages_touched(pages, piece, SW__HUGE_PAGE) == SW__HUGE_PAGE &&
           sw__os_resident(piece, SW__HUGE_PAGE) == SW__HUGE_PAGE;
}

/* Notes as SW__TO_BRING each whole huge page of a range, but for those that were brought after the
 * last rest and not used. */
static void note_what_is_whole(struct sw__extents *extents, struct sw__pages *pages, char *start,
                               const char *end) {
    for (char *piece = sw__huge_page_from(start); end - piece >= (ptrdiff_t)SW__HUGE_PAGE;
         piece += SW__HUGE_PAGE) {
        bool came_in_vain = sw__pages_first_noted(pages, SW__BROUGHT, piece, piece + SW__HUGE_PAGE);
        note(extents, pages, SW__BROUGHT, piece, false);
        if (!came_in_vain && is_whole(pages, piece))
            note(extents, pages, SW__TO_BRING, piece, true);
    }
}

/* Nothing of the region is to be brought any more. */
static void forget_notes(struct sw__extents *extents, struct sw__region *region) {
    char *end = region->start + region->committed;
    sw__extents_count(&extents->noted, -sw__pages_forget(&region->pages, region->start, end));
}

/* ---- All goes, little by little -------------------------------------------------------------- */

/* All that is free is on its way: past the extents of a side that are no smaller. */
struct leaving {
    int side;
    size_t size;
    uintptr_t address;
    bool is_rest;   /* and what is whole is noted; else */
    size_t present; /* so much of what has gone was physically there */
};

/* What of an extent goes next: so much at its end, by whole huge pages. */
static char *next_part(const struct sw__extent *extent) {
    char *start = sw__extent_start(extent), *end = sw__extent_end(extent);
    char *part = sw__pages_last_touched(&extent->region->pages, start, end, SW__PURGED_AT_ONCE);
    char *huge_page = sw__huge_page_at(part);
    return huge_page < start ? start : huge_page;
}

/* True when there is more of it to go. */
static bool rest_part(struct sw__extents *extents, struct sw__extent *extent) {
    struct sw__pages *pages = &extent->region->pages;
    char *part = next_part(extent);
    note_what_is_whole(extents, pages, part, sw__extent_touched_end(extent, part));
    bool went = sw__supply_purge_from(extents, extent, part);
    bool is_all = extent->touched == 0;
    if (is_all)
        note_what_is_whole(extents, pages, sw__extent_start(extent), part);
    return went && !is_all;
}

static bool trim_part(struct sw__extents *extents, struct sw__extent *extent, size_t *present) {
    char *part = next_part(extent);
    size_t there = sw__os_resident(part, (size_t)(sw__extent_touched_end(extent, part) - part));
    bool went = sw__supply_purge_from(extents, extent, part);
    *present += went ? there : 0;
    return went && extent->touched > 0;
}

/* Of the largest extents first, as much and in as many calls as others may wait for. One that the
 * kernel would not purge is passed over. False when all has gone. */
static bool leave_a_little(struct sw__extents *extents, struct leaving *leaving) {
    size_t held = extents->held;
    sw__placement_release_parked(extents);
    for (int calls = 0; calls < SW__PURGES_AT_ONCE && held - extents->held < SW__PURGED_AT_ONCE;
         calls++) {
        struct sw__treap_node *node = sw__size_index_below(&extents->sides[leaving->side].dirty,
                                                           leaving->size, leaving->address);
        if (!node && leaving->side == 0)
            return false;
        if (!node) {
            leaving->side--;
            leaving->size = SIZE_MAX;
            continue;
        }
        struct sw__extent *extent = sw__extent_of(node);
        bool has_more = leaving->is_rest ? rest_part(extents, extent)
                                         : trim_part(extents, extent, &leaving->present);
        if (!has_more) {
            leaving->size = node->size;
            leaving->address = node->address;
        }
    }
    return true;
}

/* What others free meanwhile stays: it might never end. A rest is over when the process is. The lock is
 * held. Returns how much went. */
static size_t all_leaves(struct sw__extents *extents, struct leaving *leaving) {
    size_t most = sw__extents_kept(extents) + SW__PURGED_AT_ONCE, gone = 0;
    for (bool has_more = true; has_more && gone < most && !(leaving->is_rest && sw__os_ends());) {
        size_t held = extents->held;
        has_more = leave_a_little(extents, leaving);
        gone += held - extents->held;
        if (has_more)
            sw__lock_share(&extents->lock);
    }
    extents->refused = 0; /* for now */
    return gone;
}

size_t sw__extents_rest(struct sw__extents *extents) {
    struct leaving rest = {.side = SW__SIDES - 1, .size = SIZE_MAX, .is_rest = true};
    sw__lock(&extents->lock);
    size_t gone = all_leaves(extents, &rest);
    sw__unlock(&extents->lock);
    return gone;
}

/* ---- And regions with it --------------------------------------------------------------------- */

static void give_back_free_regions(struct sw__extents *extents, struct sw__side *side) {
    for (struct sw__region **link = &side->regions; *link;) {
        struct sw__region *region = *link;
        bool all_free = sw__extent_is_free(region->last) && !region->last->before;
        all_free &= !region->is_being_filled;
        if (!all_free) {
            link = &region->next;
            continue;
        }
        forget_notes(extents, region); /* a rest may have come in between */
        sw__supply_gone(extents, region->last, region->start, region->committed);
        sw__usage_dismiss(&extents->usage, region);
        sw__usage_dismiss(&extents->zeroed_usage, region);
        sw__region_give_back(extents, link);
    }
}

/* Where address space is short, what lies free at a region's end, or was never committed, is worth more to
 * others, or to a region of its own. */
static void give_back_end(struct sw__extents *extents, struct sw__region *region) {
    bool ends_free = sw__extent_is_free(region->last);
    char *end = region->start + region->committed;
    char *needed_end = ends_free ? sw__extent_start(region->last) : end;
    size_t size = sw__align_up((size_t)(needed_end - region->start), SW__HUGE_PAGE);
    if (size >= region->size || region->is_being_filled)
        return;
    char *cut = region->start + size;
    if (cut < end) {
        sw__extents_close_witnesses(extents, cut, (size_t)(end - cut));
        sw__supply_gone(extents, region->last, cut, (size_t)(end - cut));
        /* A rest may have come in between. */
        sw__extents_count(&extents->noted, -sw__pages_forget(&region->pages, cut, end));
    }
    sw__region_cut_off(extents, region, size);
}

static void give_back_ends(struct sw__extents *extents) {
    if (extents->refusals == sw__os_refusals())
        return;
    extents->refusals = sw__os_refusals();
    for (struct sw__region *region = NULL; (region = sw__region_after(extents, region));)
        give_back_end(extents, region);
}

size_t sw__extents_trim(struct sw__extents *extents) {
    struct leaving trim = {.side = SW__SIDES - 1, .size = SIZE_MAX};
    sw__lock(&extents->lock);
    for (struct sw__region *region = NULL; (region = sw__region_after(extents, region));)
        forget_notes(extents, region);
    all_leaves(extents, &trim);
    sw__placement_release_parked(extents);
    for (int side = 0; side < SW__SIDES; side++)
        give_back_free_regions(extents, &extents->sides[side]);
    give_back_ends(extents);
    sw__unlock(&extents->lock);
    return trim.present;
}

/* ---- Work is back ---------------------------------------------------------------------------- */

/* A huge page to bring. */
struct piece {
    struct sw__region *region;
    char *start;
};

/* One in the extent that is to be brought, and of which nothing has come yet. */
static bool find_in(struct sw__extents *extents, const struct sw__extent *extent,
                    struct piece *piece) {
    char *start = sw__extent_start(extent), *end = sw__extent_end(extent);
    struct sw__pages *pages = &extent->region->pages;
    while ((start = sw__pages_first_noted(pages, SW__TO_BRING, start, end))) {
        note(extents, pages, SW__TO_BRING, start, false);
        if (sw__pages_touched(pages, start, SW__HUGE_PAGE) == 0) {
            *piece = (struct piece){extent->region, start};
            return true;
        }
    }
    return false;
}

/* In the smallest extents first, as the best fit is. */
static struct sw__extent *find_in_index(struct sw__extents *extents,
                                        const struct sw__size_index *index, struct piece *piece) {
    struct sw__treap_node *node = sw__size_index_at_least(index, SW__HUGE_PAGE, 0);
    while (node && !find_in(extents, sw__extent_of(node), piece))
        node = sw__size_index_after(index, node);
    return node ? sw__extent_of(node) : NULL;
}

static struct sw__extent *find_piece(struct sw__extents *extents, struct piece *piece) {
    struct sw__extent *extent = NULL;
    for (int side = SW__SIDES - 1; side >= 0 && extents->noted && !extent; side--) {
        extent = find_in_index(extents, &extents->sides[side].dirty, piece);
        if (!extent)
            extent = find_in_index(extents, &extents->sides[side].clean, piece);
    }
    return extent;
}

/* Takes the next piece for one that is there already, so that who is to have it need not wait, and
 * keeps its region from going. */
static bool start_piece(struct sw__extents *extents, size_t most, struct piece *piece) {
    sw__lock(&extents->lock);
    bool has_room =
        extents->held + SW__HUGE_PAGE <= most && !sw__supply_over_budget(extents, SW__HUGE_PAGE);
    struct sw__extent *extent = has_room ? find_piece(extents, piece) : NULL;
    if (extent) {
        note(extents, &piece->region->pages, SW__BROUGHT, piece->start, true);
        sw__supply_come(extents, extent, piece->start, SW__HUGE_PAGE);
        piece->region->is_being_filled = true;
    }
    sw__unlock(&extents->lock);
    return extent != NULL;
}

/* What has been purged or moved away meanwhile has come back unasked, as zeros. */
static void finish_piece(struct sw__extents *extents, const struct piece *piece) {
    struct sw__pages *pages = &piece->region->pages;
    char *end = piece->start + SW__HUGE_PAGE;
    sw__lock(&extents->lock);
    for (char *page = piece->start, *gone = page; page < end; gone = page += SW__PAGE) {
        while (page < end && !sw__pages_touched(pages, page, SW__PAGE))
            page += SW__PAGE;
        if (page > gone)
            sw__os_purge(gone, (size_t)(page - gone));
    }
    piece->region->is_being_filled = false;
    sw__unlock(&extents->lock);
}

bool sw__extents_bring_back(struct sw__extents *extents, size_t most) {
    struct piece piece;
    if (!sw__os_can_bring() || !start_piece(extents, most, &piece))
        return false;
    sw__os_bring(piece.start, SW__HUGE_PAGE);
    finish_piece(extents, &piece);
    return true;
}
