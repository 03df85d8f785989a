/*
 * family.c - malloc and its family as a program meets them under LD_PRELOAD.
 * See second_self.h.
 */
#define _GNU_SOURCE
#include "second_self.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Not to be seen through by the compiler, which knows malloc's rules and folds calls away. */
static void *volatile kept;
static volatile size_t huge = SIZE_MAX;
static void *(*volatile move)(void *, size_t) = realloc;
static void *(*volatile move_array)(void *, size_t, size_t) = reallocarray;

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

/* glibc's limit: one more than the largest difference of two pointers. */
static void no_block_is_larger_than_ptrdiff_max(void **state) {
    (void)state;
    volatile size_t size = (size_t)PTRDIFF_MAX + 1;
    char *volatile block = malloc(100);
    memset(block, 0x5a, 100);
#define IS_ENOMEM(call)                                                                            \
    do {                                                                                           \
        errno = 0;                                                                                 \
        kept = (call);                                                                             \
        assert_null(kept);                                                                         \
        assert_int_equal(errno, ENOMEM);                                                           \
    } while (0)
    IS_ENOMEM(malloc(size));
    IS_ENOMEM(calloc(1, size));
    IS_ENOMEM(calloc(size, 2)); /* 0 where it wraps */
    IS_ENOMEM(realloc(NULL, size));
    IS_ENOMEM(move(block, size));
    IS_ENOMEM(move_array(block, size / 2, 2));
    IS_ENOMEM(move_array(block, size, 2));
    IS_ENOMEM(aligned_alloc(64, size));
    IS_ENOMEM(aligned_alloc(size / 2, 1));
    IS_ENOMEM(memalign(64, size));
    IS_ENOMEM(valloc(size));
    IS_ENOMEM(pvalloc(size));
    IS_ENOMEM(pvalloc(huge));
#undef IS_ENOMEM
    for (int i = 0; i < 100; i++)
        assert_int_equal(block[i], 0x5a); /* failures left it alone */
    free(block);
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
    volatile size_t wrong[] = {0, 3, 24, 48, 4097, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        errno = 0;
        kept = aligned_alloc(wrong[i], 96);
        assert_null(kept);
        assert_int_equal(errno, EINVAL);
    }
    for (size_t alignment = 1; alignment < sizeof(void *); alignment *= 2) {
        kept = aligned_alloc(alignment, 10); /* weak, but an alignment */
        assert_non_null(kept);
        free(kept);
    }
    errno = 0;
    kept = memalign(huge, 10);
    assert_null(kept);
    assert_int_equal(errno, EINVAL);
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

/* C23's, and the oldest: by name, as libc 2.36 has none of them to link against. */
static void other_names_of_free_free(void **state) {
    (void)state;
    enum { SIZE = 3000, COUNT = 2000 };
    void (*give)(void *), (*give_sized)(void *, size_t), (*give_aligned)(void *, size_t, size_t);
    *(void **)&give = dlsym(RTLD_DEFAULT, "cfree");
    *(void **)&give_sized = dlsym(RTLD_DEFAULT, "free_sized");
    *(void **)&give_aligned = dlsym(RTLD_DEFAULT, "free_aligned_sized");
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < COUNT; i++) {
        give(memset(malloc(SIZE), 1, SIZE));
        give_sized(memset(malloc(SIZE), 1, SIZE), SIZE);
        give_aligned(memset(aligned_alloc(256, SIZE), 1, SIZE), 256, SIZE);
    }
    give(NULL);
    give_sized(NULL, SIZE);
    give_aligned(NULL, 256, SIZE);
    assert_true(mallinfo2().uordblks < before + (size_t)COUNT * SIZE / 2);
}

/* What C++ calls, where there is none of its libraries. */
static void new_needs_no_runtime(void **state) {
    (void)state;
    void *(*plain)(size_t), *(*nothrow)(size_t, const void *);
    void (*give)(void *);
    *(void **)&plain = dlsym(RTLD_DEFAULT, "_Znwm");
    *(void **)&nothrow = dlsym(RTLD_DEFAULT, "_ZnwmRKSt9nothrow_t");
    *(void **)&give = dlsym(RTLD_DEFAULT, "_ZdlPv");
    assert_true(plain && nothrow && give);
    for (size_t size = 1; size < 4 << 20; size *= 3) {
        void *first = plain(size), *second = nothrow(size, NULL);
        assert_non_null(first);
        assert_non_null(second);
        assert_ptr_not_equal(first, second);
        give(first);
        give(second);
    }
}

