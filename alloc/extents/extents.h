/*
 * extents.h - the page source: where strategies get pages from, and give them back to.
 *
 * Glossary
 *   region    a range of address space reserved from the system, committed from its start onwards
 *   frontier  where a region's committed part ends; it moves up, and only trim takes it down, or the
 *             region away
 *   extent    a run of pages in a region's committed part, live, parked, lent or free. Two free
 *             extents never touch: they coalesce at once
 *   lent      an extent that holds metadata, since the system had no room for more
 *   parked    the extent freed last, still as it was: if the next one wanted is of its size it is
 *             taken without search, cut and joining. Whoever makes another extent live or free,
 *             trims, or asks for free extents or their pages sets it free first
 *   dirty     a free extent with touched pages (see pages.h); a clean one has none
 *   held      bytes of touched pages, of live extents, lent and free ones
 *
 * Invariants: the extents of a region cover [start, frontier) without gap or overlap. reserved is
 * the sum of all committed parts; live is the sum of live extents, but for what was given back
 * inside them.
 *
 * Placement: the best fit among dirty extents, then among clean ones, then the frontier; a new
 * region last. Physical pages are reused before new ones are asked for, and the smallest hole that
 * fits is taken, the lowest of equal ones: at its front, or where more of it is there. There are two
 * sides with regions of their own, so that a slab that stays pins no hole among tensors; and what is
 * as large as huge pages begins on one, where that leaves no hole to speak of, so that whole huge
 * pages come, go and move with it. Where address space is short either rule gives.
 *
 * Budget: a strategy may say how many bytes are enough to hold. A live extent that would take more
 * gets its pages from free extents instead of new ones: the kernel moves them there (mremap), which
 * is 20 to 50 times cheaper than giving pages back and faulting others in. So holes of the wrong
 * size cost address space and no memory. They move by units: where one lies across the end of an
 * extent, its rest comes along to the free extent beside it.
 *
 * Growth: a block that has no room to grow where it stands becomes a larger extent elsewhere. What
 * is missing there moves from the old one, if that is 1 MiB or more, and what is there is copied
 * over: so no two of it come to be held. Where a large dirty extent is there whole, the block goes
 * to the beginning of that, for what has grown once will grow again; and from the small side to the
 * large one when it is large.
 *
 * Zeros: what is asked for zeroed may never be used. Where there is a budget, one of 2 MiB or more
 * comes where nothing is there yet, unless such extents turn out to be used whole (usage.h), or
 * address space becomes much more than what is held. Where something is, zeros are written over what
 * exists alone, if it is large; where all of it existed the last times the next few are not asked,
 * unless they are of 2 MiB or more.
 *
 * Limit: no more is ever held. Pages move as for a budget, and what is free is given back for what
 * is to live, so that a request is refused for the limit's sake only if it would live beyond it.
 *
 * Huge pages (auto): a 2 MiB page is asked for only where one live extent covers all of it; the
 * advice is taken back when a smaller extent comes to share it. While much less is held than the
 * budget, as when work begins again after a rest, one that several will share is asked for as well,
 * and comes with the first of them. Neither is done where large extents are not used to their ends
 * (usage.h), unless one is so large that a huge page more is nothing to it.
 *
 * Rest: what is free goes when work stops, and comes again when work does, from a thread that has
 * nothing else to do. Only what the kernel says was there comes, and by huge pages that were there
 * whole.
 *
 * Locked inside: any thread may call anything but init and destroy.
 */
#ifndef SW_EXTENTS_H
#define SW_EXTENTS_H

#include "lock.h"
#include "meta.h"
#include "os.h"
#include "size_index.h"
#include "strategy.h"
#include "usage.h"

enum sw__extent_state {
    SW__EXTENT_LIVE,
    SW__EXTENT_PARKED,
    SW__EXTENT_LENT,
    SW__EXTENT_DIRTY,
    SW__EXTENT_CLEAN
};

struct sw__extent {
    struct sw__treap_node node;        /* address and size; indexed while free */
    struct sw__extent *before, *after; /* neighbours in the region */
    struct sw__region *region;
    size_t touched; /* bytes of its pages that are; all of them while live, until they move away, or
                     * are given back by the strategy that has marked it */
    enum sw__extent_state state;
    bool zero;    /* live, and all zero when it was handed out */
    bool roomy;   /* live, and larger than what was asked for: it has grown (the strategy's) */
    bool marked;  /* live, and its slices name its holder in the page map */
    void *holder; /* the strategy's, while live */
};

