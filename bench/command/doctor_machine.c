/*
 * doctor_machine.c - what of the machine matters for memory: see doctor.h.
 */
#include <dirent.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "doctor.h"
#include "facts.h"
#include "pressure.h" /* the library's */
#include "process.h"
#include "table.h"

enum { TEXT = 40 };

/* ---- Huge pages ------------------------------------------------------------------------------ */

#define HUGE_PAGES "/sys/kernel/mm/transparent_hugepage/"

enum { CHOICE = 32 };

/* The chosen word of a file is the value. */
static void tell_choice(struct fact *fact, const char *path, char choice[CHOICE]) {
    read_choice(path, choice, CHOICE);
    SAY(value, "%s", *choice ? choice : "not in this kernel");
}

static void check_huge_pages(struct fact *fact) {
    char choice[CHOICE];
    tell_choice(fact, HUGE_PAGES "enabled", choice);
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
    char choice[CHOICE];
    tell_choice(fact, HUGE_PAGES "defrag", choice);
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

/* ---- The host's part ------------------------------------------------------------------------- */

#define BALLOON "/sys/bus/virtio/drivers/virtio_balloon"

/* Does the device say that the host wants to know of free pages (virtio 1.2, 5.5.3)? */
static bool reports_free_pages(const char *device) {
    enum { REPORTING = 5 };
    char path[sizeof BALLOON + (size_t)2 * TEXT];
    char features[REPORTING + 2];
    snprintf(path, sizeof path, BALLOON "/%.*s/features", TEXT, device);
    return read_small_file(path, features, sizeof features) && features[REPORTING] == '1';
}

static void check_free_page_reporting(struct fact *fact) {
    DIR *devices = opendir(BALLOON);
    bool reports = false;
    for (struct dirent *each; devices && !reports && (each = readdir(devices));) {
        reports = strncmp(each->d_name, "virtio", 6) == 0 && reports_free_pages(each->d_name);
    }
    if (devices) {
        closedir(devices);
    }
    SAY(value, "%s", reports ? "on" : "off");
    SAY(meaning, "%s",
        reports
            ? "this virtual machine's host takes free memory back by 2 MiB: it comes again many "
              "times slower than other memory, and the first step after a rest waits for it"
            : "there is no sign of a host that takes free memory back");
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

/* ---- The list -------------------------------------------------------------------------------- */

const struct check machine_checks[] = {
    {"memory", check_memory},
    {"cores", check_cores},
    {"numa_nodes", check_numa},
    {"page_size", check_page_size},
    {"transparent_huge_pages", check_huge_pages},
    {"huge_page_defrag", check_defrag},
    {"khugepaged", check_khugepaged},
    {"free_page_reporting", check_free_page_reporting},
    {"overcommit_memory", check_overcommit},
    {"address_space_limit", check_address_space},
    {"max_map_count", check_map_count},
    {"cgroup_memory", check_cgroup},
    {NULL, NULL},
};
