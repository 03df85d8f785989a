/*
 * facts.h - the machine in a few words, for results that should say where they come from.
 */
#ifndef STEPWELL_FACTS_H
#define STEPWELL_FACTS_H

#include <cjson/cJSON.h>
#include <stddef.h>

struct facts {
    char cpu[128];
    size_t cores; /* that this process may run on */
    size_t memory;
    char kernel[140];
    char libc[40];
    char huge_pages[16]; /* always, madvise, never, or "" where there are none */
};

void read_facts(struct facts *facts);
cJSON *facts_json(const struct facts *facts);

/* The chosen word of a line such as "always [madvise] never" in a file of /sys; "" if there is
 * none. */
void read_choice(const char *path, char *choice, size_t size);

#endif
