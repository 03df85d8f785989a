/*
 * early.c - what is allocated while the library makes its heap. It asks for the break then, and a
 * program that has its own sbrk() is asked: from there it allocates, as a library may that takes the
 * place of any other function.
 */
#define _GNU_SOURCE
#include "second_self.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *text, *zeroed, *grown;
static void *last, *refused;
static int error_at_end, error_of_aligned, error_of_foreign;
static bool is_answered;

/* Of no allocator: what it is the compiler is not to know. */
static char anything[2][16];
void *foreign = anything[0], *another = anything[1];

static void allocate_early(void) {
    text = malloc(100);
    strcpy(text, "early");
    zeroed = calloc(7, 3);
    grown = malloc(6);
    strcpy(grown, "grown");
    grown = realloc(grown, 300);
    error_of_aligned = posix_memalign(&last, 64, 64);
    errno = 0;
    is_answered = malloc_usable_size(foreign) == 0 && !malloc_trim(0) &&
                  mallinfo2().uordblks == 0 && mallopt(M_MXFAST, 0) == 1;
    refused = realloc(another, 300);
    error_of_foreign = errno;
    malloc_stats();
    free(foreign);                        /* not ours, and nobody can tell yet */
    for (void *each; (each = malloc(0));) /* all that there is */
        last = each;
    error_at_end = errno;
}

/* jemalloc asks for the break itself, with a lock of its own in hand. */
static bool is_to_allocate(void) {
    const char *strategy = getenv("STEPWELL_STRATEGY");
    bool is_first_self =
        strcmp(program_invocation_name, "second-self") != 0; /* with libc's malloc */
    return !is_first_self && strategy && strcmp(strategy, "jemalloc") != 0;
}

/* libc's own malloc has another. */
__attribute__((visibility("default"))) void *sbrk(intptr_t more) {
    static bool is_there, was_early;
    char *now = (char *)syscall(SYS_brk, NULL);
    if (more)
        return syscall(SYS_brk, now + more) == (long)(now + more) ? now : (void *)-1;
    if (!is_to_allocate())
        return now;
    if (!is_there) { /* somebody else may ask before: then the library starts here, and asks */
        is_there = true;
        free(malloc(1));
    }
    if (!was_early) {
        was_early = true;
        allocate_early();
    }
    return now;
}

static void what_came_early_is_there(void **state) {
    (void)state;
    assert_non_null(text);
    assert_string_equal(text, "early");
    assert_true(malloc_usable_size(text) >= 100);
    for (int i = 0; i < 21; i++)
        assert_int_equal(zeroed[i], 0);
    assert_string_equal(grown, "grown");
    assert_int_equal(error_at_end, ENOMEM);
    assert_int_equal(error_of_aligned, ENOMEM);
    assert_true(is_answered);
    assert_null(refused);
    assert_int_equal(error_of_foreign, ENOMEM);
}

static void what_came_early_moves(void **state) {
    (void)state;
    char *moved = realloc(text, 5000);
    assert_non_null(moved);
    assert_ptr_not_equal(moved, text);
    assert_string_equal(moved, "early");
    free(moved);
    char *less = realloc(grown, 3);
    assert_non_null(less);
    assert_memory_equal(less, "gro", 3);
    free(less);
    errno = 0;
    assert_null(realloc(zeroed, 0));
    assert_int_equal(errno, EINVAL);
}

static void what_came_early_may_be_freed(void **state) {
    (void)state;
    errno = 77;
    free(text);
    free(last); /* of no bytes, where nothing was left */
    assert_int_equal(errno, 77);
}

static int check(void) {
    if (!is_to_allocate())
        return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_came_early_is_there),
        cmocka_unit_test(what_came_early_moves),
        cmocka_unit_test(what_came_early_may_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* An argument is a pattern of strategies. */
int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--check") != 0)
        cmocka_set_test_filter(argv[1]);
    return run_second_selves("preload.early", argc, argv, check);
}
