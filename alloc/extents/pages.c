/*
 * pages.c - the physical side of a region: see pages.h.
 */
#include "pages.h"

#include "align.h"

#include <string.h>

enum { UNITS_IN_HUGE = SW__HUGE_PAGE / SW__UNIT, PAGES_IN_HUGE = SW__HUGE_PAGE / SW__PAGE };

#define ALL (~UINT64_C(0))

_Static_assert(UNITS_IN_HUGE == 8, "a huge page is eight words of touched bits");

static size_t page_index(const struct sw__pages *pages, const char *address) {
    return (size_t)(address - pages->start) >> SW__PAGE_SHIFT;
}

/* ---- The tables ------------------------------------------------------------------------------ */

static size_t words_for(size_t bits) {
    return bits / 64 + 1;
}

size_t sw__pages_tables_size(size_t size) {
    return sizeof(uint64_t) *
           (size / SW__UNIT + (1 + SW__NOTES) * words_for(size >> SW__HUGE_PAGE_SHIFT) +
            2 * words_for(size / SW__UNIT));
}

void sw__pages_init(struct sw__pages *pages, void *tables, size_t size) {
    pages->touched = tables;
    pages->huge = pages->touched + size / SW__UNIT;
    uint64_t *next = pages->huge;
    for (int what = 0; what < SW__NOTES; what++)
        pages->notes[what] = next += words_for(size >> SW__HUGE_PAGE_SHIFT);
    pages->seams = next + words_for(size >> SW__HUGE_PAGE_SHIFT);
    pages->cuts = pages->seams + words_for(size / SW__UNIT);
}

void sw__pages_reset(struct sw__pages *pages, char *start, size_t size) {
    pages->start = start;
    memset(pages->huge, 0, words_for(size >> SW__HUGE_PAGE_SHIFT) * sizeof(uint64_t));
    for (int what = 0; what < SW__NOTES; what++)
        memset(pages->notes[what], 0, words_for(size >> SW__HUGE_PAGE_SHIFT) * sizeof(uint64_t));
    memset(pages->seams, 0, words_for(size / SW__UNIT) * sizeof(uint64_t));
    memset(pages->cuts, 0, words_for(size / SW__UNIT) * sizeof(uint64_t));
    pages->cut_count = pages->edge_count = 0;
}

static bool get(const uint64_t *bits, size_t index) {
    return bits[index / 64] >> (index % 64) & 1;
}

/* Returns what it was. */
static bool set(uint64_t *bits, size_t index, bool value) {
    uint64_t mask = UINT64_C(1) << (index % 64);
    bool was = bits[index / 64] & mask;
    if (was != value)
        bits[index / 64] ^= mask;
    return was;
}

static void set_cut(struct sw__pages *pages, size_t unit, bool value) {
    bool was = set(pages->cuts, unit, value);
    pages->cut_count += (size_t)value - was;
}

/* ---- Touched --------------------------------------------------------------------------------- */

/* The bits of a word that belong to pages [first, last). */
static uint64_t bits_in_word(size_t word, size_t first, size_t last) {
    uint64_t bits = ALL;
    if (first > word * 64)
        bits &= ALL << (first - word * 64);
    if (last < (word + 1) * 64)
        bits &= ALL >> ((word + 1) * 64 - last);
    return bits;
}

/* Words are mostly all or nothing, and machines without the instruction count slowly. */
static size_t count(uint64_t word) {
    if (word == 0 || word == ALL)
        return word ? 64 : 0;
    return (size_t)__builtin_popcountll(word);
}

size_t sw__pages_touched(const struct sw__pages *pages, const char *start, size_t size) {
    if (size == 0)
        return 0;
    size_t first = page_index(pages, start), last = first + (size >> SW__PAGE_SHIFT);
    size_t word = first / 64, last_word = (last - 1) / 64;
    size_t touched = count(pages->touched[word] & bits_in_word(word, first, last));
    while (++word < last_word)
        touched += count(pages->touched[word]);
    if (word == last_word)
        touched += count(pages->touched[word] & bits_in_word(word, first, last));
    return touched << SW__PAGE_SHIFT;
}

