/*
 * system - libc's malloc as it is: the baseline.
 *
 * Every slot is one call of libc's. What libc holds is asked of mallinfo2(), which speaks of the
 * whole process: its ranges are not to be known, so heap.c measures resident as the process's
 * growth. There is no state.
 */
#include "libc_below.h"
#include "os.h"
#include "strategy.h"

#include <string.h>
#include <unistd.h>

static const char no_state;

static void *create(const struct sw__config *config) {
    (void)config;
    return (void *)&no_state;
}

static void destroy(void *state) {
    (void)state;
}

static void *alloc(void *state, size_t size, size_t alignment, enum sw_tag tag) {
    (void)state;
    (void)tag;
    if (alignment <= _Alignof(max_align_t))
        return sw__libc_malloc(size);
    return sw__libc_memalign(alignment, size);
}

static void *alloc_zeroed(void *state, size_t size, enum sw_tag tag) {
    (void)state;
    (void)tag;
    return sw__libc_calloc(1, size);
}

static void give_back(void *state, void *block) {
    (void)state;
    sw__libc_free(block);
}

static void *resize(void *state, void *block, size_t size) {
    (void)state;
    return sw__libc_realloc(block, size);
}

static size_t usable_size(void *state, const void *block) {
    (void)state;
    return sw__libc_usable_size((void *)block);
}

static size_t trim(void *state) {
    (void)state;
#if defined(__GLIBC__)
    return (size_t)sw__libc_trim(0);
#else
    return 0;
#endif
}

#if defined(__GLIBC__)
static void stats(void *state, struct sw__strategy_stats *stats) {
    (void)state;
    struct mallinfo2 info = sw__libc_mallinfo2();
    stats->reserved.current = info.arena + info.hblkhd;
    stats->reserved.peak = stats->reserved.current;
    stats->allocated = info.uordblks + info.hblkhd;
}

/* The top chunk ends at the break and is seldom touched to its end. */
static size_t present_in_top_chunk(void) {
    size_t size = sw__libc_mallinfo2().keepcost;
    return sw__os_resident((char *)sbrk(0) - size, size);
}

/* mallinfo2() has only the top chunk; the sizes of the others are in malloc_info()'s XML:
 * <size from="97" to="112" .../> and <unsorted from= to= .../>. Where they are it does not say, so
 * they count as physically present. */
static size_t largest_free(void *state) {
    (void)state;
    size_t largest = present_in_top_chunk();
    char *xml = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&xml, &length);
    if (!stream)
        return largest;
    sw__libc_malloc_info(0, stream);
    fclose(stream);
    for (const char *at = xml; at && (at = strstr(at, " to=\"")) != NULL;) {
        at += strlen(" to=\"");
        size_t size = strtoull(at, NULL, 10);
        if (size > largest)
            largest = size;
    }
    free(xml);
    return largest;
}
#else
/* Other libcs tell nothing of themselves. */
static void stats(void *state, struct sw__strategy_stats *stats) {
    (void)state;
    *stats = (struct sw__strategy_stats){0};
}

static size_t largest_free(void *state) {
    (void)state;
    return 0;
}
#endif

const struct sw__strategy sw__strategy_system = {
    .info.name = "system",
    .info.summary = "libc's malloc as it is",
    .create = create,
    .destroy = destroy,
    .alloc = alloc,
    .alloc_zeroed = alloc_zeroed,
    .free = give_back,
    .realloc = resize,
    .usable_size = usable_size,
    .trim = trim,
    .trim_unknown = true,
    .stats = stats,
    .largest_free = largest_free,
    .blocks_outlive_state = true,
};
