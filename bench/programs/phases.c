/*
 * phases.c - a program whose phases differ: in each it allocates blocks of one size, 60 MiB of
 * them, and frees all but one of fifty, spread over all; those live on until the end. Sizes go from
 * 96 bytes to 30 KiB. What a phase leaves free serves the next only where pages go from one size to
 * another.
 */
#include "shape.h"

enum { PHASES = 27, LEAST = 96, KEEP = 50, MOST = 655360 };

#define VOLUME (60 * MIB)

static void *blocks[MOST];
/* NULL after the last. */
static void *kept[PHASES][MOST / KEEP + 2];

/* Returns the blocks it allocated. */
static size_t run_phase(size_t size, size_t count, void **keep) {
    for (size_t i = 0; i < count; i++) {
        blocks[i] = take(size);
    }
    for (size_t i = 0; i < count; i++) {
        if (i % KEEP == 0) {
            keep[i / KEEP] = blocks[i];
        } else {
            give(blocks[i], size);
        }
    }
    return count;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t operations = 0;
    size_t size = LEAST;
    for (size_t phase = 0; phase < PHASES; phase++, size += size / 4) {
        operations += run_phase(size, share(&shape, VOLUME) / size, kept[phase]);
    }
    report_at_rest(&shape, operations);
    size = LEAST;
    for (size_t phase = 0; phase < PHASES; phase++, size += size / 4) {
        for (void **block = kept[phase]; *block; block++) {
            give(*block, size);
        }
    }
}
