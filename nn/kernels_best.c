/*
 * Which kernels to run: the tables compiled in, and what each needs of the processor.
 */
#include <stdbool.h>

#include "kernels.h"

extern const struct nn_kernels nn_kernels_plain;

#ifdef NN_HAVE_AVX2
extern const struct nn_kernels nn_kernels_avx2;

static bool have_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

const struct nn_kernels *nn_kernels_at(size_t index) {
    if (index == 0) {
        return &nn_kernels_plain;
    }
#ifdef NN_HAVE_AVX2
    if (index == 1 && have_avx2()) {
        return &nn_kernels_avx2;
    }
#endif
    return NULL;
}

const struct nn_kernels *nn_kernels_best(void) {
    const struct nn_kernels *best = nn_kernels_at(0);
    for (size_t i = 1; nn_kernels_at(i); i++) {
        best = nn_kernels_at(i);
    }
    return best;
}