/* Extents up to SW__SMALL_EXTENT and larger ones live in regions of their own. */
enum { SW__SIDE_SMALL, SW__SIDE_LARGE, SW__SIDES };
#define SW__SMALL_EXTENT ((size_t)256 << 10)

struct sw__side {
    struct sw__size_index dirty, clean; /* free extents */
    struct sw__region *regions;         /* newest first */
};

struct sw__extents {
    struct sw__lock lock;
    struct sw__extent *parked; /* in no index; or NULL */
    struct sw__meta *meta;     /* under the lock as well */
    struct sw__meta lent;      /* the same in pages of our own */
    size_t limit;              /* of held; SIZE_MAX: none */
    size_t refused;            /* about so many free bytes the kernel would not take back */
    size_t most_cuts;          /* into so many mappings, about; 0: not asked yet */
    unsigned refusals;         /* of the system, as of the last trim */
    bool at_limit;             /* for its sake the last request was refused */
    enum sw__huge_pages huge_pages;
    struct sw__region *spare_regions;
    struct sw__extent *spare_extents;
    size_t spare_count;                   /* of those */
    struct sw__usage usage, zeroed_usage; /* of those that were asked for zeroed */
    unsigned single_huge_pages;           /* that came new so far, round and round */
    unsigned unasked, unasked_next;       /* to be zeroed without asking what is there */
    struct sw_level reserved;
    _Atomic(size_t) live; /* this and what follows may be read without the lock */
    _Atomic(size_t) held;
    _Atomic(size_t) budget;           /* of held; SIZE_MAX: none */
    _Atomic(size_t) noted;            /* notes of huge pages (pages.h) */
    _Atomic(size_t) moved;            /* bytes that moved for the budget's sake, so far, */
    _Atomic(size_t) purged;           /* or were given back */
    struct sw__side sides[SW__SIDES]; /* last: they are large */
};

void sw__extents_init(struct sw__extents *extents, struct sw__meta *meta,
                      const struct sw__config *config);
/* Gives all regions back to the system; the metadata goes with its meta. */
void sw__extents_destroy(struct sw__extents *extents);

/* A piece of metadata, all zero; where the system has no more, one in free pages of our own, which stay
 * lent: so what is free can be cut into as many blocks as there is room for. NULL when those are out,
 * too. */
void *sw__extents_meta_alloc(struct sw__extents *extents, size_t size);

static inline char *sw__extent_start(const struct sw__extent *extent) {
    return (char *)extent->node.address;
}

static inline size_t sw__extent_size(const struct sw__extent *extent) {
    return extent->node.size;
}

/* A live extent of size bytes rounded up to pages. Alignment is a power of two. NULL when out of
 * memory, with nothing changed. */
struct sw__extent *sw__extents_alloc(struct sw__extents *extents, size_t size, size_t alignment);
/* The same where little may ever be used of it: no pages move there. */
struct sw__extent *sw__extents_alloc_sparse(struct sw__extents *extents, size_t size,
                                            size_t alignment);
/* Where such an extent starts, all zero. Many a program touches little of it, so huge pages are not
 * asked for where none of it is there yet. */
void *sw__extents_alloc_zeroed(struct sw__extents *extents, size_t size);
void sw__extents_free(struct sw__extents *extents, struct sw__extent *extent);
/* Makes a live extent, unmarked, larger or smaller: where it stands, or with room to grow as
 * another, to which its pages move; what cannot move is copied. Returns where it starts now. NULL,
 * with nothing changed, when there is nothing for it but a new one and a copy. */
void *sw__extents_resize(struct sw__extents *extents, struct sw__extent *extent, size_t size);

/* The live extent that begins at the address, NULL if there is none. */
struct sw__extent *sw__extents_find(struct sw__extents *extents, const void *address);
/* The same, where the address's entry in the page map is known. */
struct sw__extent *sw__extents_find_by(struct sw__extents *extents, void *entry,
                                       const void *address);
/* As sw__extents_find(); a pointer that is none is misuse: of free, or of what it was brought to.
 */
