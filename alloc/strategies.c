/*
 * strategies.c - finds a strategy by its name: in the list of strategies.h, or in a library of its
 * own.
 */
#include "strategies.h"

#include "error.h"
#include "options.h"
#include "strategy.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DECLARE(name) extern const struct sw__strategy sw__strategy_##name;
#define NOTHING(...)
SW_STRATEGIES(DECLARE, NOTHING)
#undef DECLARE

/* What is known of a strategy without loading it, and the strategy, NULL where it is separate. */
static const struct listed {
    const struct sw_strategy_info *info;
    const struct sw__strategy *built_in;
} strategies[] = {
#define BUILT_IN(name)          {&sw__strategy_##name.info, &sw__strategy_##name},
#define SEPARATE(name, summary) {&(const struct sw_strategy_info){#name, summary}, NULL},
    SW_STRATEGIES(BUILT_IN, SEPARATE)
#undef BUILT_IN
#undef SEPARATE
};

enum { STRATEGY_COUNT = sizeof strategies / sizeof strategies[0] };

const struct sw_strategy_info *sw_strategy_info(size_t index) {
    return index < STRATEGY_COUNT ? strategies[index].info : NULL;
}

/* A separate strategy is the one symbol of libstepwell-NAME.so. The library stays loaded. Behind
 * malloc nothing may be loaded: there it has to be in LD_PRELOAD beside us. */
static const struct sw__strategy *find_symbol(const char *name) {
    char text[64];
    snprintf(text, sizeof text, "sw__strategy_%s", name);
    const struct sw__strategy *strategy = dlsym(RTLD_DEFAULT, text);
#ifndef SW_PRELOAD
    char file[64];
    snprintf(file, sizeof file, "libstepwell-%s.so", name);
    void *library = strategy ? NULL : dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library)
        strategy = dlsym(library, text);
#endif
    return strategy;
}

static const struct sw__strategy *load_separate(const char *name) {
    const struct sw__strategy *strategy = find_symbol(name);
    if (!strategy) {
        const char *reason = dlerror();
        snprintf(sw__error_text(), SW__ERROR_SIZE,
                 "strategy '%s' is not available: %s (link the program with -lstepwell-%s, or "
                 "preload libstepwell-%s.so)",
                 name, reason ? reason : "its library is not loaded", name, name);
        errno = ENOTSUP;
    }
    return strategy;
}

static const struct sw__strategy *explain_unknown(const char *name) {
    const char *names[STRATEGY_COUNT + 1] = {0};
    for (size_t i = 0; i < STRATEGY_COUNT; i++)
        names[i] = strategies[i].info->name;
    sw__explain_unknown("strategy", name, strlen(name), names, sw__error_text(), SW__ERROR_SIZE);
    errno = EINVAL;
    return NULL;
}

const struct sw__strategy *sw__strategy_find(const char *name) {
    for (size_t i = 0; i < STRATEGY_COUNT; i++)
        if (strcmp(name, strategies[i].info->name) == 0)
            return strategies[i].built_in ? strategies[i].built_in : load_separate(name);
    return explain_unknown(name);
}
