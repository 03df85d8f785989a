/*
 * stepwell.h - heaps for machine-learning work, the strategy named at run time.
 *
 *     sw_heap *heap = sw_heap_create("pool", NULL);
 *     if (!heap) { fprintf(stderr, "%s\n", sw_error()); exit(1); }
 *     for (...) {
 *         sw_step_begin(heap);
 *         float *x = sw_alloc_aligned(heap, 64, bytes, SW_TAG_ACTIVATION);
 *         ...
 *         sw_free(heap, x);
 *         sw_step_end(heap);
 *     }
 *     sw_heap_destroy(heap);
 *
 * Glossary (the same words in code, docs and tables):
 *   strategy   one way to place and keep memory: system, jemalloc, pool, sizeclass, arena, auto
 *   heap       one instance of a strategy; a process may hold many, of different strategies: 500 at
 *              least at once of auto, sizeclass or jemalloc, and of others what there is memory for
 *   step       one iteration of training or inference
 *   tag        what a block is for
 *   requested  bytes the program asked for, in live blocks
 *   allocated  the same blocks after rounding (their usable size)
 *   active     bytes of pages that hold at least one live byte
 *   resident   bytes of the heap's pages that are physically present, as the kernel tells
 *   reserved   address space made usable for the heap; what is mapped ahead without access is not
 *              counted
 *   metadata   what the heap keeps of its own beside them: tables, headers, the ledger. It is mapped;
 *              what nobody has touched of it is not present
 *   survivor   a block born in a step and alive after it
 *
 * requested <= allocated <= active, and resident <= reserved. Once the program has touched its
 * blocks, active <= resident as well; a live page that nobody touched is active and not resident.
 *
 * Three kinds of failure. Out of memory returns NULL with errno ENOMEM and changes nothing. Misuse (a
 * double free, a pointer of another heap) stops the process with one fixed sentence on stderr, and of
 * a checked heap a line on the block. A bad argument that is no misuse (an unknown strategy, a step
 * ended twice) is an error value with errno EINVAL, and sw_error() says what was wrong in one
 * sentence.
 *
 * Threads: unless a function says otherwise, any thread may call it at any time on any heap; a
 * signal's handler may call nothing, as with malloc. A fork takes every lock first: parent and child
 * both go on with every heap, and the child may use and free its copies of the parent's blocks. The
 * library may be loaded late, by dlopen(): of the static thread-local storage that libc keeps for
 * that it takes less than 512 bytes.
 */
#ifndef STEPWELL_H
#define STEPWELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SW_VERSION "0.1.0"

/* Every block is aligned to this many bytes at least, as malloc's are. */
#define SW_MIN_ALIGNMENT 16

#if defined(__GNUC__)
#define SW_API            __attribute__((visibility("default")))
#define SW_ALLOCATES(...) __attribute__((malloc, warn_unused_result, alloc_size(__VA_ARGS__)))
#else
#define SW_API
#define SW_ALLOCATES(...)
#endif

typedef struct sw_heap sw_heap;

/* What a block is for. One list: the enum, the names and every per-tag table follow from it. */
#define SW_TAGS(X)                                                                                 \
    X(OTHER, other)                                                                                \
    X(PARAMETER, parameter)                                                                        \
    X(GRADIENT, gradient)                                                                          \
    X(OPTIMIZER_STATE, optimizer_state)                                                            \
    X(INPUT, input)                                                                                \
    X(ACTIVATION, activation)                                                                      \
    X(TEMPORARY, temporary)

enum sw_tag {
#define SW_TAG_ENUM(upper, lower) SW_TAG_##upper,
    SW_TAGS(SW_TAG_ENUM)
#undef SW_TAG_ENUM
        SW_TAG_COUNT
};

/* ---- Errors, strategies ---------------------------------------------------------------------- */

/* The library's version, "major.minor.patch". */
SW_API const char *sw_version(void);

/* One sentence on the last error this thread met; "" when there was none. Valid until the next
 * error of the same thread. */
SW_API const char *sw_error(void);

struct sw_strategy_info {
    const char *name;    /* what sw_heap_create() takes */
    const char *summary; /* one line, no full stop */
};

/* The strategies there are, by index from 0; NULL past the last. What is pointed to stays. */
SW_API const struct sw_strategy_info *sw_strategy_info(size_t index);

