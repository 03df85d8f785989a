/*
 * gbench.cc - gbench.h over Google Benchmark: the only C++ of the project.
 *
 * Every function is one call of the library's, with the types changed. Two things the library has
 * no way to say are made here. Its functions carry no context: a lambda does. Its set-up functions
 * carry none either, and are not told which benchmark they are for: ours is called by the first of
 * a run's threads to arrive, which leaves word of its benchmark for the tear-down.
 */
#include "gbench.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <initializer_list>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

struct gb_benchmark {
    gb_function *run;
    void *context;
    gb_function *setup = nullptr;
    gb_function *teardown = nullptr;
    benchmark::internal::Benchmark *registered = nullptr;
    std::mutex mutex; // guards entered, and the call of setup
    int entered = 0;  // threads of the run under way

    gb_benchmark(gb_function *function, void *its_context) : run(function), context(its_context) {
    }
};

static gb_benchmark *under_way; // runs follow one another

static benchmark::State *cxx(const gb_state *state) {
    return static_cast<benchmark::State *>(state->cxx);
}

static void enter(gb_benchmark *benchmark, gb_state *state) {
    std::lock_guard<std::mutex> lock(benchmark->mutex);
    if (benchmark->entered++ > 0)
        return;
    under_way = benchmark;
    if (benchmark->setup)
        benchmark->setup(state);
}

static void run(gb_benchmark *benchmark, benchmark::State &cxx_state) {
    gb_state state = {0, &cxx_state, benchmark};
    enter(benchmark, &state);
    benchmark->run(&state);
}

// The library calls it when the run's threads have been joined.
static void finish(const benchmark::State &cxx_state) {
    gb_state state = {0, const_cast<benchmark::State *>(&cxx_state), under_way};
    under_way->entered = 0;
    if (under_way->teardown)
        under_way->teardown(&state);
}

// ---- Registration ------------------------------------------------------------------------------

gb_benchmark *gb_register(const char *name, gb_function *function, void *context) {
    static std::deque<gb_benchmark> all; // a deque does not move what it holds
    gb_benchmark *benchmark = &all.emplace_back(function, context);
    benchmark->registered = benchmark::RegisterBenchmark(
        name, [benchmark](benchmark::State &state) { run(benchmark, state); });
    benchmark->registered->Teardown(finish);
    return benchmark;
}

void gb_args(gb_benchmark *benchmark, size_t count, const int64_t *values) {
    benchmark->registered->Args({values, values + count});
}

void gb_range(gb_benchmark *benchmark, int64_t first, int64_t last) {
    benchmark->registered->Range(first, last);
}

void gb_ranges(gb_benchmark *benchmark, size_t count, const int64_t (*ranges)[2]) {
    std::vector<std::pair<int64_t, int64_t>> pairs;
    for (size_t i = 0; i < count; i++)
        pairs.emplace_back(ranges[i][0], ranges[i][1]);
    benchmark->registered->Ranges(pairs);
}

void gb_dense_range(gb_benchmark *benchmark, int64_t first, int64_t last, int step) {
    benchmark->registered->DenseRange(first, last, step);
}

void gb_range_multiplier(gb_benchmark *benchmark, int multiplier) {
    benchmark->registered->RangeMultiplier(multiplier);
}

void gb_arg_names(gb_benchmark *benchmark, size_t count, const char *const *names) {
    benchmark->registered->ArgNames({names, names + count});
}

void gb_threads(gb_benchmark *benchmark, int threads) {
    benchmark->registered->Threads(threads);
}

void gb_iterations_exactly(gb_benchmark *benchmark, int64_t iterations) {
    benchmark->registered->Iterations(iterations);
}

void gb_min_time(gb_benchmark *benchmark, double seconds) {
    benchmark->registered->MinTime(seconds);
}

void gb_repetitions(gb_benchmark *benchmark, int repetitions) {
    benchmark->registered->Repetitions(repetitions);
}

void gb_unit(gb_benchmark *benchmark, enum gb_unit unit) {
    static_assert(GB_NANOSECOND == int(benchmark::kNanosecond) &&
                      GB_SECOND == int(benchmark::kSecond),
                  "gb_unit lists the library's units in its order");
    benchmark->registered->Unit(static_cast<benchmark::TimeUnit>(unit));
}

void gb_use_real_time(gb_benchmark *benchmark) {
    benchmark->registered->UseRealTime();
}

void gb_use_manual_time(gb_benchmark *benchmark) {
    benchmark->registered->UseManualTime();
}

void gb_measure_process_cpu_time(gb_benchmark *benchmark) {
    benchmark->registered->MeasureProcessCPUTime();
}