static void reallocarray_keeps_what_there_was(void **state) {
    (void)state;
    unsigned char *array = NULL;
    size_t written = 0;
    for (size_t count = 1; count < 100000; count = count * 3 / 2 + 1) {
        array = move_array(array, count, 7);
        assert_non_null(array);
        for (size_t i = 0; i < written; i++)
            assert_int_equal(array[i], (unsigned char)i);
        for (; written < 7 * count; written++)
            array[written] = (unsigned char)written;
    }
    free(array);
}

static void zero_and_null_follow_the_rules(void **state) {
    (void)state;
    void *block = malloc(0);
    assert_non_null(block);
    void *other = malloc(0);
    assert_ptr_not_equal(block, other);
    free(other);
    errno = 0;
    assert_null(realloc(block, 0)); /* freed */
    assert_int_equal(errno, EINVAL);
    assert_null(reallocarray(malloc(10), 0, 8));
    void *volatile zeros[] = {calloc(0, 8),   calloc(8, 0), realloc(NULL, 0), aligned_alloc(64, 0),
                              memalign(8, 0), valloc(0),    pvalloc(0),       NULL};
    assert_int_equal(posix_memalign((void **)&zeros[7], 64, 0), 0);
    for (int i = 0; i < 8; i++) {
        assert_non_null(zeros[i]);
        free(zeros[i]);
    }
    block = realloc(NULL, 10);
    assert_non_null(block);
    free(block);
    free(NULL);
    assert_int_equal(malloc_usable_size(NULL), 0);
}

/* Over all sizes: now and then files are read, and pages given back or moved. */
static void what_is_served_keeps_errno(void **state) {
    (void)state;
    enum { MOST = 60 };
    char *blocks[MOST] = {NULL};
    errno = 77;
    for (int round = 0; round < 3; round++) {
        size_t size = 1;
        for (int i = 0; i < MOST && size < (size_t)200 << 20; i++, size += size / 2 + 1) {
            char *block = round == 1   ? realloc(blocks[i], 2 * size)
                          : round == 2 ? calloc(size, 1)
                                       : malloc(size);
            assert_non_null(block);
            block[size / 2] = 1;
            if (round == 2)
                free(blocks[i]);
            blocks[i] = block;
            assert_int_equal(errno, 77);
        }
    }
    for (int i = 0; i < MOST; i++)
        free(blocks[i]);
    assert_int_equal(errno, 77);
}

/* free(), of which the compiler takes for granted that errno stays. */
static void (*volatile release)(void *) = free;

static void free_keeps_errno(void **state) {
    (void)state;
    static const size_t sizes[] = {10, 5000, 100 << 10, 40 << 20};
    for (int i = 0; i < 4; i++) {
        void *volatile block = malloc(sizes[i]);
        assert_non_null(block);
        errno = 77;
        release(block);
        assert_int_equal(errno, 77);
    }
    errno = 77;
    release(NULL);
    assert_int_equal(errno, 77);
}

/* Which the kernel does not take back, where little may be kept. */
static void free_of_locked_memory_keeps_errno(void **state) {
    (void)state;
    enum { BLOCKS = 300, SIZE = 8000 };
    static void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        assert_non_null(blocks[i] = malloc(SIZE));
        mlock(blocks[i], SIZE); /* as many as may be */
    }
    for (int i = 0; i < BLOCKS; i++) {
        errno = 77;
        release(blocks[i]);
        assert_int_equal(errno, 77);
    }
    munlockall();
}

static void realloc_to_nothing_frees(void **state) {
    (void)state;
    size_t live = mallinfo2().uordblks;
    for (int i = 0; i < 1000; i++) {
        void *volatile block = malloc(64 << 10);
        assert_null(realloc(block, 0));
    }
    assert_true(mallinfo2().uordblks <= live + (4 << 20));
}

/* What the loader took before there was a malloc lies in its own image. libc's malloc and jemalloc,
 * to which every pointer goes, do not know it. */