/* A tag's name in lower case, "optimizer_state". NULL for a value that is no tag. */
SW_API const char *sw_tag_name(enum sw_tag tag);

/* ---- Heaps ----------------------------------------------------------------------------------- */

/*
 * A new heap. conf is NULL or "key:value,key:value", "tracking:0,limit:4G" for example. The keys,
 * their defaults and what they do are in README.md under Options, in stepwell(7), and at the end of
 * `stepwell run --help`. One that is not the strategy's, as "limit" is none of "system", changes
 * nothing.
 *
 * NULL with errno EINVAL when the strategy or a key is unknown (sw_error() names the nearest) or a
 * value is wrong, ENOMEM when memory is out, ENOTSUP when the strategy is not to be had on this machine.
 */
SW_API sw_heap *sw_heap_create(const char *strategy, const char *conf);

/* Ends a heap and every block still live in it. No other thread may be using the heap. A system
 * heap without tracking cannot know its live blocks: they stay with libc. NULL is ignored. */
SW_API void sw_heap_destroy(sw_heap *heap);

/* The name of the heap's strategy. */
SW_API const char *sw_heap_strategy(const sw_heap *heap);

/* ---- Blocks ---------------------------------------------------------------------------------- */

/* A block of size bytes (0 counts as 1), contents undefined, aligned to SW_MIN_ALIGNMENT. NULL with
 * ENOMEM when memory is out or size is over PTRDIFF_MAX, with EINVAL when tag is none. */
SW_API void *sw_alloc(sw_heap *heap, size_t size, enum sw_tag tag) SW_ALLOCATES(2);

/* count blocks of size bytes in one, all zero. NULL with ENOMEM also when count*size overflows. */
SW_API void *sw_alloc_zeroed(sw_heap *heap, size_t count, size_t size, enum sw_tag tag)
    SW_ALLOCATES(2, 3);

/* As sw_alloc(), aligned to a power of two (EINVAL if it is none). */
SW_API void *sw_alloc_aligned(sw_heap *heap, size_t alignment, size_t size, enum sw_tag tag)
    SW_ALLOCATES(3);

/* The block resized, perhaps moved; contents kept up to the smaller size; the tag stays, where the
 * heap knows it (tracking or checked). The new block has malloc's alignment only. A NULL block is an allocation tagged other. A size of 0 gives
 * a block of one byte, never a free. NULL with ENOMEM leaves the old block as it was. */
SW_API void *sw_realloc(sw_heap *heap, void *block, size_t size)
    __attribute__((warn_unused_result, alloc_size(3)));

/* Gives a block back. NULL is ignored; errno is kept. Any thread may free any thread's block. A
 * pointer that is no live block of this heap stops the process (always with tracking or checked;
 * without, where the strategy sees it). */
SW_API void sw_free(sw_heap *heap, void *block);

/* Bytes that may be used at block, at least what was asked for; in a checked heap just that. Of a
 * NULL block 0. */
SW_API size_t sw_usable_size(sw_heap *heap, const void *block);

/* ---- Steps ----------------------------------------------------------------------------------- */

/* Mark one step. Steps of a heap follow one another and do not nest: 0, or -1 with EINVAL when one
 * is open already (begin) or none is (end). A block lives until it is freed, whatever the strategy;
 * what is alive when its step ends is a survivor. Other threads may allocate meanwhile; calls to
 * begin and end are the caller's to serialise. */
SW_API int sw_step_begin(sw_heap *heap);
SW_API int sw_step_end(sw_heap *heap);

/* ---- Giving back ----------------------------------------------------------------------------- */

/* Gives free memory back to the system at once. Returns the bytes given back: the heap's own count
 * of pages released, or for strategies that do not tell, the fall in resident memory. */
SW_API size_t sw_trim(sw_heap *heap);

/* ---- What the heap holds --------------------------------------------------------------------- */

/* A quantity now and at its highest. Bytes, or blocks where it says so. */
struct sw_level {
    size_t current;
    size_t peak;
};

struct sw_tag_stats {
    struct sw_level requested;
    struct sw_level allocated;
    struct sw_level blocks; /* count */
    size_t survivors;       /* count of live survivors */
    size_t survivor_bytes;  /* requested bytes in them */
};

/* What was requested when a step ended. */
struct sw_step_end {
    uint64_t step; /* from 1 */
    size_t requested;
};

/* So many step ends are kept: all at first, then every second, every fourth, ... */
#define SW_STEP_ENDS 64

