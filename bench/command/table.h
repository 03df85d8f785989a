/*
 * table.h - text tables: headers of one or more lines, aligned cells, the best ones marked.
 *
 *     struct table table;
 *     table_init(&table);
 *     table_column(&table, "strategy", ALIGN_LEFT);
 *     table_column(&table, "step\nms", ALIGN_RIGHT);
 *     size_t row = table_row(&table);
 *     table_set(&table, row, 0, MARK_NONE, "pool");
 *     table_set(&table, row, 1, MARK_BEST, "%s", format_digits(text, sizeof text, 1.25));
 *     table_print(&table, stdout, colour, width);
 *     table_free(&table);
 *
 * A table wider than `width` is printed in blocks one under another, each with the first column, so
 * that no line wraps. A best cell carries a `*`, and is bold as well where colour may be used.
 */
#ifndef STEPWELL_TABLE_H
#define STEPWELL_TABLE_H

#include <stdbool.h>
#include <stdio.h>

enum { TABLE_COLUMNS = 32, TABLE_ROWS = 64 };

enum table_align { ALIGN_LEFT, ALIGN_RIGHT };
enum table_mark { MARK_NONE, MARK_BEST };

struct table_cell {
    char *text; /* NULL: nothing */
    enum table_mark mark;
};

struct table {
    const char *headers[TABLE_COLUMNS]; /* lines parted by \n; not copied */
    enum table_align aligns[TABLE_COLUMNS];
    bool beside[TABLE_COLUMNS]; /* not to be parted from the column before */
    struct table_cell cells[TABLE_ROWS][TABLE_COLUMNS];
    size_t columns;
    size_t rows;
};

void table_init(struct table *table);
void table_free(struct table *table);
/* Each gives the index of what it added. More than fits is our bug and ends the program. */
size_t table_column(struct table *table, const char *header, enum table_align align);
size_t table_column_beside(struct table *table, const char *header, enum table_align align);
size_t table_row(struct table *table);
void table_set(struct table *table, size_t row, size_t column, enum table_mark mark,
               const char *format, ...) __attribute__((format(printf, 5, 6)));
void table_print(const struct table *table, FILE *file, bool colour, int width);

/* Numbers as text, into the buffer they also return. */
/* Three digits that matter: 0, 0.012, 1.25, 12.5, 125, 1250; "n/a" for what is not a number. */
const char *format_digits(char *text, size_t size, double value);
/* Bytes in MiB without the unit, as format_digits() has them. */
const char *format_mib(char *text, size_t size, double bytes);
/* Bytes with a unit that suits: 512 B, 12.5 KiB, 61.3 MiB, 2.50 GiB. */
const char *format_bytes(char *text, size_t size, double bytes);

#endif
