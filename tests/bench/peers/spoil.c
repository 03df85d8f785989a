/* A malloc that, to preload, hands out the block before once more, every thousandth time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

void *malloc(size_t size) {
    static void *(*below)(size_t);
    static atomic_ulong calls;
    static _Thread_local void *before;
    static _Thread_local size_t its_size;
    if (!below) {
        below = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    }
    if (atomic_fetch_add(&calls, 1) % 1000 == 999 && before && size <= its_size) {
        return before;
    }
    its_size = size;
    return before = below(size);
}