struct sw__extent *sw__extents_block(struct sw__extents *extents, const void *block);
struct sw__extent *sw__extents_block_to(struct sw__extents *extents, const void *block,
                                        enum sw__misuse otherwise);

/* In the page map, the slices of a live extent (aligned to SW__SLICE, a multiple of it) name holder
 * instead of the region, until it is freed. */
void sw__extents_mark(struct sw__extents *extents, struct sw__extent *extent, void *holder);

/* The same for a strategy that cuts the extent by itself: the slices name the extent, and this its
 * holder, */
void sw__extents_mark_segment(struct sw__extents *extents, struct sw__extent *extent, void *holder);
/* so that the holder finds it by any address in it. NULL where there is none. */
struct sw__extent *sw__extents_segment(const void *holder, const void *address);

/* Pages of a marked live extent hold nothing, and are given back to the system: they are no part of
 * what lives until they are brought again. False, with nothing changed, where the kernel would not;
 * or where they would live beyond the limit. Adds to *released, unless that is NULL, the bytes that
 * were there. */
bool sw__extents_give_part_back(struct sw__extents *extents, struct sw__extent *extent, char *start,
                                size_t size, size_t *released);
bool sw__extents_bring_part(struct sw__extents *extents, struct sw__extent *extent, char *start,
                            size_t size);

/* Gives the pages of all free extents back to the system, and whole regions that are free; and, where the
 * system has refused anything of late, the address space behind what lives in each. What others free
 * meanwhile may stay. Returns the bytes that were physically there. */
size_t sw__extents_trim(struct sw__extents *extents);

/* Sets the budget. It counts from the next alloc or keep_budget on. */
static inline void sw__extents_set_budget(struct sw__extents *extents, size_t bytes) {
    atomic_store_explicit(&extents->budget, bytes, memory_order_relaxed);
}
/* Above the budget pages move instead of coming new. They are given back when what is above is more
 * than this share of the budget, or than what is nothing to anybody: what is moved costs little,
 * and what is given back may be missed. */
#define SW__TOLERATED       128
#define SW__TOLERATED_BYTES ((size_t)1 << 20)
static inline size_t sw__extents_tolerated(size_t budget) {
    size_t share = budget / SW__TOLERATED;
    return budget == 0 || share > SW__TOLERATED_BYTES ? share : SW__TOLERATED_BYTES;
}
/* Gives pages of free extents back then, of the largest first and a little at a time, until no more
 * than the budget is held or nothing is left to give. Whole regions stay. */
void sw__extents_keep_budget(struct sw__extents *extents);

/* Work has stopped: gives the pages of all free extents back, and notes the huge pages that were
 * there whole. Returns how much went. */
size_t sw__extents_rest(struct sw__extents *extents);
/* Work is back: brings the next of those of which nothing is there yet, if then no more than so much
 * is held. It takes the kernel's time, and not the lock's. False when there is none, or the kernel
 * is older than 5.14. What nobody has taken by the next rest is not brought again after that. From
 * one thread at a time. */
bool sw__extents_bring_back(struct sw__extents *extents, size_t most);

/* The committed part of each region, without the lock: others may give it back meanwhile. */
void sw__extents_visit(struct sw__extents *extents, sw__range_visitor *visitor, void *context);
/* Bytes of the metadata that are physically present. */
size_t sw__extents_metadata_present(struct sw__extents *extents);
/* Every live extent that is not marked: what is marked, a strategy has cut into blocks of its own.
 */
void sw__extents_visit_sizes(struct sw__extents *extents, sw__size_visitor *visitor, void *context);
/* The most that is physically present of one free extent. */
size_t sw__extents_largest_free(struct sw__extents *extents);
/* Bytes of live extents. */
static inline size_t sw__extents_live(const struct sw__extents *extents) {
    return atomic_load_explicit(&extents->live, memory_order_relaxed);
}
/* Bytes held above what is live. */
static inline size_t sw__extents_kept(const struct sw__extents *extents) {
    size_t held = atomic_load_explicit(&extents->held, memory_order_relaxed);
    size_t live = sw__extents_live(extents);
    return held > live ? held - live : 0;
}
/* Fills in reserved, metadata and at_limit. */
void sw__extents_stats(struct sw__extents *extents, struct sw__strategy_stats *stats);

#endif
