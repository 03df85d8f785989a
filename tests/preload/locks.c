/*
 * locks.c - what a program has locked of its blocks stays locked, whatever others of them do.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "second_self.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

/* In libc's place for the library, too: how often was the kernel asked whether something is locked? */
static unsigned questions;

int madvise(void *start, size_t size, int advice) {
    questions += advice == MADV_COLD;
    return (int)syscall(SYS_madvise, start, size, advice);
}

/* Is the mapping that holds the address locked? */
static bool is_locked(const void *address) {
    char line[512];
    uintptr_t at = (uintptr_t)address, start = 0, end = 0;
    bool locked = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
            start = from;
            end = to;
        } else if (strncmp(line, "VmFlags:", 8) == 0 && at >= start && at < end) {
            locked = strstr(line, " lo") != NULL;
        }
    }
    fclose(maps);
    return locked;
}

enum { TRIES = 16 };
static char *all[TRIES]; /* they live on: nothing that is there is free for a block that grows */

/* Two blocks of which the second begins where the first ends; none where all have something between. */
static void take_neighbours(char *blocks[2]) {
    blocks[0] = blocks[1] = NULL;
    for (int i = 0; i < TRIES; i++) {
        all[i] = malloc(MIB);
        memset(all[i], 1, MIB);
    }
    for (int i = 0; i < TRIES; i++)
        for (int j = 0; j < TRIES && !blocks[0]; j++)
            if (all[j] == all[i] + MIB) {
                blocks[0] = all[i];
                blocks[1] = all[j];
            }
}

static void a_neighbour_that_grows_takes_no_lock_away(void **state) {
    (void)state;
    char *blocks[2];
    take_neighbours(blocks);
    if (!blocks[0]) {
        assert_string_not_equal(getenv("STEPWELL_STRATEGY"), "auto");
        skip();
    }
    if (mlock(blocks[0], 2 * MIB) != 0) {
        print_message("no memory may be locked here\n");
        skip();
    }
    assert_true(is_locked(blocks[0]) && is_locked(blocks[1]));
    char *grown = realloc(blocks[0], 8 * MIB);
    assert_non_null(grown);
    assert_ptr_not_equal(grown, blocks[0]);
    for (size_t i = 0; i < MIB; i += 4096)
        assert_int_equal(grown[i], 1);
    assert_true(is_locked(blocks[1]));
    if (strcmp(getenv("STEPWELL_STRATEGY"), "auto") == 0)
        assert_int_not_equal(questions, 0);
    munlock(blocks[1], MIB);
    for (int i = 0; i < TRIES; i++)
        free(all[i] == blocks[0] ? grown : all[i]);
}

/* As a library that keeps secrets locks them, somewhere in nearly every Python process. */
static void a_lock_of_other_memory_costs_no_move(void **state) {
    (void)state;
    char *other = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(other, MAP_FAILED);
    mlock(other, 16384);
    mlock2(other + 4096, 4096, 0);
    char *block = malloc(MIB), *behind = malloc(MIB);
    memset(block, 1, MIB);
    memset(behind, 1, MIB);
    char *grown = realloc(block, 8 * MIB);
    assert_non_null(grown);
    assert_ptr_not_equal(grown, block);
    assert_int_equal(questions, 0);
    free(behind);
    free(grown);
    munmap(other, 16384);
}

/* In pages. */
static size_t mapped(void) {
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%zu", &pages), 1);
    fclose(file);
    return pages;
}

/* Where all memory is to be locked, what is reserved counts. Whether it may be here is another matter. */
static void nothing_is_locked_that_is_reserved_alone(void **state) {
    (void)state;
    if (strcmp(getenv("STEPWELL_STRATEGY"), "auto") != 0)
        skip();
    char *small = malloc(100), *large = malloc(MIB);
    size_t before = mapped(), much = 64 * MIB / 4096;
    mlockall(MCL_CURRENT);
    munlockall();
    assert_true(mapped() + much < before);
    memset(small, 1, 100);
    memset(large, 1, MIB);
    free(small);
    free(large);
}

static int check(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_of_other_memory_costs_no_move), /* before any other lock */
        cmocka_unit_test(nothing_is_locked_that_is_reserved_alone),
        cmocka_unit_test(a_neighbour_that_grows_takes_no_lock_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv) {
    return run_second_selves("preload.locks", argc, argv, check);
}
