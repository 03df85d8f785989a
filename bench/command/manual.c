/*
 * manual.c - see manual.h. Pages are in man(7)'s macros.
 *
 * The text behind an argp's options is plain: a line that ends in a colon is a heading, indented
 * lines stay as they are, what is left is paragraphs.
 */
#include "manual.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "command.h"
#include "describe.h"
#include "options.h" /* the library's */
#include "stepwell.h"

struct summary {
    const char *name;
    const char *summary;
};

static const struct summary summaries[] = {
#define SUMMARY(name, summary) {#name, summary},
    COMMANDS(SUMMARY)
#undef SUMMARY
};

enum { SUMMARY_COUNT = sizeof summaries / sizeof *summaries };

static const char *summary_of(const char *name) {
    size_t i = 0;
    while (i + 1 < SUMMARY_COUNT && strcmp(summaries[i].name, name) != 0) {
        i++;
    }
    return summaries[i].summary;
}

/* ---- Text ------------------------------------------------------------------------------------ */

/* A dash is a minus, as in what one types; a point or a quote does not begin a request. */
static void put_text(FILE *file, const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        bool begins_line = i == 0 || text[i - 1] == '\n';
        if (begins_line && (text[i] == '.' || text[i] == '\'')) {
            fputs("\\&", file);
        }
        if (text[i] == '-' || text[i] == '\\') {
            fputs(text[i] == '-' ? "\\-" : "\\e", file);
        } else {
            fputc(text[i], file);
        }
    }
}

static void put(FILE *file, const char *text) {
    put_text(file, text, strlen(text));
}

static void begin_page(FILE *file, const char *title, int section, const char *name,
                       const char *summary) {
    fputs(".TH ", file);
    for (const char *letter = title; *letter; letter++) {
        fputc(toupper((unsigned char)*letter), file);
    }
    fprintf(file, " %d \"\" \"Stepwell %s\" Stepwell\n.SH NAME\n", section, sw_version());
    put(file, name);
    fputs(" \\- ", file);
    put(file, summary);
    fputc('\n', file);
}

enum block { PARAGRAPH, AS_IT_IS };

static void put_line(FILE *file, const char *line, size_t length, enum block *block) {
    bool is_indented = length > 0 && line[0] == ' ';
    bool is_heading = length > 1 && !is_indented && line[length - 1] == ':';
    if (*block == AS_IT_IS && length > 0 && !is_indented) {
        fputs(".fi\n", file);
        *block = PARAGRAPH;
    }
    if (is_heading) {
        fputs(".SS ", file);
        put_text(file, line, length - 1);
    } else if (length == 0) {
        fputs(*block == AS_IT_IS ? "" : ".PP", file);
    } else if (is_indented && *block == PARAGRAPH) {
        fputs(".nf\n", file);
        *block = AS_IT_IS;
    }
    if (!is_heading) {
        put_text(file, line, length);
    }
    fputc('\n', file);
}

static void put_plain_text(FILE *file, const char *text) {
    enum block block = PARAGRAPH;
    text += strspn(text, " \n");
    while (*text) {
        size_t length = strcspn(text, "\n");
        if (length > 0 || text[1] != '\0') {
            put_line(file, text, length, &block);
        }
        text += length + (text[length] == '\n');
    }
    fputs(block == AS_IT_IS ? ".fi\n" : "", file);
}

/* ---- A subcommand ---------------------------------------------------------------------------- */

static void put_option(FILE *file, const struct argp_option *option) {
    fputs(".TP\n", file);
    bool has_letter = option->key > ' ' && option->key < 127;
    if (has_letter) {
        fprintf(file, "\\fB\\-%c\\fR, ", option->key);
    }
    fputs("\\fB\\-\\-", file);
    put(file, option->name);
    fputs("\\fR", file);
    if (option->arg) {
        fputs(option->flags & OPTION_ARG_OPTIONAL ? "[=\\fI" : "=\\fI", file);
        put(file, option->arg);
        fputs(option->flags & OPTION_ARG_OPTIONAL ? "\\fR]" : "\\fR", file);
    }
    fputc('\n', file);
    put(file, option->doc);
    fputc('\n', file);
}

static void put_options(FILE *file, const struct argp *argp) {
    const struct argp_option *options[OPTIONS_MOST];
    size_t count = list_options(argp, options, OPTIONS_MOST);
    fputs(".SH OPTIONS\n", file);
    for (size_t i = 0; i < count; i++) {
        put_option(file, options[i]);
    }
    put_option(file, &(struct argp_option){"help", '?', NULL, 0, "What is on this page", 0});
}

