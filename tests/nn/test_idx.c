/*
 * IDX: plain, gzip and embedded files read alike; an epoch shows each image once; every fault is
 * one sentence with file and byte; what is held is what is said, and nothing leaks.
 */
#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "data.h"

enum { SIDE = 2, WIDTH = SIDE * SIDE, CLASSES = 10, COUNT = 500 };

static char directory[] = "/tmp/nn-idx-XXXXXX";
static char images_path[64], labels_path[64];

/* ---- Making files ---------------------------------------------------------------------------- */

struct bytes {
    unsigned char at[8192];
    size_t size;
};

static void put(struct bytes *b, unsigned value) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        b->at[b->size++] = (unsigned char)(value >> shift);
    }
}

/* Image i is the number i in four bytes, so an image can be known again; its label is i % 10. */
static struct bytes make_images(unsigned magic, unsigned count, unsigned said) {
    struct bytes b = {.size = 0};
    put(&b, magic);
    put(&b, said);
    put(&b, SIDE);
    put(&b, SIDE);
    for (unsigned i = 0; i < count; i++) {
        put(&b, i);
    }
    return b;
}

static struct bytes make_labels(unsigned magic, unsigned count, unsigned said) {
    struct bytes b = {.size = 0};
    put(&b, magic);
    put(&b, said);
    for (unsigned i = 0; i < count; i++) {
        b.at[b.size++] = (unsigned char)(i % CLASSES);
    }
    return b;
}

static void write_plain(const char *path, const struct bytes *b) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(b->at, 1, b->size, file), b->size);
    fclose(file);
}

/* In `members` gzip members one after another, as concatenated .gz files are. */
static void write_gzip(const char *path, const struct bytes *b, size_t members) {
    unlink(path);
    for (size_t i = 0; i < members; i++) {
        size_t begin = b->size * i / members, end = b->size * (i + 1) / members;
        gzFile file = gzopen(path, "ab");
        assert_non_null(file);
        assert_int_equal(gzwrite(file, b->at + begin, (unsigned)(end - begin)), end - begin);
        gzclose(file);
    }
}

static void write_good(void) {
    struct bytes images = make_images(0x803, COUNT, COUNT),
                 labels = make_labels(0x801, COUNT, COUNT);
    write_plain(images_path, &images);
    write_plain(labels_path, &labels);
}

static size_t open_files(void) {
    size_t count = 0;
    DIR *files = opendir("/proc/self/fd");
    while (readdir(files)) {
        count++;
    }
    closedir(files);
    return count;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static struct nn_idx_options options(bool shuffle, size_t images) {
    return (struct nn_idx_options){.width = WIDTH,
                                   .classes = CLASSES,
                                   .scale = 1,
                                   .shuffle = shuffle,
                                   .window = images * WIDTH};
}

static int number_of(const float *x) {
    return ((int)x[0] << 24) + ((int)x[1] << 16) + ((int)x[2] << 8) + (int)x[3];
}

/* The order of an epoch into order[COUNT]; checks that each image comes once, with its label. */
static void read_epoch(struct nn_data *data, size_t epoch, size_t batch_size, int *order) {
    struct nn_error error = {""};
    struct nn_batch batch;
    char seen[COUNT] = {0};
    size_t count = 0;
    assert_int_equal(nn_data_rewind(data, 1, epoch, &error), 0);
    for (;;) {
        assert_int_equal(nn_data_next(data, batch_size, &batch, &error), 0);
        if (batch.rows == 0) {
            break;
        }
        assert_int_equal(batch.rows, COUNT - count < batch_size ? COUNT - count : batch_size);
        for (size_t r = 0; r < batch.rows; r++) {
            int number = number_of(batch.inputs + r * WIDTH);
            assert_in_range(number, 0, COUNT - 1);
            assert_int_equal(batch.labels[r], number % CLASSES);
            assert_int_equal(seen[number]++, 0);
            order[count++] = number;
        }
        nn_batch_release(data, &batch);
    }
    assert_int_equal(count, COUNT);
}

/* window: in images */
static void read_good(bool shuffle, size_t window, size_t batch, size_t epoch, int *order) {
    struct bench *bench = open_bench(1);
    struct nn_data data;
    struct nn_error error = {""};
    size_t before = live_bytes(bench->heap);
    struct nn_idx_options how = options(shuffle, window);
    assert_int_equal(nn_idx_open(&data, &bench->machine, images_path, labels_path, &how, &error),
                     0);
    assert_int_equal(data.count, COUNT);
    assert_int_equal(live_bytes(bench->heap) - before, nn_data_held(&data));
    read_epoch(&data, epoch, batch, order);
    assert_int_equal(live_bytes(bench->heap) - before, nn_data_held(&data));
    nn_data_close(&data);
    close_bench(bench);
}

static void in_order_without_shuffle(void **state) {
    (void)state;
    int order[COUNT] = {0};
    write_good();
    read_good(false, 0, 64, 0, order);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(order[i], i);
    }
}