struct sw_stats {
    /* Exact at every instant with tracking, but that a block which another thread's sw_realloc has
     * in hand is missing meanwhile; without it, requested, active, blocks, survivors and tags are 0
     * and allocated is the strategy's own count (0 where it keeps none; of system that of the whole
     * process), its peak the highest of the looks at it. */
    struct sw_level requested;
    struct sw_level allocated;
    struct sw_level active;
    struct sw_level blocks;
    /* Asked of the kernel when stats are read, and when requested leaves a peak 1/32 above the last
     * one looked at, and once in steps 1, 2, 4, 8, ...: the peak is the highest of those looks. For
     * system it is the growth of the process's anonymous memory that no other heap accounts for,
     * and never less than active; of two such heaps each counts what the other took. */
    struct sw_level resident;
    struct sw_level reserved; /* exact; for system, what libc says of itself */
    struct sw_level metadata; /* the strategy's and the ledger's own bookkeeping, counted apart */
    size_t largest_free;      /* the most that is physically present of one contiguous free piece */
    /* At the look that saw reserved at its highest; where that came and went between two looks,
     * allocated's own highest if it did too. */
    size_t allocated_at_reserved_peak;
    size_t process_resident; /* of the whole process, as the kernel tells */
    size_t accounted;        /* what is resident of all its heaps and of their metadata */
    size_t steps;            /* steps ended */
    size_t survivors;
    size_t survivor_bytes;
    size_t last_step_survivors; /* of the step that ended last: blocks alive when it ended */
    size_t last_step_survivor_bytes;
    size_t allocs; /* calls served since creation; 0 without tracking */
    size_t frees;
    struct sw_tag_stats tags[SW_TAG_COUNT];
    size_t step_end_count; /* how many of step_ends are filled in, oldest first; 0 untracked */
    struct sw_step_end step_ends[SW_STEP_ENDS];
    bool tracked; /* the heap has a ledger, and what follows from requested and active is known */
};

/* Fills *stats (sizeof(struct sw_stats) as the caller's compiler sees it, so that the struct may
 * grow). Returns 0. Takes longer than an allocation: the kernel is asked of every page. */
SW_API int sw_heap_stats(sw_heap *heap, struct sw_stats *stats, size_t stats_size);

/* The measures: every formula is here once, and every table calls it. NAN where not defined: 0/0,
 * or of a heap that does not know what it would take (without tracking requested, active and the
 * peak of allocated; allocated at all where the strategy does not count it). */
struct sw_measures {
    double internal_fragmentation; /* 1 - requested/allocated; 0 when nothing is live */
    double external_fragmentation; /* (free - largest free)/free, free = resident - allocated; 0
                                      when free is 0 */
    double utilisation;            /* allocated/reserved at the instant of peak reserved */
    double utilisation_of_peaks;   /* peak allocated / peak reserved */
    double overhead;               /* peak resident / peak requested; below 1 where blocks were
                                      not touched */
    double free_bytes;             /* resident - allocated, or 0 */
    double releasable;             /* free bytes in whole free pages: resident - active, or 0 */
    double pinned;                 /* free bytes on pages a live block holds: active - allocated */
    double unseen;    /* of the process, what no heap accounts for: code, stacks, what others map */
    double retention; /* resident above what is live: resident - requested, or 0 */
    double drift;     /* slope of requested at step end over steps (Theil-Sen: the median slope of
                         all pairs), bytes a step; before two not defined */
};

/* Fills *measures from stats that sw_heap_stats() filled in. Calculates, and no more: no heap is
 * asked, and any thread may call it. */
SW_API void sw_measure(const struct sw_stats *stats, struct sw_measures *measures);

/* One live block, as sw_heap_visit() shows it. */
struct sw_block {
    const void *address;
    size_t requested;
    size_t allocated;
    enum sw_tag tag;
    uint64_t born_step; /* 0: outside any step; else the step's number, from 1 */
};

/* Shows every live block but those that another thread's sw_realloc has in hand, in no order, until
 * visitor returns non-zero; returns that value, 0 at the end, or -1 with ENOTSUP on a heap without
 * tracking. The heap is locked meanwhile: the visitor must not call Stepwell, for this heap or
 * another. */
SW_API int sw_heap_visit(sw_heap *heap, int (*visitor)(const struct sw_block *, void *context),
                         void *context);

#ifdef __cplusplus
}
#endif
#endif
