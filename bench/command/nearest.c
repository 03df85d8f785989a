/*
 * nearest.c - Levenshtein's distance, one row at a time.
 *
 * Names are short, so words are cut at LONGEST letters instead of asking for memory: whoever typed
 * more than that did not mean any name of ours.
 */
#include "nearest.h"

#include <string.h>

enum { LONGEST = 63 };

static size_t least(size_t a, size_t b, size_t c) {
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

size_t edit_distance(const char *from, const char *to) {
    size_t row[LONGEST + 1]; /* row[j]: from the letters of `from` so far to the first j of `to` */
    size_t from_length = strnlen(from, LONGEST);
    size_t to_length = strnlen(to, LONGEST);
    for (size_t j = 0; j <= to_length; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= from_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= to_length; j++) {
            size_t changed = diagonal + (from[i - 1] != to[j - 1]);
            diagonal = row[j];
            row[j] = least(row[j] + 1, row[j - 1] + 1, changed);
        }
    }
    return row[to_length];
}

const char *nearest_name(const char *word, const char *const *names) {
    const char *nearest = NULL;
    size_t distance = 0;
    for (; *names; names++) {
        size_t d = edit_distance(word, *names);
        if (!nearest || d < distance) {
            nearest = *names;
            distance = d;
        }
    }
    return nearest;
}

void explain_unknown(FILE *file, const char *what, const char *word, const char *const *names) {
    const char *nearest = nearest_name(word, names);
    fprintf(file, "unknown %s '%s'", what, word);
    if (!nearest) {
        return;
    }
    fprintf(file, ": did you mean '%s'? Valid:", nearest);
    for (const char *const *name = names; *name; name++) {
        fprintf(file, "%s %s", name == names ? "" : ",", *name);
    }
}
