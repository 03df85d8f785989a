/*
 * bursts.c - work in bursts with a rest between, as a service has it: 100 MiB, two thirds in blocks of
 * 1 to 13 KiB and one in blocks of 64 KiB to 1 MiB, all written, then all freed in the order they came
 * in, then nothing for half a second, or the next time for one and a half. What was given back in a
 * rest has to come again.
 */
#include "shape.h"

/* A large one comes after so many small ones. */
enum { BURSTS = 6, MOST = 24000, SHORT_REST_US = 500000, LONG_REST_US = 1500000, LARGE_EACH = 160 };

#define VOLUME (100 * MIB)

static void *blocks[MOST];
static size_t sizes[MOST];

static size_t draw_size(uint64_t *state, size_t number) {
    return number % LARGE_EACH ? 1 * KIB + below(state, 12 * KIB)
                               : 64 * KIB + below(state, 960 * KIB);
}

/* Returns the blocks it allocated. */
static size_t burst(uint64_t *state, size_t volume) {
    size_t count = 0;
    for (size_t bytes = 0; bytes < volume && count < MOST; count++) {
        sizes[count] = draw_size(state, count);
        blocks[count] = take(sizes[count]);
        memset(blocks[count], mark_of(blocks[count], sizes[count]), sizes[count]);
        bytes += sizes[count];
    }
    for (size_t i = 0; i < count; i++) {
        give(blocks[i], sizes[i]);
    }
    return count;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t state = seed_of(0), operations = 0;
    size_t bursts = shape.quick ? 1 : BURSTS;
    for (size_t i = 0; i < bursts; i++) {
        if (i > 0) {
            usleep(i % 2 ? SHORT_REST_US : LONG_REST_US);
        }
        operations += burst(&state, VOLUME);
    }
    report_at_rest(&shape, operations);
}