/* What stands behind the options: the parser's, then its children's. */
static void put_rest(FILE *file, const struct argp *argp) {
    const char *rest = argp->doc ? strchr(argp->doc, '\v') : NULL;
    if (rest) {
        char *filtered =
            argp->help_filter ? argp->help_filter(ARGP_KEY_HELP_POST_DOC, rest + 1, NULL) : NULL;
        put_plain_text(file, filtered ? filtered : rest + 1);
        if (filtered != rest + 1) {
            free(filtered);
        }
    }
    for (const struct argp_child *child = argp->children; child && child->argp; child++) {
        put_rest(file, child->argp);
    }
}

void write_manual_of_command(FILE *file, const char *name, const struct argp *argp) {
    char title[64];
    snprintf(title, sizeof title, "stepwell-%s", name);
    begin_page(file, title, 1, title, summary_of(name));
    fprintf(file, ".SH SYNOPSIS\n\\fBstepwell %s\\fR [\\fIOPTION\\fR...]", name);
    if (argp->args_doc) {
        fputc(' ', file);
        put(file, argp->args_doc);
    }
    fputs("\n.SH DESCRIPTION\n", file);
    put_text(file, argp->doc, strcspn(argp->doc, "\v"));
    fputc('\n', file);
    put_options(file, argp);
    fputs(".SH NOTES\n", file);
    put_rest(file, argp);
    fputs(".SH SEE ALSO\n.BR stepwell (1),\n.BR stepwell (7)\n", file);
}

/* ---- The program, and what the library reads ------------------------------------------------- */

void write_manual_of_program(FILE *file) {
    begin_page(file, "stepwell", 1, "stepwell",
               "memory of machine-learning work on a CPU: strategies side by side, measured");
    fputs(".SH SYNOPSIS\n\\fBstepwell\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR...]\n.SH COMMANDS\n",
          file);
    for (size_t i = 0; i < SUMMARY_COUNT; i++) {
        fprintf(file, ".TP\n.BR stepwell\\-%s (1)\n", summaries[i].name);
        put(file, summaries[i].summary);
        fputc('\n', file);
    }
    fputs(".SH STRATEGIES\n", file);
    const struct sw_strategy_info *info;
    for (size_t i = 0; (info = sw_strategy_info(i)); i++) {
        fprintf(file, ".TP\n.B %s\n", info->name);
        put(file, info->summary);
        fputc('\n', file);
    }
    fputs(
        ".SH EXIT STATUS\n"
        "0 done, 1 it failed, 2 the command line is wrong, 125 what runs the work or the command\n"
        "failed, 126 the command cannot be run, 127 there is no such command.\n"
        ".SH SEE ALSO\n.BR stepwell (7)\n",
        file);
}

static void put_item(FILE *file, const char *name, const char *text) {
    fputs(".TP\n\\fB", file);
    put(file, name);
    fputs("\\fR", file);
    fputs(text, file);
}

static void put_sentence(FILE *file, const char *sentence, const char *value) {
    fputc((int)toupper((unsigned char)*sentence), file);
    put(file, sentence + 1);
    if (*value) {
        fputs(" (default ", file);
        put(file, value);
        fputc(')', file);
    }
    fputs(".\n", file);
}

void write_manual_of_environment(FILE *file) {
    begin_page(file, "stepwell", 7, "stepwell",
               "the allocator's options, and the environment of a program that runs under it");
    fputs(
        ".SH DESCRIPTION\n"
        "With libstepwell\\-preload.so in LD_PRELOAD, or under\n.BR stepwell\\-run (1),\n"
        "one heap stands behind malloc, free and C++'s new and delete.\n"
        "What is misspelt in its variables is told in one line on stderr, and the default taken.\n"
        ".SH ENVIRONMENT\n",
        file);
    for (size_t i = 0; i < SW__VARIABLE_COUNT; i++) {
        put_item(file, sw__variables[i].name, "=\\fI");
        put(file, sw__variables[i].range);
        fputs("\\fR\n", file);
        put_sentence(file, sw__variables[i].sentence, sw__variables[i].initially);
    }
    fputs(".SH OPTIONS\nOf STEPWELL_CONF, of the second argument of sw_heap_create(), and of the\n"
          "command's \\-\\-conf. Bytes may have K, M or G behind them, for 1024 and its powers.\n",
          file);
    for (const struct sw__option *option = sw__options; option->name; option++) {
        char value[64];
        put_item(file, option->name, ":\\fI");
        put(file, option->range);
        fprintf(file, "\\fR%s%s\n", *option->unit ? " " : "", option->unit);
        put_sentence(file, option->sentence, describe_default(option, value, sizeof value));
    }
    fputs(".SH SEE ALSO\n.BR stepwell (1),\n.BR stepwell\\-run (1)\n", file);
}
