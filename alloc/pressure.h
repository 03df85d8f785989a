/*
 * pressure.h - how near the process is to the memory limit of its control group: a container's, a
 * batch job's. There the kernel does not refuse memory, it kills; so who keeps free memory gives it
 * back in time.
 *
 * Versions 1 and 2 of control groups, the nearest limit from the process's own group upwards. What
 * the group holds is counted without the page cache, which the kernel takes back by itself.
 */
#ifndef SW_PRESSURE_H
#define SW_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>

struct sw__pressure {
    bool is_known;    /* the rest has been found out */
    bool is_tight;    /* at the last look */
    size_t limit;     /* SIZE_MAX: none */
    char folder[256]; /* of the group */
    int version;
    size_t until_look; /* bytes to be allocated before the next look is worth it */
};

/* Notes that so many bytes are about to be allocated. True when they bring the group within a
 * sixteenth of its limit. Mostly a subtraction: files are read when what is left has shrunk by an
 * eighth. Not locked. */
bool sw__pressure_is_tight(struct sw__pressure *pressure, size_t bytes);

/* The same for somebody who allocates nothing and has the time to read files. */
bool sw__pressure_look(struct sw__pressure *pressure);

/* Test seam: where /proc/self/cgroup and /sys/fs/cgroup are sought. "" to begin with. */
extern const char *sw__pressure_root;

#endif
