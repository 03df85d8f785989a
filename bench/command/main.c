/*
 * main.c - `stepwell`: finds the subcommand and hands over. Adding one is a line in command.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "arguments.h"
#include "command.h"
#include "complete.h"
#include "describe.h"
#include "machine.h" /* nn's */
#include "stepwell.h"

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
#define COMMAND_ROW(name, summary) {#name, summary, command_##name},
    COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
};

static const char *const command_names[] = {
#define COMMAND_NAME(name, summary) #name,
    COMMANDS(COMMAND_NAME)
#undef COMMAND_NAME
        "help",
    NULL};

static const char *const own_options[] = {"--help", "--version", NULL};

static char describe_completion[] = "--describe=complete";

enum { MOST_WORDS = 100 };

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_help(FILE *file) {
    fputs("Usage: stepwell COMMAND [OPTION...]\n"
          "Memory of machine-learning work on a CPU: strategies side by side, measured.\n"
          "\n"
          "Commands:\n",
          file);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(file, "  %-9s %s\n", commands[i].name, commands[i].summary);
    }
    fputs(
        "  help      `stepwell help COMMAND` is `stepwell COMMAND --help`\n"
        "\n"
        "      --help     this text\n"
        "      --version  the version\n"
        "\n"
        "Examples:\n"
        "  stepwell compare --steps 200\n"
        "  stepwell train --strategy pool --model digits\n"
        "  stepwell help compare\n"
        "\n"
        "Results go to stdout, progress to stderr. Exit code: 0 done, 1 it failed, 2 the command\n"
        "line is wrong, 125 what runs the work under comparison failed; of run its command's, see\n"
        "`stepwell run --help`.\n",
        file);
}

/* argp names its help after argv[0]. */
static int run_command(const struct command *command, int argc, char **argv) {
    char name[64];
    snprintf(name, sizeof name, "stepwell %s", command->name);
    argv[0] = name;
    return command->run(argc, argv);
}

/*
 * OpenBLAS has started its threads by now. They are of no use here, for nn has its own, and each
 * takes 128 MiB of address space when it comes to run: where that is limited, nobody could tell
 * beforehand whether the rest will do, and one that gets none asks without end, with a fork waiting
 * for it. To have none takes a variable that OpenBLAS reads when it is loaded, and so another
 * beginning. The workers of `compare` inherit it. The command of `run` is given back what it was.
 */
static const char blas_threads[] = "OPENBLAS_NUM_THREADS";
static const char blas_threads_before[] = "STEPWELL_BLAS_THREADS_BEFORE"; /* "": not set */

static void begin_without_blas_threads(char **argv) {
    const char *before = getenv(blas_threads);
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    if (limited && (!before || strcmp(before, "1") != 0) &&
        setenv(blas_threads_before, before ? before : "", 1) == 0 &&
        setenv(blas_threads, "1", 1) == 0) {
        execv("/proc/self/exe", argv); /* returns where there is no /proc: then it must do so */
    }
}

static void restore_blas_threads(void) {
    const char *before = getenv(blas_threads_before);
    if (before && *before) {
        setenv(blas_threads, before, 1);
    } else if (before) {
        unsetenv(blas_threads);
    }
}

static const struct command *find_command(const char *name) {
    if (name[0] == '-') {
        misused_unknown("option", name, own_options);
    }
    return &commands[parse_name("command", name, command_names)];
}

static bool is_either(const char *word, const char *a, const char *b) {
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

static bool asks_for_help(const char *word) {
    return is_either(word, "--help", "-h") || strcmp(word, "-?") == 0;
}

static int help(int argc, char **argv) {
    if (argc > 2) {
        misused("unexpected argument '%s'", argv[2]);
    }
    if (argc < 2 || strcmp(argv[1], "help") == 0 || asks_for_help(argv[1])) {
        print_help(stdout);
        return EXIT_OK;
    }
    char ask[] = "--help";
    char *arguments[] = {argv[1], ask, NULL};
    return run_command(find_command(argv[1]), 2, arguments);
}

/* For the shells: see complete.h. Of an unknown command there is nothing to say. */
static int complete(int count, char **words) {
    bool is_first = count < 2 || (count == 2 && strcmp(words[0], "help") == 0);
    if (is_first) {
        complete_command();
        return EXIT_OK;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, words[0]) == 0) {
            char *arguments[MOST_WORDS + 3] = {words[0], describe_completion};
            int kept = count - 1 < MOST_WORDS ? count - 1 : MOST_WORDS;
            memcpy(arguments + 2, words + count - kept, (size_t)kept * sizeof *words);
            return run_command(&commands[i], kept + 2, arguments);
        }
    }
    return EXIT_OK;
}

/*
 * How every command ends, those that argp ends for --help too. A disk that is full or a pipe that is
 * closed must not pass for success. Where memory is not to be had, exit() would wait for ever for
 * OpenBLAS's threads (machine.h).
 */
static void leave(int code, void *context) {
    (void)context;
    bool lost = code == EXIT_OK && (fflush(stdout) != 0 || ferror(stdout));
    if (lost) {
        perror("stepwell: cannot write the results");
    }
    if (lost || !nn_blas_has_room()) {
        fflush(NULL);
        _exit(lost ? EXIT_FAILED : code);
    }
}

int main(int argc, char **argv) {
    static char program[] = "stepwell";
    program_invocation_name = program;
    argp_err_exit_status = EXIT_MISUSED;
    on_exit(leave, NULL);
    if (argc < 2) {
        print_help(stderr);
        return EXIT_MISUSED;
    }
    if (asks_for_help(argv[1])) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (is_either(argv[1], "--version", "-V")) {
        printf("stepwell %s\n", sw_version());
        return EXIT_OK;
    }
    if (strcmp(argv[1], "help") == 0) {
        return help(argc - 1, argv + 1);
    }
    if (strcmp(argv[1], "__describe") == 0) {
        return command_describe(argc - 1, argv + 1);
    }
    if (strcmp(argv[1], "__complete") == 0) {
        return complete(argc - 2, argv + 2);
    }
    bool runs = strcmp(argv[1], "run") == 0;
    if (runs || is_either(argv[1], "train", "compare")) {
        begin_without_blas_threads(argv);
    }
    if (runs) {
        restore_blas_threads();
    }
    unsetenv(blas_threads_before);
    return run_command(find_command(argv[1]), argc - 1, argv + 1);
}
