/*
 * libc_below.c - libc's malloc family behind ours: see libc_below.h.
 */
#include "libc_below.h"

#include <dlfcn.h>
#include <stdint.h>

/* Asked for when first needed. dlsym() may itself allocate, which by then works. */
static void *behind_us(const char *name) {
    return dlsym(RTLD_NEXT, name);
}

size_t sw__libc_usable_size(void *block) {
    static size_t (*usable_size)(void *);
    if (!usable_size)
        *(void **)&usable_size = behind_us("malloc_usable_size");
    return usable_size(block);
}

int sw__libc_trim(size_t pad) {
    int (*trim)(size_t);
    *(void **)&trim = behind_us("malloc_trim");
    return trim(pad);
}

int sw__libc_mallopt(int parameter, int value) {
    int (*set)(int, int);
    *(void **)&set = behind_us("mallopt");
    return set(parameter, value);
}

struct mallinfo2 sw__libc_mallinfo2(void) {
    struct mallinfo2 (*info)(void);
    *(void **)&info = behind_us("mallinfo2");
    return info();
}

int sw__libc_malloc_info(int options, FILE *stream) {
    int (*info)(int, FILE *);
    *(void **)&info = behind_us("malloc_info");
    return info(options, stream);
}

struct sw__behind sw__behind;

__attribute__((constructor)) static void look_behind_us(void) {
    void *next = behind_us("free");
    if (!next || next == (void *)__libc_free)
        return;
    *(void **)&sw__behind.free = next;
    *(void **)&sw__behind.realloc = behind_us("realloc");
    *(void **)&sw__behind.usable_size = behind_us("malloc_usable_size");
}
