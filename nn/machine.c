/*
 * The machine: floats from the heap, OpenBLAS held at one thread, products cut among workers.
 */
#include "machine.h"

#include <cblas.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>

/* ---- OpenBLAS's thread count is the process's: saved by the first machine, restored by the last */

static pthread_mutex_t blas_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned blas_users;
static int blas_threads_before;

static void hold_blas(void) {
    pthread_mutex_lock(&blas_lock);
    if (blas_users++ == 0) {
        blas_threads_before = openblas_get_num_threads();
        openblas_set_num_threads(1);
    }
    pthread_mutex_unlock(&blas_lock);
}

static void release_blas(void) {
    pthread_mutex_lock(&blas_lock);
    if (--blas_users == 0) {
        openblas_set_num_threads(blas_threads_before);
    }
    pthread_mutex_unlock(&blas_lock);
}

/* ---- Products -------------------------------------------------------------------------------- */

/* Multiply-adds worth a second thread: some 50 microseconds of one. */
#define PRODUCT_GRAIN ((size_t)1 << 21)

static void multiply_part(const struct nn_product *p, size_t row, size_t rows, size_t column,
                          size_t columns) {
    size_t lda = p->transpose_a ? p->m : p->k;
    size_t ldb = p->transpose_b ? p->k : p->n;
    const float *a = p->a + (p->transpose_a ? row : row * p->k);
    const float *b = p->b + (p->transpose_b ? column * p->k : column);
    cblas_sgemm(CblasRowMajor, p->transpose_a ? CblasTrans : CblasNoTrans,
                p->transpose_b ? CblasTrans : CblasNoTrans, (blasint)rows, (blasint)columns,
                (blasint)p->k, 1.0f, a, (blasint)lda, b, (blasint)ldb, p->beta,
                p->c + row * p->n + column, (blasint)p->n);
}

static void multiply_rows(void *context, size_t begin, size_t end) {
    const struct nn_product *p = context;
    multiply_part(p, begin, end - begin, 0, p->n);
}

static void multiply_columns(void *context, size_t begin, size_t end) {
    const struct nn_product *p = context;
    multiply_part(p, 0, p->m, begin, end - begin);
}

void nn_multiply(const struct nn_machine *machine, const struct nn_product *product) {
    struct nn_product p = *product;
    bool by_rows = p.m >= p.n;
    size_t cut = by_rows ? p.m : p.n;
    size_t work_per_cut = (by_rows ? p.n : p.m) * p.k;
    size_t grain = PRODUCT_GRAIN / (work_per_cut + 1) + 1;
    nn_parallel(machine->workers, cut, grain, by_rows ? multiply_rows : multiply_columns, &p);
}

/* ---- Floats ---------------------------------------------------------------------------------- */

int nn_floats_size(size_t rows, size_t columns, size_t *bytes) {
    size_t count;
    if (__builtin_mul_overflow(rows, columns, &count) ||
        __builtin_mul_overflow(count, sizeof(float), bytes) || *bytes > PTRDIFF_MAX) {
        return -1;
    }
    /* OpenBLAS counts rows and columns in int. */
    return rows <= INT_MAX && columns <= INT_MAX ? 0 : -1;
}

float *nn_floats(sw_heap *heap, size_t rows, size_t columns, enum sw_tag tag) {
    size_t bytes;
    if (nn_floats_size(rows, columns, &bytes) != 0) {
        return NULL;
    }
    return sw_alloc_aligned(heap, NN_ALIGNMENT, bytes, tag);
}

int nn_machine_start(struct nn_machine *machine, sw_heap *heap, unsigned threads,
                     struct nn_error *error) {
    *machine = (struct nn_machine){.heap = heap, .kernels = nn_kernels_best()};
    machine->workers = nn_workers_create(heap, threads, error);
    if (!machine->workers) {
        return -1;
    }
    hold_blas();
    return 0;
}

void nn_machine_stop(struct nn_machine *machine) {
    if (machine->workers) {
        release_blas();
        nn_workers_destroy(machine->workers);
        machine->workers = NULL;
    }
}
