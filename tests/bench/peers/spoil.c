/* A malloc and a posix_memalign that, to preload, hand out the block before once more, every
 * thousandth time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_ulong calls;
static _Thread_local void *before;
static _Thread_local size_t its_size;

static int is_spoilt(size_t size) {
    return atomic_fetch_add(&calls, 1) % 1000 == 999 && before && size <= its_size;
}

static void *remember(void *block, size_t size) {
    its_size = size;
    return before = block;
}

void *malloc(size_t size) {
    static void *(*below)(size_t);
    if (!below) {
        below = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    }
    return is_spoilt(size) ? before : remember(below(size), size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
    static int (*below)(void **, size_t, size_t);
    if (!below) {
        below = (int (*)(void **, size_t, size_t))dlsym(RTLD_NEXT, "posix_memalign");
    }
    if (is_spoilt(size)) {
        *block = before;
        return 0;
    }
    int error = below(block, alignment, size);
    remember(error == 0 ? *block : NULL, size);
    return error;
}
