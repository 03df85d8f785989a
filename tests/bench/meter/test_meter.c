/* A program with a known peak under libstepwell-meter.so: what the meter counts, to the byte. */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    void (*start)(void);
    int64_t (*live)(void), (*peak)(void), (*mapped)(void);
} meter;

static int find_meter(void **state) {
    (void)state;
    meter.start = (void (*)(void))dlsym(RTLD_DEFAULT, "sw_meter_start");
    meter.live = (int64_t(*)(void))dlsym(RTLD_DEFAULT, "sw_meter_live");
    meter.peak = (int64_t(*)(void))dlsym(RTLD_DEFAULT, "sw_meter_peak");
    meter.mapped = (int64_t(*)(void))dlsym(RTLD_DEFAULT, "sw_meter_mapped");
    return meter.start && meter.live && meter.peak && meter.mapped ? 0 : -1;
}

static void the_peak_is_that_of_the_bytes_requested(void **state) {
    (void)state;
    void *before = malloc(1000000);
    meter.start();
    void *a = malloc(300), *b = malloc(5000000);
    free(a);
    void *c = malloc(100);
    assert_int_equal(meter.peak(), 5000300);
    assert_int_equal(meter.live(), 5000100);
    free(b);
    free(c);
    free(before);
    assert_int_equal(meter.peak(), 5000300);
    assert_int_equal(meter.live(), -1000000);
    meter.start();
    assert_int_equal(meter.peak(), 0);
}

static void every_entrance_is_counted(void **state) {
    (void)state;
    void *blocks[7] = {0};
    meter.start();
    blocks[0] = malloc(1);
    blocks[1] = calloc(10, 10);
    assert_int_equal(posix_memalign(&blocks[2], 64, 1000), 0);
    blocks[3] = aligned_alloc(4096, 8192);
    blocks[4] = memalign(256, 7);
    blocks[5] = valloc(5);
    blocks[6] = reallocarray(NULL, 3, 4);
    assert_int_equal(meter.live(), 1 + 100 + 1000 + 8192 + 7 + 5 + 12);
    assert_int_equal((uintptr_t)blocks[2] % 64, 0);
    assert_int_equal((uintptr_t)blocks[3] % 4096, 0);
    assert_int_equal((uintptr_t)blocks[4] % 256, 0);
    assert_int_equal(malloc_usable_size(blocks[2]), 1000);
    for (int i = 0; i < 7; i++)
        free(blocks[i]);
    assert_int_equal(meter.live(), 0);
}

static void a_block_resized_counts_once(void **state) {
    (void)state;
    void *plain, *aligned = NULL;
    meter.start();
    plain = malloc(100);
    memset(plain, 7, 100);
    assert_int_equal(posix_memalign(&aligned, 512, 200), 0);
    memset(aligned, 8, 200);
    plain = realloc(plain, 2000000);
    assert_int_equal(meter.peak(), 2000200);
    aligned = realloc(aligned, 300);
    assert_int_equal(meter.live(), 2000300);
    assert_int_equal(((char *)plain)[99], 7);
    assert_int_equal(((char *)aligned)[199], 8);
    free(plain);
    assert_null(realloc(aligned, 0));
    assert_int_equal(meter.live(), 0);
}

static bool is_refused(void *block) {
    free(block);
    return block == NULL;
}

static void what_is_refused_is_not_counted(void **state) {
    (void)state;
    volatile size_t huge = SIZE_MAX / 2 + 1;
    meter.start();
    void *block = malloc(10);
    assert_true(is_refused(malloc(huge)));
    assert_true(is_refused(calloc(huge, 2)));
    assert_true(is_refused(pvalloc(huge * 2 - 1)));
    void *moved = realloc(block, (size_t)1 << 46); /* more than there are addresses */
    assert_int_equal(meter.live(), 10);
    assert_int_equal(meter.peak(), 10);
    free(moved ? moved : block);
}

static void *allocate_often(void *unused) {
    for (int i = 0; i < 100000; i++) {
        void *a = malloc(1000), *b = malloc(24);
        free(a);
        free(b);
    }
    return unused;
}

static void threads_lose_nothing(void **state) {
    (void)state;
    pthread_t threads[4];
    for (int round = 0; round < 2; round++) { /* the first makes libc's arenas and stacks */
        meter.start();
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, allocate_often, NULL), 0);
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(meter.live(), 0);
    assert_in_range(meter.peak(), 1024, 4 * 1024 + 4096); /* libc's own for a thread */
}

static void a_child_counts_on(void **state) {
    (void)state;
    void *block = malloc(500);
    pid_t child = fork();
    if (child == 0) {
        meter.start();
        free(block);
        _exit(meter.live() == -500 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    free(block);
}

static atomic_bool may_end;

static void *look_often(void *unused) {
    const size_t size = (size_t)256 << 20; /* to look at it takes a while */
    char *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    while (!may_end)
        meter.mapped();
    munmap(map, size);
    return unused;
}

static void a_child_maps_whatever_others_do(void **state) {
    (void)state;
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, look_often, NULL), 0);
    for (int i = 0; i < 100; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            alarm(10);
            munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    may_end = true;
    pthread_join(other, NULL);
}

static void an_alignment_is_rounded_up_as_libc_does(void **state) {
    (void)state;
    for (size_t alignment = 1; alignment < 1000; alignment += 7) {
        void *block = memalign(alignment, 100);
        size_t next = 1;
        while (next < alignment)
            next *= 2;
        assert_int_equal((uintptr_t)block % next, 0);
        free(block);
    }
}

static void what_others_map_counts_where_it_is_touched(void **state) {
    (void)state;
    const size_t page = 4096;
    meter.start();
    char *map = mmap(NULL, 100 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(meter.mapped(), 0);
    memset(map, 1, 7 * page);
    assert_int_equal(meter.mapped(), 7 * page);
    void *block = malloc(10000000); /* libc maps this one: it is the heap's, not theirs */
    memset(block, 1, 10000000);
    assert_int_equal(meter.mapped(), 7 * page);
    free(block);
    munmap(map, 100 * page);
    assert_int_equal(meter.mapped(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_peak_is_that_of_the_bytes_requested),
        cmocka_unit_test(every_entrance_is_counted),
        cmocka_unit_test(a_block_resized_counts_once),
        cmocka_unit_test(what_is_refused_is_not_counted),
        cmocka_unit_test(threads_lose_nothing),
        cmocka_unit_test(a_child_counts_on),
        cmocka_unit_test(a_child_maps_whatever_others_do),
        cmocka_unit_test(an_alignment_is_rounded_up_as_libc_does),
        cmocka_unit_test(what_others_map_counts_where_it_is_touched),
    };
    return cmocka_run_group_tests(tests, find_meter, NULL);
}
