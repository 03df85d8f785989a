/*
 * zeros.c - live extents become zero: see zeros.h.
 */
#include "zeros.h"

#include <string.h>

/* So many extents are zeroed without asking what is there, at most. Never large ones: of these the
 * question is a small part of the work, and what zeros bring in vain is there the next time. */
#define MOST_UNASKED 15
#define ALWAYS_ASKED SW__HUGE_PAGE
/* So much is zeroed by the kernel as it is used, unless extents are used whole. */
#define WORTH_RENEWING ((size_t)32 << 20)

bool sw__zeros_renew(struct sw__extents *extents, struct sw__extent *extent) {
    char *start = sw__extent_start(extent);
    size_t size = sw__extent_size(extent);
    if (size < WORTH_RENEWING)
        return false;
    sw__lock(&extents->lock);
    sw__extents_close_witnesses(extents, start, size);
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

void sw__zeros_write(struct sw__extents *extents, struct sw__extent *extent) {
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
