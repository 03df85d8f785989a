/*
 * doctor_environment.c - what of the environment matters for memory, and whether all works in it:
 * see doctor.h.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "allocators.h"
#include "doctor.h"
#include "preload.h"
#include "pressure.h" /* the library's */
#include "process.h"
#include "settings.h"
#include "stepwell.h"

static const size_t mib = 1 << 20;

/* ---- Variables ------------------------------------------------------------------------------- */

static void check_preload(struct fact *fact) {
    const char *preload = getenv("LD_PRELOAD");
    if (!preload || !*preload) {
        SAY(value, "empty");
        SAY(meaning, "malloc is libc's");
        return;
    }
    struct allocator allocators[ALLOCATORS_MOST];
    size_t count = find_allocators(allocators);
    bool is_ours = is_behind_own_malloc();
    const char *owner = is_ours ? "Stepwell" : NULL;
    for (size_t i = 0; i < count && !is_ours; i++) {
        owner = strstr(preload, allocators[i].name) ? allocators[i].name : owner;
    }
    SAY(value, "%s", preload);
    SAY(meaning, "these libraries see every call first");
    if (owner) {
        SAY(meaning, "malloc is %s's, in every process started here: `system` measures that",
            owner);
        SAY(advice, "unset LD_PRELOAD to compare with libc as it is");
        fact->state = ADVICE;
    }
}

/* Appends "NAME=value" of the variables whose names begin so. */
static void collect_variables(const char *prefix, char *text, size_t size) {
    size_t length = 0;
    *text = '\0';
    for (char **variable = environ; *variable; variable++) {
        if (strncmp(*variable, prefix, strlen(prefix)) == 0 && length < size) {
            length += (size_t)snprintf(text + length, size - length, "%s%s", length ? " " : "",
                                       *variable);
        }
    }
}

static void check_preload_library(struct fact *fact) {
    char path[PATH_MAX];
    if (find_own_library("preload", path, sizeof path)) {
        SAY(value, "%s", path);
        SAY(meaning, "what `stepwell run` puts behind malloc; without it, LD_PRELOAD=%s does",
            path);
    } else {
        SAY(value, "missing");
        SAY(meaning, "`stepwell run` has nothing to put behind malloc");
        SAY(advice, "it belongs at %s: build or install it", path);
        fact->state = ADVICE;
    }
}

static void check_settings(struct fact *fact) {
    for (int i = 0; i < SW__VARIABLE_COUNT; i++) {
        const char *name = sw__variables[i].name;
        const char *value = getenv(name);
        size_t length = strlen(fact->value);
        if (value && *value) {
            snprintf(fact->value + length, sizeof fact->value - length, "%s%s=%s",
                     length ? " " : "", name, value);
        }
    }
    if (!*fact->value) {
        SAY(value, "none");
        SAY(meaning, "heaps behind malloc are at their defaults");
    } else if (settings_are_right(fact->advice, sizeof fact->advice)) {
        SAY(meaning, "the heap behind malloc is set so, in every process started here");
    } else {
        SAY(meaning, "`stepwell run` will refuse this, and each process go on without it");
        fact->state = ADVICE;
    }
    if (fact->state == FINE && a_setting_is_misspelt(fact->advice, sizeof fact->advice)) {
        fact->state = ADVICE;
    }
}

static void check_tunables(struct fact *fact) {
    const char *tunables = getenv("GLIBC_TUNABLES");
    bool about_malloc = tunables && strstr(tunables, "glibc.malloc");
    SAY(value, "%s", tunables && *tunables ? tunables : "empty");
    SAY(meaning, about_malloc ? "libc's malloc is tuned: `system` measures it so"
                              : "libc's malloc is at its defaults");
    if (about_malloc) {
        SAY(advice, "unset GLIBC_TUNABLES to compare with libc as it is");
        fact->state = ADVICE;
    }
}

static void check_malloc_variables(struct fact *fact) {
    collect_variables("MALLOC_", fact->value, sizeof fact->value);
    if (!*fact->value) {
        SAY(value, "none");
        SAY(meaning, "nothing tunes libc's or jemalloc's malloc");
        return;
    }
    SAY(meaning, "libc's malloc obeys MALLOC_..._, jemalloc MALLOC_CONF; no heap of ours does");
    SAY(advice, "unset them to compare with the defaults");
    fact->state = ADVICE;
}

/* ---- Does it work here? ---------------------------------------------------------------------- */

