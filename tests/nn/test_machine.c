/*
 * The machine: workers run each index once, products equal the naive ones however they are cut.
 */
#define _GNU_SOURCE /* pthread_setattr_default_np */
#include "support.h"

#include <cblas.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "random.h"

enum { INDICES = 5000 };

static void count_visits(void *context, size_t begin, size_t end) {
    atomic_int *visits = context;
    for (size_t i = begin; i < end; i++) {
        atomic_fetch_add(&visits[i], 1);
    }
}

static void every_index_runs_once(void **state) {
    (void)state;
    static atomic_int visits[INDICES];
    for (unsigned threads = 1; threads <= 5; threads++) {
        struct bench *bench = open_bench(threads);
        assert_int_equal(nn_workers_count(bench->machine.workers), threads);
        for (size_t count = 0; count < INDICES; count += 1 + count / 7) {
            for (size_t i = 0; i < INDICES; i++) {
                visits[i] = 0;
            }
            nn_parallel(bench->machine.workers, count, 1, count_visits, visits);
            for (size_t i = 0; i < INDICES; i++) {
                assert_int_equal(visits[i], i < count);
            }
        }
        close_bench(bench);
    }
}

static void note_range(void *context, size_t begin, size_t end) {
    *(size_t *)context = end - begin;
}

static void small_loops_stay_in_the_caller(void **state) {
    (void)state;
    struct bench *bench = open_bench(4);
    size_t length = 0;
    nn_parallel(bench->machine.workers, 199, 100, note_range, &length);
    assert_int_equal(length, 199);
    close_bench(bench);
}

static void impossible_thread_counts_are_refused(void **state) {
    (void)state;
    sw_heap *heap = sw_heap_create("pool", NULL);
    struct nn_error error;
    assert_null(nn_workers_create(heap, 0, &error));
    assert_string_equal(error.sentence, "0 threads: from 1 to 256 are possible");
    assert_null(nn_workers_create(heap, NN_THREADS_MAX + 1, &error));
    assert_string_equal(error.sentence, "257 threads: from 1 to 256 are possible");
    assert_int_equal(live_bytes(heap), 0);
    sw_heap_destroy(heap);
}

/* Stacks of 40 TiB: there is no address space for five. */
static void memory_and_threads_are_told_apart(void **state) {
    (void)state;
    pthread_attr_t before, wide;
    struct nn_error error;
    pthread_getattr_default_np(&before);
    pthread_getattr_default_np(&wide);
    pthread_attr_setstacksize(&wide, (size_t)40 << 40);
    sw_heap *heap = sw_heap_create("pool", NULL);
    pthread_setattr_default_np(&wide);
    struct nn_workers *workers = nn_workers_create(heap, 5, &error);
    pthread_setattr_default_np(&before);
    assert_null(workers);
    assert_non_null(strstr(error.sentence, " of 5 cannot be started ("));
    assert_int_equal(live_bytes(heap), 0);
    sw_heap_destroy(heap);

    heap = sw_heap_create("pool", "limit:1M");
    void *all = sw_alloc(heap, 900 << 10, SW_TAG_OTHER);
    while (sw_alloc(heap, 64, SW_TAG_OTHER)) {
    }
    assert_non_null(all);
    assert_null(nn_workers_create(heap, 5, &error));
    assert_non_null(strstr(error.sentence, "out of memory: the table of threads would take "));
    sw_heap_destroy(heap);
}

static void openblas_gets_its_threads_back(void **state) {
    (void)state;
    openblas_set_num_threads(2);
    struct bench *bench = open_bench(1);
    struct nn_machine second;
    struct nn_error error;
    assert_int_equal(nn_machine_start(&second, bench->heap, 1, &error), 0);
    nn_machine_stop(&second);
    assert_int_equal(openblas_get_num_threads(), 1);
    close_bench(bench);
    assert_int_equal(openblas_get_num_threads(), 2);
}