static void plain_gzip_and_members_give_one_order(void **state) {
    (void)state;
    int plain[COUNT] = {0}, packed[COUNT] = {0}, other[COUNT] = {0};
    write_good();
    read_good(true, 100, 64, 3, plain);
    struct bytes images = make_images(0x803, COUNT, COUNT),
                 labels = make_labels(0x801, COUNT, COUNT);
    write_gzip(images_path, &images, 1);
    write_gzip(labels_path, &labels, 3);
    read_good(true, 100, 64, 3, packed);
    assert_memory_equal(plain, packed, sizeof plain);
    read_good(true, 100, 7, 3, other); /* nor does the batch matter */
    assert_memory_equal(plain, other, sizeof plain);
    read_good(true, 100, 64, 4, other);
    assert_memory_not_equal(plain, other, sizeof plain);
}

/* With the window over all images each place is as likely for each: the mean distance of an even
 * shuffle is a third of the whole. */
static void a_full_window_shuffles_evenly(void **state) {
    (void)state;
    int order[COUNT] = {0};
    double distance = 0;
    write_good();
    for (size_t epoch = 0; epoch < 20; epoch++) {
        read_good(true, 0, 100, epoch, order);
        for (int i = 0; i < COUNT; i++) {
            distance += abs(order[i] - i) / (20.0 * COUNT * COUNT);
        }
    }
    assert_near(distance, 1.0 / 3, 0.02);
}

static void a_window_bounds_how_early_an_image_comes(void **state) {
    (void)state;
    enum { WINDOW = 40 };
    int order[COUNT] = {0};
    write_good();
    read_good(true, WINDOW, 64, 0, order);
    for (int i = 0; i < COUNT; i++) {
        assert_true(order[i] <= i + WINDOW);
    }
}

static void the_digits_are_whole_and_balanced(void **state) {
    (void)state;
    struct bench *bench = open_bench(1);
    for (int test = 0; test < 2; test++) {
        struct nn_data data;
        struct nn_error error = {""};
        struct nn_batch batch;
        size_t seen[10] = {0};
        assert_int_equal(nn_digits_open(&data, &bench->machine, test, &error), 0);
        assert_int_equal(data.count, test ? 355 : 1442);
        assert_int_equal(nn_data_rewind(&data, 1, 0, &error), 0);
        assert_int_equal(nn_data_next(&data, data.count, &batch, &error), 0);
        for (size_t i = 0; i < data.count * data.width; i++) {
            assert_true(batch.inputs[i] >= 0 && batch.inputs[i] <= 1);
        }
        for (size_t i = 0; i < data.count; i++) {
            seen[batch.labels[i]]++;
        }
        for (int digit = 0; digit < 10; digit++) {
            assert_in_range(seen[digit], test ? 34 : 139, test ? 37 : 147);
        }
        nn_batch_release(&data, &batch);
        nn_data_close(&data);
    }
    close_bench(bench);
}

/* ---- Faults ---------------------------------------------------------------------------------- */

/* Opens and reads all; there must be an error that has the file's name and both parts in it. */
static void expect_fault(const char *name, const char *byte, const char *what) {
    struct bench *bench = open_bench(1);
    size_t files = open_files();
    struct nn_data data = {0};
    struct nn_error error = {""};
    struct nn_idx_options how = options(true, 30);
    int status = nn_idx_open(&data, &bench->machine, images_path, labels_path, &how, &error);
    if (status == 0) {
        status = nn_data_rewind(&data, 1, 0, &error);
    }
    struct nn_batch batch = {.rows = 1};
    while (status == 0 && batch.rows != 0) {
        status = nn_data_next(&data, 64, &batch, &error);
        if (status == 0) {
            nn_batch_release(&data, &(struct nn_batch){0, batch.inputs, batch.labels});
        }
    }
    nn_data_close(&data);
    assert_int_equal(status, -1);
    if (!strstr(error.sentence, name) || !strstr(error.sentence, byte) ||
        !strstr(error.sentence, what)) {
        fail_msg("'%s' lacks '%s', '%s' or '%s'", error.sentence, name, byte, what);
    }
    assert_null(strchr(error.sentence, '\n'));
    assert_int_equal(open_files(), files);
    close_bench(bench);
}

static void write_pair(struct bytes images, struct bytes labels) {
    write_plain(images_path, &images);
    write_plain(labels_path, &labels);
}

static void wrong_magic(void **state) {
    (void)state;
    write_pair(make_images(0x802, 5, 5), make_labels(0x801, 5, 5));
    expect_fault("/images", "byte 0:", "0x00000802");
    write_pair(make_images(0x803, 5, 5), make_labels(0x803, 5, 5));
    expect_fault("/labels", "byte 0:", "0x00000803");
}

static void no_file(void **state) {
    (void)state;
    write_good();
    unlink(images_path);
    expect_fault("/images", "", "No such file");
    write_good();
    unlink(labels_path);
    expect_fault("/labels", "", "No such file");
}

