/*
 * usage.c - are large extents used to their ends? See usage.h.
 */
#include "usage.h"

#include "align.h"
#include "region.h"

#include <string.h>

/* So many of the newest may not have been written yet, as where several threads are at it. */
#define NEWEST 8

/* Beyond an eighth from the end: no size class is larger than what was asked for by so much. */
static char *page_near_end(const struct sw__extent *extent) {
    size_t size = sw__extent_size(extent);
    return sw__extent_start(extent) + sw__align_down(size - size / 8 - SW__PAGE, SW__PAGE);
}

static bool is_in(const struct sw__witness *witness, const char *start, size_t size) {
    return witness->region && witness->page >= start && (size_t)(witness->page - start) < size;
}

/* One for each extent: it may have grown. */
void sw__usage_watch_renewed(struct sw__usage *usage, const struct sw__extent *extent) {
    char *start = sw__extent_start(extent), *page = page_near_end(extent);
    if (sw__pages_may_come_along(&extent->region->pages, page, start, sw__extent_end(extent)))
        return;
    for (int i = 0; i < SW__WITNESSES; i++)
        if (is_in(&usage->witnesses[i], start, sw__extent_size(extent)))
            usage->witnesses[i] = (struct sw__witness){0};
    usage->witnesses[usage->next++ % SW__WITNESSES] =
        (struct sw__witness){.region = extent->region, .page = page};
}

void sw__usage_watch(struct sw__usage *usage, const struct sw__extent *extent) {
    if (!sw__pages_touched(&extent->region->pages, page_near_end(extent), SW__PAGE))
        sw__usage_watch_renewed(usage, extent);
}

/* Asks the witness, with a file that is opened for the first one. */
static void ask(struct sw__witness *witness, int *file) {
    if (*file == SW__PAGES_UNOPENED)
        *file = sw__os_open_pages();
    if (sw__os_has_page(*file, witness->page))
        witness->use = SW__USED;
}

enum sw__use sw__usage_look(struct sw__usage *usage) {
    int used = 0, unused = 0, file = SW__PAGES_UNOPENED;
    for (unsigned i = 0; i < SW__WITNESSES; i++) {
        struct sw__witness *witness = &usage->witnesses[i];
        if (!witness->region)
            continue;
        if (witness->use == SW__USE_UNKNOWN)
            ask(witness, &file);
        bool is_new = (usage->next - 1 - i) % SW__WITNESSES < NEWEST;
        used += witness->use == SW__USED;
        unused += witness->use == SW__UNUSED || (witness->use == SW__USE_UNKNOWN && !is_new);
    }
    sw__os_close_pages(file);
    if (used + unused > 0)
        usage->last = used >= unused ? SW__USED : SW__UNUSED;
    return usage->last;
}

void sw__usage_deny(struct sw__usage *usage) {
    memset(usage->witnesses, 0, sizeof usage->witnesses);
    usage->last = SW__UNUSED;
}

bool sw__usage_is_in_doubt(const struct sw__usage *usage) {
    return usage->witnesses[(usage->next - 1) % SW__WITNESSES].use != SW__USED;
}

void sw__usage_close(struct sw__usage *usage, const char *start, size_t size) {
    int file = SW__PAGES_UNOPENED;
    for (int i = 0; i < SW__WITNESSES; i++) {
        struct sw__witness *witness = &usage->witnesses[i];
        if (witness->use != SW__USE_UNKNOWN || !is_in(witness, start, size))
            continue;
        ask(witness, &file);
        if (witness->use == SW__USE_UNKNOWN)
            witness->use = SW__UNUSED;
    }
    sw__os_close_pages(file);
}

void sw__usage_dismiss(struct sw__usage *usage, const struct sw__region *region) {
    sw__usage_look(usage);
    for (int i = 0; i < SW__WITNESSES; i++)
        if (usage->witnesses[i].region == region)
            usage->witnesses[i] = (struct sw__witness){0};
}
