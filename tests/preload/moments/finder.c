/*
 * finder.c - a library that loads another by its name alone, which only its own RUNPATH leads to.
 */
#define _GNU_SOURCE /* RTLD_DEEPBIND */
#include <dlfcn.h>

void *finder_load(int is_deep) {
    /* Looked at, so that the call is no jump: then our caller would be dlopen's. */
    void *volatile found = dlopen("libmoments-found.so", RTLD_NOW | (is_deep ? RTLD_DEEPBIND : 0));
    return found;
}
