/*
 * second_self.h - a test of the preload library: run plainly, the program starts itself once more
 * for each strategy of the list with the library preloaded; that second self makes the checks, and
 * its exit code is the verdict. So every check runs against the names a program really calls.
 */
#ifndef SECOND_SELF_H
#define SECOND_SELF_H

#include <stdio.h>
#include <stdlib.h>

/* For who cannot have cmocka's, which jump: C++, and what is called as malloc. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            _Exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#ifdef __cplusplus
extern "C" {
#endif

/* The whole of main(). `check` is the second self's. */
int run_second_selves(const char *group, int argc, char **argv, int (*check)(void));

#ifdef __cplusplus
}
#endif

#endif
