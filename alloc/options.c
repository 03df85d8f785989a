/*
 * options.c - "key:value,key:value": see options.h. The list is in option_list.h.
 *
 * Uses neither malloc nor stdio streams: it may run before either is ready.
 */
#include "options.h"

#include "text.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

const struct sw__option sw__options[] = {
#define ROW(name, kind, initially, preloaded, range, unit, heeded, sentence)                       \
    {#name,     SW__##kind, initially,                                                             \
     preloaded, range,      unit,                                                                  \
     heeded,    sentence,   offsetof(struct sw__config, name)},
    SW_OPTIONS(ROW)
#undef ROW
        {0}};

enum { OPTION_COUNT = sizeof sw__options / sizeof sw__options[0] - 1 };

const struct sw__variable sw__variables[] = {
#define ROW(name, initially, range, sentence) {"STEPWELL_" #name, initially, range, sentence},
    SW_VARIABLES(ROW)
#undef ROW
};

/* A piece of conf; not terminated by a NUL. */
struct word {
    const char *text;
    size_t length;
};

static struct word word_of(const char *text) {
    return (struct word){text, strlen(text)};
}

static bool words_agree(struct word a, struct word b) {
    return a.length == b.length && memcmp(a.text, b.text, a.length) == 0;
}

static bool word_is(struct word word, const char *text) {
    return words_agree(word, word_of(text));
}

