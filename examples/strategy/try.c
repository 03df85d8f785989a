/*
 * try - the new strategy beside an old one in one process: the same blocks from both, and what each
 * makes of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stepwell.h>

enum { STEPS = 3, BLOCKS = 100 };

static size_t size_of(int step, int block) {
    return (size_t)(1 + step + block) * 1000;
}

static void work(sw_heap *heap) {
    for (int step = 0; step < STEPS; step++) {
        unsigned char *blocks[BLOCKS];
        sw_step_begin(heap);
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = sw_alloc(heap, size_of(step, i), SW_TAG_TEMPORARY);
            if (!blocks[i])
                exit(1);
            memset(blocks[i], i, size_of(step, i));
        }
        for (int i = 0; i < BLOCKS; i++) {
            if (blocks[i][0] != i || blocks[i][size_of(step, i) - 1] != i)
                exit(1); /* another block lies over this one */
            sw_free(heap, blocks[i]);
        }
        sw_step_end(heap);
    }
}

int main(void) {
    const char *names[] = {"pool", "freelist"};
    for (int i = 0; i < 2; i++) {
        sw_heap *heap = sw_heap_create(names[i], NULL);
        if (!heap) {
            fprintf(stderr, "%s\n", sw_error());
            return 1;
        }
        work(heap);
        struct sw_stats stats;
        sw_heap_stats(heap, &stats, sizeof stats);
        printf("%-8s  requested peak %zu, allocated peak %zu, resident peak %zu\n", names[i],
               stats.requested.peak, stats.allocated.peak, stats.resident.peak);
        sw_heap_destroy(heap);
    }
    return 0;
}
