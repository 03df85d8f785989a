/*
 * gbench.h - Google Benchmark for C: the whole of it that our suites use.
 *
 *     static void bench_copy(struct gb_state *state) {
 *         size_t size = (size_t)gb_arg(state, 0);
 *         ...
 *         while (gb_keep_running(state))
 *             memcpy(to, from, size);
 *         gb_set_bytes_processed(state, gb_iterations(state) * (int64_t)size);
 *     }
 *     int main(int argc, char **argv) {
 *         gb_range(gb_register("copy", bench_copy, NULL), 8, 8 << 10);
 *         return gb_main(argc, argv, NULL, print_error);
 *     }
 *
 * A benchmark is a C function. It is registered with a name and a context, and told by calls on the
 * registration how often and with which arguments and threads to run. A run is one call of the
 * function, or one at once in each of several threads; the library makes as many runs as it takes
 * to find an iteration count that lasts long enough. The words are Google Benchmark's, and so are
 * the command line and the JSON: see its user guide.
 */
#ifndef GBENCH_H
#define GBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gb_benchmark; /* a registration; lives as long as the process */
struct gb_state;     /* one thread of one run */

typedef void gb_function(struct gb_state *state);

/* ---- Registration ---------------------------------------------------------------------------- */

/* context is the benchmark's own, for gb_context(). */
struct gb_benchmark *gb_register(const char *name, gb_function *run, void *context);

/* Arguments: each call adds one more set of them, or in the case of ranges several, and the
 * benchmark runs once for each. A range goes from the first value to the last by powers of the
 * multiplier (8); several ranges are their product. Names are shown before the values. */
void gb_args(struct gb_benchmark *benchmark, size_t count, const int64_t *values);
void gb_range(struct gb_benchmark *benchmark, int64_t first, int64_t last);
void gb_ranges(struct gb_benchmark *benchmark, size_t count, const int64_t (*ranges)[2]);
void gb_dense_range(struct gb_benchmark *benchmark, int64_t first, int64_t last, int step);
void gb_range_multiplier(struct gb_benchmark *benchmark, int multiplier);
void gb_arg_names(struct gb_benchmark *benchmark, size_t count, const char *const *names);

/* Each call adds one more number of threads to run with. The times of a run with threads are those
 * of one iteration of any of them, so that N threads at full speed take an Nth of the real time. */
void gb_threads(struct gb_benchmark *benchmark, int threads);

/* How long a run lasts: exactly so many iterations, or at least so many seconds. */
void gb_iterations_exactly(struct gb_benchmark *benchmark, int64_t iterations);
void gb_min_time(struct gb_benchmark *benchmark, double seconds);
void gb_repetitions(struct gb_benchmark *benchmark, int repetitions);

enum gb_unit { GB_NANOSECOND, GB_MICROSECOND, GB_MILLISECOND, GB_SECOND };
void gb_unit(struct gb_benchmark *benchmark, enum gb_unit unit);

/* What counts as the time of an iteration, in place of the running thread's CPU time: the clock on
 * the wall, gb_set_iteration_time(), and the CPU time of every thread of the process. */
void gb_use_real_time(struct gb_benchmark *benchmark);
void gb_use_manual_time(struct gb_benchmark *benchmark);
void gb_measure_process_cpu_time(struct gb_benchmark *benchmark);

/* Called once in a run: the one by the first thread to arrive, before any enters the function, the
 * other when all threads have ended but the main one. Neither is timed. In the tear-down the state
 * is good for the context, the arguments and the number of threads, no more. */
void gb_setup(struct gb_benchmark *benchmark, gb_function *setup);
void gb_teardown(struct gb_benchmark *benchmark, gb_function *teardown);

/* ---- In a run -------------------------------------------------------------------------------- */

void *gb_context(const struct gb_state *state);
int64_t gb_arg(const struct gb_state *state, size_t index);
int gb_thread_count(const struct gb_state *state);
int gb_thread_index(const struct gb_state *state);

/* True while there are iterations to do. The first call starts the timer and waits for the other
 * threads, the last one stops it. A function must not return before it has seen false, or has
 * skipped. An empty loop costs about 0.5 ns an iteration, as the library's own in C++ does. */
static inline bool gb_keep_running(struct gb_state *state);
/* The same for work done count iterations at a time; there may be up to count - 1 too many. A run
 * uses one of the two. */
bool gb_keep_running_batch(struct gb_state *state, int64_t count);

/* Iterations this run is to do, and those done; the latter is right once the loop has ended. */
int64_t gb_iterations_wanted(const struct gb_state *state);
int64_t gb_iterations(const struct gb_state *state);

/* Work inside the loop that is not to count. Dear: about a microsecond for the pair. */
void gb_pause_timing(struct gb_state *state);
void gb_resume_timing(struct gb_state *state);

/* What this iteration took; once in each, with gb_use_manual_time(). */
void gb_set_iteration_time(struct gb_state *state, double seconds);

/* The run has failed, for this reason: no time is reported for it. The loop ends. */
void gb_skip_with_error(struct gb_state *state, const char *reason);

void gb_set_label(struct gb_state *state, const char *label);
void gb_set_bytes_processed(struct gb_state *state, int64_t bytes); /* bytes_per_second */
void gb_set_items_processed(struct gb_state *state, int64_t items); /* items_per_second */

/* How a counter is shown. The values that threads set under one name are added up first. */
enum gb_counter_kind {
    GB_PLAIN = 0,
    GB_RATE = 1,                /* divided by the seconds of the run */
    GB_AVERAGE_THREADS = 2,     /* divided by the number of threads */
    GB_EACH_ITERATION = 4,      /* multiplied by the number of iterations */
    GB_AVERAGE_ITERATIONS = 8,  /* divided by the number of iterations */
    GB_EACH_ITERATION_RATE = 5, /* worth so much an iteration; shown by the second */
};
void gb_counter(struct gb_state *state, const char *name, double value, enum gb_counter_kind kind);

/* ---- Keeping the compiler from deleting the work --------------------------------------------- */

/* The value is needed: whatever leads to it is done. */
#define gb_do_not_optimize(value) __asm__ volatile("" : : "r,m"(value) : "memory")
/* All memory that anyone else could reach is read and written here. */
#define gb_clobber_memory() __asm__ volatile("" : : : "memory")

/* ---- The program ----------------------------------------------------------------------------- */

/* A line of the context that goes before the results. */
void gb_add_context(const char *key, const char *value);

/* Runs what the command line asks for; help, if not NULL, prints what --help shows, and unknown
 * says that the first argument nobody knows is one. The exit code: 0, or 2 when an argument is
 * unknown or the filter matches nothing. */
int gb_main(int argc, char **argv, void (*help)(void), void (*unknown)(const char *argument));

/* ---- What is inline -------------------------------------------------------------------------- */

struct gb_state {
    int64_t left; /* iterations of the loop still to do */
    void *cxx;    /* benchmark::State */
    const struct gb_benchmark *benchmark;
};

/* Starts the loop, or ends it: a call at either end, and none between. */
bool gb_start_or_finish(struct gb_state *state);

static inline bool gb_keep_running(struct gb_state *state) {
    if (__builtin_expect(state->left > 0, 1)) {
        state->left--;
        return true;
    }
    return gb_start_or_finish(state);
}

#ifdef __cplusplus
}
#endif
#endif