/* Cuts the text before the first separator off *rest, and the separator with it. */
static struct word cut(const char **rest, char separator) {
    struct word word = {*rest, strcspn(*rest, (char[]){separator, '\0'})};
    *rest += word.length + ((*rest)[word.length] != '\0');
    return word;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool parse_flag(struct word value, bool *out) {
    *out = word_is(value, "1") || word_is(value, "true");
    return *out || word_is(value, "0") || word_is(value, "false");
}

static bool parse_choice(struct word value, const char *range, int *out) {
    for (*out = 0; *range; ++*out)
        if (words_agree(value, cut(&range, '|')))
            return true;
    return false;
}

static bool parse_digits(struct word *value, size_t *number) {
    struct word rest = *value;
    *number = 0;
    for (; rest.length && *rest.text >= '0' && *rest.text <= '9'; rest.text++, rest.length--)
        if (__builtin_mul_overflow(*number, (size_t)10, number) ||
            __builtin_add_overflow(*number, (size_t)(*rest.text - '0'), number))
            return false;
    bool any = rest.length < value->length;
    *value = rest;
    return any;
}

static bool parse_bytes(struct word value, size_t *out) {
    static const char suffixes[] = "KMG";
    if (!parse_digits(&value, out))
        return false;
    if (value.length == 0)
        return true;
    const char *suffix = memchr(suffixes, *value.text & ~0x20, 3);
    return suffix && value.length == 1 &&
           !__builtin_mul_overflow(*out, (size_t)1024 << 10 * (suffix - suffixes), out);
}

/* "LEAST..MOST" or "LEAST..". */
static bool is_in_range(size_t number, const char *range) {
    size_t least, most;
    const char *dots = strstr(range, "..");
    return parse_bytes((struct word){range, (size_t)(dots - range)}, &least) && number >= least &&
           (!parse_bytes(word_of(dots + 2), &most) || number <= most);
}

static bool set_value(const struct sw__option *option, struct word value,
                      struct sw__config *config) {
    void *member = (char *)config + option->offset;
    size_t *number = member;
    switch (option->kind) {
    case SW__FLAG:
        return parse_flag(value, member);
    case SW__CHOICE:
        return parse_choice(value, option->range, member);
    case SW__BYTES:
        return parse_bytes(value, number) && is_in_range(*number, option->range);
    }
    return false;
}

static const char *default_of(const struct sw__option *option) {
#ifdef SW_PRELOAD
    return option->preloaded;
#else
    return option->initially;
#endif
}

void sw__options_defaults(struct sw__config *config) {
    for (int i = 0; i < OPTION_COUNT; i++)
        set_value(&sw__options[i], word_of(default_of(&sw__options[i])), config);
}

/* ---- What is said of wrong ones -------------------------------------------------------------- */

/* "a|b|c" as "a, b or c". */
static int list_words(const char *range, char *text, size_t size) {
    int at = 0;
    while (*range) {
        struct word word = cut(&range, '|');
        const char *between = at == 0 ? "" : *range ? ", " : " or ";
        at +=
            snprintf(text + at, size - (size_t)at, "%s%.*s", between, (int)word.length, word.text);
    }
    return at;
}

static void explain_value(const struct sw__option *option, struct word value, char *why,
                          size_t why_size) {
    char takes[160];
    if (option->kind == SW__FLAG || option->kind == SW__CHOICE)
        list_words(option->range, takes, sizeof takes);
    else
        snprintf(takes, sizeof takes, "a number of bytes, perhaps with K, M or G behind it (%s)",
                 option->range);
    snprintf(why, why_size, "option '%s' takes %s, not '%.*s'", option->name, takes,
             value.length > 40 ? 40 : (int)value.length, value.text);
}

/* Edit distance (V. Levenshtein, 1965) by rows; words here are short. */
enum { LONGEST = 64 };

static size_t distance(struct word a, const char *b) {
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

static const char *nearest_name(struct word word, const char *const *names) {
    const char *nearest = NULL;
    size_t far = word.length < 9 ? 3 : word.length / 3 + 1;
    if (word.length > LONGEST)
        return NULL;
    for (; *names; names++) {
        size_t here = distance(word, *names);
        if (here < far) {
            far = here;
            nearest = *names;
        }
    }
    return nearest;
}

const char *sw__nearest_name(const char *word, const char *const *names) {
    return nearest_name(word_of(word), names);
}

void sw__explain_unknown(const char *what, const char *word, size_t length,
                         const char *const *names, char *why, size_t why_size) {
    struct sw__text text = {.length = 0};
    const char *nearest = nearest_name((struct word){word, length}, names);
    sw__text_add(&text, "unknown %s '%.*s'", what, length > 40 ? 40 : (int)length, word);
    if (nearest)
        sw__text_add(&text, "; did you mean '%s'? There are:", nearest);
    else
        sw__text_add(&text, "; there are:");
    for (size_t i = 0; names[i]; i++)
        sw__text_add(&text, "%s %s", i ? "," : "", names[i]);
    snprintf(why, why_size, "%s", text.bytes);
}

static bool set_option(struct sw__config *config, struct word key, struct word value, char *why,
                       size_t why_size) {
    const char *names[OPTION_COUNT + 1] = {0};
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct sw__option *option = &sw__options[i];
        names[i] = option->name;
        if (!word_is(key, option->name))
            continue;
        struct sw__config before = *config;
        if (set_value(option, value, config))
            return true;
        *config = before;
        explain_value(option, value, why, why_size);
        return false;
    }
    sw__explain_unknown("option", key.text, key.length, names, why, why_size);
    return false;
}

/* "key:value". */
static bool set_pair(struct sw__config *config, struct word pair, char *why, size_t why_size) {
    const char *colon = memchr(pair.text, ':', pair.length);
    if (!colon && memchr(pair.text, '=', pair.length)) {
        snprintf(why, why_size, "an option is written key:value, not '%.*s'",
                 pair.length > 40 ? 40 : (int)pair.length, pair.text);
        return false;
    }
    size_t key_length = colon ? (size_t)(colon - pair.text) : pair.length;
    struct word key = {pair.text, key_length};
    struct word value = {colon ? colon + 1 : pair.text + pair.length,
                         colon ? pair.length - key_length - 1 : 0};
    return set_option(config, key, value, why, why_size);
}

bool sw__options_parse(const char *conf, struct sw__config *config, char *why, size_t why_size) {
    int wrong = 0;
    while (conf && *conf) {
        struct word pair = cut(&conf, ',');
        for (; pair.length && *pair.text == ' '; pair.text++, pair.length--)
            ;
        if (pair.length && !set_pair(config, pair, why, wrong ? 0 : why_size))
            wrong++;
    }
    if (wrong > 1) {
        size_t length = strlen(why);
        snprintf(why + length, why_size - length, " (%d more %s wrong as well)", wrong - 1,
                 wrong == 2 ? "is" : "are");
    }
    return wrong == 0;
}

/* ---- Options for other strategies ------------------------------------------------------------ */

static bool is_default(const struct sw__option *option, const struct sw__config *config) {
    static const size_t sizes[] = {[SW__FLAG] = sizeof(SW__TYPE_FLAG),
                                   [SW__CHOICE] = sizeof(SW__TYPE_CHOICE),
                                   [SW__BYTES] = sizeof(SW__TYPE_BYTES)};
    struct sw__config defaults;
    sw__options_defaults(&defaults);
    return memcmp((const char *)config + option->offset, (const char *)&defaults + option->offset,
                  sizes[option->kind]) == 0;
}

static bool is_heeded(const struct sw__option *option, const struct sw__config *config,
                      const char *strategy) {
    const char *heeded = option->heeded;
    while (*heeded) {
        struct word word = cut(&heeded, ',');
        if (word_is(word, strategy) || (config->checked && word_is(word, SW__BY_CHECKED)))
            return true;
        heeded += strspn(heeded, " ");
    }
    return *option->heeded == '\0';
}

bool sw__options_are_heeded(const struct sw__config *config, const char *strategy, char *why,
                            size_t why_size) {
    for (const struct sw__option *option = sw__options; option->name; option++)
        if (!is_heeded(option, config, strategy) && !is_default(option, config)) {
            snprintf(why, why_size, "option '%s' does nothing under strategy '%s'; it is for %s",
                     option->name, strategy, option->heeded);
            return false;
        }
    return true;
}

/* ---- What STEPWELL_STATS asks for ------------------------------------------------------------ */

static bool is_path(struct word word) {
    return memchr(word.text, '/', word.length) || memchr(word.text, '.', word.length) ||
           memchr(word.text, '%', word.length);
}

struct sw__stats_wish sw__parse_stats(const char *value) {
    static const char suffix[] = ",signal";
    struct sw__stats_wish wish = {0};
    struct word where = word_of(value ? value : "");
    size_t suffix_length = sizeof suffix - 1;
    if (where.length >= suffix_length &&
        memcmp(where.text + where.length - suffix_length, suffix, suffix_length) == 0) {
        wish.on_signal = true;
        where.length -= suffix_length;
    }
    wish.at_exit = where.length > 0 && !word_is(where, "0");
    if (!wish.at_exit || word_is(where, "1"))
        return wish;
    if (!is_path(where))
        return (struct sw__stats_wish){.is_unclear = true};
    wish.file = where.text;
    wish.file_length = where.length;
    return wish;
}

bool sw__stats_file(char *path, size_t there, const char *name, size_t length, int process) {
    for (const char *end = name + length; name < end && there < PATH_MAX; name++) {
        char next = *name == '%' && name + 1 < end ? name[1] : '\0';
        if (next == 'p')
            there += (size_t)snprintf(path + there, PATH_MAX - there, "%d", process);
        else
            path[there++] = *name;
        name += next == 'p' || next == '%';
    }
    if (there >= PATH_MAX)
        return false;
    path[there] = '\0';
    return true;
}
