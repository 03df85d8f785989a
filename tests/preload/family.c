/*
 * family.c - malloc and its family as a program meets them under LD_PRELOAD.
 *
 * Run plainly, the program starts itself once more per strategy with the library preloaded; that
 * second self makes the checks and its exit code is the verdict. So every check runs against the
 * names a program really calls, under every strategy of the list.
 */
#define _GNU_SOURCE
#include "stepwell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Not to be seen through by the compiler, which knows malloc's rules and folds calls away. */
static void *volatile kept;
static volatile size_t huge = SIZE_MAX;

static void malloc_is_ours(void **state) {
    (void)state;
    static const char *const names[] = {"malloc",         "free",        "calloc",    "realloc",
                                        "posix_memalign", "mallinfo2",   "_Znwm",     "_ZdlPvm",
                                        "malloc_trim",    "malloc_info", "free_sized"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        Dl_info where;
        void *symbol = dlsym(RTLD_DEFAULT, names[i]);
        assert_non_null(symbol);
        assert_int_not_equal(dladdr(symbol, &where), 0);
        assert_non_null(strstr(where.dli_fname, "libstepwell-preload.so"));
    }
}

static void sizes_and_contents_are_kept(void **state) {
    (void)state;
    for (size_t size = 0; size < 70000; size = size < 300 ? size + 1 : size * 5 / 4) {
        unsigned char *block = malloc(size);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 16, 0);
        assert_true(malloc_usable_size(block) >= size);
        memset(block, 0x5a, size);
        block = realloc(block, 2 * size + 1);
        assert_non_null(block);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(block[i], 0x5a);
        free(block);
        unsigned char *zero = calloc(size + 1, 3);
        assert_non_null(zero);
        for (size_t i = 0; i < 3 * (size + 1); i++)
            assert_int_equal(zero[i], 0);
        memset(zero, 0xff, 3 * (size + 1));
        free(zero);
    }
}

static void what_cannot_be_is_enomem(void **state) {
    (void)state;
    errno = 0;
    kept = malloc(huge);
    assert_null(kept);
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    kept = calloc(huge / 2, 3);
    assert_null(kept);
    assert_int_equal(errno, ENOMEM);
    void *volatile kept_block = malloc(100);
    errno = 0;
    kept = reallocarray(kept_block, huge / 2, 3);
    assert_null(kept);
    assert_int_equal(errno, ENOMEM);
    free(kept_block); /* and is still ours */
}

static void alignments_are_kept_and_wrong_ones_refused(void **state) {
    (void)state;
    for (size_t alignment = sizeof(void *); alignment <= 1 << 21; alignment *= 2) {
        void *block = NULL;
        assert_int_equal(posix_memalign(&block, alignment, 1000), 0);
        assert_int_equal((uintptr_t)block % alignment, 0);
        free(block);
        block = aligned_alloc(alignment, alignment);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % alignment, 0);
        free(block);
    }
    void *untouched = &untouched;
    errno = 7;
    assert_int_equal(posix_memalign(&untouched, 24, 100), EINVAL);
    assert_int_equal(posix_memalign(&untouched, 4, 100), EINVAL);
    assert_int_equal(posix_memalign(&untouched, 64, huge), ENOMEM);
    assert_ptr_equal(untouched, &untouched);
    assert_int_equal(errno, 7);
    void *page = valloc(10);
    assert_int_equal((uintptr_t)page % 4096, 0);
    free(page);
    page = pvalloc(10);
    assert_int_equal((uintptr_t)page % 4096, 0);
    assert_true(malloc_usable_size(page) >= 4096);
    free(page);
    volatile size_t uneven = 48; /* rounded up to 64 */
    page = memalign(uneven, 10);
    assert_int_equal((uintptr_t)page % 64, 0);
    free(page);
}

