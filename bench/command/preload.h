/*
 * preload.h - where the libraries to preload are, and the LD_PRELOAD that names them.
 */
#ifndef STEPWELL_PRELOAD_H
#define STEPWELL_PRELOAD_H

#include <stdbool.h>
#include <stddef.h>

/* Finds libstepwell-NAME.so beside this program: in the build tree, or in the prefix it is
 * installed to. False when it is not there, with the place it should be at in path. */
bool find_own_library(const char *name, char *path, size_t size);

/* LD_PRELOAD with our libraries in front of what it holds now, for the strategy (NULL: the
 * default). To be freed. NULL when it cannot be; why is then one sentence. */
char *compose_preload(const char *strategy, char *why, size_t why_size);

/* Is it our library that this program's own malloc is in? */
bool is_behind_own_malloc(void);

/* Says so where `system` is to be measured, which is then not what it seems. */
void complain_if_system_is_ours(const char *strategy);

#endif
