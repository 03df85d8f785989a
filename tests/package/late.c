/*
 * late - a program that loads libstepwell.so (its argument) when it already runs.
 *
 * Then jemalloc's thread-local storage may have no place any more: that strategy must be there or
 * be refused in a sentence, and the others must work.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <stepwell.h>

int main(int argc, char **argv) {
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (!library) {
        fprintf(stderr, "late: %s\n", dlerror());
        return 1;
    }
    sw_heap *(*create)(const char *, const char *) = dlsym(library, "sw_heap_create");
    const char *(*error)(void) = dlsym(library, "sw_error");
    if (!create("pool", NULL) || !create("system", NULL)) {
        fprintf(stderr, "late: %s\n", error());
        return 1;
    }
    if (!create("jemalloc", NULL) && (errno != ENOTSUP || !strstr(error(), "jemalloc"))) {
        fprintf(stderr, "late: refused for the wrong reason: %s\n", error());
        return 1;
    }
    return 0;
}
