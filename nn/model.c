/*
 * The model: builds layers from their list, runs passes, owns the buffers between layers.
 */
#include "model.h"

#include <string.h>

#include "random.h"

void *nn_save(struct nn_layer *layer, const struct nn_pass *pass, size_t size) {
    layer->saved = sw_alloc_aligned(pass->machine->heap, NN_ALIGNMENT, size, SW_TAG_ACTIVATION);
    return layer->saved;
}

static void drop(const struct nn_model *model, void *block) {
    sw_free(model->machine->heap, block);
}

/* ---- Create, destroy ------------------------------------------------------------------------- */

static void *take_zeroed(const struct nn_model *model, size_t count, size_t size) {
    return sw_alloc_zeroed(model->machine->heap, count, size, SW_TAG_OTHER);
}

static int take_tables(struct nn_model *model, const struct nn_layer_spec *specs) {
    while (specs[model->count].type) {
        model->count++;
    }
    model->layers = take_zeroed(model, model->count, sizeof *model->layers);
    model->activations = take_zeroed(model, model->count + 1, sizeof *model->activations);
    if (!model->layers || !model->activations) {
        return -1;
    }
    for (size_t i = 0; i < model->count; i++) {
        struct nn_layer *layer = &model->layers[i];
        size_t size = specs[i].type->state_size;
        if (size != 0 && !(layer->state = take_zeroed(model, 1, size))) {
            return -1;
        }
        layer->type = specs[i].type; /* from here on its destroy is called */
    }
    return 0;
}

static bool parameters_fit(struct nn_model *model, const struct nn_layer *layer) {
    for (size_t i = 0; i < layer->parameter_count; i++) {
        size_t rows = layer->parameters[i].rows, columns = layer->parameters[i].columns, bytes;
        if (nn_floats_size(rows, columns, &bytes) != 0 ||
            __builtin_add_overflow(model->parameter_count, rows * columns,
                                   &model->parameter_count)) {
            return false;
        }
    }
    return true;
}

static int find_shapes(struct nn_model *model, const struct nn_layer_spec *specs, size_t inputs,
                       struct nn_error *error) {
    for (size_t i = 0; i < model->count; i++) {
        struct nn_layer *layer = &model->layers[i];
        layer->inputs = inputs;
        if (layer->type->shape(layer, specs[i].config) != 0) {
            return nn_fail(error, "layer %zu (%s) does not take %zu inputs with its settings", i,
                           layer->type->name, inputs);
        }
        if (!parameters_fit(model, layer)) {
            return nn_fail(error, "layer %zu (%s) is too large: %zu inputs, %zu outputs", i,
                           layer->type->name, inputs, layer->outputs);
        }
        inputs = layer->outputs;
    }
    return 0;
}

static int take_parameters(struct nn_model *model, uint64_t seed) {
    for (size_t i = 0; i < model->count; i++) {
        struct nn_layer *layer = &model->layers[i];
        for (size_t j = 0; j < layer->parameter_count; j++) {
            struct nn_parameter *p = &layer->parameters[j];
            p->values = nn_floats(model->machine->heap, p->rows, p->columns, SW_TAG_PARAMETER);
            if (!p->values) {
                return -1;
            }
        }
        if (layer->type->init) {
            layer->type->init(layer, nn_key(seed, i));
        }
    }
    return 0;
}

int nn_model_create(struct nn_model *model, const struct nn_machine *machine,
                    const struct nn_layer_spec *specs, size_t inputs, uint64_t seed,
                    struct nn_error *error) {
    *model = (struct nn_model){.machine = machine};
    int status = 0;
    if (take_tables(model, specs) != 0) {
        status = nn_fail_memory(error, "the table of layers",
                                model->count * (sizeof *model->layers + sizeof(float *)));
    } else if (find_shapes(model, specs, inputs, error) != 0) {
        status = -1;
    } else if (take_parameters(model, seed) != 0) {
        status = nn_fail_memory(error, "the parameters", model->parameter_count * sizeof(float));
    }
    if (status != 0) {
        nn_model_destroy(model);
    }
    return status;
}

static void drop_layer(const struct nn_model *model, struct nn_layer *layer) {
    if (layer->type && layer->type->destroy) {
        layer->type->destroy(layer);
    }
    for (size_t i = 0; i < layer->parameter_count; i++) {
        struct nn_parameter *p = &layer->parameters[i];
        for (size_t j = 0; j < NN_STATES_MAX; j++) {
            drop(model, p->states[j]);
        }
        drop(model, p->gradient);
        drop(model, p->values);
    }
    drop(model, layer->state);
}

