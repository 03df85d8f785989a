/*
 * support.h - what the allocator's tests share.
 *
 * Glossary
 *   subject   a strategy together with tracking on or off; every test runs over every subject. With
 *             STEPWELL_CHECKED=1 in the environment all of them are checked heaps
 *   pattern   bytes that follow from a seed, so that a block's contents can be checked later
 *
 * Nothing here calls malloc: `system` is measured as the growth of the process, and mappings are
 * counted. CHECK() ends the program, for threads and for checks inside the random runs, where the
 * seed has been printed; cmocka's assertions are for the thread that cmocka runs.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

#include "sanitized.h"
#include "stepwell.h"

/* ThreadSanitizer's shadow of a block is larger than the block, and no heap's. */
#if defined(__SANITIZE_THREAD__)
#define SHADOWED_BY_MORE 1
#else
#define SHADOWED_BY_MORE 0
#endif

#define KIB          ((size_t)1 << 10)
#define MIB          ((size_t)1 << 20)
#define PAGE         ((size_t)4096)
#define LENGTH_OF(a) (sizeof(a) / sizeof(a)[0])

/* gcc warns of sizes that cannot be had when it sees them; the tests ask for them on purpose. */
static inline size_t unseen(size_t size) {
    volatile size_t hidden = size;
    return hidden;
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_failed(#condition, __FILE__, __LINE__);                                          \
    } while (0)

/* Where a random run is: told when a check fails. */
extern _Thread_local size_t check_operation;

_Noreturn void check_failed(const char *condition, const char *file, int line);

/* A program's argument, where it has one, is a pattern of the tests to run. */
static inline void choose_tests(int argc, char **argv) {
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
}

/* ---- Subjects -------------------------------------------------------------------------------- */

struct subject {
    const char *strategy;
    bool tracked;
    bool checked;
    bool asks_os; /* makes its requests through os.h: the library's own strategies */
};

enum { SUBJECTS_MAX = 32, TESTS_MAX = 1024 };

/* Every strategy that can be had here, tracked and not. One that the build has and that does not
 * load is an error, not a strategy less. */
size_t list_subjects(struct subject *subjects);

/* A heap of the subject's, with more options behind the tracking's; never NULL. */
sw_heap *make_heap(const struct subject *subject, const char *more);

/* Runs every test over every subject that it wants, as "name[strategy, tracking:1]". The first
 * argument, where there is one, is a pattern of names to run, the second one of names to leave out.
 * ThreadSanitizer has nothing to say of one thread: there, what starts none runs over auto alone,
 * which has one of its own. Returns the exit code. */
struct behaviour {
    const char *name;
    CMUnitTestFunction run;
    bool (*wants)(const struct subject *); /* NULL: all */
    bool has_threads;
};
#define BEHAVIOUR(function)                                                                        \
    { #function, function, NULL, false }
#define BEHAVIOUR_OF(function, who)                                                                \
    { #function, function, who, false }
#define BEHAVIOUR_OF_THREADS(function)                                                             \
    { #function, function, NULL, true }

int run_behaviours(const char *group, const struct behaviour *behaviours, size_t count, int argc,
                   char **argv);

bool is_tracked(const struct subject *subject);
bool is_untracked(const struct subject *subject);
bool is_own(const struct subject *subject);
bool is_tracked_or_own(const struct subject *subject);
/* Whose memory is the strategy's affair alone: a checked heap keeps what was freed for a while. */
bool is_own_unchecked(const struct subject *subject);

struct sw_stats stats_of(sw_heap *heap);

/* In a child of its own the use ends by SIGABRT. */
void assert_is_misuse(void (*use)(sw_heap *heap), sw_heap *heap);

/* ---- Contents -------------------------------------------------------------------------------- */

void fill(void *block, size_t size, uint64_t seed);
bool holds(const void *block, size_t size, uint64_t seed);
bool is_all_zero(const void *block, size_t size);
static inline size_t least_of(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Writes a byte on every page, so that all of them are there. */
void touch(void *block, size_t size);

static inline bool is_aligned(const void *block, size_t alignment) {
    return ((uintptr_t)block & (alignment - 1)) == 0;
}

/* ---- Chance ---------------------------------------------------------------------------------- */

/* The seed of this run: STEPWELL_SEED, or one of today's; printed once. */
uint64_t run_seed(void);
uint64_t random_of(uint64_t *state);
/* In [0, bound). */
size_t below(uint64_t *state, size_t bound);

/* ---- Control groups -------------------------------------------------------------------------- */

/* Setup and teardown of tests that tell the library of limits: it looks for /proc and /sys in a
 * folder of the test's own, which is empty. */
int make_root(void **state);
int remove_root(void **state);
/* A file in it, and the folders on the way. */
void write_file(const char *path, const char *text);
void write_number(const char *path, size_t number);

/* ---- The process ----------------------------------------------------------------------------- */

struct mappings {
    size_t count;
    size_t bytes;
};

/* From /proc/self/maps. */
struct mappings process_mappings(void);
/* Waits for a child that fork() has made, which is to end by itself. */
int exit_code_of(pid_t child);
/* From /proc/self/statm. */
size_t process_resident(void);

/* Fewer operations where a sanitizer makes each of them slower. */
static inline size_t scaled(size_t operations) {
    return SANITIZED ? operations / 5 : operations;
}

/* A number from the environment, or what is usual. */
size_t number_of(const char *variable, size_t usual);

/* Pages from the system, which no heap and no libc knows of. */
void *map_scratch(size_t size);
void unmap_scratch(void *start, size_t size);
/* Can it move pages? Asked of the kernel itself (from 5.7 on it can), so that the library cannot
 * excuse itself. */
bool kernel_can_move(void);

#endif
