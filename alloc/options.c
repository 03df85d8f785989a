/*
 * options.c - "key:value,key:value": see options.h.
 *
 * OPTIONS is the one table: a row is a key, the parser of its kind, the member it sets, its
 * default. Uses neither malloc nor stdio streams: it may run before either is ready.
 */
#include "options.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define OPTIONS(X)                                                                                 \
    X(tracking, parse_bool, true, "0 or 1")                                                        \
    X(huge_pages, parse_huge_pages, SW__HUGE_AUTO, "auto, never or always")                        \
    X(limit, parse_bytes, 0, "a number of bytes, perhaps with K, M or G behind it")

/* A piece of conf; not terminated by a NUL. */
struct word {
    const char *text;
    size_t length;
};

static bool word_is(struct word word, const char *text) {
    return word.length == strlen(text) && memcmp(word.text, text, word.length) == 0;
}

static bool parse_bool(struct word value, bool *out) {
    *out = word_is(value, "1") || word_is(value, "true");
    return *out || word_is(value, "0") || word_is(value, "false");
}

static bool parse_huge_pages(struct word value, enum sw__huge_pages *out) {
    static const char *const names[] = {"auto", "never", "always"};
    for (int i = 0; i < 3; i++) {
        if (word_is(value, names[i])) {
            *out = (enum sw__huge_pages)i;
            return true;
        }
    }
    return false;
}

static bool parse_bytes(struct word value, size_t *out) {
    size_t bytes = 0;
    size_t i = 0;
    for (; i < value.length && value.text[i] >= '0' && value.text[i] <= '9'; i++)
        if (__builtin_mul_overflow(bytes, (size_t)10, &bytes) ||
            __builtin_add_overflow(bytes, (size_t)(value.text[i] - '0'), &bytes))
            return false;
    if (i == 0)
        return false;
    if (i < value.length) {
        static const char suffixes[] = "KMG";
        const char *suffix = memchr(suffixes, value.text[i] & ~0x20, 3);
        if (!suffix ||
            __builtin_mul_overflow(bytes, (size_t)1024 << 10 * (suffix - suffixes), &bytes))
            return false;
        i++;
    }
    *out = bytes;
    return i == value.length;
}

/* Edit distance (V. Levenshtein, 1965) by rows; words here are short. */
static size_t distance(struct word a, const char *b) {
    enum { LONGEST = 64 };
    size_t row[LONGEST + 1];
    size_t b_length = strlen(b);
    if (a.length > LONGEST || b_length > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t replaced = diagonal + (a.text[i - 1] != b[j - 1]);
            size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = replaced < best ? replaced : best;
        }
    }
    return row[b_length];
}

void sw__explain_unknown(const char *what, const char *text, size_t length,
                         const char *const *names, char *why, size_t why_size) {
    struct word word = {text, length};
    const char *nearest = names[0];
    for (size_t i = 1; names[i]; i++)
        if (distance(word, names[i]) < distance(word, nearest))
            nearest = names[i];
    int shown = length > 40 ? 40 : (int)length;
    int at = snprintf(why, why_size, "unknown %s '%.*s'; did you mean '%s'? There are: ", what,
                      shown, text, nearest);
    for (size_t i = 0; names[i] && at > 0 && (size_t)at < why_size; i++)
        at += snprintf(why + at, why_size - (size_t)at, i ? ", %s" : "%s", names[i]);
}

/* Cuts the text before the first separator off *rest, and the separator with it. */
static struct word cut(const char **rest, char separator) {
    struct word word = {*rest, strcspn(*rest, (char[]){separator, '\0'})};
    *rest += word.length + ((*rest)[word.length] != '\0');
    return word;
}

static bool set_option(struct sw__config *config, struct word key, struct word value, char *why,
                       size_t why_size) {
    static const char *const names[] = {
#define NAME(key, parser, initially, expects) #key,
        OPTIONS(NAME)
#undef NAME
            NULL};
#define SET(name, parser, initially, expects)                                                      \
    if (word_is(key, #name)) {                                                                     \
        if (parser(value, &config->name))                                                          \
            return true;                                                                           \
        snprintf(why, why_size, "option '%s' takes %s, not '%.*s'", #name, expects,                \
                 value.length > 40 ? 40 : (int)value.length, value.text);                          \
        return false;                                                                              \
    }
    OPTIONS(SET)
#undef SET
    sw__explain_unknown("option", key.text, key.length, names, why, why_size);
    return false;
}

bool sw__options_parse(const char *conf, struct sw__config *config, char *why, size_t why_size) {
#define DEFAULT(key, parser, initially, expects) .key = initially,
    *config = (struct sw__config){OPTIONS(DEFAULT)};
#undef DEFAULT
    while (conf && *conf) {
        struct word option = cut(&conf, ',');
        const char *colon = memchr(option.text, ':', option.length);
        size_t key_length = colon ? (size_t)(colon - option.text) : option.length;
        struct word key = {option.text, key_length};
        struct word value = {colon ? colon + 1 : option.text + option.length,
                             colon ? option.length - key_length - 1 : 0};
        if (option.length && !set_option(config, key, value, why, why_size))
            return false;
    }
    return true;
}
