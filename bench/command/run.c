/*
 * run.c - `stepwell run`: any command with Stepwell behind its malloc.
 *
 * Sets LD_PRELOAD and becomes the command (attend.c); beside it, a process finds out whether
 * Stepwell really is behind malloc (witness.c).
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"
#include "attend.h"
#include "command.h"
#include "describe.h"
#include "options.h" /* the library's */
#include "preload.h"
#include "settings.h"
#include "stepwell.h"

static const char doc[] =
    "Runs a command with Stepwell behind malloc, free, and C++'s new and delete. One line on "
    "stderr "
    "says so where Stepwell did not get in, and why."
    "\vExamples:\n"
    "  stepwell run -- python3 train.py\n"
    "  stepwell run --stats -- python3 train.py\n"
    "  stepwell run --strategy pool --conf limit:4G -- ./server --port 8080\n"
    "  stepwell run --stats=stats.%p -- make -j4\n"
    "  stepwell run --stats=1,signal -- ./server &\n"
    "  kill -USR2 $!      # later, and as often as you like\n"
    "\n"
    "The same without this command, in a Dockerfile for example:\n"
    "  ENV LD_PRELOAD=/usr/local/lib/libstepwell-preload.so\n"
    "\n"
    "The command takes this process's place: process id, signals and exit code are\n"
    "its own. A process beside it looks where Stepwell did not get in, and ends\n"
    "with it; with --quiet there is none.\n"
    "\n"
    "Exit code: the command's; 125 the command line or a STEPWELL_ variable is\n"
    "wrong, or Stepwell itself failed; 126 the command cannot be run; 127 there is\n"
    "no such command.\n"
    "\n";

enum { OPTION_STRATEGY = 0x1400, OPTION_CONF, OPTION_STATS };

static const struct argp_option options[] = {
    {"strategy", OPTION_STRATEGY, "S", 0, "The strategy behind malloc (default auto)", 1},
    {"conf", OPTION_CONF, "KEY:VALUE,...", 0, "Options of the heap; they stand below", 1},
    {"stats", OPTION_STATS, "FILE", OPTION_ARG_OPTIONAL,
     "When a process exits, write what its heap held, to stderr or to FILE: STEPWELL_STATS, below",
     1},
    {"quiet", 'q', NULL, 0,
     "Don't say where Stepwell did not get in, nor what variable is misspelt", 2},
    {0}};

struct run_arguments {
    const char *strategy;
    const char *conf;
    const char *stats;
    bool quiet;
    char **command;
};

