/*
 * program.h - what kind of file a program is, as far as preloading a library into it goes.
 */
#ifndef STEPWELL_PROGRAM_H
#define STEPWELL_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

enum { PROGRAM_PATH = 4096 };

/* Looks a command up as execvp() does. False when it is not found. */
bool find_program(const char *command, char path[PROGRAM_PATH]);

/* Writes why LD_PRELOAD cannot work on a program, as a clause that follows "'NAME' ...". A script
 * is followed to its interpreter. False when nothing about the file speaks against it. */
bool explain_no_preload(const char *path, char *why, size_t size);

/* Does an executable define malloc itself, so that its own calls never leave it? */
bool has_own_malloc(const char *path);

#endif
