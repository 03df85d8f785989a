/*
 * table.c - see table.h. A column is as wide as its widest cell; numbers stand right-aligned with
 * room for the mark behind them, so that digits stay under digits whether marked or not.
 */
#include "table.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2 };

void table_init(struct table *table) {
    memset(table, 0, sizeof *table);
}

void table_free(struct table *table) {
    for (size_t row = 0; row < table->rows; row++) {
        for (size_t column = 0; column < table->columns; column++) {
            free(table->cells[row][column].text);
        }
    }
    table_init(table);
}

size_t table_column(struct table *table, const char *header, enum table_align align) {
    if (table->columns == TABLE_COLUMNS) {
        abort();
    }
    table->headers[table->columns] = header;
    table->aligns[table->columns] = align;
    return table->columns++;
}

size_t table_column_beside(struct table *table, const char *header, enum table_align align) {
    size_t column = table_column(table, header, align);
    table->beside[column] = true;
    return column;
}

size_t table_row(struct table *table) {
    if (table->rows == TABLE_ROWS) {
        abort();
    }
    return table->rows++;
}

void table_set(struct table *table, size_t row, size_t column, enum table_mark mark,
               const char *format, ...) {
    struct table_cell *cell = &table->cells[row][column];
    free(cell->text);
    cell->text = NULL;
    cell->mark = mark;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&cell->text, format, arguments) < 0) {
        abort();
    }
    va_end(arguments);
}

/* Columns that UTF-8 text takes: its bytes less the continuation bytes. */
static int text_width(const char *text, size_t length) {
    int width = 0;
    for (size_t i = 0; i < length; i++) {
        width += ((unsigned char)text[i] & 0xC0) != 0x80;
    }
    return width;
}

/* One line of a header, counted from its last, so that short headers stand at the bottom. */
static const char *header_line(const char *header, int from_bottom, size_t *length) {
    const char *end = header + strlen(header);
    for (;;) {
        const char *start = end;
        while (start > header && start[-1] != '\n') {
            start--;
        }
        if (from_bottom-- == 0) {
            *length = (size_t)(end - start);
            return start;
        }
        if (start == header) {
            *length = 0;
            return header;
        }
        end = start - 1;
    }
}

static int header_lines(const char *header) {
    int lines = 1;
    for (; *header; header++) {
        lines += *header == '\n';
    }
    return lines;
}

/* Does a cell of the column carry a mark? Then all of them keep a place for it. */
static bool marked_column(const struct table *table, size_t column) {
    for (size_t row = 0; row < table->rows; row++) {
        if (table->cells[row][column].mark != MARK_NONE) {
            return true;
        }
    }
    return false;
}

static int column_width(const struct table *table, size_t column) {
    int width = 0;
    for (int line = 0; line < header_lines(table->headers[column]); line++) {
        size_t length;
        const char *text = header_line(table->headers[column], line, &length);
        int w = text_width(text, length);
        width = w > width ? w : width;
    }
    for (size_t row = 0; row < table->rows; row++) {
        const char *text = table->cells[row][column].text;
        int w = text ? text_width(text, strlen(text)) : 0;
        width = w > width ? w : width;
    }
    return width + marked_column(table, column);
}

/* A line being written: spaces are held back until something follows them, so that none ends it. */
struct line {
    FILE *file;
    int spaces;
};

static void put_text(struct line *line, const char *text, size_t length) {
    if (length > 0) {
        fprintf(line->file, "%*s%.*s", line->spaces, "", (int)length, text);
        line->spaces = 0;
    }
}

static void put_spaces(struct line *line, int count) {
    line->spaces += count;
}

static void end_line(struct line *line) {
    fputc('\n', line->file);
    line->spaces = 0;
}

/* Columns first and those from start up to stop. */
struct block {
    size_t start;
    size_t stop;
};

/* Of the columns that are not to be parted from this one, the end. */
static size_t end_beside(const struct table *table, size_t column) {
    do {
        column++;
    } while (column < table->columns && table->beside[column]);
    return column;
}

