/*
 * test_shim.c - Google Benchmark for C: what is registered and set in C arrives, in the functions
 * and in the JSON.
 *
 * The group's set-up registers every benchmark below and runs them all once, as a program would;
 * each test looks at one of them: at what its function saw (struct seen), at its row of the JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "gbench.h"

enum { MAX_SEEN = 64 };

/* What a benchmark's function was told, in all its runs. */
struct seen {
    atomic_int calls;
    atomic_int setups;
    atomic_int teardowns;
    atomic_int inside; /* threads in the function now */
    atomic_bool out_of_order;
    int64_t args[MAX_SEEN][2];
    atomic_int threads_seen[8];
    int64_t wanted;
    int64_t iterated;
    int64_t reported;
};

static cJSON *results;

/* ---- The benchmarks -------------------------------------------------------------------------- */

static void spin(double seconds) {
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 <
           seconds);
}

static void note_args(struct gb_state *state, size_t count) {
    struct seen *seen = gb_context(state);
    int call = atomic_fetch_add(&seen->calls, 1);
    assert_in_range(call, 0, MAX_SEEN - 1);
    for (size_t i = 0; i < count; i++)
        seen->args[call][i] = gb_arg(state, i);
    while (gb_keep_running(state))
        gb_clobber_memory();
}

static void bench_one_arg(struct gb_state *state) {
    note_args(state, 1);
}

static void bench_two_args(struct gb_state *state) {
    note_args(state, 2);
}

static void bench_iterations(struct gb_state *state) {
    struct seen *seen = gb_context(state);
    seen->calls++;
    seen->wanted = gb_iterations_wanted(state);
    while (gb_keep_running(state))
        seen->iterated++;
    seen->reported = gb_iterations(state);
}

static void bench_batch(struct gb_state *state) {
    struct seen *seen = gb_context(state);
    while (gb_keep_running_batch(state, 8))
        seen->iterated += 8;
    seen->reported = gb_iterations(state);
}

static void set_up(struct gb_state *state) {
    struct seen *seen = gb_context(state);
    seen->out_of_order |= seen->inside != 0;
    seen->setups++;
}

static void tear_down(struct gb_state *state) {
    struct seen *seen = gb_context(state);
    seen->out_of_order |= seen->inside != 0;
    seen->teardowns++;
}

static void bench_threads(struct gb_state *state) {
    struct seen *seen = gb_context(state);
    seen->inside++;
    seen->out_of_order |= seen->setups != seen->teardowns + 1;
    seen->threads_seen[gb_thread_index(state)]++;
    if (gb_thread_index(state) == 0)
        seen->wanted = gb_thread_count(state);
    while (gb_keep_running(state))
        gb_clobber_memory();
    gb_counter(state, "sum", 3, GB_PLAIN);
    gb_counter(state, "average", 3, GB_AVERAGE_THREADS);
    seen->inside--;
}

static void bench_counters(struct gb_state *state) {
    while (gb_keep_running(state))
        spin(1e-4);
    gb_counter(state, "plain", 2.5, GB_PLAIN);
    gb_counter(state, "rate", 1000, GB_RATE);
    gb_counter(state, "each", 7, GB_EACH_ITERATION);
    gb_counter(state, "each_rate", 7, GB_EACH_ITERATION_RATE);
    gb_counter(state, "by_iteration", 50, GB_AVERAGE_ITERATIONS);
    gb_set_bytes_processed(state, 4096);
    gb_set_items_processed(state, 20);
    gb_set_label(state, "a label, \"quoted\"");
}

static void bench_manual(struct gb_state *state) {
    while (gb_keep_running(state))
        gb_set_iteration_time(state, 0.25);
}

static void bench_paused(struct gb_state *state) {
    while (gb_keep_running(state)) {
        gb_pause_timing(state);
        spin(5e-3);
        gb_resume_timing(state);
        spin(1e-4);
    }
}

static void bench_skipped_before(struct gb_state *state) {
    gb_skip_with_error(state, "no such thing here");
}

static void bench_skipped_within(struct gb_state *state) {
    struct seen *seen = gb_context(state);
    while (gb_keep_running(state))
        if (++seen->iterated == 3)
            gb_skip_with_error(state, "broke at the third");
}

