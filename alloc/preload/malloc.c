/*
 * malloc.c - malloc and its family, over the process's heap. The names are libc's, and so are the
 * rules: C17 7.22.3, C23 7.24.3, POSIX.1-2024, and the GNU C library's manual for the rest.
 *
 *   size 0      a block of its own, to be freed; realloc(p, 0) frees p and returns NULL, as glibc's
 *               does, and says EINVAL, as POSIX.1-2024 asks of that answer
 *   too large   no block is larger than PTRDIFF_MAX
 *   alignment   that is no power of two: EINVAL and NULL. memalign() rounds it up, as glibc's does
 *   errno       ENOMEM on failure; free() leaves it as it was, posix_memalign() too
 *   foreign     a pointer that is not ours goes to the allocator that would have had it without us,
 *               where another library brings one; else to libc, if it is libc's; else: misuse
 */
#include "align.h"
#include "export.h"
#include "fast.h"
#include "libc_below.h"
#include "look.h"
#include "process.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* ---- While the heap is being made: what libc allocates meanwhile ----------------------------- */

static struct {
    _Alignas(16) char bytes[8192];
    size_t used;
} early;

/* What only a heap can answer. */
static void *no_heap_yet(void) {
    errno = ENOMEM;
    return NULL;
}

/* Never freed and reused, so it is zero. The size is in front of the block. */
static void *alloc_early(size_t size) {
    const size_t front = SW_MIN_ALIGNMENT, room = sizeof early.bytes - early.used;
    if (room <= front || size > room - front)
        return no_heap_yet();
    char *block = early.bytes + early.used + front;
    memcpy(block - front, &size, sizeof size);
    early.used += front + sw__align_up(size, SW_MIN_ALIGNMENT);
    return block;
}

static bool is_early(const void *block) {
    return (uintptr_t)block - (uintptr_t)early.bytes < sizeof early.bytes;
}

static size_t size_of_early(const void *block) {
    size_t size;
    memcpy(&size, (const char *)block - SW_MIN_ALIGNMENT, sizeof size);
    return size;
}

/* ---- malloc and free ------------------------------------------------------------------------- */

/* Straight from the strategy, where nothing is counted or checked between. NULL leaves it to the
 * heap. */
static inline void *alloc_large(struct sw__blocks *blocks, size_t size, size_t alignment) {
    return LIKELY(blocks && size > SW__SMALL_MAX && size <= PTRDIFF_MAX)
               ? sw__process.strategy->alloc(blocks, size, alignment, SW_TAG_OTHER)
               : NULL;
}

void *sw__malloc_slow(size_t size) {
    struct sw__blocks *blocks = sw__process.blocks;
    void *block = LIKELY(blocks && size <= SW__SMALL_MAX)
                      ? sw__front_alloc_slow(&blocks->slabs, size)
                      : alloc_large(blocks, size, SW_MIN_ALIGNMENT);
    if (LIKELY(block != NULL))
        return block;
    if (UNLIKELY(!sw__process_ensure()))
        return alloc_early(size);
    return sw_alloc(sw__process.heap, size, SW_TAG_OTHER);
}

void *sw__own_malloc(size_t size) {
    return sw__malloc(size);
}

EXPORT void *malloc(size_t size) __attribute__((alias("sw__own_malloc")));

static void free_foreign(void *block) {
    if (sw__behind.free)
        sw__behind.free(block);
    else if (sw__process_loaders(block))
        return;
    else if (sw__process_is_libcs(block))
        sw__libc_free(block);
    else
        sw__misuse_free();
}

void sw__free_slow(void *block) {
    struct sw__blocks *blocks = sw__process.blocks;
    void *entry = blocks ? sw__page_map_get(block) : NULL;
    struct sw__slab *slab = sw__slab_in(entry);
    if (LIKELY(slab != NULL)) {
        sw__slabs_free(&blocks->slabs, slab, block);
        return;
    }
    int kept = errno;
    if (LIKELY(entry != NULL)) {
        sw__process.strategy->free(blocks, block);
        errno = kept;
        return;
    }
    if (!block || is_early(block) || UNLIKELY(!sw__process_ensure()))
        return;
    if (LIKELY(sw__process_knows(block)))
        sw_free(sw__process.heap, block);
    else
        free_foreign(block);
    errno = kept;
}

EXPORT void free(void *block) {
    sw__free(block);
}

/* ---- The rest of C's ------------------------------------------------------------------------- */

EXPORT void *calloc(size_t count, size_t size) {
    size_t bytes;
    bool overflows = __builtin_mul_overflow(count, size, &bytes);
    void *block = overflows ? NULL : sw__front_alloc(bytes);
    if (LIKELY(block != NULL))
        return memset(block, 0, bytes);
    if (UNLIKELY(!sw__process_ensure()))
        return alloc_early(overflows ? SIZE_MAX : bytes);
    return sw_alloc_zeroed(sw__process.heap, count, size, SW_TAG_OTHER);
}

