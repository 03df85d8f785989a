/*
 * options.h - "key:value,key:value" into a struct sw__config, and the list of options as data.
 */
#ifndef SW_OPTIONS_H
#define SW_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "option_list.h"

enum sw__option_kind { SW__FLAG, SW__CHOICE, SW__BYTES };

/* A line of SW_OPTIONS. */
struct sw__option {
    const char *name;
    enum sw__option_kind kind;
    const char *initially;
    const char *preloaded; /* the default of the heap behind malloc */
    const char *range;
    const char *unit;
    const char *heeded; /* as the list has it */
    const char *sentence;
    size_t offset; /* of its member in struct sw__config */
};

/* A line of SW_VARIABLES. */
struct sw__variable {
    const char *name; /* STEPWELL_X */
    const char *initially;
    const char *range;
    const char *sentence;
};

enum sw__variable_index {
#define SW__VARIABLE_INDEX(name, initially, range, sentence) SW__##name,
    SW_VARIABLES(SW__VARIABLE_INDEX)
#undef SW__VARIABLE_INDEX
        SW__VARIABLE_COUNT
};

extern const struct sw__option sw__options[]; /* the last has no name */
extern const struct sw__variable sw__variables[SW__VARIABLE_COUNT];

/* In the preload library, its own defaults. */
void sw__options_defaults(struct sw__config *config);
/* Changes what conf (or NULL) names, and leaves the rest. False when something in it is wrong; what
 * is right is taken all the same, and why is one sentence on the first that is not, and on how many
 * more there are. */
bool sw__options_parse(const char *conf, struct sw__config *config, char *why, size_t why_size);
/* False when one was set that the strategy does not heed; why is then one sentence. */
bool sw__options_are_heeded(const struct sw__config *config, const char *strategy, char *why,
                            size_t why_size);

/* What STEPWELL_STATS asks for. */
struct sw__stats_wish {
    bool is_unclear; /* neither 0 nor 1 nor a file: nothing is asked for */
    bool at_exit;
    bool on_signal;
    const char *file; /* NULL: stderr; not terminated by a NUL */
    size_t file_length;
};

#define SW__STATS_ARE                                                                              \
    "STEPWELL_STATS takes 0, 1 or a file, which has a '/', '.' or '%%' in its name, perhaps with " \
    "',signal' behind it"

/* "0", "1" or a file's name, which has a slash, a dot or a % in it; perhaps with ",signal" behind.
 * NULL is none. What is pointed to is in value. */
struct sw__stats_wish sw__parse_stats(const char *value);
/* The file's name, with the process's id for each %p and one % for two, into a path of PATH_MAX bytes
 * behind so many that are there. False when it does not fit. */
bool sw__stats_file(char *path, size_t there, const char *name, size_t length, int process);

/* The name that was probably meant; NULL where none is near. The last of the names is NULL. */
const char *sw__nearest_name(const char *word, const char *const *names);
/* A sentence like "unknown WHAT 'WORD'; did you mean 'NEAREST'? There are: a, b, c". Where none
 * is near, none is suggested. */
void sw__explain_unknown(const char *what, const char *word, size_t word_length,
                         const char *const *names, char *why, size_t why_size);

#endif
