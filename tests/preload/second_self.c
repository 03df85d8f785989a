/*
 * second_self.c - see second_self.h.
 */
#define _GNU_SOURCE
#include "second_self.h"

#include "stepwell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_under(void **state) {
    const char *strategy = *state;
    const char *libraries = getenv("STEPWELL_BUILD_DIR");
    assert_non_null(libraries);
    pid_t child = fork();
    if (child == 0) {
        const char *before = getenv("STEPWELL_TEST_BEFORE"), *after = getenv("STEPWELL_TEST_AFTER");
        char preload[8192];
        snprintf(preload, sizeof preload,
                 "%s:%s/lib/libstepwell-preload.so:%s/lib/libstepwell-jemalloc.so:%s",
                 before ? before : "", libraries, libraries, after ? after : "");
        setenv("LD_PRELOAD", preload, 1);
        setenv("STEPWELL_STRATEGY", strategy, 1);
        execl("/proc/self/exe", "second-self", "--check", (char *)NULL);
        _exit(127);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

int run_second_selves(const char *group, int argc, char **argv, int (*check)(void)) {
    if (argc > 1 && strcmp(argv[1], "--check") == 0)
        return check();
    struct CMUnitTest tests[32];
    size_t count = 0;
    for (; count < 32 && sw_strategy_info(count); count++) {
        char *name = strdup(sw_strategy_info(count)->name);
        tests[count] = (struct CMUnitTest){name, run_under, NULL, NULL, name};
    }
    return _cmocka_run_group_tests(group, tests, count, NULL, NULL);
}
