/*
 * The optical digits: the four IDX files of nn/data, embedded by digits_data.S.
 *
 * E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
 * Repository, CC BY 4.0; see nn/data/README.md.
 */
#include "data.h"
#include "reader.h"

#define EMBEDDED(name) extern const unsigned char nn_##name[], nn_##name##_end[]

EMBEDDED(digits_train_images);
EMBEDDED(digits_train_labels);
EMBEDDED(digits_test_images);
EMBEDDED(digits_test_labels);

static struct nn_reader *open_embedded(const struct nn_machine *machine, const char *name,
                                       const unsigned char *begin, const unsigned char *end,
                                       struct nn_error *error) {
    return nn_reader_open_memory(machine->heap, name, begin, (size_t)(end - begin), error);
}

int nn_digits_open(struct nn_data *data, const struct nn_machine *machine, bool test,
                   struct nn_error *error) {
    const struct nn_idx_options options = {
        .width = 64, .classes = 10, .scale = 1.0f / 16, .shuffle = !test};
    struct nn_reader *images =
        test ? open_embedded(machine, "digits-test-images", nn_digits_test_images,
                             nn_digits_test_images_end, error)
             : open_embedded(machine, "digits-train-images", nn_digits_train_images,
                             nn_digits_train_images_end, error);
    struct nn_reader *labels =
        test ? open_embedded(machine, "digits-test-labels", nn_digits_test_labels,
                             nn_digits_test_labels_end, error)
             : open_embedded(machine, "digits-train-labels", nn_digits_train_labels,
                             nn_digits_train_labels_end, error);
    return nn_idx_open_readers(data, machine, images, labels, &options, error);
}
