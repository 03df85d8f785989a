/*
 * arguments.c - see arguments.h.
 */
#include "arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "complete.h"
#include "manual.h"
#include "options.h" /* the library's */
#include "output.h"
#include "stepwell.h"

enum { MOST_NAMES = 64 };

static void vcomplain(const char *format, va_list arguments) {
    fprintf(stderr, "%s: ", program_invocation_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vcomplain(format, arguments);
    va_end(arguments);
}

void misused(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vcomplain(format, arguments);
    va_end(arguments);
    exit(argp_err_exit_status);
}

void misused_unknown(const char *what, const char *word, const char *const *names) {
    char why[1024];
    sw__explain_unknown(what, word, strlen(word), names, why, sizeof why);
    misused("%s", why);
}

unsigned long long parse_count(const char *option, const char *text, unsigned long long least,
                               unsigned long long most) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    bool is_number = *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
    if (!is_number || value < least || value > most) {
        misused("%s takes a whole number from %llu to %llu, not '%s'", option, least, most, text);
    }
    return value;
}

bool is_name(const char *word, const char *const *names, size_t *index) {
    for (*index = 0; names[*index]; ++*index) {
        if (strcmp(word, names[*index]) == 0) {
            return true;
        }
    }
    return false;
}

size_t parse_name(const char *what, const char *word, const char *const *names) {
    size_t index;
    if (!is_name(word, names, &index)) {
        misused_unknown(what, word, names);
    }
    return index;
}

const char *const *strategy_names(void) {
    static const char *names[MOST_NAMES + 1];
    const struct sw_strategy_info *info;
    for (size_t i = 0; i < MOST_NAMES && (info = sw_strategy_info(i)); i++) {
        names[i] = info->name;
    }
    return names;
}

/* ---- What every subcommand takes ------------------------------------------------------------- */

enum { OPTION_JSON = 0x1000, OPTION_CSV, OPTION_COLOUR };

#define GROUP_OUTPUT 10

static const struct argp_option output_options[] = {
    {"json", OPTION_JSON, "FILE", OPTION_ARG_OPTIONAL,
     "Write JSON to FILE, or to stdout instead of the table", GROUP_OUTPUT},
    {"color", OPTION_COLOUR, "WHEN", OPTION_ARG_OPTIONAL,
     "auto (default: on a terminal, unless NO_COLOR is set), always or never", GROUP_OUTPUT},
    {"quiet", 'q', NULL, 0, "No progress on stderr", GROUP_OUTPUT},
    {0}};

static const struct argp_option csv_options[] = {
    {"csv", OPTION_CSV, "FILE", OPTION_ARG_OPTIONAL,
     "Write CSV to FILE, or to stdout instead of the table", GROUP_OUTPUT},
    {0}};

/* The file that an option names, or stdout. A shell's variable may be unset. */
static const char *file_of(const char *option, const char *argument) {
    if (argument && !*argument) {
        misused("--%s= lacks a file", option);
    }
    return argument ? argument : "-";
}

static bool is_stdout(const char *file) {
    return file && strcmp(file, "-") == 0;
}