size_t sw__pages_mark(struct sw__pages *pages, const char *start, size_t size, bool touched) {
    size_t first = page_index(pages, start), last = first + (size >> SW__PAGE_SHIFT);
    size_t before = 0;
    for (size_t word = first / 64; word * 64 < last; word++) {
        uint64_t bits = bits_in_word(word, first, last), old = pages->touched[word];
        before += count(old & bits);
        pages->touched[word] = touched ? old | bits : old & ~bits;
    }
    return before << SW__PAGE_SHIFT;
}

char *sw__pages_last_touched(const struct sw__pages *pages, char *start, char *end, size_t wanted) {
    size_t first = page_index(pages, start), page = page_index(pages, end);
    for (size_t found = 0; page > first && found < wanted;) {
        if (page % 64 == 0 && page - first >= 64 && pages->touched[page / 64 - 1] == 0) {
            page -= 64;
            continue;
        }
        page--;
        if (get(pages->touched, page))
            found += SW__PAGE;
    }
    size_t huge_page = page / PAGES_IN_HUGE;
    if (get(pages->huge, huge_page) && huge_page * PAGES_IN_HUGE >= first)
        page = huge_page * PAGES_IN_HUGE;
    return pages->start + (page << SW__PAGE_SHIFT);
}

char *sw__pages_first_touched(const struct sw__pages *pages, char *start, char *end) {
    size_t first = page_index(pages, start), last = page_index(pages, end);
    for (size_t word = first / 64; word * 64 < last; word++) {
        uint64_t touched = pages->touched[word] & bits_in_word(word, first, last);
        if (touched)
            return pages->start +
                   ((word * 64 + (size_t)__builtin_ctzll(touched)) << SW__PAGE_SHIFT);
    }
    return end;
}

char *sw__pages_touched_end(const struct sw__pages *pages, char *start, char *end) {
    size_t first = page_index(pages, start), last = page_index(pages, end);
    while (last > first) {
        size_t word = (last - 1) / 64;
        uint64_t touched = pages->touched[word] & bits_in_word(word, first, last);
        if (touched)
            return pages->start +
                   ((word * 64 + 64 - (size_t)__builtin_clzll(touched)) << SW__PAGE_SHIFT);
        last = word * 64;
    }
    return start;
}

/* ---- Huge pages ------------------------------------------------------------------------------ */

/* Returns what it was. */
static bool set_huge(struct sw__pages *pages, size_t huge_page, bool wanted) {
    bool was = set(pages->huge, huge_page, wanted);
    if (was != wanted) {
        size_t neighbours = huge_page > 0 ? 2 : 1;
        size_t alike = (size_t)(get(pages->huge, huge_page + 1) == wanted) +
                       (huge_page > 0 && get(pages->huge, huge_page - 1) == wanted);
        pages->edge_count += neighbours - 2 * alike;
    }
    return was;
}

/* Huge pages [first, last) are told. Where they would not hear that they are declined, they are as they
 * were, and told again when next it matters. A wish that was not heard costs time at worst. */
static void tell(struct sw__pages *pages, size_t first, size_t last, bool wanted) {
    char *start = pages->start + (first << SW__HUGE_PAGE_SHIFT);
    bool heard = sw__os_advise_huge(start, (last - first) << SW__HUGE_PAGE_SHIFT, wanted);
    for (size_t i = first; !heard && !wanted && i < last; i++)
        set_huge(pages, i, true);
}

/* Advises huge pages [first, last) where they were not yet told so, run by run. */
static void advise(struct sw__pages *pages, size_t first, size_t last, bool wanted) {
    for (size_t i = first, run = first; i < last; run = ++i) {
        while (i < last && set_huge(pages, i, wanted) != wanted)
            i++;
        if (i == run)
            continue;
        set(pages->seams, run * UNITS_IN_HUGE, true);
        set(pages->seams, i * UNITS_IN_HUGE, true);
        tell(pages, run, i, wanted);
    }
}

void sw__pages_cut_off(struct sw__pages *pages, size_t size, size_t size_before) {
    for (size_t i = size >> SW__HUGE_PAGE_SHIFT; i < size_before >> SW__HUGE_PAGE_SHIFT; i++)
        set_huge(pages, i, false);
    for (size_t unit = size / SW__UNIT; unit <= size_before / SW__UNIT; unit++)
        set_cut(pages, unit, false);
}