static void truncated_header(void **state) {
    (void)state;
    write_good();
    assert_int_equal(truncate(images_path, 14), 0);
    expect_fault("/images", "byte 14:", "ends within its header");
    write_good();
    assert_int_equal(truncate(images_path, 0), 0);
    expect_fault("/images", "byte 0:", "ends within its header");
}

static void truncated_data(void **state) {
    (void)state;
    write_good();
    assert_int_equal(truncate(images_path, 16 + 77 * WIDTH + 3), 0);
    expect_fault("/images", "byte 327:", "within image 78 of 500");
    write_good();
    assert_int_equal(truncate(labels_path, 8 + 400), 0);
    expect_fault("/labels", "byte 408:", "within label 401 of 500");
}

static void truncated_gzip(void **state) {
    (void)state;
    struct bytes images = make_images(0x803, COUNT, COUNT);
    write_good();
    write_gzip(images_path, &images, 1);
    assert_int_equal(truncate(images_path, 600), 0);
    expect_fault("/images", "byte ", "gzip data ends too early");
    write_gzip(images_path, &images, 1);
    struct stat file;
    assert_int_equal(stat(images_path, &file), 0);
    assert_int_equal(truncate(images_path, file.st_size - 8),
                     0); /* all but its checksum is there */
    expect_fault("/images", "byte 2016:", "gzip data ends too early");
}

static void damaged_gzip(void **state) {
    (void)state;
    struct bytes images = make_images(0x803, COUNT, COUNT);
    write_good();
    write_gzip(images_path, &images, 1);
    FILE *file = fopen(images_path, "r+b");
    fseek(file, -6, SEEK_END); /* the checksum */
    fputc(0x55, file);
    fclose(file);
    expect_fault("/images", "byte 2016:", "gzip data is damaged");
    write_gzip(images_path, &images, 1);
    file = fopen(images_path, "r+b");
    fseek(file, 10, SEEK_SET); /* the first block's head */
    fputc(0xff, file);
    fclose(file);
    expect_fault("/images", "byte 0:", "gzip data is damaged");
}

static void label_out_of_range(void **state) {
    (void)state;
    struct bytes labels = make_labels(0x801, COUNT, COUNT);
    labels.at[8 + 321] = 10;
    write_pair(make_images(0x803, COUNT, COUNT), labels);
    expect_fault("/labels", "byte 329:", "label 10 where 0 to 9 belong");
}

static void counts_that_differ(void **state) {
    (void)state;
    write_pair(make_images(0x803, 10, 10), make_labels(0x801, 9, 9));
    expect_fault("/labels", "byte 4:", "9 labels for the 10 images");
    write_pair(make_images(0x803, 0, 0), make_labels(0x801, 0, 0));
    expect_fault("/images", "byte 4:", "no images");
}

static void more_than_the_header_says(void **state) {
    (void)state;
    write_pair(make_images(0x803, 11, 10), make_labels(0x801, 10, 10));
    expect_fault("/images", "byte 56:", "goes on after the 10 images");
    write_pair(make_images(0x803, 10, 10), make_labels(0x801, 11, 10));
    expect_fault("/labels", "byte 18:", "goes on after the 10 labels");
}

static void shape_that_differs(void **state) {
    (void)state;
    struct bytes images = make_images(0x803, 10, 10);
    images.at[11] = 3; /* the height */
    write_pair(images, make_labels(0x801, 10, 10));
    expect_fault("/images", "byte 8:", "3x2 pixels where the model takes 4");
    memset(images.at + 8, 0xff, 8); /* a product that overflows 32 bits */
    write_pair(images, make_labels(0x801, 10, 10));
    expect_fault("/images", "byte 8:", "where the model takes 4");
}

static void a_directory_is_no_file(void **state) {
    (void)state;
    write_good();
    unlink(images_path);
    assert_int_equal(symlink("/tmp", images_path), 0);
    expect_fault("/images", "", "Is a directory");
    unlink(images_path);
}

static int make_directory(void **state) {
    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(images_path, sizeof images_path, "%s/images", directory);
    snprintf(labels_path, sizeof labels_path, "%s/labels", directory);
    return 0;
}

static int remove_directory(void **state) {
    (void)state;
    unlink(images_path);
    unlink(labels_path);
    return rmdir(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_without_shuffle),
        cmocka_unit_test(plain_gzip_and_members_give_one_order),
        cmocka_unit_test(a_full_window_shuffles_evenly),
        cmocka_unit_test(a_window_bounds_how_early_an_image_comes),
        cmocka_unit_test(the_digits_are_whole_and_balanced),
        cmocka_unit_test(wrong_magic),
        cmocka_unit_test(no_file),
        cmocka_unit_test(truncated_header),
        cmocka_unit_test(truncated_data),
        cmocka_unit_test(truncated_gzip),
        cmocka_unit_test(damaged_gzip),
        cmocka_unit_test(label_out_of_range),
        cmocka_unit_test(counts_that_differ),
        cmocka_unit_test(more_than_the_header_says),
        cmocka_unit_test(shape_that_differs),
        cmocka_unit_test(a_directory_is_no_file),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