/* Leaves the process so much address space, or all that it had before. */
static void leave_room(size_t bytes, struct rlimit *before) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_true(file && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    getrlimit(RLIMIT_AS, before);
    struct rlimit limit = {(size_t)pages * 4096 + bytes, before->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
}

static void openblas_has_its_buffers_from_the_start(void **state) {
    (void)state;
    enum { FLOATS = 256 * 256, LITTLE = 32 << 20 };
    struct rlimit before;
    struct nn_machine more;
    struct nn_error error;
    if (SANITIZED) {
        skip(); /* a sanitizer needs terabytes of address space */
    }
    struct bench *bench = open_bench(6); /* more than the tests before */
    float *floats = nn_floats(bench->heap, 1, FLOATS, SW_TAG_OTHER);
    fill(floats, FLOATS, 1, 1);
    float *product = nn_floats(bench->heap, 1, FLOATS, SW_TAG_OTHER);
    leave_room(LITTLE, &before);
    alarm(60); /* OpenBLAS would wait for ever */
    for (int i = 0; i < 100; i++) {
        nn_multiply(&bench->machine,
                    &(struct nn_product){256, 256, 256, floats, floats, product, .beta = 0});
    }
    alarm(0);
    int status = nn_machine_start(&more, bench->heap, 1, &error);
    setrlimit(RLIMIT_AS, &before);
    assert_int_equal(status, -1);
    assert_string_equal(error.sentence,
                        "out of memory: OpenBLAS needs 128 MiB of address space for its buffers, "
                        "and RLIMIT_AS (ulimit -v) leaves less: raise it");
    sw_free(bench->heap, product);
    sw_free(bench->heap, floats);
    close_bench(bench);
}

static double naive(const struct nn_product *p, float before, size_t i, size_t j) {
    double sum = (double)p->beta * before;
    for (size_t k = 0; k < p->k; k++) {
        double a = p->transpose_a ? p->a[k * p->m + i] : p->a[i * p->k + k];
        double b = p->transpose_b ? p->b[j * p->k + k] : p->b[k * p->n + j];
        sum += a * b;
    }
    return sum;
}

static void check_product(const struct nn_machine *machine, struct nn_product p) {
    float *a = nn_floats(machine->heap, p.m, p.k, SW_TAG_OTHER);
    float *b = nn_floats(machine->heap, p.k, p.n, SW_TAG_OTHER);
    float *c = nn_floats(machine->heap, p.m, p.n, SW_TAG_OTHER);
    float *before = nn_floats(machine->heap, p.m, p.n, SW_TAG_OTHER);
    fill(a, p.m * p.k, 1, 1);
    fill(b, p.k * p.n, 1, 2);
    fill(c, p.m * p.n, 1, 3);
    fill(before, p.m * p.n, 1, 3);
    p.a = a;
    p.b = b;
    p.c = c;
    nn_multiply(machine, &p);
    for (size_t i = 0; i < p.m; i++) {
        for (size_t j = 0; j < p.n; j++) {
            assert_near(c[i * p.n + j], naive(&p, before[i * p.n + j], i, j), 2e-5);
        }
    }
    sw_free(machine->heap, a);
    sw_free(machine->heap, b);
    sw_free(machine->heap, c);
    sw_free(machine->heap, before);
}

static void products_equal_the_naive_ones(void **state) {
    (void)state;
    static const size_t shapes[][3] = {{1, 1, 1},      {3, 5, 7},      {33, 17, 64},
                                       {300, 90, 150}, {70, 310, 200}, {512, 10, 900}};
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct bench *bench = open_bench(threads);
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            for (int form = 0; form < 8; form++) {
                check_product(&bench->machine, (struct nn_product){.m = shapes[s][0],
                                                                   .n = shapes[s][1],
                                                                   .k = shapes[s][2],
                                                                   .beta = form & 4 ? 1 : 0,
                                                                   .transpose_a = form & 1,
                                                                   .transpose_b = form & 2});
            }
        }
        close_bench(bench);
    }
}

static void sizes_that_overflow_are_refused(void **state) {
    (void)state;
    struct bench *bench = open_bench(1);
    size_t bytes;
    assert_int_equal(nn_floats_size(3, 5, &bytes), 0);
    assert_int_equal(bytes, 60);
    assert_int_equal(nn_floats_size(SIZE_MAX / 2, 4, &bytes), -1);
    assert_int_equal(nn_floats_size(SIZE_MAX / 4, 1, &bytes), -1);
    assert_null(nn_floats(bench->heap, (size_t)1 << 33, (size_t)1 << 33, SW_TAG_OTHER));
    float *floats = nn_floats(bench->heap, 3, 5, SW_TAG_OTHER);
    assert_int_equal((uintptr_t)floats % NN_ALIGNMENT, 0);
    sw_free(bench->heap, floats);
    close_bench(bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_runs_once),
        cmocka_unit_test(small_loops_stay_in_the_caller),
        cmocka_unit_test(impossible_thread_counts_are_refused),
        cmocka_unit_test(memory_and_threads_are_told_apart),
        cmocka_unit_test(openblas_gets_its_threads_back),
        cmocka_unit_test(openblas_has_its_buffers_from_the_start),
        cmocka_unit_test(products_equal_the_naive_ones),
        cmocka_unit_test(sizes_that_overflow_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
