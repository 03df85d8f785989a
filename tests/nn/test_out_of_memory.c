/*
 * Memory runs out anywhere: the Nth request of a training fails, for N = 1, 2, ... until one run
 * needs fewer than N. Each failure is an error with a sentence, and leaves nothing behind.
 *
 * The linker turns nn's calls of the heap to the __wrap_ functions here.
 */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "train.h"

static size_t requests;
static size_t failing; /* this one; 0: none */

void *__real_sw_alloc(sw_heap *, size_t, enum sw_tag);
void *__real_sw_alloc_aligned(sw_heap *, size_t, size_t, enum sw_tag);
void *__real_sw_alloc_zeroed(sw_heap *, size_t, size_t, enum sw_tag);
void *__wrap_sw_alloc(sw_heap *, size_t, enum sw_tag);
void *__wrap_sw_alloc_aligned(sw_heap *, size_t, size_t, enum sw_tag);
void *__wrap_sw_alloc_zeroed(sw_heap *, size_t, size_t, enum sw_tag);

static bool fails(void) {
    if (++requests == failing) {
        errno = ENOMEM;
        return true;
    }
    return false;
}

void *__wrap_sw_alloc(sw_heap *heap, size_t size, enum sw_tag tag) {
    return fails() ? NULL : __real_sw_alloc(heap, size, tag);
}

void *__wrap_sw_alloc_aligned(sw_heap *heap, size_t alignment, size_t size, enum sw_tag tag) {
    return fails() ? NULL : __real_sw_alloc_aligned(heap, alignment, size, tag);
}

void *__wrap_sw_alloc_zeroed(sw_heap *heap, size_t count, size_t size, enum sw_tag tag) {
    return fails() ? NULL : __real_sw_alloc_zeroed(heap, count, size, tag);
}

/* Returns how many requests a whole run makes. */
static size_t fail_each(struct nn_train_options options) {
    struct nn_result result;
    for (failing = 1;; failing++) {
        char error[512] = "";
        options.heap = sw_heap_create("pool", NULL);
        requests = 0;
        int status = nn_train(&options, &result, error, sizeof error);
        assert_int_equal(live_bytes(options.heap), 0);
        assert_int_equal(sw_step_begin(options.heap), 0); /* no step was left open */
        sw_heap_destroy(options.heap);
        if (requests < failing) {
            assert_int_equal(status, 0);
            return requests;
        }
        assert_int_equal(status, -1);
        if (!strstr(error, "memory")) {
            fail_msg("request %zu: '%s' does not speak of memory", failing, error);
        }
    }
}

static void on_embedded_data(void **state) {
    (void)state;
    size_t count = fail_each((struct nn_train_options){.steps = 3, .evaluate = true});
    assert_true(count > 100);
    fail_each((struct nn_train_options){.steps = 3, .free_gradients = true, .threads = 3});
}

static void on_synthetic_data(void **state) {
    (void)state;
    fail_each((struct nn_train_options){
        .model = "wide", .steps = 2, .batch = 8, .evaluate = false, .threads = 2});
}

static void write_files(const char *directory) {
    static const char *const names[] = {"train-images-idx3", "t10k-images-idx3",
                                        "train-labels-idx1", "t10k-labels-idx1"};
    unsigned char bytes[16 + 20 * 784] = {0, 0, 8, 0, 0, 0, 0, 20};
    for (int i = 0; i < 4; i++) {
        char path[128];
        bool images = i < 2;
        snprintf(path, sizeof path, "%s/%s-ubyte.gz", directory, names[i]);
        bytes[3] = images ? 3 : 1;
        bytes[11] = bytes[15] = images ? 28 : 1;
        unsigned size = images ? sizeof bytes : 8 + 20;
        gzFile file = gzopen(path, "wb");
        assert_int_equal(gzwrite(file, bytes, size), size);
        gzclose(file);
    }
}

static void on_gzip_files(void **state) {
    (void)state;
    char directory[] = "/tmp/nn-memory-XXXXXX", command[64];
    assert_non_null(mkdtemp(directory));
    write_files(directory);
    fail_each(
        (struct nn_train_options){.data_dir = directory, .steps = 2, .batch = 8, .evaluate = true});
    snprintf(command, sizeof command, "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

/* The same by the heap's own limit, a little higher each time. */
static void a_heap_with_a_limit(void **state) {
    (void)state;
    struct nn_result result;
    failing = 0;
    int status = -1;
    for (size_t megabytes = 1; status != 0; megabytes *= 2) {
        char conf[32], error[512] = "";
        snprintf(conf, sizeof conf, "limit:%zuM", megabytes);
        sw_heap *heap = sw_heap_create("pool", conf);
        if (!heap) {
            continue;
        }
        status = nn_train(&(struct nn_train_options){.model = "mlp", .heap = heap, .steps = 2},
                          &result, error, sizeof error);
        assert_int_equal(live_bytes(heap), 0);
        assert_true(status == 0 || strstr(error, "out of memory"));
        assert_true(status != 0 || megabytes >= 64); /* it cannot fit in less */
        sw_heap_destroy(heap);
    }
}

/* The network of mlp takes 96.4 MiB at any batch, and 145 at its own of 512. */
static void the_batch_is_blamed_where_a_smaller_one_helps(void **state) {
    (void)state;
    static const struct {
        const char *conf;
        size_t batch;
        bool is_batch;
    } cases[] = {{"limit:30M", 1, false},    {"limit:40M", 1, false},
                 {"limit:60M", 1, false},    {"limit:60M,tracking:0", 64, true},
                 {"limit:90M", 64, false},   {"limit:200M", 16384, true},
                 {"limit:110M", 4096, true}, {"limit:110M,tracking:0", 4096, true}};
    failing = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char error[512] = "";
        struct nn_result result;
        sw_heap *heap = sw_heap_create("pool", cases[i].conf);
        const struct nn_train_options options = {
            .model = "mlp", .heap = heap, .steps = 2, .batch = cases[i].batch};
        assert_int_equal(nn_train(&options, &result, error, sizeof error), -1);
        sw_heap_destroy(heap);
        const char *part = cases[i].is_batch
                               ? "is too much for the heap"
                               : "parameters, gradients and optimizer state take 96.4 MiB, and";
        if (!strstr(error, "out of memory in step 1: ") || !strstr(error, part)) {
            fail_msg("%s, batch %zu: '%s'", cases[i].conf, cases[i].batch, error);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_embedded_data),
        cmocka_unit_test(on_synthetic_data),
        cmocka_unit_test(on_gzip_files),
        cmocka_unit_test(a_heap_with_a_limit),
        cmocka_unit_test(the_batch_is_blamed_where_a_smaller_one_helps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
