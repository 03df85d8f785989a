/*
 * complete.c - see complete.h. Candidates are not filtered by what is typed already: the shells do.
 */
#include "complete.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "command.h"
#include "options.h" /* the library's */
#include "stepwell.h"
#include "training.h"

static void candidate(const char *before, const char *word, const char *meaning) {
    printf("%s%s\t%.*s\n", before, word, (int)strcspn(meaning, "\n"), meaning);
}

void complete_command(void) {
#define CANDIDATE(name, summary) candidate("", #name, summary);
    COMMANDS(CANDIDATE)
#undef CANDIDATE
    candidate("", "help", "what a command does");
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void complete_strategies(const char *before) {
    const struct sw_strategy_info *info;
    for (size_t i = 0; (info = sw_strategy_info(i)); i++) {
        candidate(before, info->name, info->summary);
    }
}

static void complete_models(const char *before) {
    const struct nn_recipe *recipe;
    for (size_t i = 0; (recipe = nn_recipe_at(i)); i++) {
        candidate(before, recipe->name, recipe->summary);
    }
}

/* Each word of "a|b|c". */
static void complete_words(const char *before, const char *words, const char *meaning) {
    while (*words) {
        size_t length = strcspn(words, "|");
        printf("%s%.*s\t%s\n", before, (int)length, words, meaning);
        words += length + (words[length] == '|');
    }
}

static void complete_conf(const char *before) {
    for (const struct sw__option *option = sw__options; option->name; option++) {
        char key[1024];
        snprintf(key, sizeof key, "%s%s:", before, option->name);
        if (option->kind == SW__FLAG || option->kind == SW__CHOICE) {
            complete_words(key, option->range, option->sentence);
        } else {
            candidate(key, "", option->sentence);
        }
    }
}

/* N, B, T: a number, of which there is nothing to say. */
static bool takes_number(const struct argp_option *option) {
    return strcmp(option->arg, "N") == 0 || strcmp(option->arg, "B") == 0 ||
           strcmp(option->arg, "T") == 0;
}

/* before: what is typed in front of the value. */
static void complete_value_after(const struct argp_option *option, const char *before) {
    if (strncmp(option->name, "strateg", 7) == 0) {
        complete_strategies(before);
    } else if (strcmp(option->name, "conf") == 0) {
        complete_conf(before);
    } else if (strcmp(option->name, "color") == 0) {
        complete_words(before, "auto|always|never", "colour");
    } else if (strcmp(option->name, "model") == 0) {
        complete_models(before);
    } else if (strcmp(option->arg, "DIR") == 0) {
        puts("!directories");
    } else if (!takes_number(option)) {
        puts("!files");
    }
}

static bool takes_list(const struct argp_option *option) {
    return strstr(option->arg, ",...") != NULL;
}

/* Of a word in which the value begins at value. What stands there already stays in front of each
 * candidate: an option's name, and of a list all but its last part. */
static void complete_value(const struct argp_option *option, const char *word, const char *value) {
    const char *comma = takes_list(option) ? strrchr(value, ',') : NULL;
    char *before = strndup(word, (size_t)((comma ? comma + 1 : value) - word));
    if (before) {
        complete_value_after(option, before);
    }
    free(before);
}

/* ---- Options --------------------------------------------------------------------------------- */

static const struct argp_option *find_option(const struct argp_option *const *options, size_t count,
                                             const char *word) {
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(options[i]->name);
        if (strncmp(word, "--", 2) == 0 && strncmp(word + 2, options[i]->name, length) == 0 &&
            (word[2 + length] == '\0' || word[2 + length] == '=')) {
            return options[i];
        }
    }
    return NULL;
}

static bool takes_next_word(const struct argp_option *option, const char *word) {
    return option && option->arg && !(option->flags & OPTION_ARG_OPTIONAL) && !strchr(word, '=');
}

static void complete_names(const struct argp_option *const *options, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char name[64];
        bool wants_value = options[i]->arg && !(options[i]->flags & OPTION_ARG_OPTIONAL);
        snprintf(name, sizeof name, "--%s%s", options[i]->name, wants_value ? "=" : "");
        candidate("", name, options[i]->doc);
    }
    candidate("", "--help", "what it does");
}

void complete_options(const struct argp *argp, int count, char **words) {
    const struct argp_option *options[OPTIONS_MOST];
    size_t known = list_options(argp, options, OPTIONS_MOST);
    const struct argp_option *wanting = NULL; /* the option that waits for the next word */
    for (int i = 0; i + 1 < count; i++) {
        bool begins_command = !wanting && (words[i][0] != '-' || strcmp(words[i], "--") == 0);
        if (begins_command && wants_command(argp)) {
            puts(strcmp(words[i], "--") == 0 && i + 2 == count ? "!commands" : "!files");
            return;
        }
        const struct argp_option *option = wanting ? NULL : find_option(options, known, words[i]);
        wanting = takes_next_word(option, words[i]) ? option : NULL;
    }
    const char *typed = words[count - 1];
    const struct argp_option *joined =
        strchr(typed, '=') ? find_option(options, known, typed) : NULL;
    if (wanting) {
        complete_value(wanting, typed, typed);
    } else if (joined && joined->arg) {
        complete_value(joined, typed, strchr(typed, '=') + 1);
    } else {
        complete_names(options, known);
        if (wants_command(argp)) {
            puts("!commands");
        }
    }
}
