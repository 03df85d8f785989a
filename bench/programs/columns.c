/*
 * columns.c - a table that is read row by row: four columns that grow in turn by realloc, by an
 * eighth each time, from 64 KiB to 46 MiB, so that each is in the way of the others. What is added
 * is written. The table goes, and the next is read.
 */
#include "shape.h"

enum { COLUMNS = 4, TABLES = 20 };
#define EVERY (128 * KIB) /* a byte is looked at */
#define FIRST (64 * KIB)
#define LAST  (46 * MIB)

static uint64_t operations;

static unsigned char *grow(unsigned char *column, size_t from, size_t to) {
    unsigned char *grown = realloc(column, to);
    if (!grown) {
        fail("out of memory");
    }
    int lost = from > 0 && grown[from - 1] != 1;
    for (size_t at = 0; at < from; at += EVERY) {
        lost |= grown[at] != 1;
    }
    if (lost) {
        fail("realloc lost a byte");
    }
    memset(grown + from, 1, to - from);
    operations++;
    return grown;
}

static void read_table(void) {
    unsigned char *columns[COLUMNS] = {NULL};
    size_t from = 0;
    for (size_t to = FIRST; to <= LAST; from = to, to += to / 8) {
        for (int i = 0; i < COLUMNS; i++) {
            columns[i] = grow(columns[i], from, to);
        }
    }
    for (int i = 0; i < COLUMNS; i++) {
        free(columns[i]);
    }
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t tables = share(&shape, TABLES);
    for (uint64_t i = 0; i < tables; i++) {
        read_table();
    }
    report(&shape, operations);
}
