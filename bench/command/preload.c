/*
 * preload.c - see preload.h.
 */
#include "preload.h"

#include <dlfcn.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arguments.h"

enum { PATH_SIZE = 4096 };

bool find_own_library(const char *name, char *path, size_t size) {
    static const char *const directories[] = {"lib", STEPWELL_LIBRARY_DIRECTORY};
    char self[PATH_SIZE];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    const char *prefix = dirname(dirname(self));
    for (int i = 1; i >= 0; i--) {
        snprintf(path, size, "%s/%s/libstepwell-%s.so", prefix, directories[i], name);
        if (access(path, R_OK) == 0) {
            return true;
        }
    }
    return false;
}

/* LD_PRELOAD is split at blanks and colons, and knows no way to quote them. */
static bool add_library(const char *name, char *list, size_t size, char *why, size_t why_size) {
    char path[PATH_SIZE];
    if (!find_own_library(name, path, sizeof path)) {
        snprintf(why, why_size, "%s is missing: build or install Stepwell whole", path);
        return false;
    }
    if (strpbrk(path, " :\t\n")) {
        snprintf(why, why_size, "LD_PRELOAD cannot hold '%s': it has a blank or a colon in it",
                 path);
        return false;
    }
    size_t used = strlen(list);
    snprintf(list + used, size - used, "%s%s", used ? ":" : "", path);
    return true;
}

char *compose_preload(const char *strategy, char *why, size_t why_size) {
    char list[2 * PATH_SIZE + 2] = "";
    char *whole;
    const char *kept = getenv("LD_PRELOAD");
    bool has_own_library = strategy && strcmp(strategy, "jemalloc") == 0;
    if (!add_library("preload", list, sizeof list, why, why_size) ||
        (has_own_library && !add_library(strategy, list, sizeof list, why, why_size))) {
        return NULL;
    }
    if (asprintf(&whole, "%s%s%s", list, kept && *kept ? ":" : "", kept ? kept : "") < 0) {
        abort();
    }
    return whole;
}

bool is_behind_own_malloc(void) {
    Dl_info info;
    void *own = dlsym(RTLD_DEFAULT, "malloc");
    return own && dladdr(own, &info) && info.dli_fname &&
           strstr(info.dli_fname, "/libstepwell-preload.so");
}

void complain_if_system_is_ours(const char *strategy) {
    if (strcmp(strategy, "system") == 0 && is_behind_own_malloc()) {
        complain("`system` is Stepwell's own malloc here, not libc's: unset LD_PRELOAD");
    }
}
