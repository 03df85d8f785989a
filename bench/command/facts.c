/*
 * facts.c - see facts.h.
 */
#include "facts.h"

#include <gnu/libc-version.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "output.h"
#include "process.h"

void read_choice(const char *path, char *choice, size_t size) {
    char text[256];
    *choice = '\0';
    if (!read_small_file(path, text, sizeof text)) {
        return;
    }
    const char *open = strchr(text, '[');
    const char *close = open ? strchr(open, ']') : NULL;
    if (close) {
        snprintf(choice, size, "%.*s", (int)(close - open - 1), open + 1);
    }
}

/* "model name : AMD EPYC ..." on x86; ARM's kernels name no model, so the architecture stands in.
 */
static void read_cpu(char *cpu, size_t size, const char *architecture) {
    char text[4096];
    const char *name = NULL;
    if (read_small_file("/proc/cpuinfo", text, sizeof text)) {
        name = strstr(text, "model name");
        name = name ? strchr(name, ':') : NULL;
    }
    if (name) {
        name += 1 + strspn(name + 1, " ");
        snprintf(cpu, size, "%.*s", (int)strcspn(name, "\n"), name);
    } else {
        snprintf(cpu, size, "%s", architecture);
    }
}

static size_t count_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return (size_t)CPU_COUNT(&set);
    }
    return (size_t)sysconf(_SC_NPROCESSORS_ONLN);
}

void read_facts(struct facts *facts) {
    struct utsname system;
    char text[4096];
    *facts = (struct facts){.cores = count_cores()};
    uname(&system);
    snprintf(facts->kernel, sizeof facts->kernel, "%s %s", system.sysname, system.release);
    snprintf(facts->libc, sizeof facts->libc, "glibc %s", gnu_get_libc_version());
    read_cpu(facts->cpu, sizeof facts->cpu, system.machine);
    if (read_small_file("/proc/meminfo", text, sizeof text)) {
        find_field(text, "MemTotal", &facts->memory);
    }
    read_choice("/sys/kernel/mm/transparent_hugepage/enabled", facts->huge_pages,
                sizeof facts->huge_pages);
}

cJSON *facts_json(const struct facts *facts) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "cpu", facts->cpu);
    add_bytes(json, "cores", facts->cores);
    add_bytes(json, "memory", facts->memory);
    cJSON_AddStringToObject(json, "kernel", facts->kernel);
    cJSON_AddStringToObject(json, "libc", facts->libc);
    cJSON_AddStringToObject(json, "transparent_huge_pages", facts->huge_pages);
    return json;
}
