/*
 * fifo_lifo.c - glibc's own simple benchmark: n blocks of one size are allocated, the first half is
 * freed in the order of birth and allocated again, and all are freed last first.
 */
#include "shape.h"

enum { MOST = 1600, ROUNDS = 2500 };

static void *blocks[MOST];
static const size_t counts[] = {25, 100, 400, MOST};
static const size_t sizes[] = {16, 64, 256, 1024};

static uint64_t one_round(size_t count, size_t size) {
    for (size_t i = 0; i < count; i++) {
        blocks[i] = take(size);
    }
    for (size_t i = 0; i < count / 2; i++) {
        give(blocks[i], size);
    }
    for (size_t i = 0; i < count / 2; i++) {
        blocks[i] = take(size);
    }
    for (size_t i = count; i > 0; i--) {
        give(blocks[i - 1], size);
    }
    return count + count / 2;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t operations = 0, rounds = share(&shape, ROUNDS);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            for (uint64_t i = 0; i < rounds; i++) {
                operations += one_round(counts[c], sizes[s]);
            }
        }
    }
    report(&shape, operations);
}
