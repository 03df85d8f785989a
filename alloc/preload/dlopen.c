/*
 * dlopen.c - libraries are loaded without RTLD_DEEPBIND.
 *
 * A library that is bound deeply calls libc's malloc and free whatever is preloaded. What it frees
 * may be ours: a string that getline() or strdup() made, since libc itself calls our malloc; then
 * libc's free ends the process. PHP loads its extensions so, and no allocator could be put under it
 * (issues 10670 of php/php-src, 1148 of gperftools/gperftools and many more, on github.com). The
 * price is that such a library may find another's symbols before its own, as all others do.
 *
 * The dynamic linker looks at its caller's address, for the caller's RUNPATH and $ORIGIN. So ours
 * is left by a jump: this file is compiled to make one whatever the build (CMakeLists.txt), and a
 * test holds it to that.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "export.h"

#include <dlfcn.h>

typedef void *dlopen_function(const char *file, int mode);

static dlopen_function *behind_us(void) {
    static dlopen_function *found;
    dlopen_function *known = __atomic_load_n(&found, __ATOMIC_RELAXED);
    if (!known) {
        *(void **)&known = dlsym(RTLD_NEXT, "dlopen");
        __atomic_store_n(&found, known, __ATOMIC_RELAXED);
    }
    return known;
}

EXPORT void *dlopen(const char *file, int mode) {
    return behind_us()(file, mode & ~RTLD_DEEPBIND);
}