static void pointers_of_the_loader_are_taken(void **state) {
    (void)state;
    const char *strategy = getenv("STEPWELL_STRATEGY");
    if (strcmp(strategy, "system") == 0 || strcmp(strategy, "jemalloc") == 0)
        skip();
    const size_t beyond_the_image = (size_t)4 << 20;
    char *block = (char *)_r_debug.r_ldbase;
    release(block);
    char *moved = move(block, 100);
    assert_non_null(moved);
    assert_memory_equal(moved, block, 100);
    moved = move(moved, beyond_the_image);
    assert_memory_equal(moved, block, 100);
    free(moved);
    moved = move(block, beyond_the_image);
    assert_memory_equal(moved, block, 100);
    free(moved);
}

/* free() may wait for a lock, and for nothing else may errno show it. */
static void *free_and_look_at_errno(void *argument) {
    enum { BLOCKS = 512 };
    void *blocks[BLOCKS];
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < BLOCKS; i++)
            blocks[i] = malloc(i % 4 ? 5000 : 70000);
        errno = 77;
        for (int i = 0; i < BLOCKS; i++)
            release(blocks[i]);
        if (errno != 77)
            *(int *)argument = errno;
    }
    return NULL;
}

static void free_keeps_errno_where_threads_meet(void **state) {
    (void)state;
    pthread_t threads[4];
    int seen = 0;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, free_and_look_at_errno, &seen), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(seen, 0);
}

static void all_of_a_usable_size_is_usable(void **state) {
    (void)state;
    for (size_t size = 1; size < 300000; size = size * 9 / 8 + 1) {
        char *block = malloc(size);
        size_t usable = malloc_usable_size(block);
        assert_true(usable >= size);
        memset(block, 0x33, usable);
        assert_int_equal(malloc_usable_size(block), usable);
        char *grown = realloc(block, usable + 1);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(grown[i], 0x33);
        free(grown);
    }
}

static size_t resident(void) {
    char text[64] = {0};
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    return (size_t)strtoul(strchr(text, ' '), NULL, 10) * 4096;
}

static void trim_releases_and_says_so(void **state) {
    (void)state;
    const char *conf = getenv("STEPWELL_CONF");
    if (conf && strstr(conf, "retain"))
        skip(); /* it has gone before */
    enum { BLOCKS = 4000, SIZE = 16 << 10 };
    static void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = memset(malloc(SIZE), 1, SIZE);
    size_t full = resident();
    for (int i = 0; i < BLOCKS - 1; i++) /* the last one stays, at the end of them all */
        free(blocks[i]);
    size_t before = resident();
    int said = malloc_trim(0);
    size_t after = resident();
    assert_true(said == 0 || said == 1);
    assert_true(full - after > (size_t)BLOCKS * SIZE / 2);
    assert_int_equal(said, before > after + (1 << 20));
    malloc_trim(0);
    assert_int_equal(malloc_trim(0), 0); /* nothing was left */
    free(blocks[BLOCKS - 1]);
}

static void parameters_are_taken_and_ignored(void **state) {
    (void)state;
    static const struct {
        int parameter, value;
    } known[] = {
        {M_TRIM_THRESHOLD, 1 << 20},
        {M_TOP_PAD, 1 << 17},
        {M_MMAP_THRESHOLD, 1 << 20},
        {M_MMAP_THRESHOLD, 1 << 30}, /* as services are told */
        {M_MMAP_MAX, 1000},
        {M_PERTURB, 0},
        {M_ARENA_TEST, 4},
        {M_ARENA_MAX, 4},
        {M_MXFAST, 64},
        {M_CHECK_ACTION, 3},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal(mallopt(known[i].parameter, known[i].value), 1);
    assert_int_equal(mallopt(M_MXFAST, 1 << 20), 0);
    assert_int_equal(mallopt(12345, 1), 1);
}

static void info_follows_what_is_live(void **state) {
    (void)state;
    enum { BLOCKS = 1000, SIZE = 20 << 10 };
    static void *blocks[BLOCKS];
    malloc_trim(0);
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(SIZE);
    struct mallinfo2 full = mallinfo2();
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    struct mallinfo2 after = mallinfo2();
    size_t volume = (size_t)BLOCKS * SIZE;
    size_t cached = volume / 16; /* which in the numbers of libc and jemalloc is live */
    assert_true(full.uordblks + cached >= before.uordblks + volume);
    assert_true(full.uordblks <= before.uordblks + volume * 9 / 8 + (1 << 20));
    assert_true(after.uordblks <= full.uordblks - volume + cached);
    assert_true(full.arena + full.hblkhd >= volume);
    struct mallinfo2 all[] = {before, full, after};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(all[i].arena, all[i].uordblks + all[i].fordblks);
        assert_true(all[i].fordblks == 0 || all[i].ordblks > 0);
        assert_true(all[i].keepcost <= all[i].fordblks);
        assert_int_equal(all[i].usmblks, 0);
    }
    struct mallinfo (*old_form)(void); /* which the header warns of */
    *(void **)&old_form = dlsym(RTLD_DEFAULT, "mallinfo");
    struct mallinfo small = old_form();
    assert_int_equal(small.arena, small.uordblks + small.fordblks);
}