void nn_model_destroy(struct nn_model *model) {
    if (model->layers && model->activations) {
        nn_model_release(model);
    }
    for (size_t i = model->layers ? model->count : 0; i-- > 0;) {
        drop_layer(model, &model->layers[i]);
    }
    drop(model, model->activations);
    drop(model, model->layers);
    *model = (struct nn_model){.machine = model->machine};
}

/* ---- What a model is ------------------------------------------------------------------------- */

size_t nn_model_inputs(const struct nn_model *model) {
    return model->layers[0].inputs;
}

size_t nn_model_outputs(const struct nn_model *model) {
    return model->layers[model->count - 1].outputs;
}

bool nn_model_takes(const struct nn_model *model, size_t batch) {
    size_t bytes;
    if (batch == 0 || nn_floats_size(batch, nn_model_inputs(model), &bytes) != 0) {
        return false;
    }
    for (size_t i = 0; i < model->count; i++) {
        if (nn_floats_size(batch, model->layers[i].outputs, &bytes) != 0) {
            return false;
        }
    }
    return true;
}

struct nn_parameter *nn_model_parameter(const struct nn_model *model, size_t index) {
    for (size_t i = 0; i < model->count; i++) {
        struct nn_layer *layer = &model->layers[i];
        if (index < layer->parameter_count) {
            return &layer->parameters[index];
        }
        index -= layer->parameter_count;
    }
    return NULL;
}

uint64_t nn_model_hash(const struct nn_model *model) {
    uint64_t hash = 0xcbf29ce484222325u;
    const struct nn_parameter *p;
    for (size_t i = 0; (p = nn_model_parameter(model, i)); i++) {
        const unsigned char *bytes = (const unsigned char *)p->values;
        for (size_t j = 0; j < p->rows * p->columns * sizeof(float); j++) {
            hash = (hash ^ bytes[j]) * 0x100000001b3u;
        }
    }
    return hash;
}

/* ---- Passes ---------------------------------------------------------------------------------- */

static void drop_activation(struct nn_model *model, size_t index) {
    if (index > 0) { /* x is the caller's */
        drop(model, model->activations[index]);
    }
    model->activations[index] = NULL;
}

void nn_model_release(struct nn_model *model) {
    for (size_t i = model->count + 1; i-- > 0;) {
        drop_activation(model, i);
    }
    for (size_t i = 0; i < model->count; i++) {
        drop(model, model->layers[i].saved);
        model->layers[i].saved = NULL;
    }
}

static bool read_by_backward(const struct nn_model *model, size_t index) {
    bool by_maker = index > 0 && (model->layers[index - 1].type->traits & NN_NEEDS_OUTPUT);
    bool by_next = index < model->count && (model->layers[index].type->traits & NN_NEEDS_INPUT);
    return by_maker || by_next;
}

size_t nn_model_kept(const struct nn_model *model, size_t batch) {
    size_t floats = 0;
    for (size_t i = 0; i < model->count; i++) {
        floats += read_by_backward(model, i + 1) ? batch * model->layers[i].outputs : 0;
    }
    return floats * sizeof(float);
}

static struct nn_pass pass_of(const struct nn_model *model, size_t layer) {
    return (struct nn_pass){
        .machine = model->machine,
        .batch = model->batch,
        .training = model->training,
        .key = nn_key(model->key, layer),
    };
}

/* Layer i's output, from activations[i] to activations[i+1]. */
static int forward_layer(struct nn_model *model, size_t i) {
    struct nn_layer *layer = &model->layers[i];
    struct nn_pass pass = pass_of(model, i);
    float *y = nn_floats(model->machine->heap, model->batch, layer->outputs, SW_TAG_ACTIVATION);
    model->activations[i + 1] = y;
    if (!y || layer->type->forward(layer, &pass, model->activations[i], y) != 0) {
        return -1;
    }
    if (!model->training || !read_by_backward(model, i)) {
        drop_activation(model, i);
    }
    return 0;
}

/* A layer that is not there in evaluation hands its input on; x of the caller is copied, as what
 * comes out of the model is the model's. */
