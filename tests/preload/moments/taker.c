/*
 * taker.c - a library to be loaded with RTLD_DEEPBIND, as PHP loads its own: it frees what libc and
 * the rest of the program have allocated, from its constructor on.
 */
#include <stdlib.h>
#include <string.h>

void taker_take(void *block) {
    free(realloc(block, 1000));
}

__attribute__((constructor)) static void take_at_once(void) {
    taker_take(strdup("libc calls the malloc that is preloaded"));
}