/* A tensor's worth; less where the control group's limit is near, beyond which the kernel kills. */
static size_t trial_size(void) {
    struct sw__pressure pressure = {.is_known = false};
    struct sw__group group = sw__pressure_group(&pressure);
    size_t quarter = group.limit > group.used ? (group.limit - group.used) / 4 : 0;
    return quarter > 64 * mib ? 64 * mib : quarter > mib ? quarter / mib * mib : mib;
}

/* Takes and touches so much. NULL, or what went wrong. */
static const char *try_strategy(const char *strategy, size_t size) {
    sw_heap *heap = sw_heap_create(strategy, NULL);
    if (!heap) {
        return sw_error();
    }
    char *block = sw_alloc_aligned(heap, 64, size, SW_TAG_OTHER);
    if (block) {
        memset(block, 1, size);
    }
    sw_free(heap, block);
    sw_heap_destroy(heap);
    return block ? NULL : "it is not to be had";
}

static void check_strategies(struct fact *fact) {
    const struct sw_strategy_info *info;
    const char *missing = NULL;
    size_t working = 0;
    size_t count = 0;
    size_t size = trial_size();
    for (; (info = sw_strategy_info(count)); count++) {
        const char *problem = try_strategy(info->name, size);
        working += problem == NULL;
        if (problem && !missing) {
            missing = info->name;
            SAY(advice, "%s, asked for %zu MiB: %s", info->name, size / mib, problem);
        }
    }
    SAY(value, "%zu of %zu work", working, count);
    SAY(meaning, "each was given %zu MiB to touch and gave it back", size / mib);
    if (missing) {
        /* jemalloc is a library of its own, which may be absent; ours may not fail */
        fact->state = strcmp(missing, "jemalloc") == 0 && working + 1 == count ? ADVICE : BROKEN;
    }
}

static void check_resident(struct fact *fact) {
    struct process_memory memory;
    bool known = read_process_memory(&memory);
    bool reset = known && reset_peak_memory();
    SAY(value, "%s", reset ? "measured exactly" : known ? "peak not resettable" : "not to be read");
    SAY(meaning, "what `compare` rests on: /proc/self/status and /proc/self/clear_refs");
    if (!known) {
        SAY(advice, "mount /proc");
        fact->state = BROKEN;
    } else if (!reset) {
        SAY(advice, "resident peaks are estimates here: the kernel lacks CONFIG_PROC_PAGE_MONITOR, "
                    "or /proc is read-only");
        fact->state = ADVICE;
    }
}

/* Whatever the rules are: root may where others may not, and a container's filter may refuse it. Not
 * fork(): OpenBLAS has handlers there that wait for memory where there is little. */
static bool can_trace_a_child(void) {
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        for (;;) {
            pause();
        }
    }
    if (child < 0) {
        return false;
    }
    bool can = ptrace(PTRACE_SEIZE, child, 0, 0) == 0;
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    return can;
}

static void advise_on_tracing(struct fact *fact, int scope) {
    if (scope == 2) {
        SAY(advice, "`sysctl kernel.yama.ptrace_scope=1` (root) lets a process trace its children");
    } else if (scope > 2) {
        SAY(advice, "kernel.yama.ptrace_scope is %d: no process is traced before the next start",
            scope);
    } else {
        SAY(advice, "a container needs the capability SYS_PTRACE, or a filter that allows ptrace");
    }
    fact->state = ADVICE;
}

static void check_ptrace(struct fact *fact) {
    char text[32];
    int scope = 0;
    if (read_small_file("/proc/sys/kernel/yama/ptrace_scope", text, sizeof text)) {
        scope = atoi(text);
    }
    bool traces = can_trace_a_child();
    bool seccomp = access("/proc/sys/kernel/seccomp/actions_avail", R_OK) == 0;
    SAY(value, "ptrace %s, ptrace_scope %d, seccomp %s", traces ? "allowed" : "refused", scope,
        seccomp ? "there" : "absent");
    SAY(meaning, "%s",
        traces && seccomp ? "`compare` can count the memory system calls of its own children"
                          : "`compare` shows memory system calls as n/a");
    if (!traces) {
        advise_on_tracing(fact, scope);
    }
}

/* ---- The list -------------------------------------------------------------------------------- */

const struct check environment_checks[] = {
    {"ld_preload", check_preload},
    {"preload_library", check_preload_library},
    {"stepwell_variables", check_settings},
    {"glibc_tunables", check_tunables},
    {"malloc_variables", check_malloc_variables},
    {"resident_memory", check_resident},
    {"system_call_counting", check_ptrace},
    {"strategies", check_strategies},
    {NULL, NULL},
};
