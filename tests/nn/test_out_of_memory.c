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

static void write_zeros(gzFile file, size_t count) {
    static const unsigned char zeros[784];
    for (size_t part; count > 0; count -= part) {
        part = count < sizeof zeros ? count : sizeof zeros;
        assert_int_equal(gzwrite(file, zeros, (unsigned)part), part);
    }
}

/* Images of 28x28, all black, all labelled 0. */
static void write_files(const char *directory, unsigned count) {
    static const char *const names[] = {"train-images-idx3", "t10k-images-idx3",
                                        "train-labels-idx1", "t10k-labels-idx1"};
    const unsigned char high = (unsigned char)(count >> 8), low = (unsigned char)count;
    const unsigned char image_header[] = {0, 0, 8, 3, 0, 0, high, low, 0, 0, 0, 28, 0, 0, 0, 28};
    const unsigned char label_header[] = {0, 0, 8, 1, 0, 0, high, low};
    for (int i = 0; i < 4; i++) {
        char path[128];
        bool images = i < 2;
        snprintf(path, sizeof path, "%s/%s-ubyte.gz", directory, names[i]);
        gzFile file = gzopen(path, "wb1");
        assert_true(gzwrite(file, images ? image_header : label_header,
                            images ? sizeof image_header : sizeof label_header) > 0);
        write_zeros(file, images ? (size_t)count * 784 : count);
        gzclose(file);
    }
}

static void remove_files(const char *directory) {
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

static void on_gzip_files(void **state) {
    (void)state;
    char directory[] = "/tmp/nn-memory-XXXXXX";
    assert_non_null(mkdtemp(directory));
    write_files(directory, 20);
    fail_each(
        (struct nn_train_options){.data_dir = directory, .steps = 2, .batch = 8, .evaluate = true});
    remove_files(directory);
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

static void expect_refused(const struct nn_train_options *options, const char *conf,
                           const char *part, const char *end) {
    char error[512] = "";
    struct nn_result result;
    struct nn_train_options limited = *options;
    limited.heap = sw_heap_create("pool", conf);
    assert_int_equal(nn_train(&limited, &result, error, sizeof error), -1);
    sw_heap_destroy(limited.heap);
    size_t length = strlen(error), end_length = strlen(end);
    if (!strstr(error, part) || length < end_length ||
        strcmp(error + length - end_length, end) != 0) {
        fail_msg("%s, batch %zu: '%s'", conf, options->batch, error);
    }
}

/* Of 12 MiB the loader has 8.8, and the network would take 8.2. */
static void the_loader_is_named_where_it_is_the_largest(void **state) {
    (void)state;
    char directory[] = "/tmp/nn-memory-XXXXXX";
    assert_non_null(mkdtemp(directory));
    write_files(directory, 11000);
    const struct nn_train_options options = {
        .data_dir = directory, .steps = 2, .batch = 1, .evaluate = true};
    const char *part = "out of memory in step 1: needed are 8.8 MiB for the data's loader, 8.2 for "
                       "parameters, gradients and optimizer state, 0.0 for inputs and activations "
                       "of a batch of 1";
    failing = 0;
    expect_refused(&options, "limit:12M", part, ": a smaller batch cannot help");
    expect_refused(&options, "limit:12M,tracking:0", part, " of a batch of 1");
    expect_refused(&options, "limit:4M",
                   "to shuffle 10699 images of 784 bytes would take 8398715 bytes", "");
    expect_refused(&options, "limit:10M", "out of memory: the parameters would take 2143272 bytes",
                   "");
    remove_files(directory);
}

/* The network of mlp takes 96.4 MiB at any batch, and 145 at its own of 512. */
static void the_batch_is_blamed_where_a_smaller_one_helps(void **state) {
    (void)state;
    static const char network[] = "needed are 96.4 MiB for parameters, gradients and optimizer",
                      batch[] = "needed are 320.0 MiB for inputs and activations of a batch of",
                      none[] = ": a smaller batch cannot help",
                      less[] = ": the batch is too much for it",
                      untold[] = " for the data's loader";
    static const struct {
        const char *conf;
        size_t batch;
        const char *largest;
        const char *verdict;
    } cases[] = {
        {"limit:30M", 1, network, none},     {"limit:40M", 1, network, none},
        {"limit:60M", 1, network, none},     {"limit:60M,tracking:0", 64, network, untold},
        {"limit:90M", 64, network, none},    {"limit:200M", 16384, batch, less},
        {"limit:110M", 4096, network, less}, {"limit:110M,tracking:0", 4096, network, untold}};
    failing = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct nn_train_options options = {
            .model = "mlp", .steps = 2, .batch = cases[i].batch};
        expect_refused(&options, cases[i].conf, cases[i].largest, cases[i].verdict);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_embedded_data),
        cmocka_unit_test(on_synthetic_data),
        cmocka_unit_test(on_gzip_files),
        cmocka_unit_test(a_heap_with_a_limit),
        cmocka_unit_test(the_loader_is_named_where_it_is_the_largest),
        cmocka_unit_test(the_batch_is_blamed_where_a_smaller_one_helps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