/* A block from start-up moves. */
static void *realloc_early(const void *block, size_t size) {
    void *moved = malloc(size);
    return moved ? memcpy(moved, block, sw__smaller(size_of_early(block), size)) : NULL;
}

/* The loader keeps no sizes: what lies behind comes along, as far as it can be read. */
static void *realloc_loaders(const char *block, size_t size) {
    char *moved = malloc(size);
    size_t copied = 0, most = sw__smaller(size, sw__process_loaders(block));
    while (moved && copied < most && sw__os_is_readable(block + copied)) {
        size_t to_page_end = SW__PAGE - ((uintptr_t)block + copied) % SW__PAGE;
        size_t piece = sw__smaller(most - copied, to_page_end);
        memcpy(moved + copied, block + copied, piece);
        copied += piece;
    }
    return moved;
}

static void *realloc_foreign(void *block, size_t size) {
    if (sw__behind.realloc)
        return sw__behind.realloc(block, size);
    if (sw__process_loaders(block))
        return realloc_loaders(block, size);
    if (!sw__process_is_libcs(block))
        sw__misuse(SW__MISUSE_REALLOC, NULL);
    return sw__libc_realloc(block, size);
}

EXPORT void *realloc(void *block, size_t size) {
    struct sw__slab *slab = sw__process.blocks ? sw__slab_of(block) : NULL;
    if (slab ? sw__slab_suits(slab, size)
             : sw__process.blocks && sw__blocks_suits(sw__process.blocks, block, size))
        return block;
    if (!block)
        return malloc(size);
    if (size == 0) {
        free(block);
        errno = EINVAL;
        return NULL;
    }
    if (UNLIKELY(is_early(block)))
        return realloc_early(block, size);
    if (UNLIKELY(!sw__process_ensure()))
        return no_heap_yet();
    if (UNLIKELY(!sw__process_knows(block)))
        return realloc_foreign(block, size);
    return sw_realloc(sw__process.heap, block, size);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

static bool is_power_of_two(size_t value) {
    return value && (value & (value - 1)) == 0;
}

/* Where the front has no block, or the alignment is none. */
static __attribute__((noinline)) void *alloc_aligned_slow(size_t alignment, size_t size) {
    void *block =
        is_power_of_two(alignment) ? alloc_large(sw__process.blocks, size, alignment) : NULL;
    if (LIKELY(block != NULL))
        return block;
    if (UNLIKELY(!sw__process_ensure()))
        return no_heap_yet();
    return sw_alloc_aligned(sw__process.heap, alignment, size, SW_TAG_OTHER);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size) {
    void *block = is_power_of_two(alignment) ? sw__front_alloc_aligned(size, alignment) : NULL;
    return LIKELY(block != NULL) ? block : alloc_aligned_slow(alignment, size);
}

/* C23. The size is the caller's claim; what the heap knows is what counts. */
EXPORT void free_sized(void *block, size_t size) {
    (void)size;
    free(block);
}

EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size) {
    (void)alignment;
    (void)size;
    free(block);
}

/* ---- POSIX, and what is older ---------------------------------------------------------------- */

static __attribute__((noinline)) void *alloc_aligned_slow_keeping_errno(size_t alignment,
                                                                        size_t size) {
    int kept = errno;
    void *block = alloc_aligned_slow(alignment, size);
    errno = kept;
    return block;
}

/* The answer is the error; errno stays. */
EXPORT int posix_memalign(void **out, size_t alignment, size_t size) {
    if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0)
        return EINVAL;
    void *block = sw__front_alloc_aligned(size, alignment);
    if (UNLIKELY(!block)) {
        block = alloc_aligned_slow_keeping_errno(alignment, size);
        if (!block)
            return ENOMEM;
    }
    *out = block;
    return 0;
}

/* glibc's takes any alignment and rounds it up to a power of two. */
EXPORT void *memalign(size_t alignment, size_t size) {
    size_t rounded = SW_MIN_ALIGNMENT;
    while (rounded < alignment && rounded <= SIZE_MAX / 4)
        rounded *= 2;
    if (rounded < alignment) {
        errno = EINVAL;
        return NULL;
    }
    return aligned_alloc(rounded, size);
}

EXPORT void *valloc(size_t size) {
    return aligned_alloc(SW__PAGE, size);
}

EXPORT void *pvalloc(size_t size) {
    size_t pages;
    if (__builtin_add_overflow(size, SW__PAGE - 1, &pages)) {
        errno = ENOMEM;
        return NULL;
    }
    return aligned_alloc(SW__PAGE, pages & ~(SW__PAGE - 1));
}

EXPORT void cfree(void *block) {
    free(block);
}

/* ---- The GNU C library's --------------------------------------------------------------------- */

