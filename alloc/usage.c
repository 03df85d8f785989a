/*
 * usage.c - are large extents used to their ends? See usage.h.
 */
#include "usage.h"

#include "region.h"

/* So many of the newest may not have been written yet, as where several threads are at it. */
#define NEWEST 8

/* One that an extent has already, which has grown since; or the oldest. */
static struct sw__witness *place_for(struct sw__usage *usage, const struct sw__extent *extent) {
    for (int i = 0; i < SW__WITNESSES; i++) {
        struct sw__witness *witness = &usage->witnesses[i];
        if (witness->region && witness->page >= sw__extent_start(extent) &&
            witness->page < sw__extent_end(extent))
            return witness;
    }
    return &usage->witnesses[usage->next++ % SW__WITNESSES];
}

void sw__usage_watch(struct sw__usage *usage, const struct sw__extent *extent) {
    const struct sw__pages *pages = &extent->region->pages;
    char *start = sw__extent_start(extent), *end = sw__extent_end(extent), *page = end - SW__PAGE;
    if (!sw__pages_touched(pages, page, SW__PAGE) &&
        !sw__pages_may_come_along(pages, page, start, end))
        *place_for(usage, extent) = (struct sw__witness){.region = extent->region, .page = page};
}

enum sw__use sw__usage_look(struct sw__usage *usage) {
    int used = 0, unused = 0;
    for (unsigned i = 0; i < SW__WITNESSES; i++) {
        struct sw__witness *witness = &usage->witnesses[i];
        if (!witness->region)
            continue;
        if (witness->use == SW__USE_UNKNOWN && sw__os_is_present(witness->page))
            witness->use = SW__USED;
        bool is_new = (usage->next - 1 - i) % SW__WITNESSES < NEWEST;
        used += witness->use == SW__USED;
        unused += witness->use == SW__UNUSED || (witness->use == SW__USE_UNKNOWN && !is_new);
    }
    if (used + unused > 0)
        usage->last = used >= unused ? SW__USED : SW__UNUSED;
    return usage->last;
}

bool sw__usage_is_in_doubt(const struct sw__usage *usage) {
    return usage->witnesses[(usage->next - 1) % SW__WITNESSES].use != SW__USED;
}

void sw__usage_close(struct sw__usage *usage, const char *start, size_t size) {
    for (int i = 0; i < SW__WITNESSES; i++) {
        struct sw__witness *witness = &usage->witnesses[i];
        if (witness->region && witness->use == SW__USE_UNKNOWN && witness->page >= start &&
            witness->page < start + size)
            witness->use = sw__os_is_present(witness->page) ? SW__USED : SW__UNUSED;
    }
}

void sw__usage_dismiss(struct sw__usage *usage, const struct sw__region *region) {
    for (int i = 0; i < SW__WITNESSES; i++)
        if (usage->witnesses[i].region == region)
            usage->witnesses[i] = (struct sw__witness){0};
}