static void bench_min_time(struct gb_state *state) {
    struct seen *seen = gb_context(state);
    seen->calls++;
    while (gb_keep_running(state))
        spin(1e-3);
}

/* A dead store each, had the compiler its way. */
static void bench_not_optimized(struct gb_state *state) {
    static char memory[1 << 20];
    while (gb_keep_running(state)) {
        memset(memory, 1, sizeof memory);
        gb_clobber_memory();
        int unused = memory[5] * 3;
        gb_do_not_optimize(unused);
    }
    gb_set_bytes_processed(state, gb_iterations(state) * (int64_t)sizeof memory);
}

/* ---- Registration and the one run ------------------------------------------------------------ */

static struct seen range, ranges, dense, args, iterations, batch, threads, skipped, min_time,
    process_time;

static struct gb_benchmark *once(const char *name, gb_function *run, struct seen *seen) {
    struct gb_benchmark *benchmark = gb_register(name, run, seen);
    gb_iterations_exactly(benchmark, 10);
    return benchmark;
}

static void register_args(void) {
    struct gb_benchmark *benchmark = once("range", bench_one_arg, &range);
    gb_range_multiplier(benchmark, 4);
    gb_range(benchmark, 1, 64);
    benchmark = once("ranges", bench_two_args, &ranges);
    gb_ranges(benchmark, 2, (const int64_t[][2]){{1, 8}, {8, 64}});
    gb_dense_range(once("dense", bench_one_arg, &dense), 2, 8, 3);
    benchmark = once("args", bench_two_args, &args);
    gb_arg_names(benchmark, 2, (const char *const[]){"rows", "columns"});
    gb_args(benchmark, 2, (const int64_t[]){3, 5});
    gb_args(benchmark, 2, (const int64_t[]){7, -1});
}

static void register_threads(void) {
    struct gb_benchmark *benchmark = once("threads", bench_threads, &threads);
    gb_threads(benchmark, 4);
    gb_use_real_time(benchmark);
    gb_setup(benchmark, set_up);
    gb_teardown(benchmark, tear_down);
    gb_repetitions(benchmark, 3);
}

static void register_all(void) {
    register_args();
    register_threads();
    once("iterations", bench_iterations, &iterations);
    once("batch", bench_batch, &batch);
    gb_unit(once("counters", bench_counters, NULL), GB_MICROSECOND);
    struct gb_benchmark *manual = once("manual", bench_manual, NULL);
    gb_use_manual_time(manual);
    gb_unit(manual, GB_SECOND);
    gb_unit(once("paused", bench_paused, NULL), GB_MILLISECOND);
    once("skipped_before", bench_skipped_before, NULL);
    once("skipped_within", bench_skipped_within, &skipped);
    gb_min_time(gb_register("min_time", bench_min_time, &min_time), 0.05);
    once("not_optimized", bench_not_optimized, NULL);
    gb_measure_process_cpu_time(once("process_time", bench_iterations, &process_time));
    gb_add_context("colour", "blue");
}

static cJSON *read_json(const char *path) {
    static char text[1 << 20];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    return cJSON_Parse(text);
}

static int run_all(void **state) {
    (void)state;
    char out[64], option[96];
    snprintf(out, sizeof out, "/tmp/test_shim.%ld.json", (long)getpid());
    snprintf(option, sizeof option, "--benchmark_out=%s", out);
    char *argv[] = {"test_shim", option, "--benchmark_out_format=json", NULL};
    register_all();
    int code = gb_main(3, argv, NULL, NULL);
    results = read_json(out);
    remove(out);
    return code == 0 && results ? 0 : -1;
}

static int forget_results(void **state) {
    (void)state;
    cJSON_Delete(results);
    return 0;
}

/* ---- Looking at the JSON --------------------------------------------------------------------- */

static const cJSON *find_row(const char *name) {
    const cJSON *row;
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(results, "benchmarks")) {
        if (strcmp(cJSON_GetObjectItem(row, "name")->valuestring, name) == 0)
            return row;
    }
    return NULL;
}

static const cJSON *field(const char *name, const char *key) {
    const cJSON *row = find_row(name);
    if (!row)
        fail_msg("no result is named '%s'", name);
    const cJSON *item = cJSON_GetObjectItem(row, key);
    if (!item)
        fail_msg("'%s' has no '%s'", name, key);
    return item;
}