EXPORT size_t malloc_usable_size(void *block) {
    if (!block)
        return 0;
    if (is_early(block))
        return size_of_early(block);
    if (!sw__process_ensure())
        return 0;
    if (sw__process_knows(block))
        return sw_usable_size(sw__process.heap, block);
    if (sw__behind.usable_size)
        return sw__behind.usable_size(block);
    return sw__process_is_libcs(block) ? sw__libc_usable_size(block) : 0;
}

EXPORT int malloc_trim(size_t pad) {
    (void)pad; /* what is worth keeping at the top is not ours to say */
    return sw__process_ensure() && sw_trim(sw__process.heap) > 0;
}

extern const struct sw__strategy sw__strategy_system;

/* Where the strategy is libc itself, libc answers for itself. */
static bool is_libc(void) {
    return sw__process_ensure() && sw__process.strategy == &sw__strategy_system;
}

/* What there is to set is set by STEPWELL_CONF. So what glibc would take is taken, as it does what it
 * does not know, and changes nothing: 1 is success. */
EXPORT int mallopt(int parameter, int value) {
    enum { MXFAST_MAX = 80 * sizeof(size_t) / 4 };
    if (is_libc())
        return sw__libc_mallopt(parameter, value);
    return parameter != M_MXFAST || (value >= 0 && value <= MXFAST_MAX);
}

struct totals {
    struct sw_level reserved;
    size_t allocated, free, largest_free, releasable;
};

static struct totals take_totals(void) {
    struct sw_stats stats = {0};
    if (sw__process_ensure())
        sw__heap_look(sw__process.heap, &stats);
    size_t resident = stats.resident.current;
    size_t reserved = stats.reserved.current, allocated = stats.allocated.current;
    return (struct totals){
        .reserved = stats.reserved,
        .allocated = allocated,
        .free = reserved > allocated ? reserved - allocated : 0,
        .largest_free = stats.largest_free,
        .releasable = resident > allocated ? resident - allocated : 0,
    };
}

/* Free pieces are not counted by number: the largest is one, and all others together another. */
static size_t free_pieces(const struct totals *totals) {
    return (size_t)(totals->largest_free > 0) + (totals->free > totals->largest_free);
}

/* The fields that mallinfo(3) calls unused stay 0, and so do those of fast bins and of blocks with
 * a mapping of their own, which are not told apart here: arena = uordblks + fordblks. */
EXPORT struct mallinfo2 mallinfo2(void) {
    if (is_libc())
        return sw__libc_mallinfo2();
    struct totals totals = take_totals();
    return (struct mallinfo2){
        .arena = totals.allocated + totals.free,
        .ordblks = free_pieces(&totals),
        .uordblks = totals.allocated,
        .fordblks = totals.free,
        .keepcost = totals.releasable,
    };
}

static int as_int(size_t value) {
    return value > INT32_MAX ? INT32_MAX : (int)value;
}

EXPORT struct mallinfo mallinfo(void) {
    struct mallinfo2 info = mallinfo2();
    return (struct mallinfo){.arena = as_int(info.arena),
                             .ordblks = as_int(info.ordblks),
                             .smblks = as_int(info.smblks),
                             .hblks = as_int(info.hblks),
                             .hblkhd = as_int(info.hblkhd),
                             .fsmblks = as_int(info.fsmblks),
                             .uordblks = as_int(info.uordblks),
                             .fordblks = as_int(info.fordblks),
                             .keepcost = as_int(info.keepcost)};
}

EXPORT void malloc_stats(void) {
    if (sw__process_ensure())
        sw__report(STDERR_FILENO);
}

/* What glibc's document, version 1, says of a heap and again of all heaps; there is one here, and
 * no block with a mapping of its own. */
static void print_totals(FILE *stream, const struct totals *totals, const char *mapped) {
    fprintf(stream,
            "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
            "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n%s"
            "<system type=\"current\" size=\"%zu\"/>\n<system type=\"max\" size=\"%zu\"/>\n"
            "<aspace type=\"total\" size=\"%zu\"/>\n<aspace type=\"mprotect\" size=\"%zu\"/>\n",
            free_pieces(totals), totals->free, mapped, totals->reserved.current,
            totals->reserved.peak, totals->reserved.current, totals->reserved.current);
}

EXPORT int malloc_info(int options, FILE *stream) {
    if (options != 0) {
        errno = EINVAL;
        return -1;
    }
    if (is_libc())
        return sw__libc_malloc_info(options, stream);
    struct totals totals = take_totals();
    size_t largest = totals.largest_free;
    fprintf(stream, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
    if (largest)
        fprintf(stream, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"1\"/>\n", largest,
                largest, largest);
    fprintf(stream, "</sizes>\n");
    print_totals(stream, &totals, "");
    fprintf(stream, "</heap>\n");
    print_totals(stream, &totals, "<total type=\"mmap\" count=\"0\" size=\"0\"/>\n");
    fprintf(stream, "</malloc>\n");
    return 0;
}