static void zero_and_null_follow_the_rules(void **state) {
    (void)state;
    void *block = malloc(0);
    assert_non_null(block);
    assert_null(realloc(block, 0)); /* freed */
    block = realloc(NULL, 10);
    assert_non_null(block);
    errno = 77;
    free(block);
    free(NULL);
    assert_int_equal(errno, 77);
    assert_int_equal(malloc_usable_size(NULL), 0);
}

static void trim_releases_and_says_so(void **state) {
    (void)state;
    enum { SIZE = 48 << 20 };
    for (int i = 0; i < 3; i++) {
        kept = malloc(SIZE);
        assert_non_null(kept);
        memset(kept, 1, SIZE);
        free(kept);
    }
    malloc_trim(0);
    assert_int_equal(malloc_trim(0), 0); /* nothing was left */
}

static void info_is_well_formed(void **state) {
    (void)state;
    struct mallinfo2 info = mallinfo2();
    assert_true(info.uordblks > 0);
    char *xml = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&xml, &length);
    assert_int_equal(malloc_info(0, stream), 0);
    assert_int_equal(malloc_info(1, stream), -1);
    fclose(stream);
    assert_memory_equal(xml, "<malloc version=\"1\">", 20);
    assert_non_null(strstr(xml, "</malloc>"));
    free(xml);
}

/* ---- Threads and forks ----------------------------------------------------------------------- */

static void *exchange_blocks(void *argument) {
    void **slots = argument;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1103515245 + 12345;
        size_t size = (seed >> 16) % 2000 + 1;
        char *block = malloc(size);
        block[0] = block[size - 1] = 1;
        free(__atomic_exchange_n(&slots[(seed >> 8) % 64], block, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

static void threads_free_each_others_blocks(void **state) {
    (void)state;
    static void *slots[64];
    for (int round = 0; round < 5; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, exchange_blocks, slots), 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < 64; i++)
        free(slots[i]);
}

static volatile int stop;

static void *allocate_until_stopped(void *argument) {
    (void)argument;
    while (!stop) {
        kept = NULL;
        void *small = malloc(100), *large = malloc(100000);
        free(small);
        free(large);
    }
    return NULL;
}

static void children_of_a_busy_process_can_allocate(void **state) {
    (void)state;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, allocate_until_stopped, NULL);
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(20); /* a lock left held ends here */
            for (size_t size = 1; size < 1 << 20; size *= 3) {
                char *block = malloc(size);
                block[size - 1] = 1;
                free(block);
            }
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static int check(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malloc_is_ours),
        cmocka_unit_test(sizes_and_contents_are_kept),
        cmocka_unit_test(what_cannot_be_is_enomem),
        cmocka_unit_test(alignments_are_kept_and_wrong_ones_refused),
        cmocka_unit_test(zero_and_null_follow_the_rules),
        cmocka_unit_test(trim_releases_and_says_so),
        cmocka_unit_test(info_is_well_formed),
        cmocka_unit_test(threads_free_each_others_blocks),
        cmocka_unit_test(children_of_a_busy_process_can_allocate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* ---- The first self: one second self per strategy ---------------------------------------------
 */

static void run_under(void **state) {
    const char *strategy = *state;
    const char *libraries = getenv("STEPWELL_BUILD_DIR");
    assert_non_null(libraries);
    pid_t child = fork();
    if (child == 0) {
        char preload[4096];
        snprintf(preload, sizeof preload,
                 "%s/lib/libstepwell-preload.so:%s/lib/libstepwell-jemalloc.so", libraries,
                 libraries);
        setenv("LD_PRELOAD", preload, 1);
        setenv("STEPWELL_STRATEGY", strategy, 1);
        execl("/proc/self/exe", "family", "--check", (char *)NULL);
        _exit(127);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--check") == 0)
        return check();
    struct CMUnitTest tests[32];
    size_t count = 0;
    for (; count < 32 && sw_strategy_info(count); count++) {
        char *name = strdup(sw_strategy_info(count)->name);
        tests[count] = (struct CMUnitTest){name, run_under, NULL, NULL, name};
    }
    return _cmocka_run_group_tests("preload.family", tests, count, NULL, NULL);
}
