/*
 * pages.h - the physical side of a region: which of its pages may be there, and how they come, go
 * and move.
 *
 * Glossary
 *   touched   a page that was part of a live extent and has not been purged or moved away since: it
 *             may be physically there. A page that is not touched is not there, and reads as zero
 *   unit      64 pages (256 KiB), a word of the bits: the smallest piece that moves
 *   seam      a unit where a mapping of the kernel's may begin: what moves must not lie across one
 *
 * Moves are of whole units or whole huge pages, to places aligned alike. So however often pages
 * move, no mapping ever gets smaller than a unit, and a huge page that moves stays huge.
 *
 * Nothing here locks, and nothing counts: the extents do both.
 */
#ifndef SW_PAGES_H
#define SW_PAGES_H

#include "os.h"

#include <stdint.h>

#define SW__UNIT_PAGES 64
#define SW__UNIT       (SW__UNIT_PAGES * SW__PAGE)

/* What is noted of a huge page that was there whole before a rest: that it is to be brought again,
 * or that it was brought, and nobody has taken it yet. */
enum sw__note { SW__TO_BRING, SW__BROUGHT, SW__NOTES };

struct sw__pages {
    char *start;                /* aligned to a huge page */
    uint64_t *touched;          /* a bit per page: a word is a unit */
    uint64_t *huge;             /* a bit per huge page: advised */
    uint64_t *notes[SW__NOTES]; /* a bit per huge page each */
    uint64_t *seams;            /* a bit per unit */
    uint64_t *cuts; /* a bit per unit: seams that moves have made, which the kernel does not join */
    size_t cut_count;
    size_t edge_count; /* between what is advised and what is not */
};

/* Bytes of the tables for a region of that size, a multiple of SW__HUGE_PAGE. */
size_t sw__pages_tables_size(size_t size);
/* The tables begin there, all zero. */
void sw__pages_init(struct sw__pages *pages, void *tables, size_t size);
/* All as for a region in which nothing happened yet. */
void sw__pages_reset(struct sw__pages *pages, char *start, size_t size);

/* What lies behind so many bytes, and nothing of it is touched, is no part of the region any more. */
void sw__pages_cut_off(struct sw__pages *pages, size_t size, size_t size_before);

/* Bytes of touched pages in the range. */
size_t sw__pages_touched(const struct sw__pages *pages, const char *start, size_t size);
/* Marks the range as touched or as not. Returns how many bytes were touched before. */
size_t sw__pages_mark(struct sw__pages *pages, const char *start, size_t size, bool touched);
/* Where the last `wanted` touched bytes of the range begin, or its start if it has fewer: of a huge
 * page that begins in the range, its beginning, since a part of one is not given back. */
char *sw__pages_last_touched(const struct sw__pages *pages, char *start, char *end, size_t wanted);

/* The first touched page of the range; its end if it has none. */
char *sw__pages_first_touched(const struct sw__pages *pages, char *start, char *end);
/* Where the last touched page of the range ends; its start if it has none. */
char *sw__pages_touched_end(const struct sw__pages *pages, char *start, char *end);

/* Asks for the huge pages that lie whole in the range. */
void sw__pages_want_huge(struct sw__pages *pages, const char *start, const char *end);
/* Declines those at its two edges that it covers in part, where its part is not all touched. */
void sw__pages_decline_shared(struct sw__pages *pages, const char *start, const char *end);

/* Declines all that lie in the range or across its ends, */
void sw__pages_decline(struct sw__pages *pages, const char *start, const char *end);
/* and those of which something in the range is not touched. */
void sw__pages_decline_missing(struct sw__pages *pages, const char *start, const char *end);
/* Notes something of a huge page, or not any more. Returns whether it was noted. */
bool sw__pages_note(struct sw__pages *pages, enum sw__note what, const char *huge_page, bool noted);
/* The first of which it is noted that lies whole in [start, end), or NULL. */
char *sw__pages_first_noted(const struct sw__pages *pages, enum sw__note what, char *start,
                            char *end);
/* Forgets all notes of those of which a part lies there. Returns how many. */
size_t sw__pages_forget(struct sw__pages *pages, char *start, char *end);
/* May a page come because another was touched: one that is not in [start, end), or the first? */
bool sw__pages_may_come_along(const struct sw__pages *pages, const char *page, const char *start,
                              const char *end);

/* What moves at once: a unit or a huge page. */
enum sw__grain { SW__GRAIN_UNIT, SW__GRAIN_HUGE };

static inline size_t sw__grain_size(enum sw__grain grain) {
    return grain == SW__GRAIN_HUGE ? SW__HUGE_PAGE : SW__UNIT;
}

/* The last grain that lies whole in [start, end) and is all touched and without a seam inside; or
 * that is all untouched. NULL when there is none. */
char *sw__pages_last_full(const struct sw__pages *pages, char *start, char *end,
                          enum sw__grain grain);
char *sw__pages_last_empty(const struct sw__pages *pages, char *start, char *end,
                           enum sw__grain grain);
/* Bytes of the whole units in [start, end) that are all touched, and all untouched in `others` at the
 * place they have if the range begins `there`, which is at the same offset in a unit. */
size_t sw__pages_movable(const struct sw__pages *pages, const char *start, const char *end,
                         const struct sw__pages *others, const char *there);
/* Where a move may take place: from a full grain to an empty one, and so many neighbours below. */
struct sw__passage {
    struct sw__pages *from, *to;
    char *full, *empty; /* of the lowest grain */
    enum sw__grain grain;
    size_t size; /* of all */
};

/* Widens a passage of one grain downwards, while there are full ones not below from_start and empty
 * ones not below to_start, and no seam between: one move is cheaper than many. Up to most bytes. */
void sw__passage_widen(struct sw__passage *passage, const char *from_start, const char *to_start,
                       size_t most);
/* Makes the move. False when the kernel would not: then nothing that is touched has changed. */
bool sw__passage_move(const struct sw__passage *passage);

/* How many mappings more the kernel has for moves and advice, about. */
static inline size_t sw__pages_cuts(const struct sw__pages *pages) {
    return pages->cut_count + pages->edge_count;
}

/* A mapping of its own may begin at the address. */
void sw__pages_note_seam(struct sw__pages *pages, const char *address);

#endif
