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

#include <dlfcn.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Else the checks would be of libc's malloc, or of the strategy that ours fell back to. */
static void require_library_and_strategy(void) {
    char told[4096], wanted[64];
    Dl_info where;
    if (!dladdr(dlsym(RTLD_DEFAULT, "malloc"), &where) ||
        !strstr(where.dli_fname, "libstepwell-preload.so")) {
        fprintf(stderr, "malloc is the one of %s\n", where.dli_fname);
        exit(1);
    }
    int file = memfd_create("told", 0), kept = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
    malloc_stats();
    dup2(kept, STDERR_FILENO);
    ssize_t length = pread(file, told, sizeof told - 1, 0);
    told[length > 0 ? length : 0] = '\0';
    close(file);
    close(kept);
    snprintf(wanted, sizeof wanted, ", strategy %s\n", getenv("STEPWELL_STRATEGY"));
    if (!strstr(told, wanted)) {
        fprintf(stderr, "malloc_stats() does not say '%s' but: %s\n", wanted, told);
        exit(1);
    }
}

static bool is_built(const char *strategy, const char *libraries) {
    char path[4096];
    snprintf(path, sizeof path, "%s/lib/libstepwell-%s.so", libraries, strategy);
    return strcmp(strategy, "jemalloc") != 0 || access(path, R_OK) == 0;
}

static void run_under(void **state) {
    const char *strategy = *state;
    const char *libraries = getenv("STEPWELL_BUILD_DIR");
    assert_non_null(libraries);
    if (!is_built(strategy, libraries))
        skip();
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
    if (argc > 1 && strcmp(argv[1], "--check") == 0) {
        require_library_and_strategy();
        return check();
    }
    struct CMUnitTest tests[32];
    size_t count = 0;
    for (; count < 32 && sw_strategy_info(count); count++) {
        char *name = strdup(sw_strategy_info(count)->name);
        tests[count] = (struct CMUnitTest){name, run_under, NULL, NULL, name};
    }
    return _cmocka_run_group_tests(group, tests, count, NULL, NULL);
}
