/*
 * doctor.c - `stepwell doctor`: what on this machine matters for memory. Each fact, what it means,
 * and advice only where there is something to do.
 *
 * A check is one function that fills one struct fact, and one line in the list at the end.
 */
#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "allocators.h"
#include "arguments.h"
#include "command.h"
#include "facts.h"
#include "output.h"
#include "preload.h"
#include "pressure.h" /* the library's */
#include "process.h"
#include "settings.h"
#include "stepwell.h"
#include "table.h"

static const char doc[] =
    "What on this machine matters for memory: each fact, what it means, and advice where there is "
    "something to do."
    "\vExamples:\n"
    "  stepwell doctor\n"
    "  stepwell doctor --json | python3 -m json.tool\n"
    "\n"
    "Exit code: 0 all works (with advice or without), 1 something here would\n"
    "break us, 2 the command line is wrong.\n";

enum { VALUE = 400, WORDS = 400, TEXT = 40 };

static const size_t mib = 1 << 20;

enum state { FINE, ADVICE, BROKEN };

struct fact {
    const char *name;
    char value[VALUE];
    char meaning[WORDS];
    char advice[WORDS]; /* "" when there is nothing to do */
    enum state state;
};

#define SAY(field, ...) snprintf(fact->field, sizeof fact->field, __VA_ARGS__)

/* ---- Huge pages ------------------------------------------------------------------------------ */

#define HUGE_PAGES "/sys/kernel/mm/transparent_hugepage/"

static void check_huge_pages(struct fact *fact) {
    char choice[32];
    read_choice(HUGE_PAGES "enabled", choice, sizeof choice);
    SAY(value, "%s", *choice ? choice : "not in this kernel");
    if (strcmp(choice, "madvise") == 0) {
        SAY(meaning, "only who asks gets them; heaps ask where it pays");
    } else if (strcmp(choice, "always") == 0) {
        SAY(meaning, "every large mapping gets them, wanted or not; but for heaps, which ask where "
                     "it pays (system and jemalloc do not)");
        SAY(advice, "what else a process maps may grow: `echo madvise > " HUGE_PAGES
                    "enabled` (root) gives them to those who ask");
        fact->state = ADVICE;
    } else {
        SAY(meaning,
            "every first touch of a page costs a fault for 4 KiB, up to 512 times as many");
        if (*choice) {
            SAY(advice, "`echo madvise > " HUGE_PAGES "enabled` (root) makes steps that touch new "
                        "memory faster");
            fact->state = ADVICE;
        }
    }
}

static void check_defrag(struct fact *fact) {
    char choice[32];
    read_choice(HUGE_PAGES "defrag", choice, sizeof choice);
    SAY(value, "%s", *choice ? choice : "not in this kernel");
    if (strcmp(choice, "always") == 0) {
        SAY(meaning, "any page fault may stall to compact memory for a huge page");
        SAY(advice,
            "`echo madvise > " HUGE_PAGES "defrag` (root) keeps the stalls to those who ask");
        fact->state = ADVICE;
    } else if (strcmp(choice, "madvise") == 0 || strcmp(choice, "defer+madvise") == 0) {
        SAY(meaning, "a heap that asked may wait for a huge page at the first touch");
    } else if (strcmp(choice, "defer") == 0) {
        SAY(meaning, "nobody waits: huge pages come later, when memory was compacted behind");
    } else {
        SAY(meaning, "a first touch gets a huge page only if one lies ready");
    }
}

