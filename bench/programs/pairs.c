/*
 * pairs.c - malloc and free with nothing beside, for counting instructions: the difference of two
 * counts, of one with n rounds more, is what n rounds take.
 *
 *   pairs KIND ROUNDS
 *
 * A round is one malloc and one free. Where there are batches of them, ROUNDS is a multiple of 100.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 100, LIVE = 64, SIZES = 1024, REPLACED = 2000 };

/* At once: the block freed is the one just allocated. */
static void pair(size_t size, unsigned long rounds) {
    for (unsigned long i = 0; i < rounds; i++) {
        free(malloc(size));
    }
}

static void pair_16(unsigned long rounds) {
    pair(16, rounds);
}

static void pair_256(unsigned long rounds) {
    pair(256, rounds);
}

static void pair_1k(unsigned long rounds) {
    pair(1024, rounds);
}

/* As OpenBLAS does for the table of jobs of each product of matrices with several threads. */
static void pair_512k(unsigned long rounds) {
    pair((size_t)512 << 10, rounds);
}

static void zeroed_64(unsigned long rounds) {
    for (unsigned long i = 0; i < rounds; i++) {
        free(calloc(1, 64));
    }
}

/* As PyTorch allocates a tensor. */
static void aligned_4k(unsigned long rounds) {
    for (unsigned long i = 0; i < rounds; i++) {
        void *block;
        if (posix_memalign(&block, 64, 4096) != 0) {
            abort();
        }
        free(block);
    }
}

/* Many, then free them in the order of birth. */
static void batch_64(unsigned long rounds) {
    static void *blocks[BATCH];
    for (unsigned long i = 0; i < rounds; i += BATCH) {
        for (size_t b = 0; b < BATCH; b++) {
            blocks[b] = malloc(64);
        }
        for (size_t b = 0; b < BATCH; b++) {
            free(blocks[b]);
        }
    }
}

/* 8 to 1024 bytes, small ones more often; the oldest of 64 is freed for each new one. */
static void mixed(unsigned long rounds) {
    static void *blocks[LIVE];
    static unsigned short sizes[SIZES];
    uint32_t state = 12345;
    for (size_t i = 0; i < SIZES; i++) {
        state = state * 1664525u + 1013904223u;
        sizes[i] = (unsigned short)(8u << (state >> 28) % 7);
        sizes[i] = (unsigned short)(sizes[i] + (state >> 8) % sizes[i]);
    }
    for (unsigned long i = 0; i < rounds; i++) {
        free(blocks[i % LIVE]);
        blocks[i % LIVE] = malloc(sizes[i % SIZES]);
    }
}

/* As buffers of a fixed size in a program's tables: one at a random place goes, another comes. */
static void replace_8k(unsigned long rounds) {
    static void *blocks[REPLACED];
    uint32_t state = 12345;
    for (size_t i = 0; i < REPLACED; i++) {
        blocks[i] = malloc(8192);
    }
    for (unsigned long i = 0; i < rounds; i++) {
        state = state * 1664525u + 1013904223u;
        void **place = &blocks[(state >> 16) % REPLACED];
        free(*place);
        *place = malloc(8192);
    }
}

static const struct {
    const char *name;
    void (*work)(unsigned long rounds);
} kinds[] = {
    {"pair-16", pair_16},       {"pair-256", pair_256},     {"pair-1k", pair_1k},
    {"batch-64", batch_64},     {"mixed", mixed},           {"zeroed-64", zeroed_64},
    {"aligned-4k", aligned_4k}, {"replace-8k", replace_8k}, {"pair-512k", pair_512k},
};

int main(int count, char **arguments) {
    for (size_t i = 0; count == 3 && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(arguments[1], kinds[i].name) == 0) {
            kinds[i].work(strtoul(arguments[2], NULL, 10));
            return 0;
        }
    }
    fprintf(stderr, "usage: pairs KIND ROUNDS, and a KIND is one of");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        fprintf(stderr, " %s", kinds[i].name);
    }
    fprintf(stderr, "\n");
    return 1;
}