static struct block next_block(const struct table *table, size_t start, int width) {
    struct block block = {start, start};
    int used = column_width(table, 0);
    while (block.stop < table->columns) {
        size_t end = end_beside(table, block.stop);
        for (size_t column = block.stop; column < end; column++) {
            used += GAP + column_width(table, column);
        }
        if (used > width && block.stop > block.start) {
            break;
        }
        block.stop = end;
    }
    return block;
}

static void print_text(const struct table *table, size_t column, struct line *line,
                       const char *text, size_t length, const char *mark) {
    bool right = table->aligns[column] == ALIGN_RIGHT;
    int room = marked_column(table, column) ? 1 : 0;
    int padding = column_width(table, column) - room - text_width(text, length);
    put_spaces(line, right ? padding : 0);
    put_text(line, text, length);
    put_text(line, mark, strlen(mark));
    put_spaces(line, (right ? 0 : padding) + room - (int)strlen(mark));
}

static void print_header(const struct table *table, struct block block, FILE *file, bool colour) {
    int lines = header_lines(table->headers[0]);
    for (size_t column = block.start; column < block.stop; column++) {
        int l = header_lines(table->headers[column]);
        lines = l > lines ? l : lines;
    }
    while (lines-- > 0) {
        struct line line = {.file = file};
        size_t length;
        const char *text = header_line(table->headers[0], lines, &length);
        fputs(colour ? "\033[2m" : "", file);
        print_text(table, 0, &line, text, length, "");
        for (size_t column = block.start; column < block.stop; column++) {
            text = header_line(table->headers[column], lines, &length);
            put_spaces(&line, GAP);
            print_text(table, column, &line, text, length, "");
        }
        fputs(colour ? "\033[0m" : "", file);
        end_line(&line);
    }
}

static void print_cell(const struct table *table, size_t row, size_t column, struct line *line,
                       bool colour) {
    const struct table_cell *cell = &table->cells[row][column];
    const char *text = cell->text ? cell->text : "";
    bool best = cell->mark == MARK_BEST;
    fputs(best && colour ? "\033[1m" : "", line->file);
    print_text(table, column, line, text, strlen(text), best ? "*" : "");
    fputs(best && colour ? "\033[0m" : "", line->file);
}

static void print_block(const struct table *table, struct block block, FILE *file, bool colour) {
    print_header(table, block, file, colour);
    for (size_t row = 0; row < table->rows; row++) {
        struct line line = {.file = file};
        print_cell(table, row, 0, &line, colour);
        for (size_t column = block.start; column < block.stop; column++) {
            put_spaces(&line, GAP);
            print_cell(table, row, column, &line, colour);
        }
        end_line(&line);
    }
}

void table_print(const struct table *table, FILE *file, bool colour, int width) {
    size_t start = 1;
    do {
        struct block block = next_block(table, start, width);
        if (start > 1) {
            fputc('\n', file);
        }
        print_block(table, block, file, colour);
        start = block.stop;
    } while (start < table->columns);
}

const char *format_digits(char *text, size_t size, double value) {
    double magnitude = fabs(value);
    if (isnan(value)) {
        snprintf(text, size, "n/a");
    } else if (magnitude == 0) {
        snprintf(text, size, "0");
    } else if (magnitude < 0.0995) {
        snprintf(text, size, "%.3f", value);
    } else if (magnitude < 9.995) {
        snprintf(text, size, "%.2f", value);
    } else if (magnitude < 99.95) {
        snprintf(text, size, "%.1f", value);
    } else {
        snprintf(text, size, "%.0f", value);
    }
    return text;
}

const char *format_mib(char *text, size_t size, double bytes) {
    double mib = bytes / (1 << 20);
    if (fabs(mib) >= 0.0995 || mib == 0 || isnan(mib)) {
        return format_digits(text, size, mib);
    }
    snprintf(text, size, "%.2f", mib); /* pages less do not matter to anyone */
    return text;
}

const char *format_bytes(char *text, size_t size, double bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (fabs(bytes) >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        bytes /= 1024;
        unit++;
    }
    char digits[32];
    if (isnan(bytes)) {
        snprintf(text, size, "n/a");
    } else if (unit == 0) {
        snprintf(text, size, "%.0f B", bytes);
    } else {
        snprintf(text, size, "%s %s", format_digits(digits, sizeof digits, bytes), units[unit]);
    }
    return text;
}