/* Every tag that opens is closed, in order; returns how many there were. */
static int count_tags(const char *xml) {
    const char *open[16] = {0};
    int depth = 0, count = 0;
    for (const char *at = xml; (at = strchr(at, '<')) != NULL; at++, count++) {
        const char *end = strchr(at, '>');
        assert_non_null(end);
        assert_true(memchr(at + 1, '<', (size_t)(end - at - 1)) == NULL);
        if (at[1] == '/') {
            size_t length = (size_t)(end - at - 2);
            assert_true(depth-- > 0);
            assert_memory_equal(at + 2, open[depth], length);
        } else if (end[-1] != '/') {
            assert_true(depth < 16);
            open[depth++] = at + 1;
        }
    }
    assert_int_equal(depth, 0);
    return count;
}

/* The number of the last element that begins so. */
static size_t last_size(const char *xml, const char *element) {
    const char *last = NULL;
    for (const char *at = xml; (at = strstr(at, element)) != NULL; at++)
        last = at;
    const char *size = last ? strstr(last, "size=\"") : NULL;
    assert_non_null(size);
    return size ? strtoul(size + strlen("size=\""), NULL, 10) : 0;
}

static void info_is_well_formed(void **state) {
    (void)state;
    char *xml = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&xml, &length);
    void *block = malloc(3 << 20);
    assert_int_equal(malloc_info(0, stream), 0);
    errno = 0;
    assert_int_equal(malloc_info(1, stream), -1);
    assert_int_equal(errno, EINVAL);
    fclose(stream);
    assert_memory_equal(xml, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n", 43);
    assert_true(count_tags(xml) >= 19); /* and one where something is free */
    size_t current = last_size(xml, "<system type=\"current\"");
    assert_true(current > 0);
    assert_true(last_size(xml, "<system type=\"max\"") >= current);
    assert_true(last_size(xml, "<total type=\"rest\"") <= current);
    last_size(xml, "<total type=\"fast\"");
    last_size(xml, "<total type=\"mmap\"");
    assert_true(last_size(xml, "<aspace type=\"total\"") >= current);
    last_size(xml, "<aspace type=\"mprotect\"");
    free(block);
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
        cmocka_unit_test(no_block_is_larger_than_ptrdiff_max),
        cmocka_unit_test(what_cannot_be_is_enomem),
        cmocka_unit_test(alignments_are_kept_and_wrong_ones_refused),
        cmocka_unit_test(other_names_of_free_free),
        cmocka_unit_test(new_needs_no_runtime),
        cmocka_unit_test(reallocarray_keeps_what_there_was),
        cmocka_unit_test(zero_and_null_follow_the_rules),
        cmocka_unit_test(what_is_served_keeps_errno),
        cmocka_unit_test(free_keeps_errno),
        cmocka_unit_test(free_of_locked_memory_keeps_errno),
        cmocka_unit_test(realloc_to_nothing_frees),
        cmocka_unit_test(pointers_of_the_loader_are_taken),
        cmocka_unit_test(free_keeps_errno_where_threads_meet),
        cmocka_unit_test(all_of_a_usable_size_is_usable),
        cmocka_unit_test(trim_releases_and_says_so),
        cmocka_unit_test(parameters_are_taken_and_ignored),
        cmocka_unit_test(info_follows_what_is_live),
        cmocka_unit_test(info_is_well_formed),
        cmocka_unit_test(threads_free_each_others_blocks),
        cmocka_unit_test(children_of_a_busy_process_can_allocate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv) {
    return run_second_selves("preload.family", argc, argv, check);
}
