/*
 * libc_below.c - libc's malloc family behind ours: see libc_below.h.
 */
#include "libc_below.h"

#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <stdint.h>

static void *libc = RTLD_NEXT;
static size_t (*usable_size)(void *block);

/* Asked for when first needed. dlsym() may itself allocate, which by then works. */
static void *of_libc(const char *name) {
    return dlsym(libc, name);
}

size_t sw__libc_usable_size(void *block) {
    if (!usable_size)
        *(void **)&usable_size = of_libc("malloc_usable_size");
    return usable_size(block);
}

int sw__libc_trim(size_t pad) {
    int (*trim)(size_t);
    *(void **)&trim = of_libc("malloc_trim");
    return trim(pad);
}

int sw__libc_mallopt(int parameter, int value) {
    int (*set)(int, int);
    *(void **)&set = of_libc("mallopt");
    return set(parameter, value);
}

struct mallinfo2 sw__libc_mallinfo2(void) {
    struct mallinfo2 (*info)(void);
    *(void **)&info = of_libc("mallinfo2");
    return info();
}

int sw__libc_malloc_info(int options, FILE *stream) {
    int (*info)(int, FILE *);
    *(void **)&info = of_libc("malloc_info");
    return info(options, stream);
}

struct sw__behind sw__behind;

/* Between us and libc there may be a library with a malloc of its own. */
__attribute__((constructor)) static void look_behind_us(void) {
    void *next = dlsym(RTLD_NEXT, "free");
    if (!next || next == (void *)__libc_free)
        return;
    *(void **)&sw__behind.free = next;
    *(void **)&sw__behind.realloc = dlsym(RTLD_NEXT, "realloc");
    *(void **)&sw__behind.usable_size = dlsym(RTLD_NEXT, "malloc_usable_size");
    void *found = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD); /* allocates */
    if (found)
        libc = found;
    *(void **)&usable_size = of_libc("malloc_usable_size");
}
