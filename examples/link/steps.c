/*
 * steps - a program that takes its memory from Stepwell: two steps of work, and what they cost.
 *
 *     cc steps.c $(pkg-config --cflags --libs stepwell) -o steps && ./steps pool
 */
#include <stdio.h>
#include <stepwell.h>
#include <string.h>

int main(int argc, char **argv) {
    sw_heap *heap = sw_heap_create(argc > 1 ? argv[1] : "arena", NULL);
    if (!heap) {
        fprintf(stderr, "%s\n", sw_error());
        return 2;
    }
    size_t weights_size = (size_t)1 << 20, size = (size_t)4 << 20;
    float *weights = sw_alloc_zeroed(heap, 1, weights_size, SW_TAG_PARAMETER);
    for (int step = 0; weights && step < 2; step++) {
        sw_step_begin(heap);
        float *activations = sw_alloc_aligned(heap, 64, size, SW_TAG_ACTIVATION);
        if (activations)
            memset(activations, 0, size);
        sw_free(heap, activations);
        sw_step_end(heap);
    }
    struct sw_stats stats;
    sw_heap_stats(heap, &stats, sizeof stats);
    printf("%s: %zu bytes requested, %zu at the peak; %zu steps, %zu survivors\n",
           sw_heap_strategy(heap), stats.requested.current, stats.requested.peak, stats.steps,
           stats.survivors);
    sw_free(heap, weights);
    sw_heap_destroy(heap);
    return 0;
}
