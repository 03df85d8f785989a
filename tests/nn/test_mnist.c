/*
 * MNIST by the default recipe: at least 98 % of the test images. Needs the four files in the
 * directory STEPWELL_DATA, or in ../shared/data/mnist beside the source; else it is skipped.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "train.h"

static char directory[4096];

static bool have_files(const char *where, const char *below) {
    char path[4200];
    snprintf(directory, sizeof directory, "%s%s", where, below);
    snprintf(path, sizeof path, "%s/train-images-idx3-ubyte", directory);
    if (access(path, R_OK) == 0) {
        return true;
    }
    snprintf(path, sizeof path, "%s/train-images-idx3-ubyte.gz", directory);
    return access(path, R_OK) == 0;
}

static bool find_files(void) {
    const char *data = getenv("STEPWELL_DATA"), *source = getenv("STEPWELL_SOURCE_DIR");
    return (data && (have_files(data, "/mnist") || have_files(data, ""))) ||
           (source && have_files(source, "/../shared/data/mnist"));
}

static void mnist_is_learned(void **state) {
    (void)state;
    struct nn_result result;
    char error[512];
    sw_heap *heap = sw_heap_create("pool", NULL);
    struct nn_train_options options = {
        .data_dir = directory, .heap = heap, .threads = 2, .seed = 1, .evaluate = true};
    if (nn_train(&options, &result, error, sizeof error) != 0) {
        fail_msg("%s", error);
    }
    print_message("accuracy %.4f, loss %.4f\n", result.accuracy, result.final_loss);
    assert_true(result.accuracy >= 0.98);
    assert_int_equal(live_bytes(heap), 0);
    sw_heap_destroy(heap);
}

int main(void) {
    if (!find_files()) {
        puts("skipped: no MNIST files; set STEPWELL_DATA to the directory that holds them");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(mnist_is_learned)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
