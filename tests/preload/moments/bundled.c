/*
 * bundled.c - a library with an allocator of its own, as some bring: it exports malloc and free and
 * binds its own calls to them. What it allocates it hands out, to be freed by whoever has it.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

int bundled_live;

static char *place;
static size_t used;
enum { ROOM = 1 << 20 };

__attribute__((visibility("default"))) void *malloc(size_t size) {
    if (!place)
        place = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t *block = (size_t *)(void *)(place + used);
    used += (size + 31) & ~(size_t)15;
    block[1] = size;
    bundled_live++;
    return block + 2;
}

__attribute__((visibility("default"))) void free(void *block) {
    bundled_live -= block && (uintptr_t)block - (uintptr_t)place < ROOM;
}

__attribute__((visibility("default"))) void *realloc(void *block, size_t size) {
    void *moved = malloc(size);
    if (block) {
        size_t had = ((size_t *)block)[-1];
        memcpy(moved, block, had < size ? had : size);
        free(block);
    }
    return moved;
}

__attribute__((visibility("default"))) size_t malloc_usable_size(void *block) {
    return ((size_t *)block)[-1];
}

char *bundled_text(void) {
    return strcpy(malloc(100), "from an allocator of its own");
}
