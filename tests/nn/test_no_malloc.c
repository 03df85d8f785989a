/*
 * Nothing in nn calls malloc in steady state. This program's malloc family takes the place of
 * libc's for every library in the process, and counts while it is told to: from the third step to
 * the last. (The strategies here get their memory from the system, not from malloc.)
 */
#include "support.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "train.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

static atomic_bool counting;
static atomic_size_t calls;

static void count(void) {
    if (atomic_load(&counting)) {
        atomic_fetch_add(&calls, 1);
    }
}

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t members, size_t size) {
    count();
    return __libc_calloc(members, size);
}

void *realloc(void *block, size_t size) {
    count();
    return __libc_realloc(block, size);
}

void *memalign(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
    count();
    *block = __libc_memalign(alignment, size);
    return *block ? 0 : ENOMEM;
}

void free(void *block) {
    if (block) {
        count();
    }
    __libc_free(block);
}

static void watch(void *context, const struct nn_progress *progress) {
    (void)context;
    if (progress->step == 2) {
        atomic_store(&counting, true);
    } else if (progress->step == progress->steps) {
        atomic_store(&counting, false);
    }
}

static size_t count_calls(struct nn_train_options options, const char *strategy) {
    struct nn_result result;
    char error[512];
    options.heap = sw_heap_create(strategy, NULL);
    assert_non_null(options.heap);
    options.on_step = watch;
    calls = 0;
    if (nn_train(&options, &result, error, sizeof error) != 0) {
        fail_msg("%s", error);
    }
    sw_heap_destroy(options.heap);
    return calls;
}

static void check(struct nn_train_options options) {
    for (options.threads = 1; options.threads <= 2; options.threads++) {
        for (int keep = 0; keep < 2; keep++) {
            options.free_gradients = keep;
            assert_int_equal(count_calls(options, "pool"), 0);
            assert_int_equal(count_calls(options, "arena"), 0);
        }
    }
}

static void digits(void **state) {
    (void)state;
    check((struct nn_train_options){.steps = 120}); /* epochs end in between */
}

static void mlp(void **state) {
    (void)state;
    check((struct nn_train_options){.model = "mlp", .batch = 64, .steps = 6});
}

static void wide(void **state) {
    (void)state;
    check((struct nn_train_options){.model = "wide", .batch = 128, .steps = 8});
}

/* The counter counts: the system strategy's blocks are malloc's. */
static void the_counter_counts(void **state) {
    (void)state;
    assert_true(count_calls((struct nn_train_options){.steps = 20}, "system") > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counter_counts),
        cmocka_unit_test(digits),
        cmocka_unit_test(mlp),
        cmocka_unit_test(wide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