static void check_khugepaged(struct fact *fact) {
    char text[32];
    size_t holes = 0;
    if (!read_small_file(HUGE_PAGES "khugepaged/max_ptes_none", text, sizeof text)) {
        SAY(value, "not in this kernel");
        SAY(meaning, "pages stay as they were first touched");
        return;
    }
    holes = strtoul(text, NULL, 10);
    SAY(value, "max_ptes_none %zu", holes);
    if (holes == 0) {
        SAY(meaning, "the kernel joins pages into huge ones only where all are present: memory "
                     "given back stays given back");
    } else {
        SAY(meaning,
            "where a mapping asked for huge pages, the kernel may fill up to %zu absent "
            "pages of each: what was given back can become resident again",
            holes);
    }
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static void check_memory(struct fact *fact) {
    char text[4096];
    char bytes[3][TEXT];
    size_t total = 0;
    size_t available = 0;
    size_t swap = 0;
    if (read_small_file("/proc/meminfo", text, sizeof text)) {
        find_field(text, "MemTotal", &total);
        find_field(text, "MemAvailable", &available);
        find_field(text, "SwapTotal", &swap);
    }
    SAY(value, "%s, %s available, swap %s", format_bytes(bytes[0], TEXT, (double)total),
        format_bytes(bytes[1], TEXT, (double)available),
        format_bytes(bytes[2], TEXT, (double)swap));
    SAY(meaning, swap ? "memory that runs short goes to swap first: slow, before it is out"
                      : "no swap: who needs more than is available is killed");
}

static void check_overcommit(struct fact *fact) {
    char text[32];
    int mode = -1;
    if (read_small_file("/proc/sys/vm/overcommit_memory", text, sizeof text)) {
        mode = atoi(text);
    }
    SAY(value, "%s",
        mode == 0   ? "0 (heuristic)"
        : mode == 1 ? "1 (always)"
        : mode == 2 ? "2 (strict)"
                    : "unknown");
    if (mode == 2) {
        SAY(meaning, "what is mapped counts as used, touched or not: out of memory is an error "
                     "value, early, and never a kill");
        SAY(advice, "if allocation fails with memory to spare, raise vm.overcommit_ratio or use "
                    "conf limit:BYTES");
        fact->state = ADVICE;
    } else {
        SAY(meaning,
            "mapping is not using: out of memory shows when pages are touched, as a kill "
            "by the kernel%s",
            mode == 0 ? "; a single mapping beyond all memory is refused" : "");
    }
}

static void check_address_space(struct fact *fact) {
    struct rlimit limit;
    char bytes[TEXT];
    getrlimit(RLIMIT_AS, &limit);
    if (limit.rlim_cur == RLIM_INFINITY) {
        SAY(value, "unlimited");
        SAY(meaning, "heaps may reserve what they like");
        return;
    }
    SAY(value, "%s", format_bytes(bytes, TEXT, (double)limit.rlim_cur));
    SAY(meaning, "reserved address space counts against it, present or not");
    SAY(advice, "it limits the wrong thing: `ulimit -v unlimited`, and a cgroup's memory.max to "
                "limit memory");
    fact->state = ADVICE;
}

static void check_map_count(struct fact *fact) {
    enum { USUAL = 65530 };
    char text[32];
    unsigned long most = 0;
    if (read_small_file("/proc/sys/vm/max_map_count", text, sizeof text)) {
        most = strtoul(text, NULL, 10);
    }
    SAY(value, "%lu", most);
    SAY(meaning, "mappings a process may have; pages given back in the middle of one can part it, "
                 "and a heap takes half at most");
    if (most < USUAL) {
        SAY(advice, "below the usual %d: `sysctl vm.max_map_count=%d` (root)", USUAL, USUAL);
        fact->state = ADVICE;
    }
}

/* ---- Control group --------------------------------------------------------------------------- */

static void check_cgroup(struct fact *fact) {
    struct sw__pressure pressure = {.is_known = false};
    struct sw__group group = sw__pressure_group(&pressure);
    char bytes[2][TEXT];
    if (group.limit == SIZE_MAX) {
        SAY(value, "no limit");
        SAY(meaning, "the machine's memory is the limit");
        return;
    }
    SAY(value, "%s of %s used, cgroup v%d", format_bytes(bytes[0], TEXT, (double)group.used),
        format_bytes(bytes[1], TEXT, (double)group.limit), group.version);
    SAY(meaning, "beyond it the kernel kills, or slows down; all that is resident counts, free or "
                 "not, but for the page cache");
    if (group.used > group.limit - group.limit / 10) {
        SAY(advice, "less than a tenth is left: raise it, or trim what runs here");
        fact->state = ADVICE;
    }
}

/* ---- Processors ------------------------------------------------------------------------------ */

static size_t count_nodes(void) {
    size_t nodes = 0;
    DIR *directory = opendir("/sys/devices/system/node");
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        nodes += strncmp(entry->d_name, "node", 4) == 0 && entry->d_name[4] >= '0' &&
                 entry->d_name[4] <= '9';
    }
    if (directory) {
        closedir(directory);
    }
    return nodes ? nodes : 1;
}

