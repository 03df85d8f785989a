/*
 * Synthetic data: examples that are a function of the epoch's key and their number, so nothing is
 * held. The label can be read from the inputs, so a network has something to learn.
 */
#include "data.h"
#include "random.h"

struct synthetic {
    uint64_t key;
};

static int rewind_synthetic(struct nn_data *data, uint64_t key, struct nn_error *error) {
    (void)error;
    ((struct synthetic *)data->state)->key = key;
    return 0;
}

struct fill {
    const struct nn_data *data;
    uint64_t key;
    size_t first;
    float *inputs;   /* (rows, width) */
    int32_t *labels; /* (rows) */
};

static int32_t largest_of(const float *inputs, size_t classes) {
    size_t largest = 0;
    for (size_t c = 1; c < classes; c++) {
        if (inputs[c] > inputs[largest]) {
            largest = c;
        }
    }
    return (int32_t)largest;
}

static void fill_rows(void *context, size_t begin, size_t end) {
    const struct fill *f = context;
    for (size_t r = begin; r < end; r++) {
        float *row = f->inputs + r * f->data->width;
        f->data->machine->kernels->uniform(f->data->width, nn_key(f->key, f->first + r), 0,
                                           1.7320508f, row);
        f->labels[r] = largest_of(row, f->data->classes);
    }
}

static int read_synthetic(struct nn_data *data, size_t rows, float *inputs, int32_t *labels,
                          struct nn_error *error) {
    (void)error;
    const struct synthetic *synthetic = data->state;
    struct fill fill = {data, synthetic->key, data->taken, inputs, labels};
    nn_parallel(data->machine->workers, rows, NN_GRAIN / data->width + 1, fill_rows, &fill);
    return 0;
}

static size_t held_by_synthetic(const struct nn_data *data) {
    (void)data;
    return sizeof(struct synthetic);
}

static void close_synthetic(struct nn_data *data) {
    sw_free(data->machine->heap, data->state);
}

static const struct nn_data_type synthetic_type = {.rewind = rewind_synthetic,
                                                   .read = read_synthetic,
                                                   .held = held_by_synthetic,
                                                   .close = close_synthetic};

int nn_synthetic_open(struct nn_data *data, const struct nn_machine *machine, size_t count,
                      size_t width, size_t classes) {
    *data =
        (struct nn_data){.machine = machine, .count = count, .width = width, .classes = classes};
    data->state = sw_alloc_zeroed(machine->heap, 1, sizeof(struct synthetic), SW_TAG_INPUT);
    if (!data->state) {
        return -1;
    }
    data->type = &synthetic_type;
    return 0;
}