void gb_setup(gb_benchmark *benchmark, gb_function *setup) {
    benchmark->setup = setup;
}

void gb_teardown(gb_benchmark *benchmark, gb_function *teardown) {
    benchmark->teardown = teardown;
}

// ---- In a run ----------------------------------------------------------------------------------

void *gb_context(const gb_state *state) {
    return state->benchmark->context;
}

int64_t gb_arg(const gb_state *state, size_t index) {
    return cxx(state)->range(index);
}

int gb_thread_count(const gb_state *state) {
    return cxx(state)->threads();
}

int gb_thread_index(const gb_state *state) {
    return cxx(state)->thread_index();
}

bool gb_start_or_finish(gb_state *state) {
    benchmark::IterationCount all = cxx(state)->max_iterations;
    bool started = cxx(state)->KeepRunningBatch(all);
    state->left = started ? all - 1 : 0;
    return started;
}

bool gb_keep_running_batch(gb_state *state, int64_t count) {
    return cxx(state)->KeepRunningBatch(count);
}

int64_t gb_iterations_wanted(const gb_state *state) {
    return cxx(state)->max_iterations;
}

int64_t gb_iterations(const gb_state *state) {
    return cxx(state)->iterations();
}

void gb_pause_timing(gb_state *state) {
    cxx(state)->PauseTiming();
}

void gb_resume_timing(gb_state *state) {
    cxx(state)->ResumeTiming();
}

void gb_set_iteration_time(gb_state *state, double seconds) {
    cxx(state)->SetIterationTime(seconds);
}

void gb_skip_with_error(gb_state *state, const char *reason) {
    state->left = 0;
    cxx(state)->SkipWithError(reason);
}

void gb_set_label(gb_state *state, const char *label) {
    cxx(state)->SetLabel(label);
}

void gb_set_bytes_processed(gb_state *state, int64_t bytes) {
    cxx(state)->SetBytesProcessed(bytes);
}

void gb_set_items_processed(gb_state *state, int64_t items) {
    cxx(state)->SetItemsProcessed(items);
}

void gb_counter(gb_state *state, const char *name, double value, gb_counter_kind kind) {
    using Counter = benchmark::Counter;
    static_assert(GB_RATE == int(Counter::kIsRate) &&
                      GB_AVERAGE_THREADS == int(Counter::kAvgThreads) &&
                      GB_EACH_ITERATION == int(Counter::kIsIterationInvariant) &&
                      GB_AVERAGE_ITERATIONS == int(Counter::kAvgIterations) &&
                      GB_EACH_ITERATION_RATE == int(Counter::kIsIterationInvariantRate),
                  "gb_counter_kind's values are the library's");
    cxx(state)->counters[name] = Counter(value, static_cast<Counter::Flags>(kind));
}

// ---- The program -------------------------------------------------------------------------------

void gb_add_context(const char *key, const char *value) {
    benchmark::AddCustomContext(key, value);
}

// The library calls the help for a value it does not know, too, and exits with 0.
static int given_count;
static char **given;
static void (*given_help)(void);
static void (*given_unknown)(const char *argument);

static bool is_one_of(const std::string &value, std::initializer_list<const char *> known) {
    return std::any_of(known.begin(), known.end(),
                       [&value](const char *each) { return value == each; });
}

static bool has_wrong_value(const std::string &argument) {
    size_t length = argument.find('=');
    if (length == std::string::npos)
        return false;
    std::string name = argument.substr(0, length), value = argument.substr(length + 1);
    if (name == "--benchmark_format" || name == "--benchmark_out_format")
        return !is_one_of(value, {"console", "json", "csv"});
    if (name == "--benchmark_time_unit")
        return !is_one_of(value, {"ns", "us", "ms", "s"});
    return name == "--benchmark_color" && value.empty();
}

static void help_or_refuse(void) {
    for (int i = 1; i < given_count; i++)
        if (has_wrong_value(given[i])) {
            given_unknown(given[i]);
            std::exit(2);
        }
    given_help();
}

int gb_main(int argc, char **argv, void (*help)(void), void (*unknown)(const char *argument)) {
    std::vector<char *> all(argv, argv + argc); // the library takes out what it knows
    given_count = argc;
    given = all.data();
    given_help = help ? help : benchmark::PrintDefaultHelp;
    given_unknown = unknown;
    benchmark::Initialize(&argc, argv, help_or_refuse);
    if (argc > 1) {
        unknown(argv[1]);
        return 2;
    }
    size_t matched = benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return matched ? 0 : 2;
}
