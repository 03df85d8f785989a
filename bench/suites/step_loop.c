/*
 * step_loop.c - what a training step asks of an allocator, and nothing else: twelve tensors of 1 to
 * 48 MiB.
 *
 * Forward takes each tensor, writes all of it, and makes 200 small blocks come and go. Backward
 * takes a gradient of the same size for each tensor from the last to the first, writes it, frees
 * it, and frees the tensor. That is 330 MiB written; the most that is live is all the tensors and
 * the largest gradient, 213 MiB.
 *   fixed        the same sizes in every step
 *   ragged       all sizes of a step scaled by a factor in [0.3, 1), as with sequences of varying
 *                length; four blocks of 3 KB are born in each step and live for 16 more
 *   two threads  fixed, in two threads at once, each with tensors of its own. Steps are marked
 *                where there is one thread: only there do they mean something
 *
 * Factors come in rounds of eight, one out of each eighth of the range, and in pairs that add up to
 * the range's middle twice: no two are alike, and each round has the same mean. So the time of a
 * step does not depend on how many steps were timed. A round is what work() does.
 */
#include "suites.h"

enum {
    TENSORS = 12,
    SMALL_BLOCKS_EACH = 200, /* beside a tensor: 2400 a step */
    SMALL_LIVE = 32,
    ROUND = 8,
    SURVIVORS_EACH = 4, /* a step */
    SURVIVOR_STEPS = 16,
    SURVIVORS_LIVE = SURVIVORS_EACH * SURVIVOR_STEPS,
    SURVIVOR_SIZE = 3000,
};

static const size_t tensor_mib[TENSORS] = {1, 2, 3, 4, 6, 7, 9, 12, 16, 24, 33, 48};

struct step_loop {
    uint64_t random;
    size_t steps;
    void *tensors[TENSORS];
    void *small[SMALL_LIVE];
    size_t small_sizes[SMALL_BLOCKS_EACH];
    void *survivors[SURVIVORS_LIVE];
};

static void begin(struct worker *worker) {
    struct step_loop *own = worker->own;
    own->random = 1;
    for (size_t i = 0; i < SMALL_BLOCKS_EACH; i++)
        own->small_sizes[i] = 8 + next_random(&own->random) % (1 * KIB);
}

static size_t tensor_size(int i, double factor) {
    enum { FLOAT = sizeof(float) };
    return (size_t)((double)(tensor_mib[i] * MIB) * factor) / FLOAT * FLOAT;
}

/* Small blocks come and go, each living until SMALL_LIVE more have come. */
static void churn(struct worker *worker) {
    struct step_loop *own = worker->own;
    for (size_t i = 0; i < SMALL_BLOCKS_EACH; i++) {
        void **slot = &own->small[i % SMALL_LIVE];
        sw_free(worker->heap, *slot);
        *slot = take(worker, own->small_sizes[i]);
        touch(*slot, own->small_sizes[i]);
    }
}

static void free_small(struct worker *worker) {
    struct step_loop *own = worker->own;
    for (size_t i = 0; i < SMALL_LIVE; i++) {
        sw_free(worker->heap, own->small[i]);
        own->small[i] = NULL;
    }
}

/* One that stays is born in the place of one that has stayed long enough. */
static void replace_survivor(struct worker *worker, size_t which) {
    struct step_loop *own = worker->own;
    void **slot = &own->survivors[own->steps % SURVIVOR_STEPS * SURVIVORS_EACH + which];
    sw_free(worker->heap, *slot);
    *slot = take(worker, SURVIVOR_SIZE);
    touch(*slot, SURVIVOR_SIZE);
}

static void forward(struct worker *worker, double factor, bool survivors) {
    struct step_loop *own = worker->own;
    for (int i = 0; i < TENSORS; i++) {
        size_t size = tensor_size(i, factor);
        own->tensors[i] = take_tensor(worker, size, SW_TAG_ACTIVATION);
        fill(worker, own->tensors[i], i, size);
        churn(worker);
        if (survivors && i % (TENSORS / SURVIVORS_EACH) == 1)
            replace_survivor(worker, (size_t)i / (TENSORS / SURVIVORS_EACH));
    }
}

static void backward(struct worker *worker, double factor) {
    struct step_loop *own = worker->own;
    for (int i = TENSORS - 1; i >= 0; i--) {
        size_t size = tensor_size(i, factor);
        void *gradient = take_tensor(worker, size, SW_TAG_GRADIENT);
        fill(worker, gradient, i, size);
        if (i == TENSORS - 1)
            all_at_fullest(worker);
        sw_free(worker->heap, gradient);
        sw_free(worker->heap, own->tensors[i]);
    }
    free_small(worker);
}

static void step(struct worker *worker, double factor, bool survivors) {
    bool marked = worker->threads == 1;
    if (marked)
        sw_step_begin(worker->heap);
    forward(worker, factor, survivors);
    backward(worker, factor);
    if (marked)
        sw_step_end(worker->heap);
    ((struct step_loop *)worker->own)->steps++;
}

static void work_fixed(struct worker *worker) {
    step(worker, 1, false);
}

/* Draws k and ROUND-1-k together, so that the two add up to low + high. */
static void draw_factors(double factors[ROUND], uint64_t *random) {
    const double low = 0.3, high = 1;
    for (int k = 0; k < ROUND / 2; k++) {
        factors[k] = low + (high - low) * (k + next_uniform(random)) / ROUND;
        factors[ROUND - 1 - k] = low + high - factors[k];
    }
    for (size_t i = ROUND; i > 1; i--) {
        size_t j = next_random(random) % i;
        double factor = factors[j];
        factors[j] = factors[i - 1];
        factors[i - 1] = factor;
    }
}

static void begin_ragged(struct worker *worker) {
    begin(worker);
    worker->batch = ROUND;
}

static void work_ragged(struct worker *worker) {
    double factors[ROUND];
    draw_factors(factors, &((struct step_loop *)worker->own)->random);
    for (int i = 0; i < ROUND; i++)
        step(worker, factors[i], true);
}

static void end(struct worker *worker) {
    struct step_loop *own = worker->own;
    for (size_t i = 0; i < SURVIVORS_LIVE; i++)
        sw_free(worker->heap, own->survivors[i]);
}

#define STEPPING .unit = GB_MILLISECOND, .steps = true, .own_size = sizeof(struct step_loop)

static const struct workload workloads[] = {
    {
        .name = "step_loop_fixed",
        .summary = "12 tensors of 1 to 48 MiB written forward and backward, a step",
        .cases = {{1, {0}}},
        .warm_up = 3,
        .tracked = 4,
        .begin = begin,
        .work = work_fixed,
        STEPPING,
    },
    {
        .name = "step_loop_ragged",
        .summary = "the same with sizes that vary from step to step, and survivors",
        .cases = {{1, {0}}},
        .warm_up = 1,
        .tracked = 3,
        .begin = begin_ragged,
        .work = work_ragged,
        .end = end,
        STEPPING,
    },
    {
        .name = "step_loop_two_threads",
        .summary = "the fixed steps in two threads on one heap",
        .cases = {{2, {0}}},
        .warm_up = 3,
        .tracked = 4,
        .begin = begin,
        .work = work_fixed,
        STEPPING,
    },
};

const struct workload *step_loop_suite(size_t index) {
    return index < sizeof workloads / sizeof *workloads ? &workloads[index] : NULL;
}
