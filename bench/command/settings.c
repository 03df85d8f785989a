/*
 * settings.c - see settings.h.
 */
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arguments.h"

const char *setting(enum sw__variable_index index) {
    const char *value = getenv(sw__variables[index].name);
    return value && *value ? value : sw__variables[index].initially;
}

static bool strategy_is_right(const char *strategy, char *why, size_t size) {
    size_t index;
    bool right = is_name(strategy, strategy_names(), &index);
    if (!right) {
        sw__explain_unknown("strategy", strategy, strlen(strategy), strategy_names(), why, size);
    }
    return right;
}

static bool stats_are_right(const char *stats, char *why, size_t size) {
    bool right = !sw__parse_stats(stats).is_unclear;
    if (!right) {
        snprintf(why, size, SW__STATS_ARE ", not '%s'", stats);
    }
    return right;
}

bool settings_are_right(char *why, size_t size) {
    struct sw__config config;
    const char *strategy = setting(SW__STRATEGY);
    sw__options_defaults(&config);
    return strategy_is_right(strategy, why, size) &&
           sw__options_parse(setting(SW__CONF), &config, why, size) &&
           sw__options_are_heeded(&config, strategy, why, size) &&
           stats_are_right(setting(SW__STATS), why, size);
}

/* What follows the prefix, up to the '='. False where the variable has another prefix. */
static bool read_name(const char *variable, const char *prefix, char *name, size_t size) {
    size_t length = strlen(prefix);
    if (strncmp(variable, prefix, length) != 0) {
        return false;
    }
    variable += length;
    length = strcspn(variable, "=");
    snprintf(name, size, "%.*s", (int)length, variable);
    return length < size;
}

bool a_setting_is_misspelt(char *why, size_t size) {
    static const char prefix[] = "STEPWELL_";
    const char *names[SW__VARIABLE_COUNT + 1] = {0};
    char name[64];
    for (int i = 0; i < SW__VARIABLE_COUNT; i++) {
        names[i] = sw__variables[i].name + strlen(prefix);
    }
    for (char **variable = environ; *variable; variable++) {
        const char *nearest = NULL;
        if (read_name(*variable, prefix, name, sizeof name)) {
            nearest = sw__nearest_name(name, names);
        }
        if (nearest && strcmp(nearest, name) != 0) {
            snprintf(why, size, "nobody reads %s%s; did you mean %s%s?", prefix, name, prefix,
                     nearest);
            return true;
        }
    }
    return false;
}