void sw__pages_want_huge(struct sw__pages *pages, const char *start, const char *end) {
    size_t first = sw__align_up((size_t)(start - pages->start), SW__HUGE_PAGE);
    advise(pages, first >> SW__HUGE_PAGE_SHIFT, (size_t)(end - pages->start) >> SW__HUGE_PAGE_SHIFT,
           true);
}

void sw__pages_decline(struct sw__pages *pages, const char *start, const char *end) {
    advise(pages, (size_t)(start - pages->start) >> SW__HUGE_PAGE_SHIFT,
           ((size_t)(end - 1 - pages->start) >> SW__HUGE_PAGE_SHIFT) + 1, false);
}

/* The part [start, end) of one huge page. */
static void decline_if_missing(struct sw__pages *pages, const char *start, const char *end) {
    size_t huge_page = (size_t)(start - pages->start) >> SW__HUGE_PAGE_SHIFT;
    size_t size = (size_t)(end - start);
    if (get(pages->huge, huge_page) && sw__pages_touched(pages, start, size) < size)
        advise(pages, huge_page, huge_page + 1, false);
}

void sw__pages_decline_missing(struct sw__pages *pages, const char *start, const char *end) {
    for (const char *next; start < end; start = next) {
        next = sw__huge_page_from(start + 1);
        decline_if_missing(pages, start, next < end ? next : end);
    }
}

bool sw__pages_may_come_along(const struct sw__pages *pages, const char *page, const char *start,
                              const char *end) {
    size_t huge_page = (size_t)(page - pages->start) >> SW__HUGE_PAGE_SHIFT;
    const char *from = pages->start + (huge_page << SW__HUGE_PAGE_SHIFT);
    return get(pages->huge, huge_page) && (from <= start || from + SW__HUGE_PAGE > end);
}

void sw__pages_decline_shared(struct sw__pages *pages, const char *start, const char *end) {
    const char *up = sw__huge_page_from(start), *down = sw__huge_page_at(end);
    if (up > start)
        decline_if_missing(pages, start, up < end ? up : end);
    if (down < end && down >= up)
        decline_if_missing(pages, down, end);
}

bool sw__pages_note(struct sw__pages *pages, enum sw__note what, const char *huge_page,
                    bool noted) {
    return set(pages->notes[what], (size_t)(huge_page - pages->start) >> SW__HUGE_PAGE_SHIFT,
               noted);
}

char *sw__pages_first_noted(const struct sw__pages *pages, enum sw__note what, char *start,
                            char *end) {
    const uint64_t *notes = pages->notes[what];
    size_t i = sw__align_up((size_t)(start - pages->start), SW__HUGE_PAGE) >> SW__HUGE_PAGE_SHIFT;
    size_t last = (size_t)(end - pages->start) >> SW__HUGE_PAGE_SHIFT;
    while (i < last && !get(notes, i))
        i += notes[i / 64] >> (i % 64) ? 1 : 64 - i % 64;
    return i < last ? pages->start + (i << SW__HUGE_PAGE_SHIFT) : NULL;
}

size_t sw__pages_forget(struct sw__pages *pages, char *start, char *end) {
    size_t forgotten = 0;
    start = sw__huge_page_at(start);
    end = sw__huge_page_from(end);
    for (enum sw__note what = 0; what < SW__NOTES; what++)
        for (char *each = start; (each = sw__pages_first_noted(pages, what, each, end));)
            forgotten += sw__pages_note(pages, what, each, false);
    return forgotten;
}

/* ---- Moves ----------------------------------------------------------------------------------- */

void sw__pages_note_seam(struct sw__pages *pages, const char *address) {
    set(pages->seams, page_index(pages, address) / SW__UNIT_PAGES, true);
}

/* Are so many units all touched, or all untouched? */
static bool units_are(const struct sw__pages *pages, size_t unit, size_t count, uint64_t word) {
    while (count && pages->touched[unit + count - 1] == word)
        count--;
    return count == 0;
}

static bool has_seam_inside(const struct sw__pages *pages, size_t unit, size_t count) {
    while (count > 1 && !get(pages->seams, unit + count - 1))
        count--;
    return count > 1;
}