static error_t parse_output(int key, char *argument, struct argp_state *state) {
    static const char *const whens[] = {"auto", "always", "never", NULL};
    struct output_options *output = state->input;
    switch (key) {
    case OPTION_JSON:
        output->json = file_of("json", argument);
        return 0;
    case OPTION_CSV:
        output->csv = file_of("csv", argument);
        return 0;
    case OPTION_COLOUR:
        output->colour = argument
                             ? (enum colour_when)parse_name("value of --color", argument, whens)
                             : COLOUR_ALWAYS;
        return 0;
    case 'q':
        output->quiet = true;
        return 0;
    case ARGP_KEY_END:
        if (is_stdout(output->json) && is_stdout(output->csv)) {
            misused("--json and --csv cannot both go to stdout: give one of them a FILE");
        }
        if (output->json && output->csv && output_is_one_file(output->json, output->csv)) {
            misused("--json and --csv cannot both go to %s", output->csv);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_csv(int key, char *argument, struct argp_state *state) {
    return key == OPTION_CSV ? parse_output(key, argument, state) : ARGP_ERR_UNKNOWN;
}

const struct argp output_plain_argp = {.options = output_options, .parser = parse_output};

static const struct argp csv_argp = {.options = csv_options, .parser = parse_csv};

static const struct argp_child output_children[] = {{&csv_argp, 0, NULL, 0}, {0}};

/* The child's input is set at ARGP_KEY_INIT, as argp asks. */
static error_t parse_output_and_csv(int key, char *argument, struct argp_state *state) {
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = state->input;
        return 0;
    }
    return parse_output(key, argument, state);
}

const struct argp output_argp = {
    .options = output_options, .parser = parse_output_and_csv, .children = output_children};

bool wants_table(const struct output_options *output) {
    return !is_stdout(output->json) && !is_stdout(output->csv);
}

/* ---- Before argp ----------------------------------------------------------------------------- */

/* Options that argp adds by itself. */
static const struct argp_option own_options[] = {
    {"help", '?', NULL, 0, NULL, 0}, {"usage", 0x2000, NULL, 0, NULL, 0}, {0}};

struct known_options {
    const struct argp_option *options[MOST_NAMES];
    const char
        *names[MOST_NAMES + 1]; /* with dashes, for the line that lists them; no hidden ones */
    char dashed[MOST_NAMES][32];
    size_t count;
    size_t listed;
    bool command_is_wanted;
};

static void collect_table(struct known_options *known, const struct argp_option *option) {
    for (; option && (option->name || option->key); option++) {
        if (!option->name || known->count == MOST_NAMES) {
            continue;
        }
        if (!(option->flags & OPTION_HIDDEN)) {
            char *dashed = known->dashed[known->listed];
            snprintf(dashed, sizeof known->dashed[0], "--%s", option->name);
            known->names[known->listed++] = dashed;
        }
        known->options[known->count++] = option;
    }
}

static void collect_options(struct known_options *known, const struct argp *argp) {
    collect_table(known, argp->options);
    for (const struct argp_child *child = argp->children; child && child->argp; child++) {
        collect_options(known, child->argp);
    }
}

size_t list_options(const struct argp *argp, const struct argp_option **options, size_t most) {
    struct known_options known = {0};
    size_t count = 0;
    collect_options(&known, argp);
    for (size_t i = 0; i < known.count && count < most; i++) {
        if (!(known.options[i]->flags & OPTION_HIDDEN)) {
            options[count++] = known.options[i];
        }
    }
    return count;
}

bool wants_command(const struct argp *argp) {
    return argp->args_doc && strcmp(argp->args_doc, COMMAND_IS_WANTED) == 0;
}

/* The option that "--name" or "--name=value" means: a whole name, or the only one that begins so.
 */
static const struct argp_option *find_long(const struct known_options *known,
                                           const char *argument) {
    const char *name = argument + 2;
    size_t length = strcspn(name, "=");
    const struct argp_option *found = NULL;
    size_t candidates = 0;
    for (size_t i = 0; i < known->count; i++) {
        const struct argp_option *option = known->options[i];
        if (strncmp(option->name, name, length) != 0) {
            continue;
        }
        if (option->name[length] == '\0') {
            return option;
        }
        found = option;
        candidates++;
    }
    return candidates == 1 ? found : NULL;
}

static const struct argp_option *find_short(const struct known_options *known, char letter) {
    for (size_t i = 0; i < known->count; i++) {
        if (known->options[i]->key == letter) {
            return known->options[i];
        }
    }
    return NULL;
}

/* "--st" where there are --stats and --strategy. */
static void refuse_ambiguous(const struct known_options *known, const char *word) {
    char names[512] = "";
    size_t length = strlen(word), used = 0, candidates = 0;
    for (size_t i = 0; i < known->listed && used < sizeof names; i++) {
        if (strncmp(known->names[i], word, length) == 0) {
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                     candidates++ ? ", " : "", known->names[i]);
        }
    }
    if (candidates > 1 && length > strlen("--")) {
        misused("'%s' could be any of %s", word, names);
    }
}

static _Noreturn void unknown_option(const struct known_options *known, const char *argument,
                                     size_t length) {
    char *word = strndup(argument, length);
    refuse_ambiguous(known, word ? word : argument);
    misused_unknown("option", word ? word : argument, known->names);
}

/* Does the option take the next word as its value? */
static bool takes_next_word(const struct argp_option *option) {
    return option->arg && !(option->flags & OPTION_ARG_OPTIONAL);
}

/* "-qx": every letter must be known; the rest of the word after one with a value is the value.
 * Returns the option that wants the next word, or NULL. */
static const struct argp_option *check_short(const struct known_options *known,
                                             const char *argument) {
    for (const char *letter = argument + 1; *letter; letter++) {
        const struct argp_option *option = find_short(known, *letter);
        if (!option) {
            unknown_option(known, argument, strlen(argument));
        }
        if (option->arg) {
            return letter[1] == '\0' && takes_next_word(option) ? option : NULL;
        }
    }
    return NULL;
}

static char *join(const char *option, const char *value) {
    char *joined;
    if (asprintf(&joined, "%s=%s", option, value) < 0) {
        abort();
    }
    return joined;
}

/* "-" is a word: it stands for stdout. */
static bool is_word(const char *argument) {
    return argument && (argument[0] != '-' || argument[1] == '\0');
}

/* argp would say these two in two lines, and not what is right. */
static void check_value(const struct argp_option *option, bool has_value, bool is_last) {
    if (option && has_value && !option->arg) {
        misused("--%s takes no value", option->name);
    }
    if (option && !has_value && is_last && takes_next_word(option)) {
        misused("--%s takes a value: --%s=%s", option->name, option->name, option->arg);
    }
}

/* Copies argv into `out`, with optional values joined to their options. Returns their number. */
static int prepare(const struct known_options *known, int argc, char **argv, char **out) {
    static char dashes[] = "--", help[] = "--help";
    int count = 0;
    bool options_over = false;
    for (int i = 0; i < argc; i++) {
        char *argument = argv[i];
        out[count++] = argument;
        if (i > 0 && !options_over && known->command_is_wanted && is_word(argument)) {
            out[count - 1] = dashes;
            out[count++] = argument;
            options_over = true;
        }
        options_over = options_over || strcmp(argument, "--") == 0;
        if (i == 0 || options_over || is_word(argument)) {
            continue;
        }
        if (strcmp(argument, "-h") == 0) {
            out[count - 1] = help;
            continue;
        }
        const struct argp_option *option;
        bool has_value = strchr(argument, '=') != NULL;
        if (argument[1] != '-') {
            option = check_short(known, argument);
            has_value = false;
        } else if (!(option = find_long(known, argument))) {
            unknown_option(known, argument, strcspn(argument, "="));
        }
        check_value(option, has_value, i + 1 == argc);
        if (!option || has_value || !option->arg || i + 1 == argc) {
            continue;
        }
        if (takes_next_word(option)) {
            out[count++] = argv[++i];
        } else if (is_word(argv[i + 1]) && !known->command_is_wanted) {
            out[count - 1] = join(argument, argv[++i]);
        }
    }
    out[count] = NULL;
    return count;
}

/* argv[0] is "stepwell NAME". */
static void describe_if_asked(const struct argp *argp, int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "--describe=man") == 0) {
        write_manual_of_command(stdout, strchr(argv[0], ' ') + 1, argp);
    } else if (strcmp(what, "--describe=complete") == 0 && argc > 2) {
        complete_options(argp, argc - 2, argv + 2);
    } else {
        return;
    }
    exit(fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED);
}

void parse_arguments(const struct argp *argp, int argc, char **argv, void *input) {
    describe_if_asked(argp, argc, argv);
    struct known_options known = {.command_is_wanted = wants_command(argp)};
    collect_options(&known, argp);
    collect_table(&known, own_options);
    static char **prepared; /* stays: options point to what it holds until the program ends */
    prepared = calloc((size_t)argc + 2, /* "--" and the end */
                      sizeof *prepared);
    if (!prepared) {
        abort();
    }
    program_invocation_name = argv[0]; /* "stepwell compare", in every message */
    program_invocation_short_name = argv[0];
    /* An exit code of the command's own is not to be taken for ours. */
    argp_err_exit_status = known.command_is_wanted ? EXIT_MACHINERY : EXIT_MISUSED;
    int count = prepare(&known, argc, argv, prepared);
    if (argp_parse(argp, count, prepared, 0, NULL, input) != 0) {
        exit(argp_err_exit_status);
    }
}
