/*
 * Data: what all sources share, the cutting of an epoch into batches.
 */
#include "data.h"

#include "random.h"

int nn_data_rewind(struct nn_data *data, uint64_t seed, size_t epoch, struct nn_error *error) {
    data->taken = 0;
    return data->type->rewind(data, nn_key(seed, epoch), error);
}

int nn_data_next(struct nn_data *data, size_t size, struct nn_batch *batch,
                 struct nn_error *error) {
    size_t left = data->count - data->taken;
    *batch = (struct nn_batch){.rows = size < left ? size : left};
    if (batch->rows == 0) {
        return 0;
    }
    sw_heap *heap = data->machine->heap;
    batch->inputs = nn_floats(heap, batch->rows, data->width, SW_TAG_INPUT);
    batch->labels =
        sw_alloc_aligned(heap, NN_ALIGNMENT, batch->rows * sizeof *batch->labels, SW_TAG_INPUT);
    int status = -1;
    if (!batch->inputs || !batch->labels) {
        nn_fail_memory(error, "a step's inputs and labels",
                       batch->rows * (data->width * sizeof(float) + sizeof(int32_t)));
    } else {
        status = data->type->read(data, batch->rows, batch->inputs, batch->labels, error);
    }
    if (status != 0) {
        nn_batch_release(data, batch);
        return -1;
    }
    data->taken += batch->rows;
    return 0;
}

void nn_batch_release(const struct nn_data *data, struct nn_batch *batch) {
    sw_free(data->machine->heap, batch->labels);
    sw_free(data->machine->heap, batch->inputs);
    *batch = (struct nn_batch){0};
}

size_t nn_data_held(const struct nn_data *data) {
    return data->type->held(data);
}

void nn_data_close(struct nn_data *data) {
    if (data->type) {
        data->type->close(data);
        data->type = NULL;
    }
}
