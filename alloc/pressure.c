/*
 * pressure.c - how near the memory limit of the control group is: see pressure.h.
 *
 * Uses neither malloc nor stdio streams: it runs inside malloc.
 */
#include "pressure.h"

#include "os.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_LOOK ((size_t)64 << 20) /* smaller processes are nobody's concern */
#define LEAST_LOOK ((size_t)4 << 20)

const char *sw__pressure_root = "";

/* What the files of a version are called, and where its groups are. */
static const struct files {
    const char *line; /* of /proc/self/cgroup */
    const char *mount, *limit, *usage;
} files[] = {
    {"0::", "/sys/fs/cgroup", "memory.max", "memory.current"},
    {":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"},
};
enum { VERSIONS = sizeof files / sizeof files[0] };

/* ---- Files ----------------------------------------------------------------------------------- */

static bool read_group_file(const char *folder, const char *name, char *text, size_t size) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return sw__os_read_file(path, text, size);
}

/* A number of bytes; SIZE_MAX for "max", for what is so large that it means the same, and for no
 * file. */
static size_t number_in(const char *folder, const char *name) {
    char text[64];
    if (!read_group_file(folder, name, text, sizeof text) || text[0] < '0' || text[0] > '9')
        return SIZE_MAX;
    size_t number = strtoull(text, NULL, 10);
    return number < SIZE_MAX / 4 ? number : SIZE_MAX;
}

/* The number behind a word at the start of a line; 0 when it is not there. */
static size_t number_behind(const char *text, const char *word) {
    size_t length = strlen(word);
    for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (strncmp(line, word, length) == 0)
            return strtoull(line + length, NULL, 10);
    return 0;
}

/* ---- The group ------------------------------------------------------------------------------- */

/* From the group's folder up to the mount, the first that has a limit. */
static bool find_limit(struct sw__pressure *pressure, const char *group, size_t length) {
    const struct files *version = &files[pressure->version];
    for (;;) {
        int size = snprintf(pressure->folder, sizeof pressure->folder, "%s%s%.*s",
                            sw__pressure_root, version->mount, (int)length, group);
        if (size > 0 && (size_t)size < sizeof pressure->folder)
            pressure->limit = number_in(pressure->folder, version->limit);
        if (pressure->limit != SIZE_MAX)
            return true;
        if (length == 0)
            return false;
        while (length && group[--length] != '/')
            ;
    }
}

static void find_group(struct sw__pressure *pressure) {
    char text[4096];
    pressure->is_known = true;
    pressure->limit = SIZE_MAX;
    if (!read_group_file(sw__pressure_root, "proc/self/cgroup", text, sizeof text))
        return;
    for (pressure->version = 0; pressure->version < VERSIONS; pressure->version++) {
        const char *line = strstr(text, files[pressure->version].line);
        const char *group = line ? line + strlen(files[pressure->version].line) : "";
        if (find_limit(pressure, group, strcspn(group, "\n")))
            return;
    }
}

/* What the group holds that the kernel cannot just drop. */
static size_t bytes_in_use(const struct sw__pressure *pressure) {
    char text[4096];
    size_t usage = number_in(pressure->folder, files[pressure->version].usage);
    if (usage == SIZE_MAX)
        return 0;
    if (!read_group_file(pressure->folder, "memory.stat", text, sizeof text))
        return usage;
    size_t cache = number_behind(text, "inactive_file ") + number_behind(text, "active_file ");
    return usage > cache ? usage - cache : 0;
}

static void look(struct sw__pressure *pressure, size_t bytes) {
    if (!pressure->is_known)
        find_group(pressure);
    if (pressure->limit == SIZE_MAX) {
        pressure->until_look = SIZE_MAX;
        return;
    }
    /* More than there is cannot be touched: it is asked for to see whether it can be had. */
    if (bytes > pressure->limit)
        bytes = 0;
    size_t line = pressure->limit - pressure->limit / 16, used = bytes_in_use(pressure) + bytes;
    pressure->is_tight = used > line;
    pressure->until_look = used < line ? (line - used) / 8 : 0;
    if (pressure->until_look < LEAST_LOOK)
        pressure->until_look = LEAST_LOOK;
}

bool sw__pressure_is_tight(struct sw__pressure *pressure, size_t bytes) {
    if (!pressure->is_known && pressure->until_look == 0)
        pressure->until_look = FIRST_LOOK;
    if (bytes >= pressure->until_look)
        look(pressure, bytes);
    else
        pressure->until_look -= bytes;
    return pressure->is_tight;
}

bool sw__pressure_look(struct sw__pressure *pressure) {
    if (!pressure->is_known || pressure->limit != SIZE_MAX)
        look(pressure, 0);
    return pressure->is_tight;
}
