/*
 * early.c - a library preloaded beside ours, that allocates wherever a library may: in the resolver
 * of an indirect function, in its constructor and destructor, in fork handlers it registers as
 * early as that.
 */
#include "early.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

int early_forks[EARLY_FORK_KINDS];
char *early_text;

static void allocate(void) {
    void *volatile blocks[40];
    for (size_t i = 0; i < 40; i++)
        blocks[i] = calloc(1, (size_t)1 << (i % 18));
    for (size_t i = 0; i < 40; i++)
        free(blocks[i]);
}

static int answer(void) {
    return 42;
}

__attribute__((used)) static int (*resolve(void))(void) {
    allocate();
    return answer;
}

int early_answer(void) __attribute__((ifunc("resolve")));

static void before_fork(void) {
    allocate();
    early_forks[EARLY_BEFORE]++;
}

static void after_fork_in_parent(void) {
    allocate();
    early_forks[EARLY_PARENT]++;
}

static void after_fork_in_child(void) {
    allocate();
    early_forks[EARLY_CHILD]++;
}

__attribute__((constructor)) static void start(void) {
    allocate();
    early_text = strdup("from a constructor");
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

__attribute__((destructor)) static void end(void) {
    allocate();
    free(early_text);
}
