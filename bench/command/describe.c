/*
 * describe.c - see describe.h.
 */
#include "describe.h"

#include <stdbool.h>
#include <string.h>

#include "arguments.h"
#include "command.h"
#include "manual.h"
#include "options.h" /* the library's */
#include "terminal.h"

/* ---- Plain text ------------------------------------------------------------------------------ */

enum { WIDTH = 77, INDENT = 6 };

const char *describe_default(const struct sw__option *option, char *text, size_t size) {
    if (strcmp(option->initially, option->preloaded) == 0) {
        snprintf(text, size, "%s", option->initially);
    } else {
        snprintf(text, size, "%s; %s behind malloc", option->initially, option->preloaded);
    }
    return text;
}

void describe_options(FILE *file) {
    fputs("Options of the heap (--conf KEY:VALUE,...; STEPWELL_CONF):\n"
          "(bytes may have K, M or G behind them)\n",
          file);
    for (const struct sw__option *option = sw__options; option->name; option++) {
        char value[64];
        fprintf(file, "  %s:%s%s%s (default %s)\n", option->name, option->range,
                *option->unit ? " " : "", option->unit,
                describe_default(option, value, sizeof value));
        print_filled(file, option->sentence, INDENT, WIDTH);
    }
    fputs("\nEnvironment:\n", file);
    for (size_t i = 0; i < SW__VARIABLE_COUNT; i++) {
        const struct sw__variable *variable = &sw__variables[i];
        fprintf(file, "  %s=%s\n", variable->name, variable->range);
        print_filled(file, variable->sentence, INDENT, WIDTH);
    }
}

/* ---- Markdown -------------------------------------------------------------------------------- */

/* A bar would end the cell. */
static void print_cell(FILE *file, const char *text) {
    for (; *text; text++) {
        fprintf(file, *text == '|' ? "\\%c" : "%c", *text);
    }
}

static void print_code_cell(FILE *file, const char *text) {
    fputs("`", file);
    print_cell(file, text);
    fputs("` | ", file);
}

void describe_options_in_markdown(FILE *file) {
    fputs("| variable | value | default | |\n|---|---|---|---|\n", file);
    for (size_t i = 0; i < SW__VARIABLE_COUNT; i++) {
        const struct sw__variable *variable = &sw__variables[i];
        fprintf(file, "| `%s` | ", variable->name);
        print_cell(file, variable->range);
        fprintf(file, " | %s | %s |\n", variable->initially, variable->sentence);
    }
    fputs("\n| key | value | default | what it does |\n|---|---|---|---|\n", file);
    for (const struct sw__option *option = sw__options; option->name; option++) {
        fprintf(file, "| `%s` | ", option->name);
        print_code_cell(file, option->range);
        char value[64];
        fprintf(file, "%s", describe_default(option, value, sizeof value));
        fprintf(file, " | %s%s%s |\n", *option->unit ? option->unit : "", *option->unit ? "; " : "",
                option->sentence);
    }
}

/* ---- For scripts ----------------------------------------------------------------------------- */

int command_describe(int argc, char **argv) {
    static const char *const whats[] = {"options-in-markdown", "stepwell.1", "stepwell.7", NULL};
    static void (*const describers[])(FILE *) = {
        describe_options_in_markdown, write_manual_of_program, write_manual_of_environment};
    if (argc != 2) {
        misused("__describe takes one of options-in-markdown, stepwell.1, stepwell.7");
    }
    describers[parse_name("description", argv[1], whats)](stdout);
    return EXIT_OK;
}