static char *last_grain(const struct sw__pages *pages, char *start, char *end, size_t count,
                        uint64_t word) {
    size_t unit_shift = SW__PAGE_SHIFT + 6;
    size_t first = sw__align_up((size_t)(start - pages->start), count * SW__UNIT) >> unit_shift;
    size_t unit = ((size_t)(end - pages->start) >> unit_shift) & ~(count - 1);
    while (unit >= first + count) {
        unit -= count;
        if (units_are(pages, unit, count, word) &&
            (word == 0 || !has_seam_inside(pages, unit, count)))
            return pages->start + (unit << unit_shift);
    }
    return NULL;
}

char *sw__pages_last_full(const struct sw__pages *pages, char *start, char *end,
                          enum sw__grain grain) {
    return last_grain(pages, start, end, sw__grain_size(grain) / SW__UNIT, ALL);
}

char *sw__pages_last_empty(const struct sw__pages *pages, char *start, char *end,
                           enum sw__grain grain) {
    return last_grain(pages, start, end, sw__grain_size(grain) / SW__UNIT, 0);
}

size_t sw__pages_movable(const struct sw__pages *pages, const char *start, const char *end,
                         const struct sw__pages *others, const char *there) {
    size_t gap = -(uintptr_t)start & (SW__UNIT - 1), movable = 0;
    size_t unit = page_index(pages, start + gap) / SW__UNIT_PAGES;
    size_t other = page_index(others, there + gap) / SW__UNIT_PAGES;
    for (const char *at = start + gap; end - at >= (ptrdiff_t)SW__UNIT; at += SW__UNIT) {
        movable += pages->touched[unit] == ALL && others->touched[other] == 0 ? SW__UNIT : 0;
        unit++;
        other++;
    }
    return movable;
}

/* What comes in is one mapping: seams round it, and none inside. */
static void renew_seams(struct sw__pages *pages, const char *start, size_t size) {
    size_t unit = page_index(pages, start) / SW__UNIT_PAGES, count = size / SW__UNIT;
    for (size_t i = 0; i <= count; i++) {
        set(pages->seams, unit + i, i == 0 || i == count);
        set_cut(pages, unit + i, i == 0 || i == count);
    }
}

void sw__passage_widen(struct sw__passage *passage, const char *from_start, const char *to_start,
                       size_t most) {
    size_t size = sw__grain_size(passage->grain), units = size / SW__UNIT;
    while (passage->size + size <= most && passage->full - from_start >= (ptrdiff_t)size &&
           passage->empty - to_start >= (ptrdiff_t)size) {
        size_t full = page_index(passage->from, passage->full) / SW__UNIT_PAGES;
        size_t empty = page_index(passage->to, passage->empty) / SW__UNIT_PAGES;
        if (get(passage->from->seams, full) ||
            !units_are(passage->from, full - units, units, ALL) ||
            has_seam_inside(passage->from, full - units, units) ||
            !units_are(passage->to, empty - units, units, 0))
            return;
        passage->full -= size;
        passage->empty -= size;
        passage->size += size;
    }
}

/* Advice belongs to the mapping, and comes along with it: to each huge page that is filled whole. */
static void take_advice_along(const struct sw__passage *passage) {
    char *end = passage->empty + passage->size;
    for (char *each = sw__huge_page_from(passage->empty); end - each >= (ptrdiff_t)SW__HUGE_PAGE;
         each += SW__HUGE_PAGE) {
        const char *from = passage->full + (each - passage->empty);
        bool wanted = get(passage->from->huge, page_index(passage->from, from) / PAGES_IN_HUGE);
        set_huge(passage->to, page_index(passage->to, each) / PAGES_IN_HUGE, wanted);
    }
}

bool sw__passage_move(const struct sw__passage *passage) {
    if (!sw__os_move(passage->full, passage->empty, passage->size))
        return false;
    sw__pages_mark(passage->from, passage->full, passage->size, false);
    sw__pages_mark(passage->to, passage->empty, passage->size, true);
    renew_seams(passage->to, passage->empty, passage->size);
    take_advice_along(passage);
    return true;
}
