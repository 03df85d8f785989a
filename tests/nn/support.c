/*
 * Support of the tests of nn; see support.h.
 */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

/* Leaves free memory full of NaN, so that who relies on fresh zeros is seen. */
static void dirty(sw_heap *heap) {
    enum { BLOCKS = 64, SIZE = 64 << 10 };
    void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = sw_alloc(heap, SIZE, SW_TAG_OTHER);
        assert_non_null(blocks[i]);
        memset(blocks[i], 0xff, SIZE);
    }
    for (int i = 0; i < BLOCKS; i++) {
        sw_free(heap, blocks[i]);
    }
}

struct bench *open_bench(unsigned threads) {
    static struct bench bench;
    bench.heap = sw_heap_create("pool", NULL);
    assert_non_null(bench.heap);
    dirty(bench.heap);
    struct nn_error error = {""};
    if (nn_machine_start(&bench.machine, bench.heap, threads, &error) != 0) {
        fail_msg("%s", error.sentence);
    }
    return &bench;
}

size_t live_bytes(sw_heap *heap) {
    struct sw_stats stats;
    assert_int_equal(sw_heap_stats(heap, &stats, sizeof stats), 0);
    return stats.requested.current;
}

void close_bench(struct bench *bench) {
    nn_machine_stop(&bench->machine);
    assert_int_equal(live_bytes(bench->heap), 0);
    sw_heap_destroy(bench->heap);
}

void fill(float *values, size_t count, float limit, uint64_t key) {
    for (size_t i = 0; i < count; i++) {
        values[i] = (float)(limit * (2 * nn_uniform(key, i) - 1));
    }
}

static double sum_forward(size_t rows, size_t columns, const float *z, const void *targets,
                          float *saved, const struct nn_machine *machine) {
    (void)saved;
    (void)machine;
    const float *weights = targets;
    double sum = 0;
    for (size_t i = 0; i < rows * columns; i++) {
        sum += (double)z[i] * weights[i];
    }
    return sum;
}

static void sum_backward(size_t rows, size_t columns, const float *z, const void *targets,
                         const float *saved, float *dz, const struct nn_machine *machine) {
    (void)z;
    (void)saved;
    (void)machine;
    memcpy(dz, targets, rows * columns * sizeof *dz);
}

const struct nn_loss weighted_sum = {
    .name = "weighted_sum", .forward = sum_forward, .backward = sum_backward};

static int probe_shape(struct nn_layer *layer, const void *config) {
    memcpy(layer->state, &config, sizeof config);
    layer->outputs = layer->inputs;
    return 0;
}

static int probe_forward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                         float *y) {
    memcpy(y, x, pass->batch * layer->inputs * sizeof *y);
    return 0;
}

static int probe_backward(struct nn_layer *layer, const struct nn_pass *pass, const float *x,
                          const float *y, const float *dy, float *dx) {
    assert_null(x); /* it asked for neither */
    assert_null(y);
    size_t size = pass->batch * layer->inputs * sizeof *dy;
    memcpy(*(float **)layer->state, dy, size);
    if (dx) {
        memcpy(dx, dy, size);
    }
    return 0;
}

const struct nn_layer_type probe = {
    .name = "probe",
    .state_size = sizeof(float *),
    .shape = probe_shape,
    .forward = probe_forward,
    .backward = probe_backward,
};

void check_near(double a, double b, double tolerance, const char *file, int line) {
    double scale = fmax(1, fmax(fabs(a), fabs(b)));
    if (!(fabs(a - b) <= tolerance * scale)) {
        print_error("%.9g is not near %.9g (tolerance %g)\n", a, b, tolerance);
        _fail(file, line);
    }
}