static double number(const char *name, const char *key) {
    assert_true(cJSON_IsNumber(field(name, key)));
    return field(name, key)->valuedouble;
}

static const char *text(const char *name, const char *key) {
    assert_true(cJSON_IsString(field(name, key)));
    return field(name, key)->valuestring;
}

static void assert_near(double value, double wanted) {
    if (!(value > wanted * 0.999999 && value < wanted * 1.000001))
        fail_msg("%g is not %g", value, wanted);
}

static void assert_between(double value, double low, double high) {
    if (!(value >= low && value <= high))
        fail_msg("%g is not within %g and %g", value, low, high);
}

/* ---- The tests ------------------------------------------------------------------------------- */

static void a_range_goes_by_powers_of_the_multiplier(void **state) {
    (void)state;
    assert_int_equal(range.calls, 4);
    assert_int_equal(range.args[0][0], 1);
    assert_int_equal(range.args[1][0], 4);
    assert_int_equal(range.args[2][0], 16);
    assert_int_equal(range.args[3][0], 64);
    assert_non_null(find_row("range/16/iterations:10"));
}

static void several_ranges_are_their_product(void **state) {
    (void)state;
    assert_int_equal(ranges.calls, 4);
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "ranges/%d/%d/iterations:10", (int)ranges.args[i][0],
                 (int)ranges.args[i][1]);
        assert_non_null(find_row(name));
    }
    assert_non_null(find_row("ranges/8/8/iterations:10"));
    assert_non_null(find_row("ranges/1/64/iterations:10"));
}

static void a_dense_range_goes_by_its_step(void **state) {
    (void)state;
    assert_int_equal(dense.calls, 3);
    assert_int_equal(dense.args[1][0], 5);
    assert_int_equal(dense.args[2][0], 8);
}

static void each_set_of_args_is_run_under_its_names(void **state) {
    (void)state;
    assert_int_equal(args.calls, 2);
    assert_int_equal(args.args[0][0], 3);
    assert_int_equal(args.args[0][1], 5);
    assert_int_equal(args.args[1][1], -1);
    assert_non_null(find_row("args/rows:3/columns:5/iterations:10"));
    assert_non_null(find_row("args/rows:7/columns:-1/iterations:10"));
}

static void exactly_so_many_iterations_are_done(void **state) {
    (void)state;
    assert_int_equal(iterations.calls, 1);
    assert_int_equal(iterations.wanted, 10);
    assert_int_equal(iterations.iterated, 10);
    assert_int_equal(iterations.reported, 10);
    assert_near(number("iterations/iterations:10", "iterations"), 10);
    assert_string_equal(text("iterations/iterations:10", "run_type"), "iteration");
}

static void a_batch_counts_what_it_did_too_much(void **state) {
    (void)state;
    assert_int_equal(batch.iterated, 16);
    assert_int_equal(batch.reported, 16);
    assert_near(number("batch/iterations:10", "iterations"), 16);
}

#define THREADS "threads/iterations:10/repeats:3/real_time/threads:4"

