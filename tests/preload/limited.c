/*
 * limited.c - steps, after which all is free again, and then memory that is not malloc's grows beside
 * what the heap has kept. test_memory_limit.py runs it in a control group that has not got room for
 * both.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define MIB ((size_t)1 << 20)

enum { STEPS = 6, BLOCKS = 800, BLOCK = 300 << 10 };

static void *obtain(size_t size) {
    void *block = malloc(size);
    if (!block)
        exit(3);
    memset(block, 1, size);
    return block;
}

static void run_step(void) {
    static void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = obtain(BLOCK);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}

/* Slowly, as a file that is read bit by bit into memory, and with a little work meanwhile. */
static void grow_beside(size_t size) {
    for (size_t grown = 0; grown < size; grown += 4 * MIB) {
        void *beside =
            mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (beside == MAP_FAILED)
            exit(4);
        memset(beside, 1, 4 * MIB);
        free(obtain(100 << 10));
        nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    }
}

int main(int count, char **arguments) {
    if (count != 2)
        return 2;
    for (int i = 0; i < STEPS; i++)
        run_step();
    grow_beside(strtoull(arguments[1], NULL, 10) * MIB);
    puts("lived");
    return 0;
}
