/*
 * IDX: images and labels as MNIST has them, streamed.
 *
 *     images   00 00 08 03  count  height  width  pixels, one byte each
 *     labels   00 00 08 01  count  labels, one byte each          (integers are big-endian)
 *
 * Files are read in order, for gzip cannot be read otherwise. To shuffle, a window of images is
 * kept: each draw takes a random one of it and puts the file's next image in its place. An image
 * can come out any time after it went in, and at most a window before its place in the file. With
 * the window as large as the file this is an even shuffle. Not to shuffle is a window of one image.
 *
 * Held: the struct, the window with its labels, and two readers, all taken at the start. A file is
 * checked as it is read, so a fault late in it is found when its images are due.
 */
#include <string.h>

#include "data.h"
#include "random.h"
#include "reader.h"

enum { IMAGES_MAGIC = 0x00000803, LABELS_MAGIC = 0x00000801 };

struct idx {
    struct nn_reader *images;
    struct nn_reader *labels;
    uint32_t height, width;
    size_t classes;
    float scale;

    size_t slots; /* images that the window has room for */
    size_t held;  /* images in it */
    size_t read;  /* images of the file read so far */
    uint64_t key; /* of this epoch's draws */
    size_t draws;
    uint8_t *window;        /* (slots, height*width) */
    uint8_t *window_labels; /* (slots) */
};

/* ---- What the files say ---------------------------------------------------------------------- */

