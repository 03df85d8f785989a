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
/* A limit may be set while a process runs, or the process be moved to where one is. */
#define LOOKS_APART 128

const char *sw__pressure_root = "";

/* Of each version of control groups: its line in /proc/self/cgroup, where its groups are, what
 * their files are called, and the page cache in memory.stat, of a group with all below it. Beyond
 * `high` a group is not killed but slowed down. */
static const struct version {
    const char *line, *mount, *limit, *high, *usage, *cache[2];
} versions[] = {
    {"0::",
     "/sys/fs/cgroup",
     "memory.max",
     "memory.high",
     "memory.current",
     {"inactive_file ", "active_file "}},
    {":memory:",
     "/sys/fs/cgroup/memory",
     "memory.limit_in_bytes",
     NULL,
     "memory.usage_in_bytes",
     {"total_inactive_file ", "total_active_file "}},
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

static __attribute__((noinline)) size_t page_cache_of(const struct version *version,
                                                      const char *folder) {
    char text[4096];
    return read_group_file(folder, "memory.stat", text, sizeof text)
               ? number_behind(text, version->cache[0]) + number_behind(text, version->cache[1])
               : 0;
}

/* What the group holds that the kernel cannot just drop. Where even `more` beside it leave it far
 * from its limit, with what it can: for memory.stat the kernel adds up all processors' counts. */
static size_t used_by(const struct version *version, const char *folder, size_t limit,
                      size_t more) {
    size_t usage = number_in(folder, version->usage), far = limit - limit / 4;
    if (usage == SIZE_MAX)
        return 0;
    if (more < far && usage < far - more)
        return usage;
    size_t cache = page_cache_of(version, folder);
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
static struct sw__group tightest(const struct version *version, const char *folder, size_t more) {
    struct sw__group least = {.limit = SIZE_MAX, .version = version->high ? 2 : 1};
    char path[sizeof((struct sw__pressure *)0)->folder];
    size_t top = strlen(sw__pressure_root) + strlen(version->mount);
    strcpy(path, folder);
    for (;;) {
        struct sw__group group = {limit_of(version, path), 0, least.version};
        group.used = group.limit == SIZE_MAX ? 0 : used_by(version, path, group.limit, more);
        if (room_in(&group) < room_in(&least))
            least = group;
        char *slash = strrchr(path, '/');
        if (!slash || (size_t)(slash - path) < top)
            return least;
        *slash = '\0';
    }
}

/* The folder of the process's own group in a version; false where it is in none. */
static __attribute__((noinline)) bool find_folder(struct sw__pressure *pressure,
                                                  const struct version *version) {
    char groups[4096];
    if (!read_group_file(sw__pressure_root, "proc/self/cgroup", groups, sizeof groups))
        return false;
    const char *line = strstr(groups, version->line);
    const char *group = line ? line + strlen(version->line) : "";
    size_t length = strcspn(group, "\n");
    length -= length && group[length - 1] == '/'; /* the root of what is seen of them */
    int size = snprintf(pressure->folder, sizeof pressure->folder, "%s%s%.*s", sw__pressure_root,
                        version->mount, (int)length, group);
    return line && size > 0 && (size_t)size < sizeof pressure->folder;
}

/* The version with a limit, if one has. */
static void find_limited_version(struct sw__pressure *pressure) {
    pressure->is_known = true;
    for (int i = 0; i < VERSIONS && !pressure->is_limited; i++) {
        pressure->version = i;
        pressure->is_limited = find_folder(pressure, &versions[i]) &&
                               tightest(&versions[i], pressure->folder, 0).limit != SIZE_MAX;
    }
}

/* ---- Looking --------------------------------------------------------------------------------- */

static struct sw__group group_with(struct sw__pressure *pressure, size_t more) {
    if (!pressure->is_known)
        find_limited_version(pressure);
    return pressure->is_limited ? tightest(&versions[pressure->version], pressure->folder, more)
                                : (struct sw__group){.limit = SIZE_MAX};
}

struct sw__group sw__pressure_group(struct sw__pressure *pressure) {
    return group_with(pressure, SIZE_MAX);
}

/* Returns after how many bytes more the next look is worth it. */
static size_t look_at(struct sw__pressure *pressure, size_t bytes) {
    struct sw__group group = group_with(pressure, bytes);
    if (group.limit == SIZE_MAX) { /* or, as where files are used up, it could not be read */
        pressure->is_tight &= pressure->is_limited;
        return pressure->is_limited ? FIRST_LOOK : SIZE_MAX;
    }
    /* More than there is cannot be touched: it is asked for to see whether it can be had. */
    group.used += bytes > group.limit ? 0 : bytes;
    pressure->is_tight = group.used > line_of(&group);
    return sw__larger(room_in(&group) / 8, LEAST_LOOK);
}

static void look(struct sw__pressure *pressure, size_t bytes) {
    pressure->look_after = look_at(pressure, bytes);
    pressure->since_look = 0;
}

bool sw__pressure_is_tight(struct sw__pressure *pressure, size_t bytes) {
    size_t since = atomic_fetch_add_explicit(&pressure->since_look, bytes, memory_order_relaxed);
    size_t after = atomic_load_explicit(&pressure->look_after, memory_order_relaxed);
    if (since + bytes >= (after ? after : FIRST_LOOK)) {
        sw__lock(&pressure->lock);
        bool has_another_looked = pressure->since_look < since && bytes < pressure->look_after;
        if (!has_another_looked)
            look(pressure, bytes);
        sw__unlock(&pressure->lock);
    }
    return pressure->is_tight;
}

bool sw__pressure_look(struct sw__pressure *pressure) {
    sw__lock(&pressure->lock);
    bool was_limited = pressure->is_limited, anew = ++pressure->looks % LOOKS_APART == 0;
    if (anew)
        pressure->is_known = pressure->is_limited = false;
    if (!pressure->is_known || pressure->is_limited)
        look(pressure, 0);
    if (anew && was_limited && !pressure->is_limited)
        pressure->looks--; /* perhaps a file could not be read: the next look is anew as well */
    sw__unlock(&pressure->lock);
    return pressure->is_tight;
}
