/*
 * step_loop.c - what a training step asks of an allocator, and nothing else: twelve tensors whose
 * sizes are as 1 to 48, from posix_memalign(64), as PyTorch's are.
 *
 *   step_loop fixed|ragged|threads [--largest KIB] [--steps N] [--long-idle]
 *
 * Forward takes each tensor, writes all of it, and makes 200 small blocks come and go. Backward
 * takes a gradient of the same size for each tensor from the last to the first, writes it, frees
 * it, and frees the tensor. The most that is live is all the tensors and the largest gradient: 213
 * MiB where the largest has 48. fixed    the same sizes in every step ragged   all sizes of a step
 * scaled by a factor in [0.3, 1) that follows from the step's number; four blocks of 3 KB are born
 * in each step and live for 16 more threads  fixed, in two threads that stand still together when
 * each holds the most
 */
#include <errno.h>
#include <pthread.h>

#include "inside.h"

enum {
    TENSORS = 12,
    SMALL_BLOCKS_EACH = 200, /* beside a tensor: 2400 a step */
    SMALL_LIVE = 32,
    SURVIVORS_EACH = 4, /* a step */
    SURVIVOR_STEPS = 16,
    SURVIVOR_SIZE = 3000,
    MAX_THREADS = 2,
};

static const size_t parts[TENSORS] = {1, 2, 3, 4, 6, 7, 9, 12, 16, 24, 33, 48};

static size_t largest = (size_t)48 << 20;
static int ragged;
static int threads = 1;
static pthread_barrier_t together;

struct worker {
    void *tensors[TENSORS];
    void *small[SMALL_LIVE];
    void *survivors[SURVIVOR_STEPS][SURVIVORS_EACH];
};

static struct worker workers[MAX_THREADS];

/* ---- Blocks that are counted ----------------------------------------------------------------- */

static int64_t live, peak;

static void count(int64_t bytes) {
    int64_t now = __atomic_add_fetch(&live, bytes, __ATOMIC_RELAXED);
    int64_t seen = __atomic_load_n(&peak, __ATOMIC_RELAXED);
    while (now > seen &&
           !__atomic_compare_exchange_n(&peak, &seen, now, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

static int64_t requested(int at_peak) {
    return at_peak ? peak : live;
}

static void *take(size_t alignment, size_t size) {
    void *block = NULL;
    if (alignment == 0) {
        block = malloc(size);
    } else if (posix_memalign(&block, alignment, size) != 0) {
        block = NULL;
    }
    if (!block) {
        fprintf(stderr, "step_loop: out of memory\n");
        exit(1);
    }
    memset(block, (int)size, size);
    count((int64_t)size);
    return block;
}

static void give(void *block, size_t size) {
    if (block) {
        free(block);
        count(-(int64_t)size);
    }
}

/* ---- A step ---------------------------------------------------------------------------------- */

/* In [0.3, 1): the bits of a product with an odd number are as good as drawn. */
static double factor_of(int number) {
    uint64_t mixed = (uint64_t)(number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return ragged ? 0.3 + 0.7 * (double)(mixed >> 11) / (double)(UINT64_C(1) << 53) : 1;
}

static size_t tensor_size(int i, double factor) {
    size_t whole = largest * parts[i] / parts[TENSORS - 1];
    return (size_t)((double)whole * factor) & ~(size_t)3;
}

static size_t small_size(int i) {
    return 8 + (size_t)i * 37 % 1024;
}

/* Small blocks come and go, each living until SMALL_LIVE more have come. */
static void churn(struct worker *worker) {
    for (int i = 0; i < SMALL_BLOCKS_EACH; i++) {
        void **slot = &worker->small[i % SMALL_LIVE];
        give(*slot, i >= SMALL_LIVE ? small_size(i - SMALL_LIVE) : 0);
        *slot = take(0, small_size(i));
    }
    for (int i = SMALL_BLOCKS_EACH - SMALL_LIVE; i < SMALL_BLOCKS_EACH; i++) {
        give(worker->small[i % SMALL_LIVE], small_size(i));
        worker->small[i % SMALL_LIVE] = NULL;
    }
}

/* One that stays is born in the place of one that has stayed long enough. */
static void replace_survivor(struct worker *worker, int number, int which) {
    void **slot = &worker->survivors[number % SURVIVOR_STEPS][which];
    give(*slot, SURVIVOR_SIZE);
    *slot = take(0, SURVIVOR_SIZE);
}

static void forward(struct worker *worker, int number, double factor) {
    for (int i = 0; i < TENSORS; i++) {
        worker->tensors[i] = take(64, tensor_size(i, factor));
        churn(worker);
        if (ragged && i % (TENSORS / SURVIVORS_EACH) == 1) {
            replace_survivor(worker, number, i / (TENSORS / SURVIVORS_EACH));
        }
    }
}

static void backward(struct worker *worker, double factor) {
    for (int i = TENSORS - 1; i >= 0; i--) {
        size_t size = tensor_size(i, factor);
        void *gradient = take(64, size);
        if (i == TENSORS - 1 && threads > 1) {
            pthread_barrier_wait(&together);
        }
        give(gradient, size);
        give(worker->tensors[i], size);
    }
}

static void step_of(struct worker *worker, int number) {
    double factor = factor_of(number);
    forward(worker, number, factor);
    backward(worker, factor);
}

/* ---- Threads --------------------------------------------------------------------------------- */

/* The second thread does a step whenever the first does, and never ends of itself. */
static void *follow(void *own) {
    for (;;) {
        pthread_barrier_wait(&together);
        step_of(own, 0);
        pthread_barrier_wait(&together);
    }
    return NULL;
}

static void step(int number) {
    if (threads > 1) {
        pthread_barrier_wait(&together);
    }
    step_of(&workers[0], number);
    if (threads > 1) {
        pthread_barrier_wait(&together);
    }
}

static void start_second(void) {
    pthread_t second;
    pthread_barrier_init(&together, NULL, MAX_THREADS);
    if (pthread_create(&second, NULL, follow, &workers[1]) != 0) {
        fprintf(stderr, "step_loop: no more threads\n");
        exit(1);
    }
}

/* ---- Options --------------------------------------------------------------------------------- */

static void fail_usage(void) {
    fprintf(stderr,
            "usage: step_loop fixed|ragged|threads [--largest KIB] [--steps 1..%d] "
            "[--long-idle]\n",
            MAX_STEPS);
    exit(2);
}

static int read_option(char **arguments, struct figures *figures) {
    if (strcmp(arguments[0], "--long-idle") == 0) {
        figures->long_idle = 1;
        return 1;
    }
    long value = arguments[1] ? strtol(arguments[1], NULL, 10) : 0;
    if (strcmp(arguments[0], "--largest") == 0 && value >= 64) {
        largest = (size_t)value << 10;
    } else if (strcmp(arguments[0], "--steps") == 0 && value >= 1 && value <= MAX_STEPS) {
        figures->steps = (int)value;
    } else {
        fail_usage();
    }
    return 2;
}

int main(int argc, char **arguments) {
    static struct figures figures = {.steps = 25, .step = step, .requested = requested};
    const char *kind = argc > 1 ? arguments[1] : "";
    ragged = strcmp(kind, "ragged") == 0;
    if (strcmp(kind, "threads") == 0) {
        threads = 2;
    } else if (!ragged && strcmp(kind, "fixed") != 0) {
        fail_usage();
    }
    for (int i = 2; i < argc;) {
        i += read_option(arguments + i, &figures);
    }
    figures.threads = threads;
    if (threads > 1) {
        start_second();
    }
    print_figures(&figures);
    return 0;
}
