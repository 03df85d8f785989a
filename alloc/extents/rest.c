/*
 * rest.c - the page source's part in a rest of the work (extents.h): all that is free goes, and
 * what was there whole comes again, ahead of the work that wants it.
 */
#include "align.h"
#include "placement.h"
#include "supply.h"

static void note(struct sw__extents *extents, struct sw__pages *pages, enum sw__note what,
                 const char *piece, bool is_so) {
    sw__extents_count(&extents->noted, (size_t)is_so - sw__pages_note(pages, what, piece, is_so));
}

/* ---- Work has stopped ------------------------------------------------------------------------ */

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

/* How far it has come: past the extents of a side that are no smaller. */
struct place {
    int side;
    size_t size;
    uintptr_t address;
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

/* Of the largest extents first, as much as others may wait for. False when all has gone. */
static bool rest_a_little(struct sw__extents *extents, struct place *place) {
    size_t held = extents->held;
    sw__placement_release_parked(extents);
    while (held - extents->held < SW__PURGED_AT_ONCE) {
        struct sw__treap_node *node =
            sw__treap_below(extents->sides[place->side].dirty, place->size, place->address);
        if (!node && place->side == 0)
            return false;
        if (!node)
            *place = (struct place){.side = place->side - 1, .size = SIZE_MAX};
        else if (!rest_part(extents, sw__extent_of(node)))
            *place = (struct place){place->side, node->size, node->address};
    }
    return true;
}

/* What others free meanwhile is for the next rest: it might never end. */
void sw__extents_rest(struct sw__extents *extents) {
    struct place place = {.side = SW__SIDES - 1, .size = SIZE_MAX};
    sw__lock(&extents->lock);
    size_t times = sw__extents_kept(extents) / SW__PURGED_AT_ONCE + 1;
    while (rest_a_little(extents, &place) && times-- > 0)
        sw__lock_share(&extents->lock);
    sw__unlock(&extents->lock);
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
static struct sw__extent *find_in_tree(struct sw__extents *extents, struct sw__treap_node *tree,
                                       struct piece *piece) {
    struct sw__treap_node *node = sw__treap_at_least(tree, SW__HUGE_PAGE, 0);
    while (node && !find_in(extents, sw__extent_of(node), piece))
        node = sw__treap_at_least(tree, node->size, node->address + 1);
    return node ? sw__extent_of(node) : NULL;
}

static struct sw__extent *find_piece(struct sw__extents *extents, struct piece *piece) {
    struct sw__extent *extent = NULL;
    for (int side = SW__SIDES - 1; side >= 0 && extents->noted && !extent; side--) {
        extent = find_in_tree(extents, extents->sides[side].dirty, piece);
        if (!extent)
            extent = find_in_tree(extents, extents->sides[side].clean, piece);
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
