/*
 * output.h - machine-readable results: JSON and CSV, to stdout or to a file that is whole or
 * absent.
 */
#ifndef STEPWELL_OUTPUT_H
#define STEPWELL_OUTPUT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * A file that appears under its name only when it is complete: written beside it, then renamed. The
 * path "-" is stdout. output_open() says on stderr why it failed and returns false; so does
 * output_close(), which removes what was written if it could not be finished. Whether stdout took it
 * all is seen, and said, when the program ends.
 */
struct output_file {
    FILE *file;
    const char *path;
    char *temporary; /* NULL: stdout, or what is written to as it is (a link, a pipe, /dev/null) */
};

bool output_open(struct output_file *output, const char *path);
bool output_close(struct output_file *output);

/* Before long work: can a result be written there later? If not, says so on stderr. NULL and "-"
 * always can. Leaves nothing behind. */
bool output_check(const char *path);

/* Would one of the two be written over the other? Devices and pipes take both. */
bool output_is_one_file(const char *path, const char *other);

/* What is no UTF-8, as a file's name or a variable's value may be, becomes question marks: no reader
 * of JSON would take it. */
void make_readable(char *text);

/* Writes the JSON text, readable, and a newline. False when it failed, said on stderr. */
bool write_json(const char *path, const cJSON *json);

/* A number exactly: whole ones as integers, others with 17 digits, what is no number as null. */
void add_number(cJSON *object, const char *key, double value);
void add_bytes(cJSON *object, const char *key, size_t bytes);
/* Text, or null where it is empty. */
void add_sentence(cJSON *object, const char *key, const char *text);
void add_hash(cJSON *object, const char *key, unsigned long long hash); /* 16 hexadecimal digits */

/* One field of a CSV line, quoted where it must be; parted from the one before by a comma. */
void csv_text(FILE *file, bool first, const char *text);
void csv_number(FILE *file, bool first, double value); /* empty when it is no number */

#endif
