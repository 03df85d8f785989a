/*
 * pressure.h - how near the process is to the memory limit of its control group: a container's, a
 * batch job's. There the kernel does not refuse memory, it kills; so who keeps free memory gives it
 * back in time.
 *
 * Versions 1 and 2 of control groups. A process is in its own group and in all that this one is in,
 * and each limits what all of its processes hold together, so the one that counts is the one with
 * the least room. Where it comes near its limit, what a group holds is counted without the page
 * cache, which the kernel takes back by itself.
 */
#ifndef SW_PRESSURE_H
#define SW_PRESSURE_H

#include "lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct sw__pressure {
    struct sw__lock lock; /* guards the rest, and is held while files are read: no other is taken */
    _Atomic(size_t) since_look; /* bytes allocated */
    _Atomic(size_t) look_after; /* so many, before the next look is worth it; 0: none was yet */
    atomic_bool is_tight;       /* at the last look */
    unsigned looks;  /* for nothing that is allocated, so far: sometimes all is found out anew */
    bool is_known;   /* the rest has been found out */
    bool is_limited; /* one of the groups has a limit */
    int version;
    char folder[512]; /* of the process's own group */
};

struct sw__group {
    size_t limit, used; /* bytes; no limit: SIZE_MAX */
    int version;        /* of control groups: 1 or 2, and 0 without a limit */
};

/* Notes that so many bytes are about to be allocated. True when they bring the group within a
 * sixteenth of its limit. Mostly an addition: files are read when what is left has shrunk by an
 * eighth. For any thread, best without a lock of its own: a kernel under load takes its time to
 * tell. */
bool sw__pressure_is_tight(struct sw__pressure *pressure, size_t bytes);

/* The same for somebody who allocates nothing and has the time to read files. */
bool sw__pressure_look(struct sw__pressure *pressure);

/* The group with the least room, without its page cache. */
struct sw__group sw__pressure_group(struct sw__pressure *pressure);

/* Test seam: where /proc/self/cgroup and /sys/fs/cgroup are sought. "" to begin with. */
extern const char *sw__pressure_root;

#endif
