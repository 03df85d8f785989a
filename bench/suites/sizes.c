/*
 * sizes.c - chance that is the same on every machine, and the distributions of sizes.
 */
#include <math.h>

#include "suites.h"

/* splitmix64: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014.
 */
uint64_t next_random(uint64_t *random) {
    uint64_t z = *random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double next_uniform(uint64_t *random) {
    return (double)(next_random(random) >> 11) * 0x1p-53;
}

/* Between the two with a density of 1/size: each doubling is as likely as another. */
static size_t log_uniform(size_t low, size_t high, uint64_t *random) {
    return (size_t)((double)low * pow((double)high / (double)low, next_uniform(random)));
}

/* Shares of calls, after what was traced of training steps of dense, recurrent and convolutional
 * networks in PyTorch: 96 to 98 % of calls ask for no more than 1 KiB, about 1 % for over 1 MiB. */
static const struct band {
    double share;
    size_t low, high;
} ml_bands[] = {
    {0.960, 8, 1 * KIB},
    {0.025, 1 * KIB, 32 * KIB},
    {0.005, 32 * KIB, 1 * MIB},
    {0.010, 1 * MIB, 16 * MIB},
};

void draw_ml_sizes(size_t *sizes, size_t count, uint64_t seed) {
    for (size_t i = 0; i < count; i++) {
        const struct band *band = ml_bands;
        double u = next_uniform(&seed);
        while (u >= band->share && band < &ml_bands[sizeof ml_bands / sizeof *ml_bands - 1])
            u -= band++->share;
        sizes[i] = log_uniform(band->low, band->high, &seed);
    }
}

void draw_pareto_sizes(size_t *sizes, size_t count, uint64_t seed) {
    const double smallest = 16, largest = 64 * KIB, exponent = 1.16;
    for (size_t i = 0; i < count; i++) {
        double size = smallest * pow(1 - next_uniform(&seed), -1 / exponent);
        sizes[i] = (size_t)(size < largest ? size : largest);
    }
}
