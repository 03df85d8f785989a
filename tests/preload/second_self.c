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

static void read_file(int file, char *text, size_t room) {
    ssize_t length = pread(file, text, room - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    close(file);
}

static bool is_told(const char *option) {
    const char *conf = getenv("STEPWELL_CONF");
    return conf && strstr(conf, option);
}

/* An option that was not taken is one the checks say nothing of. */
static void require_options(const char *table) {
    void *block = malloc(33);
    size_t usable = malloc_usable_size(block);
    free(block);
    if (is_told("checked:1") && usable != 33) {
        fprintf(stderr, "the heap is not checked: 33 bytes are %zu\n", usable);
        exit(1);
    }
    if (is_told("tracking:1") && !strstr(table, "stepwell: requested ")) {
        fprintf(stderr, "the heap is not tracked: malloc_stats() says: %s\n", table);
        exit(1);
    }
}

/* Ours, or one that the test itself brings. */
static bool is_malloc_expected(Dl_info *where) {
    Dl_info here;
    dladdr((void *)run_second_selves, &here);
    return dladdr(dlsym(RTLD_DEFAULT, "malloc"), where) &&
           (strstr(where->dli_fname, "libstepwell-preload.so") ||
            where->dli_fbase == here.dli_fbase);
}

/* Else the checks would be of libc's malloc, or of the strategy that ours fell back to. */
static void require_library_and_strategy(void) {
    char told[4096], wanted[64];
    Dl_info where;
    if (!is_malloc_expected(&where)) {
        fprintf(stderr, "malloc is the one of %s\n", where.dli_fname);
        exit(1);
    }
    int file = memfd_create("told", 0), kept = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
    malloc_stats();
    dup2(kept, STDERR_FILENO);
    read_file(file, told, sizeof told);
    close(kept);
    snprintf(wanted, sizeof wanted, ", strategy %s\n", getenv("STEPWELL_STRATEGY"));
    if (!strstr(told, wanted)) {
        fprintf(stderr, "malloc_stats() does not say '%s' but: %s\n", wanted, told);
        exit(1);
    }
    require_options(told);
}

static bool is_built(const char *strategy, const char *libraries) {
    char path[4096];
    snprintf(path, sizeof path, "%s/lib/libstepwell-%s.so", libraries, strategy);
    return strcmp(strategy, "jemalloc") != 0 || access(path, R_OK) == 0;
}

static void become_second_self(const char *strategy, const char *libraries, const char *what) {
    const char *before = getenv("STEPWELL_TEST_BEFORE"), *after = getenv("STEPWELL_TEST_AFTER");
    char preload[8192];
    snprintf(preload, sizeof preload,
             "%s:%s/lib/libstepwell-preload.so:%s/lib/libstepwell-jemalloc.so:%s",
             before ? before : "", libraries, libraries, after ? after : "");
    setenv("LD_PRELOAD", preload, 1);
    setenv("STEPWELL_STRATEGY", strategy, 1);
    execl("/proc/self/exe", "second-self", what, (char *)NULL);
    _exit(127);
}

/* `errors`: where its stderr goes. */
static int run_second_self(const char *strategy, const char *libraries, const char *what,
                           int errors) {
    pid_t child = fork();
    if (child == 0) {
        dup2(errors, STDERR_FILENO);
        become_second_self(strategy, libraries, what);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

/* What is said of STEPWELL_CONF before main(): only that an option is for other strategies. */
static void require_nothing_unknown(const char *strategy, const char *libraries) {
    char said[4096];
    int file = memfd_create("said", MFD_CLOEXEC);
    run_second_self(strategy, libraries, "--start", file);
    read_file(file, said, sizeof said);
    for (char *line = strtok(said, "\n"); line; line = strtok(NULL, "\n"))
        if (strstr(line, "going on with") && !strstr(line, "does nothing under strategy"))
            fail_msg("%s", line);
}

static void run_under(void **state) {
    const char *strategy = *state;
    const char *libraries = getenv("STEPWELL_BUILD_DIR");
    assert_non_null(libraries);
    if (!is_built(strategy, libraries))
        skip();
    require_nothing_unknown(strategy, libraries);
    assert_int_equal(run_second_self(strategy, libraries, "--check", STDERR_FILENO), 0);
}

int run_second_selves(const char *group, int argc, char **argv, int (*check)(void)) {
    if (argc > 1 && strcmp(argv[1], "--start") == 0)
        return malloc_usable_size(malloc(1)) == 0; /* the heap is made when it is first needed */
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
