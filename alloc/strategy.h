/*
 * strategy.h - what a strategy is: one struct of functions. Internal; heap.c calls it, and the
 * preload library where nothing has to be counted or checked between.
 *
 * A new strategy is one file in alloc/strategies/ that ends in its struct sw__strategy, and one
 * line in strategies.h. Look-up, build, contract tests, benchmarks and comparisons follow from the
 * line.
 *
 * The contract:
 *   - heap.c has checked the arguments: size is 1..PTRDIFF_MAX, alignment is a power of two of at
 *     least SW_MIN_ALIGNMENT, block is not NULL. A strategy does not check them again.
 *   - Who locks: the strategy. Every slot but create, destroy, step_begin and step_end may be called
 *     from any threads at once; those four are serialised by the caller, and step_begin/step_end may
 *     run while other threads allocate and free.
 *   - Out of memory is NULL (errno is heap.c's business) and leaves everything as it was.
 *   - Misuse a strategy happens to see ends in sw__misuse_free() or sw__misuse(): see misuse.h.
 *   - System calls are made through os.h alone (jemalloc and libc make their own).
 */
#ifndef SW_STRATEGY_H
#define SW_STRATEGY_H

#include <stdbool.h>
#include <stddef.h>

#include "lock.h"
#include "misuse.h"
#include "option_list.h"
#include "stepwell.h"

/* What a strategy knows of itself; whatever is left 0 is unknown. */
struct sw__strategy_stats {
    struct sw_level reserved;
    struct sw_level metadata;
    size_t allocated; /* usable bytes of live blocks, for heaps without tracking */
    bool at_limit;    /* what was refused last was refused for the option limit's sake */
};

/* Shown each range of address space the strategy holds, so that the kernel can be asked about it.
 */
typedef void sw__range_visitor(void *context, const void *start, size_t size);

/* Shown so many bytes in live blocks of that usable size. */
typedef void sw__size_visitor(void *context, size_t block_size, size_t bytes);

struct sw__strategy {
    struct sw_strategy_info info;

    /* A heap's state; NULL with errno when it cannot be. Required, as all below unless said. */
    void *(*create)(const struct sw__config *config);
    /* Gives back all the state and every block in it. */
    void (*destroy)(void *state);

    void *(*alloc)(void *state, size_t size, size_t alignment, enum sw_tag tag);
    /* The same, zeroed and at SW_MIN_ALIGNMENT. Optional: NULL means alloc and memset. */
    void *(*alloc_zeroed)(void *state, size_t size, enum sw_tag tag);
    void (*free)(void *state, void *block);
    /* Resizes, moving if need be; on NULL the old block is untouched. Optional: NULL means resize,
     * and where that cannot be, alloc, copy, free. */
    void *(*realloc)(void *state, void *block, size_t size);
    /* Resizes without an allocation: where the block stands, or by moving its pages. Where it is
     * now; NULL changes nothing. Optional: NULL means it never can. */
    void *(*resize)(void *state, void *block, size_t size);
    size_t (*usable_size)(void *state, const void *block);

    void (*step_begin)(void *state); /* optional */
    void (*step_end)(void *state);   /* optional */
    /* Bytes given back to the system. Optional: NULL means there is nothing it can give. With
     * trim_unknown, the value means nothing and heap.c measures the fall in resident memory. */
    size_t (*trim)(void *state);
    bool trim_unknown;

    void (*stats)(void *state, struct sw__strategy_stats *stats);
    /* Bytes of the metadata that are physically present. Optional: NULL means it has none. */
    size_t (*metadata_present)(void *state);
    /* Of all contiguous free pieces the one with the most bytes physically present: those bytes.
     * What the strategy would not hand out as one block is not one piece. May be slow. */
    size_t (*largest_free)(void *state);
    /* Optional: NULL means the ranges are not to be known (libc's), and resident is measured as the
     * growth of the process. */
    void (*visit_ranges)(void *state, sw__range_visitor *visitor, void *context);
    /* All that is live, by size; where sizes are not known one by one, by their upper bound.
     * Allocates nothing. Optional: NULL means it is not known. */
    void (*visit_sizes)(void *state, sw__size_visitor *visitor, void *context);
    /* Shows every lock of the state, in the order in which they are taken: all are held over a fork.
     * Optional: NULL means it has none, or sees to it by itself. */
    void (*visit_locks)(void *state, sw__lock_visitor *visitor, void *context);
    /* Its blocks are found in page_map.h: a pointer that is not there is none of its. */
    bool in_page_map;
    /* Its state begins with a struct sw__blocks, and what is allocated up to SW__SMALL_MAX comes from
     * the slabs: the preload library goes straight to them. */
    bool small_in_slabs;
    /* Destroying the state does not end its blocks: heap.c frees each by itself first. */
    bool blocks_outlive_state;
};

/* The strategy of that name, loaded if need be. NULL, with errno and sw_error(), when there is none,
 * or it is not available here. */
const struct sw__strategy *sw__strategy_find(const char *name);

#endif