static void every_thread_is_told_its_index(void **state) {
    (void)state;
    assert_int_equal(threads.wanted, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(threads.threads_seen[i], 3);
    assert_int_equal(threads.threads_seen[4], 0);
    assert_near(number(THREADS, "threads"), 4);
    assert_near(number(THREADS, "iterations"), 40);
}

static void counters_of_threads_are_added_or_averaged(void **state) {
    (void)state;
    assert_near(number(THREADS, "sum"), 12);
    assert_near(number(THREADS, "average"), 3);
}

static void set_up_and_tear_down_are_called_once_round_all_threads(void **state) {
    (void)state;
    assert_int_equal(threads.setups, 3);
    assert_int_equal(threads.teardowns, 3);
    assert_int_equal(threads.inside, 0);
    assert_false(threads.out_of_order);
}

static void repetitions_give_aggregates(void **state) {
    (void)state;
    assert_string_equal(text(THREADS "_mean", "run_type"), "aggregate");
    assert_string_equal(text(THREADS "_median", "aggregate_name"), "median");
}

#define COUNTERS "counters/iterations:10"

static void counters_arrive_as_their_kind_says(void **state) {
    (void)state;
    double seconds = number(COUNTERS, "cpu_time") * 10 / 1e6;
    assert_near(number(COUNTERS, "plain"), 2.5);
    assert_near(number(COUNTERS, "rate"), 1000 / seconds);
    assert_near(number(COUNTERS, "each"), 70);
    assert_near(number(COUNTERS, "each_rate"), 70 / seconds);
    assert_near(number(COUNTERS, "by_iteration"), 5);
    assert_near(number(COUNTERS, "bytes_per_second"), 4096 / seconds);
    assert_near(number(COUNTERS, "items_per_second"), 20 / seconds);
}

static void a_label_arrives(void **state) {
    (void)state;
    assert_string_equal(text(COUNTERS, "label"), "a label, \"quoted\"");
}

static void times_are_in_the_unit(void **state) {
    (void)state;
    assert_string_equal(text(COUNTERS, "time_unit"), "us");
    assert_between(number(COUNTERS, "real_time"), 100, 100000);
    assert_string_equal(text("manual/iterations:10/manual_time", "time_unit"), "s");
}

static void manual_time_is_the_time_that_was_set(void **state) {
    (void)state;
    assert_near(number("manual/iterations:10/manual_time", "real_time"), 0.25);
}

static void all_threads_time_counts_where_it_is_asked_for(void **state) {
    (void)state;
    assert_int_equal(process_time.iterated, 10);
    assert_non_null(find_row("process_time/iterations:10/process_time"));
}

static void what_is_paused_does_not_count(void **state) {
    (void)state;
    assert_between(number("paused/iterations:10", "cpu_time"), 0.01, 2.5);
}

static void a_skipped_run_tells_why(void **state) {
    (void)state;
    assert_true(cJSON_IsTrue(field("skipped_before/iterations:10", "error_occurred")));
    assert_string_equal(text("skipped_before/iterations:10", "error_message"),
                        "no such thing here");
}

static void skipping_ends_the_loop(void **state) {
    (void)state;
    assert_int_equal(skipped.iterated, 3);
    assert_string_equal(text("skipped_within/iterations:10", "error_message"),
                        "broke at the third");
}

static void a_minimal_time_is_reached_by_several_runs(void **state) {
    (void)state;
    assert_true(min_time.calls > 1);
    assert_true(number("min_time/min_time:0.050", "iterations") *
                    number("min_time/min_time:0.050", "cpu_time") >=
                0.05e9);
}

static void stores_are_not_optimized_away(void **state) {
    (void)state;
    assert_between(number("not_optimized/iterations:10", "bytes_per_second"), 1, 200e9);
}

static void context_arrives(void **state) {
    (void)state;
    const cJSON *context = cJSON_GetObjectItem(results, "context");
    assert_string_equal(cJSON_GetObjectItem(context, "colour")->valuestring, "blue");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_goes_by_powers_of_the_multiplier),
        cmocka_unit_test(several_ranges_are_their_product),
        cmocka_unit_test(a_dense_range_goes_by_its_step),
        cmocka_unit_test(each_set_of_args_is_run_under_its_names),
        cmocka_unit_test(exactly_so_many_iterations_are_done),
        cmocka_unit_test(a_batch_counts_what_it_did_too_much),
        cmocka_unit_test(every_thread_is_told_its_index),
        cmocka_unit_test(counters_of_threads_are_added_or_averaged),
        cmocka_unit_test(set_up_and_tear_down_are_called_once_round_all_threads),
        cmocka_unit_test(repetitions_give_aggregates),
        cmocka_unit_test(counters_arrive_as_their_kind_says),
        cmocka_unit_test(a_label_arrives),
        cmocka_unit_test(times_are_in_the_unit),
        cmocka_unit_test(manual_time_is_the_time_that_was_set),
        cmocka_unit_test(all_threads_time_counts_where_it_is_asked_for),
        cmocka_unit_test(what_is_paused_does_not_count),
        cmocka_unit_test(a_skipped_run_tells_why),
        cmocka_unit_test(skipping_ends_the_loop),
        cmocka_unit_test(a_minimal_time_is_reached_by_several_runs),
        cmocka_unit_test(stores_are_not_optimized_away),
        cmocka_unit_test(context_arrives),
    };
    return cmocka_run_group_tests(tests, run_all, forget_results);
}
