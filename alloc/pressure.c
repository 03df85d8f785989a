/*
 * pressure.c - how near the memory limit of the control group is: see pressure.h.
 *
 * Uses neither malloc nor stdio streams: it runs inside malloc.
 */
#include "pressure.h"

#include "align.h"
#include "os.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_LOOK ((size_t)64 << 20) /* smaller processes are nobody's concern */
#define LEAST_LOOK ((size_t)4 << 20)

const char *sw__pressure_root = "";

/* Of each version of control groups: its line in /proc/self/cgroup, where its groups are, and what
 * their files are called. Beyond `high` a group is not killed but slowed down. */
static const struct version {
    const char *line, *mount, *limit, *high, *usage;
} versions[] = {
    {"0::", "/sys/fs/cgroup", "memory.max", "memory.high", "memory.current"},
    {":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", NULL, "memory.usage_in_bytes"},
};
enum { VERSIONS = sizeof versions / sizeof versions[0] };

/* ---- Files ----------------------------------------------------------------------------------- */

static bool read_group_file(const char *folder, const char *name, char *text, size_t size) {
    char path[640];
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

/* ---- Groups ---------------------------------------------------------------------------------- */

static size_t limit_of(const struct version *version, const char *folder) {
    size_t limit = number_in(folder, version->limit);
    return version->high ? sw__smaller(limit, number_in(folder, version->high)) : limit;
}

/* What the group holds that the kernel cannot just drop. Far from its limit, with what it can: for
 * memory.stat the kernel adds up all processors' counts. */
static size_t used_by(const struct version *version, const char *folder, size_t limit) {
    char text[4096];
    size_t usage = number_in(folder, version->usage);
    if (usage == SIZE_MAX)
        return 0;
    if (usage < limit - limit / 4 || !read_group_file(folder, "memory.stat", text, sizeof text))
        return usage;
    size_t cache = number_behind(text, "inactive_file ") + number_behind(text, "active_file ");
    return usage > cache ? usage - cache : 0;
}

/* Where a group begins to be tight. */
static size_t line_of(const struct sw__group *group) {
    return group->limit - group->limit / 16;
}

static size_t room_in(const struct sw__group *group) {
    size_t line = line_of(group);
    return line > group->used ? line - group->used : 0;
}

/* Of a group and all that it is in the one with the least room. */
static struct sw__group tightest(const struct version *version, const char *folder) {
    struct sw__group least = {.limit = SIZE_MAX, .version = version->high ? 2 : 1};
    char path[sizeof((struct sw__pressure *)0)->folder];
    size_t top = strlen(sw__pressure_root) + strlen(version->mount);
    strcpy(path, folder);
    for (;;) {
        struct sw__group group = {limit_of(version, path), 0, least.version};
        group.used = group.limit == SIZE_MAX ? 0 : used_by(version, path, group.limit);
        if (room_in(&group) < room_in(&least))
            least = group;
        char *slash = strrchr(path, '/');
        if (!slash || (size_t)(slash - path) < top)
            return least;
        *slash = '\0';
    }
}

/* The folder of the process's own group in a version; false where it is in none. */
static bool find_folder(struct sw__pressure *pressure, const struct version *version,
                        const char *groups) {
    const char *line = strstr(groups, version->line);
    const char *group = line ? line + strlen(version->line) : "";
    int size = snprintf(pressure->folder, sizeof pressure->folder, "%s%s%.*s", sw__pressure_root,
                        version->mount, (int)strcspn(group, "\n"), group);
    return line && size > 0 && (size_t)size < sizeof pressure->folder;
}

/* The version with a limit, if one has. */
static void find_limited_version(struct sw__pressure *pressure) {
    char groups[4096];
    pressure->is_known = true;
    if (!read_group_file(sw__pressure_root, "proc/self/cgroup", groups, sizeof groups))
        return;
    for (int i = 0; i < VERSIONS && !pressure->is_limited; i++) {
        pressure->version = i;
        pressure->is_limited = find_folder(pressure, &versions[i], groups) &&
                               tightest(&versions[i], pressure->folder).limit != SIZE_MAX;
    }
}

/* ---- Looking --------------------------------------------------------------------------------- */

struct sw__group sw__pressure_group(struct sw__pressure *pressure) {
    if (!pressure->is_known)
        find_limited_version(pressure);
    return pressure->is_limited ? tightest(&versions[pressure->version], pressure->folder)
                                : (struct sw__group){.limit = SIZE_MAX};
}

static void look(struct sw__pressure *pressure, size_t bytes) {
    struct sw__group group = sw__pressure_group(pressure);
    if (group.limit == SIZE_MAX) {
        pressure->is_tight = false;
        pressure->until_look = SIZE_MAX;
        return;
    }
    /* More than there is cannot be touched: it is asked for to see whether it can be had. */
    group.used += bytes > group.limit ? 0 : bytes;
    pressure->is_tight = group.used > line_of(&group);
    pressure->until_look = room_in(&group) / 8;
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
    if (!pressure->is_known || pressure->is_limited)
        look(pressure, 0);
    return pressure->is_tight;
}
