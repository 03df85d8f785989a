/*
 * random.h - random numbers by counter: number i of stream key, for any i, in any order.
 *
 * There is no generator to carry along: what a value is depends on where it is used, never on who
 * was served before, so a run repeats to the bit whatever the threads do. A key is derived from the
 * seed by nn_key() for each use (a layer's weights, one epoch's order, one step's dropout).
 *
 * The mixing is the finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom
 * number generators", OOPSLA 2014).
 */
#ifndef NN_RANDOM_H
#define NN_RANDOM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

static inline uint64_t nn_mix(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    x ^= x >> 31;
    return x;
}

/* 64 random bits: number `counter` of the stream. */
static inline uint64_t nn_random(uint64_t key, uint64_t counter) {
    return nn_mix(key + (counter + 1) * 0x9e3779b97f4a7c15u);
}

/* The key of a stream within a stream. */
static inline uint64_t nn_key(uint64_t parent, uint64_t purpose) {
    return nn_mix(nn_random(parent, purpose) ^ 0x5851f42d4c957f2du);
}

/* 0 <= value < 1, in steps of 2^-53. */
static inline double nn_uniform(uint64_t key, uint64_t counter) {
    return (double)(nn_random(key, counter) >> 11) * 0x1p-53;
}

/* Mean 0, variance 1 (Box and Muller; the logarithm's argument is never 0). */
static inline double nn_normal(uint64_t key, uint64_t counter) {
    double radius = sqrt(-2.0 * log(1.0 - nn_uniform(key, 2 * counter)));
    return radius * cos(6.283185307179586 * nn_uniform(key, 2 * counter + 1));
}

/* 0 <= value < bound, every value as likely as any other to within bound/2^64. */
static inline size_t nn_below(uint64_t key, uint64_t counter, size_t bound) {
    return (size_t)(((unsigned __int128)nn_random(key, counter) * bound) >> 64);
}

#endif
