/*
 * large.c - 20 blocks of 5 to 25 MiB, a random one replaced at a time; each of its pages is
 * touched.
 */
#include "shape.h"

enum { LIVE = 20, OPERATIONS = 200 };

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    static void *blocks[LIVE];
    static size_t sizes[LIVE];
    uint64_t state = seed_of(0), operations = share(&shape, OPERATIONS);
    for (uint64_t i = 0; i < operations; i++) {
        size_t slot = below(&state, LIVE);
        if (blocks[slot]) {
            give(blocks[slot], sizes[slot]);
        }
        sizes[slot] = 5 * MIB + below(&state, 20 * MIB + 1);
        blocks[slot] = take(sizes[slot]);
    }
    for (size_t slot = 0; slot < LIVE; slot++) {
        if (blocks[slot]) {
            give(blocks[slot], sizes[slot]);
        }
    }
    report(&shape, operations);
}