static void check_numa(struct fact *fact) {
    size_t nodes = count_nodes();
    SAY(value, "%zu", nodes);
    if (nodes == 1) {
        SAY(meaning, "all memory is as near to every core");
        return;
    }
    SAY(meaning,
        "a page lies on the node of the core that touched it first; the others wait longer");
    SAY(advice, "keep a training on one node: `numactl --cpunodebind=0 --membind=0 ...`");
    fact->state = ADVICE;
}

static void check_cores(struct fact *fact) {
    struct facts facts;
    read_facts(&facts);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    SAY(value, "%zu of %ld, %s", facts.cores, online, facts.cpu);
    SAY(meaning, "more computing threads than %zu take turns and make steps slower", facts.cores);
}

static void check_page_size(struct fact *fact) {
    long size = sysconf(_SC_PAGESIZE);
    SAY(value, "%ld", size);
    SAY(meaning, "the least that can be present, and what one page fault brings");
}

/* ---- Environment ----------------------------------------------------------------------------- */

static void check_preload(struct fact *fact) {
    const char *preload = getenv("LD_PRELOAD");
    if (!preload || !*preload) {
        SAY(value, "empty");
        SAY(meaning, "malloc is libc's");
        return;
    }
    struct allocator allocators[ALLOCATORS_MOST];
    size_t count = find_allocators(allocators);
    SAY(value, "%s", preload);
    SAY(meaning, "these libraries see every call first");
    for (size_t i = 0; i < count; i++) {
        if (strstr(preload, allocators[i].name)) {
            SAY(meaning, "malloc is %s's, in every process started here: `system` measures that",
                allocators[i].name);
            SAY(advice, "unset LD_PRELOAD to compare with libc as it is");
            fact->state = ADVICE;
        }
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
    char path[VALUE / 2];
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

/* Takes and touches a tensor's worth. NULL, or what went wrong. */
static const char *try_strategy(const char *strategy) {
    sw_heap *heap = sw_heap_create(strategy, NULL);
    if (!heap) {
        return sw_error();
    }
    char *block = sw_alloc_aligned(heap, 64, 64 * mib, SW_TAG_OTHER);
    if (block) {
        memset(block, 1, 64 * mib);
    }
    sw_free(heap, block);
    sw_heap_destroy(heap);
    return block ? NULL : "64 MiB are not to be had";
}

static void check_strategies(struct fact *fact) {
    const struct sw_strategy_info *info;
    const char *missing = NULL;
    size_t working = 0;
    size_t count = 0;
    for (; (info = sw_strategy_info(count)); count++) {
        const char *problem = try_strategy(info->name);
        working += problem == NULL;
        if (problem && !missing) {
            missing = info->name;
            SAY(advice, "%s: %s", info->name, problem);
        }
    }
    SAY(value, "%zu of %zu work", working, count);
    SAY(meaning, "each was given 64 MiB to touch and gave it back");
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

static void check_ptrace(struct fact *fact) {
    char text[32];
    int scope = 0;
    if (read_small_file("/proc/sys/kernel/yama/ptrace_scope", text, sizeof text)) {
        scope = atoi(text);
    }
    bool seccomp = access("/proc/sys/kernel/seccomp/actions_avail", R_OK) == 0;
    SAY(value, "ptrace_scope %d, seccomp %s", scope, seccomp ? "there" : "absent");
    if (scope < 2 && seccomp) {
        SAY(meaning, "`compare` can count the memory system calls of its own children");
        return;
    }
    SAY(meaning, "`compare` shows memory system calls as n/a");
    if (scope >= 2) {
        SAY(advice, "`sysctl kernel.yama.ptrace_scope=1` (root) lets a process trace its children");
        fact->state = ADVICE;
    }
}

/* ---- The list, and showing it ---------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*check)(struct fact *fact);
} checks[] = {
    {"memory", check_memory},
    {"cores", check_cores},
    {"numa_nodes", check_numa},
    {"page_size", check_page_size},
    {"transparent_huge_pages", check_huge_pages},
    {"huge_page_defrag", check_defrag},
    {"khugepaged", check_khugepaged},
    {"overcommit_memory", check_overcommit},
    {"address_space_limit", check_address_space},
    {"max_map_count", check_map_count},
    {"cgroup_memory", check_cgroup},
    {"ld_preload", check_preload},
    {"preload_library", check_preload_library},
    {"stepwell_variables", check_settings},
    {"glibc_tunables", check_tunables},
    {"malloc_variables", check_malloc_variables},
    {"resident_memory", check_resident},
    {"system_call_counting", check_ptrace},
    {"strategies", check_strategies},
};

enum { CHECKS = sizeof checks / sizeof *checks };

static const char *const state_names[] = {"fine", "advice", "broken"};

static void print_wrapped(const char *text, int indent, int width) {
    int used = width;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (used + 1 + length > width) {
            printf("\n%*s", indent, "");
            used = indent;
        } else {
            used += printf(" ");
        }
        used += printf("%.*s", length, text);
        text += length + (text[length] == ' ');
    }
}

static void print_facts(const struct fact *facts, bool colour) {
    enum { INDENT = 4 };
    static const char *const colours[] = {"", "\033[33m", "\033[31m"};
    int width = output_width(stdout);
    for (size_t i = 0; i < CHECKS; i++) {
        const struct fact *fact = &facts[i];
        printf("%s%s%s: %s", colour ? "\033[1m" : "", fact->name, colour ? "\033[0m" : "",
               fact->value);
        print_wrapped(fact->meaning, INDENT, width);
        if (*fact->advice) {
            char line[WORDS + 8];
            snprintf(line, sizeof line, "-> %s", fact->advice);
            fputs(colour ? colours[fact->state] : "", stdout);
            print_wrapped(line, INDENT, width);
            fputs(colour ? "\033[0m" : "", stdout);
        }
        putchar('\n');
    }
}

static void print_verdict(const struct fact *facts) {
    size_t counts[3] = {0};
    for (size_t i = 0; i < CHECKS; i++) {
        counts[facts[i].state]++;
    }
    printf("\n%d facts: %zu fine, %zu with advice, %zu that would break us\n", CHECKS, counts[FINE],
           counts[ADVICE], counts[BROKEN]);
}

static bool write_facts_json(const char *path, const struct fact *facts, bool works) {
    cJSON *json = cJSON_CreateObject();
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < CHECKS; i++) {
        const struct fact *fact = &facts[i];
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "name", fact->name);
        cJSON_AddStringToObject(object, "state", state_names[fact->state]);
        cJSON_AddStringToObject(object, "value", fact->value);
        cJSON_AddStringToObject(object, "meaning", fact->meaning);
        cJSON_AddItemToObject(object, "advice",
                              *fact->advice ? cJSON_CreateString(fact->advice)
                                            : cJSON_CreateNull());
        cJSON_AddItemToArray(array, object);
    }
    cJSON_AddStringToObject(json, "stepwell", sw_version());
    cJSON_AddBoolToObject(json, "works", works);
    cJSON_AddItemToObject(json, "facts", array);
    bool good = write_json(path, json);
    cJSON_Delete(json);
    return good;
}

static const struct argp_child children[] = {{&output_plain_argp, 0, NULL, 0}, {0}};

static error_t parse_doctor(int key, char *argument, struct argp_state *state) {
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = state->input;
        return 0;
    }
    if (key == ARGP_KEY_ARG) {
        misused("unexpected argument '%s'", argument);
    }
    return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {.parser = parse_doctor, .doc = doc, .children = children};

int command_doctor(int argc, char **argv) {
    static struct fact facts[CHECKS];
    struct output_options output = {0};
    bool works = true;
    parse_arguments(&argp, argc, argv, &output);
    for (size_t i = 0; i < CHECKS; i++) {
        facts[i].name = checks[i].name;
        checks[i].check(&facts[i]);
        works = works && facts[i].state != BROKEN;
    }
    if (wants_table(&output)) {
        print_facts(facts, wants_colour(stdout, output.colour));
        print_verdict(facts);
    }
    bool written = !output.json || write_facts_json(output.json, facts, works);
    if (!works) {
        /* Where memory is not to be had, OpenBLAS's threads wait for it for ever, and an exit would
         * wait for them. */
        fflush(NULL);
        _exit(EXIT_FAILED);
    }
    return written ? EXIT_OK : EXIT_FAILED;
}
