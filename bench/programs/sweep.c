/*
 * sweep.c - every size from 4 KiB to 64 MiB in steps of 5 %, up and down: malloc, touch the first
 * byte, free, many times. Besides the mean it prints the slowest size's time and that size, which
 * shows a cliff where there is one.
 */
#include "shape.h"

enum { REPEATS = 2000 };

static double worst_ns;
static size_t worst_size;

static void try_size(size_t size, uint64_t repeats) {
    double before = processor_ns();
    for (uint64_t i = 0; i < repeats; i++) {
        unsigned char *block = malloc(size);
        if (!block) {
            fail("out of memory");
        }
        *(volatile unsigned char *)block = 1;
        free(block);
    }
    double each = (processor_ns() - before) / (double)repeats;
    if (each > worst_ns) {
        worst_ns = each;
        worst_size = size;
    }
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t repeats = share(&shape, REPEATS), operations = 0;
    size_t size = 4 * KIB;
    for (; size < 64 * MIB; size += size / 20, operations += repeats) {
        try_size(size, repeats);
    }
    for (; size >= 4 * KIB; size -= size / 21, operations += repeats) {
        try_size(size, repeats);
    }
    printf("{\"ns_per_op\": %.3f, \"worst_ns\": %.3f, \"worst_size\": %zu}\n",
           (processor_ns() - shape.start) / (double)operations, worst_ns, worst_size);
}