static int skip_layer(struct nn_model *model, size_t i) {
    if (i > 0) {
        model->activations[i + 1] = model->activations[i];
        model->activations[i] = NULL;
        return 0;
    }
    size_t width = model->layers[i].inputs;
    float *y = nn_floats(model->machine->heap, model->batch, width, SW_TAG_ACTIVATION);
    model->activations[1] = y;
    if (!y) {
        return -1;
    }
    memcpy(y, model->activations[0], model->batch * width * sizeof *y);
    return 0;
}

const float *nn_model_forward(struct nn_model *model, const float *x, size_t batch, bool training,
                              uint64_t key) {
    nn_model_release(model);
    model->batch = batch;
    model->training = training;
    model->key = key;
    model->activations[0] = (float *)x; /* never written, never freed */
    for (size_t i = 0; i < model->count; i++) {
        bool skipped = !training && (model->layers[i].type->traits & NN_TRAINING_ONLY);
        if ((skipped ? skip_layer(model, i) : forward_layer(model, i)) != 0) {
            nn_model_release(model);
            return NULL;
        }
    }
    return model->activations[model->count];
}

/* The loss of the output, and *dz its gradient. The output goes unless its layer reads it. */
static int backward_loss(struct nn_model *model, const struct nn_loss *loss, const void *targets,
                         double *value, float **dz) {
    sw_heap *heap = model->machine->heap;
    size_t rows = model->batch, columns = nn_model_outputs(model);
    const float *z = model->activations[model->count];
    float *saved = NULL;
    if (loss->needs_saved && !(saved = nn_floats(heap, rows, columns, SW_TAG_TEMPORARY))) {
        return -1;
    }
    *value = loss->forward(rows, columns, z, targets, saved, model->machine);
    *dz = nn_floats(heap, rows, columns, SW_TAG_TEMPORARY);
    if (*dz) {
        loss->backward(rows, columns, z, targets, saved, *dz, model->machine);
    }
    sw_free(heap, saved);
    if (!read_by_backward(model, model->count)) {
        drop_activation(model, model->count);
    }
    return *dz ? 0 : -1;
}

static int take_gradients(const struct nn_model *model, struct nn_layer *layer) {
    for (size_t i = 0; i < layer->parameter_count; i++) {
        struct nn_parameter *p = &layer->parameters[i];
        if (!p->gradient) {
            p->gradient = nn_floats(model->machine->heap, p->rows, p->columns, SW_TAG_GRADIENT);
        }
        if (!p->gradient) {
            return -1;
        }
    }
    return 0;
}

/* From *dy at layer i's output to *dy at its input (NULL at the first layer). */
static int backward_layer(struct nn_model *model, size_t i, float **dy) {
    struct nn_layer *layer = &model->layers[i];
    struct nn_pass pass = pass_of(model, i);
    float *dx = NULL;
    if (take_gradients(model, layer) != 0) {
        return -1;
    }
    if (i > 0) {
        dx = nn_floats(model->machine->heap, model->batch, layer->inputs, SW_TAG_TEMPORARY);
        if (!dx) {
            return -1;
        }
    }
    unsigned traits = layer->type->traits;
    int status =
        layer->type->backward(layer, &pass, traits & NN_NEEDS_INPUT ? model->activations[i] : NULL,
                              traits & NN_NEEDS_OUTPUT ? model->activations[i + 1] : NULL, *dy, dx);
    drop(model, *dy);
    *dy = dx;
    drop_activation(model, i + 1);
    drop(model, layer->saved);
    layer->saved = NULL;
    if (i > 0 && !(model->layers[i - 1].type->traits & NN_NEEDS_OUTPUT)) {
        drop_activation(model, i);
    }
    return status;
}

int nn_model_backward(struct nn_model *model, const struct nn_loss *loss, const void *targets,
                      double *loss_value) {
    float *dy = NULL;
    int status = backward_loss(model, loss, targets, loss_value, &dy);
    for (size_t i = model->count; status == 0 && i-- > 0;) {
        status = backward_layer(model, i, &dy);
    }
    drop(model, dy);
    nn_model_release(model);
    return status;
}

void nn_model_free_gradients(struct nn_model *model) {
    struct nn_parameter *p;
    for (size_t i = 0; (p = nn_model_parameter(model, i)); i++) {
        drop(model, p->gradient);
        p->gradient = NULL;
    }
}
