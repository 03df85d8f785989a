/*
 * The machine: floats from the heap, OpenBLAS held at one thread, products cut among workers.
 */
#include "machine.h"

#include <cblas.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>

static pthread_mutex_t blas_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- OpenBLAS's buffers: one for each thread that is in a product, kept for the next ---------- */

/* On x86-64; on other processors some are smaller. */
#define BUFFER_SIZE ((size_t)128 << 20)

/* OpenBLAS has them in no header. A build of it may lack them: then its buffers are taken in the first
 * products, and the room that was found is only hoped to be there still. */
extern void *blas_memory_alloc(int place) __attribute__((weak));
extern void blas_memory_free(void *buffer) __attribute__((weak));

static unsigned buffers; /* that it has of us */

/* Not reserved, as one mapping may be more than the machine has: of buffers little is touched. */
static bool has_room(size_t size) {
    void *start = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return start != MAP_FAILED && munmap(start, size) == 0;
}

bool nn_blas_has_room(void) {
    return has_room(BUFFER_SIZE);
}

/* All at once, or each would be the first one again. */
static void take_buffers(unsigned count) {
    void *taken[NN_THREADS_MAX];
    if (!blas_memory_alloc || !blas_memory_free) {
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        taken[i] = blas_memory_alloc(0);
    }
    for (unsigned i = 0; i < count; i++) {
        blas_memory_free(taken[i]);
    }
}

static int fail_for_room(size_t size, struct nn_error *error) {
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return nn_fail(error,
                   "out of memory: OpenBLAS needs %zu MiB of address space for its buffers, "
                   "and %s",
                   size >> 20,
                   limited ? "RLIMIT_AS (ulimit -v) leaves less: raise it"
                           : "the system does not give them");
}

/* Buffers for so many threads in all. OpenBLAS asks for a buffer that it is refused again and again
 * without end, so they are taken while there is room, and not when the heap has grown into it. */
static int provide_buffers(unsigned threads, struct nn_error *error) {
    unsigned wanted = threads < NN_THREADS_MAX ? threads : NN_THREADS_MAX;
    if (wanted <= buffers) {
        return 0;
    }
    size_t size = (wanted - buffers) * BUFFER_SIZE;
    if (!has_room(size)) {
        return fail_for_room(size, error);
    }
    take_buffers(wanted);
    buffers = wanted;
    return 0;
}

/* ---- OpenBLAS's thread count is the process's: saved by the first machine, restored by the last */

static unsigned threads_in_use; /* of all machines */
static int blas_threads_before;

static int hold_blas(unsigned threads, struct nn_error *error) {
    pthread_mutex_lock(&blas_lock);
    int status = provide_buffers(threads_in_use + threads, error);
    if (status == 0 && threads_in_use == 0) {
        blas_threads_before = openblas_get_num_threads();
        openblas_set_num_threads(1);
    }
    threads_in_use += status == 0 ? threads : 0;
    pthread_mutex_unlock(&blas_lock);
    return status;
}

static void release_blas(unsigned threads) {
    pthread_mutex_lock(&blas_lock);
    threads_in_use -= threads;
    if (threads_in_use == 0) {
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
    if (hold_blas(threads, error) != 0) {
        nn_workers_destroy(machine->workers);
        machine->workers = NULL;
        return -1;
    }
    return 0;
}

void nn_machine_stop(struct nn_machine *machine) {
    if (machine->workers) {
        release_blas(nn_workers_count(machine->workers));
        nn_workers_destroy(machine->workers);
        machine->workers = NULL;
    }
}