static int read_integers(struct nn_reader *reader, size_t count, uint32_t *values,
                         struct nn_error *error) {
    for (size_t i = 0; i < count; i++) {
        uint8_t b[4];
        size_t got;
        if (nn_reader_read(reader, b, sizeof b, &got, error) != 0) {
            return -1;
        }
        if (got < sizeof b) {
            return nn_fail(error, "%s: byte %llu: the file ends within its header",
                           nn_reader_name(reader), (unsigned long long)nn_reader_offset(reader));
        }
        values[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    }
    return 0;
}

static int read_header(struct nn_reader *reader, uint32_t magic, const char *what, size_t count,
                       uint32_t *sizes, struct nn_error *error) {
    uint32_t found = 0;
    if (read_integers(reader, 1, &found, error) != 0) {
        return -1;
    }
    if (found != magic) {
        return nn_fail(error, "%s: byte 0: magic number 0x%08x where IDX %s have 0x%08x",
                       nn_reader_name(reader), (unsigned)found, what, (unsigned)magic);
    }
    return read_integers(reader, count, sizes, error);
}

struct headers {
    uint32_t images, height, width;
    uint32_t labels;
};

static int read_headers(const struct idx *idx, struct headers *h, struct nn_error *error) {
    uint32_t sizes[3] = {0};
    if (read_header(idx->images, IMAGES_MAGIC, "images", 3, sizes, error) != 0 ||
        read_header(idx->labels, LABELS_MAGIC, "labels", 1, &h->labels, error) != 0) {
        return -1;
    }
    h->images = sizes[0];
    h->height = sizes[1];
    h->width = sizes[2];
    return 0;
}

static int check_headers(const struct idx *idx, const struct headers *h, size_t width,
                         struct nn_error *error) {
    const char *images = nn_reader_name(idx->images);
    if ((uint64_t)h->height * h->width != width) {
        return nn_fail(error,
                       "%s: byte 8: images of %ux%u pixels where the model takes %zu numbers",
                       images, (unsigned)h->height, (unsigned)h->width, width);
    }
    if (h->images == 0) {
        return nn_fail(error, "%s: byte 4: the file holds no images", images);
    }
    if (h->images != h->labels) {
        return nn_fail(error, "%s: byte 4: %u labels for the %u images of %s",
                       nn_reader_name(idx->labels), (unsigned)h->labels, (unsigned)h->images,
                       images);
    }
    return 0;
}

/* ---- The window ------------------------------------------------------------------------------ */

static int read_item(struct nn_data *data, struct nn_reader *reader, const char *what, void *to,
                     size_t size, struct nn_error *error) {
    const struct idx *idx = data->state;
    size_t got = 0;
    if (nn_reader_read(reader, to, size, &got, error) != 0) {
        return -1;
    }
    if (got < size) {
        return nn_fail(error, "%s: byte %llu: the file ends within %s %zu of %zu",
                       nn_reader_name(reader), (unsigned long long)nn_reader_offset(reader), what,
                       idx->read + 1, data->count);
    }
    return 0;
}

/* After the last item nothing may follow: the header's count would be wrong. */
static int check_end(struct nn_data *data, struct nn_reader *reader, const char *what,
                     struct nn_error *error) {
    uint64_t offset = nn_reader_offset(reader);
    uint8_t byte;
    size_t got = 0;
    if (nn_reader_read(reader, &byte, 1, &got, error) != 0) {
        return -1;
    }
    if (got != 0) {
        return nn_fail(error, "%s: byte %llu: the file goes on after the %zu %s of its header",
                       nn_reader_name(reader), (unsigned long long)offset, data->count, what);
    }
    return 0;
}

/* The file's next image and label into a slot. */
static int read_into(struct nn_data *data, size_t slot, struct nn_error *error) {
    struct idx *idx = data->state;
    uint8_t *label = &idx->window_labels[slot];
    if (read_item(data, idx->images, "image", idx->window + slot * data->width, data->width,
                  error) != 0 ||
        read_item(data, idx->labels, "label", label, 1, error) != 0) {
        return -1;
    }
    if (*label >= idx->classes) {
        return nn_fail(
            error, "%s: byte %llu: label %u where 0 to %zu belong", nn_reader_name(idx->labels),
            (unsigned long long)(nn_reader_offset(idx->labels) - 1), *label, idx->classes - 1);
    }
    idx->read++;
    if (idx->read < data->count) {
        return 0;
    }
    return check_end(data, idx->images, "images", error) != 0 ||
                   check_end(data, idx->labels, "labels", error) != 0
               ? -1
               : 0;
}

/* A slot that was drawn gets the file's next image, or at the file's end the window's last one. */
static int replace(struct nn_data *data, size_t slot, struct nn_error *error) {
    struct idx *idx = data->state;
    if (idx->read < data->count) {
        return read_into(data, slot, error);
    }
    size_t last = --idx->held;
    if (slot != last) {
        memcpy(idx->window + slot * data->width, idx->window + last * data->width, data->width);
        idx->window_labels[slot] = idx->window_labels[last];
    }
    return 0;
}

static int fill_window(struct nn_data *data, struct nn_error *error) {
    struct idx *idx = data->state;
    while (idx->held < idx->slots && idx->read < data->count) {
        if (read_into(data, idx->held, error) != 0) {
            return -1;
        }
        idx->held++;
    }
    return 0;
}

/* ---- The source ------------------------------------------------------------------------------ */

static int rewind_idx(struct nn_data *data, uint64_t key, struct nn_error *error) {
    struct idx *idx = data->state;
    struct headers skipped = {0};
    if (nn_reader_rewind(idx->images, error) != 0 || nn_reader_rewind(idx->labels, error) != 0 ||
        read_headers(idx, &skipped, error) != 0) {
        return -1;
    }
    idx->held = idx->read = idx->draws = 0;
    idx->key = key;
    return 0;
}

static int read_idx(struct nn_data *data, size_t rows, float *inputs, int32_t *labels,
                    struct nn_error *error) {
    struct idx *idx = data->state;
    if (fill_window(data, error) != 0) {
        return -1;
    }
    for (size_t r = 0; r < rows; r++) {
        size_t slot = nn_below(idx->key, idx->draws++, idx->held);
        data->machine->kernels->bytes_to_floats(
            data->width, idx->scale, idx->window + slot * data->width, inputs + r * data->width);
        labels[r] = idx->window_labels[slot];
        if (replace(data, slot, error) != 0) {
            return -1;
        }
    }
    return 0;
}

static size_t held_by_idx(const struct nn_data *data) {
    const struct idx *idx = data->state;
    return sizeof *idx + idx->slots * (data->width + 1) + nn_reader_held(idx->images) +
           nn_reader_held(idx->labels);
}

static void close_idx(struct nn_data *data) {
    struct idx *idx = data->state;
    sw_heap *heap = data->machine->heap;
    nn_reader_close(idx->images);
    nn_reader_close(idx->labels);
    sw_free(heap, idx->window_labels);
    sw_free(heap, idx->window);
    sw_free(heap, idx);
}

static const struct nn_data_type idx_type = {
    .rewind = rewind_idx, .read = read_idx, .held = held_by_idx, .close = close_idx};

static size_t slots_for(const struct nn_idx_options *options, size_t count) {
    if (!options->shuffle) {
        return 1;
    }
    size_t slots = (options->window ? options->window : NN_IDX_WINDOW) / options->width;
    slots = slots < count ? slots : count;
    return slots ? slots : 1;
}

static int take_window(struct nn_data *data, const struct nn_idx_options *options,
                       struct nn_error *error) {
    struct idx *idx = data->state;
    sw_heap *heap = data->machine->heap;
    idx->slots = slots_for(options, data->count);
    idx->window = sw_alloc_aligned(heap, NN_ALIGNMENT, idx->slots * data->width, SW_TAG_INPUT);
    idx->window_labels = sw_alloc_aligned(heap, NN_ALIGNMENT, idx->slots, SW_TAG_INPUT);
    if (!idx->window || !idx->window_labels) {
        return nn_fail(error,
                       "out of memory: to shuffle %zu images of %zu bytes would take %zu bytes",
                       idx->slots, data->width, idx->slots * (data->width + 1));
    }
    return 0;
}

int nn_idx_open_readers(struct nn_data *data, const struct nn_machine *machine,
                        struct nn_reader *images, struct nn_reader *labels,
                        const struct nn_idx_options *options, struct nn_error *error) {
    *data = (struct nn_data){.machine = machine};
    struct idx *idx =
        images && labels ? sw_alloc_aligned(machine->heap, 64, sizeof *idx, SW_TAG_INPUT) : NULL;
    if (!idx) {
        if (images && labels) {
            nn_fail_memory(error, "the data's loader", sizeof *idx);
        }
        nn_reader_close(images);
        nn_reader_close(labels);
        return -1;
    }
    *idx = (struct idx){
        .images = images, .labels = labels, .classes = options->classes, .scale = options->scale};
    data->state = idx;
    data->type = &idx_type;
    data->width = options->width;
    data->classes = options->classes;
    struct headers headers = {0};
    if (read_headers(idx, &headers, error) != 0 ||
        check_headers(idx, &headers, options->width, error) != 0) {
        nn_data_close(data);
        return -1;
    }
    data->count = headers.images;
    if (take_window(data, options, error) != 0) {
        nn_data_close(data);
        return -1;
    }
    return 0;
}

int nn_idx_open(struct nn_data *data, const struct nn_machine *machine, const char *images,
                const char *labels, const struct nn_idx_options *options, struct nn_error *error) {
    struct nn_reader *image_reader = nn_reader_open(machine->heap, images, error);
    struct nn_reader *label_reader =
        image_reader ? nn_reader_open(machine->heap, labels, error) : NULL;
    return nn_idx_open_readers(data, machine, image_reader, label_reader, options, error);
}
