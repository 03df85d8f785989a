/*
 * error.h - why something failed, in one sentence the caller owns.
 *
 * Functions of nn that can fail return 0 or -1 (or NULL). Those that can fail for more than one
 * reason take a struct nn_error to say which; all others fail only because memory is out.
 */
#ifndef NN_ERROR_H
#define NN_ERROR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

struct nn_error {
    char sentence[512];
};

/* Writes the sentence; returns -1, so that a failing function can end in it. */
__attribute__((format(printf, 2, 3))) static inline int nn_fail(struct nn_error *error,
                                                                const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->sentence, sizeof error->sentence, format, arguments);
    va_end(arguments);
    return -1;
}

/* For what there were not so many bytes. */
static inline int nn_fail_memory(struct nn_error *error, const char *what, size_t bytes) {
    return nn_fail(error, "out of memory: %s would take %zu bytes", what, bytes);
}

#endif
