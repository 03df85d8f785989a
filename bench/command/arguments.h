/*
 * arguments.h - command lines: argp for the grammar and --help, and the manners on top.
 *
 * What every subcommand shares is here: --json, --csv, --color, --quiet; numbers and names checked
 * with one line that says what would have been right; an unknown option named with its nearest. Any
 * mistake on the command line ends the program with EXIT_MISUSED, or with EXIT_MACHINERY where a
 * command is to be run.
 */
#ifndef STEPWELL_ARGUMENTS_H
#define STEPWELL_ARGUMENTS_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#include "terminal.h"

/* Where results go, and how. A file of "-" is stdout. */
struct output_options {
    const char *json; /* NULL: not asked for */
    const char *csv;
    enum colour_when colour;
    bool quiet;
};

/* A child parser; its input is a struct output_options. */
extern const struct argp output_argp;       /* --json, --csv, --color, --quiet */
extern const struct argp output_plain_argp; /* the same without --csv */

/* Is a table for people wanted, or does JSON or CSV take stdout? */
bool wants_table(const struct output_options *output);

/* The args_doc of a parser whose arguments are a command to run: the first word that is no option
 * begins it, as `--` does. */
#define COMMAND_IS_WANTED "[--] COMMAND [ARGUMENT...]"

/*
 * argp_parse() with three additions: an unknown long option is answered with its nearest; an
 * option whose value is optional takes the next word when that is no option (`--json FILE`, as
 * `--json=FILE`) and no command is wanted, which it could begin; errors exit with EXIT_MISUSED.
 * What is no option at all is refused, unless the parser takes it.
 */
/* With --describe=man or --describe=complete first, it describes the parser instead, for manual.h
 * and complete.h, and ends the program. */
void parse_arguments(const struct argp *argp, int argc, char **argv, void *input);

enum { OPTIONS_MOST = 64 };

/* The options of a parser and of its children, but hidden ones. Returns their number. */
size_t list_options(const struct argp *argp, const struct argp_option **options, size_t most);
/* Are its arguments a command to run? */
bool wants_command(const struct argp *argp);

/* One line "stepwell COMMAND: ..." on stderr, and the exit. */
_Noreturn void misused(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void misused_unknown(const char *what, const char *word, const char *const *names);
/* The same line without the exit. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A whole number within bounds, suffix-free; else the program ends. */
unsigned long long parse_count(const char *option, const char *text, unsigned long long least,
                               unsigned long long most);

/* Is the word one of the names (the last is NULL), and which? */
bool is_name(const char *word, const char *const *names, size_t *index);
/* The same, or the program ends. Returns its index. */
size_t parse_name(const char *what, const char *word, const char *const *names);

/* The strategies' names, the last NULL. Valid for ever. */
const char *const *strategy_names(void);

#endif
