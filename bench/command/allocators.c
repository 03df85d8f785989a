/*
 * allocators.c - looks where the dynamic linker would: LD_LIBRARY_PATH, then the multiarch and the
 * plain library directories. Names carry the version Debian's packages install, so that what is
 * found is what LD_PRELOAD takes.
 */
#include "allocators.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct known_allocator {
    const char *name;
    const char *package;
    const char *files[3]; /* the first that is found counts; patterns allowed */
};

static const struct known_allocator known[] = {
    {"jemalloc", "libjemalloc2", {"libjemalloc.so.2"}},
    {"mimalloc", "libmimalloc2.0", {"libmimalloc.so.[0-9]", "libmimalloc.so.[0-9]*"}},
    {"tcmalloc", "libtcmalloc-minimal4", {"libtcmalloc_minimal.so.4", "libtcmalloc.so.4"}},
    {"tbbmalloc", "libtbbmalloc2", {"libtbbmalloc_proxy.so.2"}},
};

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#else
#define MULTIARCH "."
#endif

static const char *const directories[] = {
    "/usr/local/lib/" MULTIARCH, "/usr/local/lib", "/usr/lib/" MULTIARCH,
    "/lib/" MULTIARCH,           "/usr/lib64",     "/usr/lib"};

/* The last of what matches: the highest version, if there are several. */
static int find_in(const char *directory, size_t length, const char *file, char *path) {
    char pattern[ALLOCATOR_PATH];
    glob_t found;
    if (snprintf(pattern, sizeof pattern, "%.*s/%s", (int)length, directory, file) >=
            ALLOCATOR_PATH ||
        glob(pattern, 0, NULL, &found) != 0) {
        return 0;
    }
    const char *match = found.gl_pathv[found.gl_pathc - 1];
    int fits = strlen(match) < ALLOCATOR_PATH && access(match, R_OK) == 0;
    if (fits) {
        strcpy(path, match);
    }
    globfree(&found);
    return fits;
}

static int find_in_list(const char *list, const char *file, char *path) {
    while (list && *list) {
        size_t length = strcspn(list, ":");
        if (length > 0 && find_in(list, length, file, path)) {
            return 1;
        }
        list += length + (list[length] == ':');
    }
    return 0;
}

static int find_file(const char *file, char *path) {
    if (find_in_list(getenv("LD_LIBRARY_PATH"), file, path)) {
        return 1;
    }
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        if (find_in(directories[i], strlen(directories[i]), file, path)) {
            return 1;
        }
    }
    return 0;
}

static void find_libc(struct allocator *libc) {
    Dl_info info;
    *libc = (struct allocator){.name = "glibc", .package = "libc6"};
    /* strtoull, not malloc: malloc may be somebody else's already. */
    if (dladdr((void *)&strtoull, &info) && info.dli_fname) {
        snprintf(libc->path, sizeof libc->path, "%s", info.dli_fname);
    }
}

size_t find_allocators(struct allocator *allocators) {
    size_t count = 0;
    find_libc(&allocators[count++]);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct allocator *allocator = &allocators[count++];
        *allocator = (struct allocator){.name = known[i].name, .package = known[i].package};
        for (size_t f = 0; f < 3 && known[i].files[f]; f++) {
            if (find_file(known[i].files[f], allocator->path)) {
                break;
            }
        }
    }
    return count;
}