static error_t parse_run(int key, char *argument, struct argp_state *state) {
    struct run_arguments *arguments = state->input;
    switch (key) {
    case OPTION_STRATEGY:
        parse_name("strategy", argument, strategy_names());
        arguments->strategy = argument;
        return 0;
    case OPTION_CONF:
        arguments->conf = argument;
        return 0;
    case OPTION_STATS:
        if (argument && !*argument) {
            misused("--stats= lacks a file; --stats alone writes to stderr");
        }
        arguments->stats = argument ? argument : "1";
        return 0;
    case 'q':
        arguments->quiet = true;
        return 0;
    case ARGP_KEY_ARGS:
        arguments->command = state->argv + state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        misused("no command to run; `stepwell run -- COMMAND` runs one");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Puts the options of the heap at the end of --help, from the one list of them. */
static char *add_options_of_heap(int key, const char *text, void *input) {
    char *whole = NULL;
    size_t length;
    (void)input;
    FILE *stream = key == ARGP_KEY_HELP_POST_DOC ? open_memstream(&whole, &length) : NULL;
    if (!stream) {
        return (char *)text;
    }
    fputs(text, stream);
    describe_options(stream);
    fclose(stream);
    return whole;
}

static const struct argp argp = {.options = options,
                                 .parser = parse_run,
                                 .args_doc = COMMAND_IS_WANTED,
                                 .doc = doc,
                                 .help_filter = add_options_of_heap};

static _Noreturn void give_up(const char *why) {
    complain("%s", why);
    exit(EXIT_MACHINERY);
}

static void set_variable(enum sw__variable_index index, const char *value) {
    if (value && setenv(sw__variables[index].name, value, 1) != 0) {
        give_up(strerror(errno));
    }
}

static bool is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* A folder that is named after the process is made by it, if at all: two of them have two. */
static bool is_folder_known(const char *file, size_t length) {
    char of_one[PATH_MAX] = "", of_another[PATH_MAX] = "";
    const char *slash = memrchr(file, '/', length);
    size_t folder = slash ? (size_t)(slash - file) : 0;
    return !sw__stats_file(of_one, 0, file, folder, 1) ||
           !sw__stats_file(of_another, 0, file, folder, 2) || strcmp(of_one, of_another) == 0;
}

/* What would otherwise be found out when the work is done. */
static void check_file(const char *file, size_t length) {
    char path[PATH_MAX];
    if (!is_folder_known(file, length)) {
        return;
    }
    if (!sw__stats_file(path, 0, file, length, (int)getpid())) {
        misused("the table cannot be written to '%.*s': %s", (int)length, file,
                strerror(ENAMETOOLONG));
    }
    if (is_folder(path)) {
        misused("the table cannot be written to '%s': it is a folder", path);
    }
    bool is_there = access(path, F_OK) == 0;
    if (!is_there) {
        char *slash = strrchr(path, '/');
        *(slash == path ? slash + 1 : slash) = '\0'; /* the folder that it will be made in */
    }
    if (access(path, W_OK) != 0) {
        misused(is_there ? "the table cannot be written to '%s': %s"
                         : "no file can be written in '%s': %s",
                path, strerror(errno));
    }
}

/* The folder we are in, with a slash behind, and two % for one: a file's name begins with it. False when
 * it does not fit. */
static bool name_folder(char *name, size_t size) {
    char folder[PATH_MAX];
    size_t length = 0;
    if (!getcwd(folder, sizeof folder)) {
        return false;
    }
    for (const char *at = folder; *at; at++) {
        if (length + 3 >= size) {
            return false;
        }
        name[length++] = *at;
        if (*at == '%') {
            name[length++] = '%';
        }
    }
    snprintf(name + length, size - length, "/");
    return true;
}

/* The command may change its directory before it writes there. */
static void set_stats(void) {
    char path[2 * PATH_MAX], folder[PATH_MAX] = "";
    const char *stats = setting(SW__STATS);
    struct sw__stats_wish wish = sw__parse_stats(stats);
    if (!wish.file || (*stats != '/' && !name_folder(folder, sizeof folder))) {
        return;
    }
    snprintf(path, sizeof path, "%s%s", folder, stats);
    check_file(path, strlen(path) - strlen(stats) + wish.file_length);
    set_variable(SW__STATS, path);
}

static void set_environment(const struct run_arguments *arguments) {
    char why[PATH_MAX + 100];
    set_variable(SW__STRATEGY, arguments->strategy);
    set_variable(SW__CONF, arguments->conf);
    set_variable(SW__STATS, arguments->stats);
    /* Whichever they came from: once, and not in every process of the command. */
    if (!settings_are_right(why, sizeof why)) {
        misused("%s", why);
    }
    if (!arguments->quiet && a_setting_is_misspelt(why, sizeof why)) {
        complain("%s", why);
    }
    set_stats();
    char *preload = compose_preload(getenv(sw__variables[SW__STRATEGY].name), why, sizeof why);
    if (!preload) {
        give_up(why);
    }
    if (setenv("LD_PRELOAD", preload, 1) != 0) {
        give_up(strerror(errno));
    }
    free(preload);
}

/* Is the command what stands behind --stats, and may have been meant for it? */
static bool stats_may_want(char **argv, const char *command) {
    for (; *argv; argv++) {
        if (strcmp(*argv, "--stats") == 0) {
            return argv[1] && strcmp(argv[1], command) == 0;
        }
    }
    return false;
}

int command_run(int argc, char **argv) {
    struct run_arguments arguments = {0};
    parse_arguments(&argp, argc, argv, &arguments);
    set_environment(&arguments);
    return become_attended(arguments.command, arguments.quiet,
                           stats_may_want(argv, arguments.command[0])
                               ? "a file for the table is written --stats=FILE"
                               : NULL);
}
