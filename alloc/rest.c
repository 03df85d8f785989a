/*
 * rest.c - the page source's part in a rest of the work (extents.h): all that is free goes, and
 * what was there whole comes again, ahead of the work that wants it.
 */
#include "align.h"
#include "placement.h"
#include "supply.h"

#define INSIDE (SW__HUGE_PAGE - 1) /* regions are aligned to huge pages */

/* ---- Work has stopped ------------------------------------------------------------------------ */

static void forget_notes(struct sw__region *region) {
    char *end = region->start + sw__align_up(region->committed, SW__HUGE_PAGE);
    for (char *noted = region->start; (noted = sw__pages_first_noted(&region->pages, noted, end));)
        sw__pages_note(&region->pages, noted, false);
}

/* The kernel is asked what is there: a page that was part of a block may never have been used. */
static void note_what_is_whole(const struct sw__extent *extent) {
    char *start = sw__extent_start(extent), *end = sw__extent_end(extent);
    struct sw__pages *pages = &extent->region->pages;
    for (char *piece = start + (-(uintptr_t)start & INSIDE);
         end - piece >= (ptrdiff_t)SW__HUGE_PAGE; piece += SW__HUGE_PAGE)
        if (sw__pages_touched(pages, piece, SW__HUGE_PAGE) == SW__HUGE_PAGE &&
            sw__os_resident(piece, SW__HUGE_PAGE) == SW__HUGE_PAGE)
            sw__pages_note(pages, piece, true);
}

static void note_all(struct sw__treap_node *node) {
    if (!node)
        return;
    note_what_is_whole(sw__extent_of(node));
    note_all(node->left);
    note_all(node->right);
}

void sw__extents_rest(struct sw__extents *extents) {
    sw__lock(&extents->lock);
    sw__placement_release_parked(extents);
    for (int side = 0; side < SW__SIDES; side++) {
        for (struct sw__region *region = extents->sides[side].regions; region;
             region = region->next)
            forget_notes(region);
        note_all(extents->sides[side].dirty);
    }
    sw__supply_purge_above(extents, 0);
    sw__unlock(&extents->lock);
}

/* ---- Work is back ---------------------------------------------------------------------------- */

/* A huge page to bring. */
struct piece {
    struct sw__region *region;
    char *start;
};

/* A noted one in the extent that nothing of has come yet. */
static bool find_in(struct sw__extent *extent, struct piece *piece) {
    char *start = sw__extent_start(extent), *end = sw__extent_end(extent);
    struct sw__pages *pages = &extent->region->pages;
    while ((start = sw__pages_first_noted(pages, start, end))) {
        sw__pages_note(pages, start, false);
        if (sw__pages_touched(pages, start, SW__HUGE_PAGE) == 0) {
            *piece = (struct piece){extent->region, start};
            return true;
        }
    }
    return false;
}

/* In the smallest extents first, as the best fit is. */
static struct sw__extent *find_in_tree(struct sw__treap_node *tree, struct piece *piece) {
    struct sw__treap_node *node = sw__treap_at_least(tree, SW__HUGE_PAGE, 0);
    while (node && !find_in(sw__extent_of(node), piece))
        node = sw__treap_at_least(tree, node->size, node->address + 1);
    return node ? sw__extent_of(node) : NULL;
}

static struct sw__extent *find_piece(struct sw__extents *extents, struct piece *piece) {
    struct sw__extent *extent = NULL;
    for (int side = SW__SIDES - 1; side >= 0 && !extent; side--) {
        extent = find_in_tree(extents->sides[side].dirty, piece);
        if (!extent)
            extent = find_in_tree(extents->sides[side].clean, piece);
    }
    return extent;
}

/* Takes the next piece for one that is there already, so that who is to have it need not wait, and
 * keeps its region from going. */
static bool begin(struct sw__extents *extents, size_t most, struct piece *piece) {
    sw__lock(&extents->lock);
    bool has_room =
        extents->held + SW__HUGE_PAGE <= most && !sw__supply_over_budget(extents, SW__HUGE_PAGE);
    struct sw__extent *extent = has_room ? find_piece(extents, piece) : NULL;
    if (extent) {
        sw__supply_come(extents, extent, piece->start, SW__HUGE_PAGE);
        piece->region->is_needed = true;
    }
    sw__unlock(&extents->lock);
    return extent != NULL;
}

/* What has been purged or moved away meanwhile has come back unasked, as zeros. */
static void end(struct sw__extents *extents, const struct piece *piece) {
    struct sw__pages *pages = &piece->region->pages;
    char *last = piece->start + SW__HUGE_PAGE;
    sw__lock(&extents->lock);
    for (char *page = piece->start, *gone = page; page < last; gone = page += SW__PAGE) {
        while (page < last && !sw__pages_touched(pages, page, SW__PAGE))
            page += SW__PAGE;
        if (page > gone)
            sw__os_purge(gone, (size_t)(page - gone));
    }
    piece->region->is_needed = false;
    sw__unlock(&extents->lock);
}

bool sw__extents_bring_back(struct sw__extents *extents, size_t most) {
    struct piece piece;
    if (!begin(extents, most, &piece))
        return false;
    sw__os_bring(piece.start, SW__HUGE_PAGE);
    end(extents, &piece);
    return true;
}
