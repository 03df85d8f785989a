/*
 * meter.c - counts what an unmodified process requests: libstepwell-meter.so, to be preloaded.
 *
 * It stands before libc's malloc and sees every block's size, so that the peak of the bytes
 * requested (LB, which no allocator can go below) is exact, from sw_meter_start() on. The program
 * finds that function by dlsym, or runs on without it.
 *
 *     base            base + offset
 *     | (alignment)  | header | block ...
 *
 * The header in front of each block holds its size and the way back to libc's block. A block
 * without one was libc's from before and is passed on. So of blocks there is no table and no lock.
 * Memory that others map for themselves (OpenBLAS's buffer, Python's arenas) is beyond any
 * allocator's reach: mmap is watched as well, and sw_meter_mapped() tells how much of it has become
 * resident. libc's own maps are made inside libc and do not come by here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "meter.h"

#define EXPORT __attribute__((visibility("default")))

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

enum { PAGE = 4096, MIN_ALIGNMENT = 16 };

/* ---- Counting -------------------------------------------------------------------------------- */

static int64_t live, peak, live_at_start, mapped_at_start;

static void raise_peak(int64_t now) {
    int64_t seen = __atomic_load_n(&peak, __ATOMIC_RELAXED);
    while (now > seen &&
           !__atomic_compare_exchange_n(&peak, &seen, now, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

static void count(int64_t bytes) {
    raise_peak(__atomic_add_fetch(&live, bytes, __ATOMIC_RELAXED));
}

/* ---- Headers --------------------------------------------------------------------------------- */

struct header {
    size_t size;
    uint32_t offset; /* from libc's block to ours */
    uint32_t check;  /* the block's address, mixed: what lies before a foreign block does not fit */
};

_Static_assert(sizeof(struct header) == MIN_ALIGNMENT, "a block keeps malloc's alignment");

static struct header *header_of(void *block) {
    return (struct header *)block - 1;
}

static uint32_t check_of(const void *block) {
    return (uint32_t)(((uintptr_t)block * UINT64_C(0x9e3779b97f4a7c15)) >> 32) | 1;
}

static int is_ours(void *block) {
    return header_of(block)->check == check_of(block);
}

static int is_too_large(size_t size, size_t offset) {
    return size > (size_t)PTRDIFF_MAX - offset;
}

static void *refuse(void) {
    errno = ENOMEM;
    return NULL;
}

/* What libc gave, made ours. */
static void *enter(void *base, size_t offset, size_t size) {
    if (!base)
        return NULL;
    void *block = (char *)base + offset;
    *header_of(block) = (struct header){size, (uint32_t)offset, check_of(block)};
    count((int64_t)size);
    return block;
}

/* The opposite: libc's block, and the header is void. */
static void *leave(void *block) {
    struct header *header = header_of(block);
    count(-(int64_t)header->size);
    header->check = 0;
    return (char *)block - header->offset;
}

/* At the next power of two, as libc's memalign does. */
static void *allocate_aligned(size_t alignment, size_t size) {
    size_t offset = MIN_ALIGNMENT;
    while (offset < alignment && offset <= UINT32_MAX)
        offset *= 2;
    if (offset > UINT32_MAX || is_too_large(size, offset))
        return refuse();
    return enter(__libc_memalign(offset, offset + size), offset, size);
}

/* ---- The malloc family ----------------------------------------------------------------------- */

EXPORT void *malloc(size_t size) {
    if (is_too_large(size, MIN_ALIGNMENT))
        return refuse();
    return enter(__libc_malloc(MIN_ALIGNMENT + size), MIN_ALIGNMENT, size);
}

EXPORT void *calloc(size_t count_of, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count_of, size, &bytes) || is_too_large(bytes, MIN_ALIGNMENT))
        return refuse();
    return enter(__libc_calloc(1, MIN_ALIGNMENT + bytes), MIN_ALIGNMENT, bytes);
}

EXPORT void free(void *block) {
    if (block)
        __libc_free(is_ours(block) ? leave(block) : block);
}

/* libc keeps malloc's alignment only, and the offset with it. */
static void *move_aligned(void *block, size_t size) {
    size_t old = header_of(block)->size;
    void *moved = malloc(size);
    if (moved) {
        memcpy(moved, block, old < size ? old : size);
        free(block);
    }
    return moved;
}

EXPORT void *realloc(void *block, size_t size) {
    if (!block)
        return malloc(size);
    if (!is_ours(block))
        return __libc_realloc(block, size);
    if (size == 0) {
        free(block);
        return NULL;
    }
    if (is_too_large(size, MIN_ALIGNMENT))
        return refuse();
    if (header_of(block)->offset != MIN_ALIGNMENT)
        return move_aligned(block, size);
    size_t old = header_of(block)->size;
    void *base = leave(block);
    void *moved = __libc_realloc(base, MIN_ALIGNMENT + size);
    return moved ? enter(moved, MIN_ALIGNMENT, size) : (enter(base, MIN_ALIGNMENT, old), refuse());
}

EXPORT void *reallocarray(void *block, size_t count_of, size_t size) {
    size_t bytes;
    return __builtin_mul_overflow(count_of, size, &bytes) ? refuse() : realloc(block, bytes);
}

EXPORT void *memalign(size_t alignment, size_t size) {
    return allocate_aligned(alignment, size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size) {
    return allocate_aligned(alignment, size);
}

EXPORT void *valloc(size_t size) {
    return allocate_aligned(PAGE, size);
}

EXPORT void *pvalloc(size_t size) {
    if (is_too_large(size, PAGE))
        return refuse();
    return allocate_aligned(PAGE, (size + PAGE - 1) & ~(size_t)(PAGE - 1));
}

EXPORT int posix_memalign(void **result, size_t alignment, size_t size) {
    if (alignment < sizeof(void *) || (alignment & (alignment - 1)))
        return EINVAL;
    int kept = errno;
    void *block = allocate_aligned(alignment, size);
    errno = kept;
    if (!block)
        return ENOMEM;
    *result = block;
    return 0;
}

EXPORT size_t malloc_usable_size(void *block) {
    return block && is_ours(block) ? header_of(block)->size : 0;
}

/* ---- What others map ------------------------------------------------------------------------- */

struct range {
    char *start, *end;
};

static struct {
    pthread_mutex_t lock;
    struct range ranges[4096];
    size_t count;
} mapped = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void lock_mapped(void) {
    pthread_mutex_lock(&mapped.lock);
}

static void unlock_mapped(void) {
    pthread_mutex_unlock(&mapped.lock);
}

/* A child finds it free. */
__attribute__((constructor)) static void learn_of_forks(void) {
    pthread_atfork(lock_mapped, unlock_mapped, unlock_mapped);
}

static const char too_many[] = "stepwell-meter: more mappings than it can watch\n";

static void watch(void *start, size_t length) {
    lock_mapped();
    if (mapped.count == sizeof mapped.ranges / sizeof *mapped.ranges) {
        ssize_t written = write(STDERR_FILENO, too_many, sizeof too_many - 1);
        (void)written;
        _exit(125);
    }
    mapped.ranges[mapped.count++] = (struct range){start, (char *)start + length};
    unlock_mapped();
}

/* Ranges that lie in what is unmapped go; a part unmapped is not resident and so not counted. */
static void unwatch(char *start, size_t length) {
    lock_mapped();
    for (size_t i = mapped.count; i-- > 0;)
        if (mapped.ranges[i].start >= start && mapped.ranges[i].end <= start + length)
            mapped.ranges[i] = mapped.ranges[--mapped.count];
    unlock_mapped();
}

static int64_t resident_in(struct range range) {
    unsigned char present[1024];
    int64_t pages = 0;
    while (range.start < range.end) {
        size_t length = (size_t)(range.end - range.start);
        if (length > sizeof present * PAGE)
            length = sizeof present * PAGE;
        if (mincore(range.start, length, present) == 0)
            for (size_t i = 0; i < (length + PAGE - 1) / PAGE; i++)
                pages += present[i] & 1;
        range.start += length;
    }
    return pages * PAGE;
}

static int64_t resident_in_mapped(void) {
    int64_t bytes = 0;
    lock_mapped();
    for (size_t i = 0; i < mapped.count; i++)
        bytes += resident_in(mapped.ranges[i]);
    unlock_mapped();
    return bytes;
}

EXPORT void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    void *start =
        (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset); // NOLINT
    if (start != MAP_FAILED && (flags & MAP_ANONYMOUS) && (flags & MAP_PRIVATE))
        watch(start, length);
    return start;
}

EXPORT void *mmap64(void *address, size_t length, int protection, int flags, int file,
                    off_t offset) {
    return mmap(address, length, protection, flags, file, offset);
}

EXPORT int munmap(void *address, size_t length) {
    unwatch(address, length);
    return (int)syscall(SYS_munmap, address, length);
}

/* ---- What is asked --------------------------------------------------------------------------- */

EXPORT void sw_meter_start(void) {
    live_at_start = __atomic_load_n(&live, __ATOMIC_RELAXED);
    __atomic_store_n(&peak, live_at_start, __ATOMIC_RELAXED);
    mapped_at_start = resident_in_mapped();
}

EXPORT int64_t sw_meter_live(void) {
    return __atomic_load_n(&live, __ATOMIC_RELAXED) - live_at_start;
}

EXPORT int64_t sw_meter_peak(void) {
    return __atomic_load_n(&peak, __ATOMIC_RELAXED) - live_at_start;
}

EXPORT int64_t sw_meter_mapped(void) {
    return resident_in_mapped() - mapped_at_start;
}
