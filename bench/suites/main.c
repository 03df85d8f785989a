/*
 * main.c - stepwell-bench: every workload over every strategy of the list.
 *
 * The command line is Google Benchmark's. A benchmark is named workload/strategy/arguments, so that
 * two strategies of one run are compared by
 *     compare.py filters ./stepwell-bench step_loop_fixed/system step_loop_fixed/pool
 * and two builds by
 *     compare.py benchmarks before.json after.json
 *
 * Peaks are a heap's own, never the process's, so that one benchmark does not show in the next. One
 * strategy is the exception: libc's memory is told by the growth of the process, and what libc kept
 * of an earlier benchmark in spite of a trim it grows into unseen. Where its figures matter to the
 * last MiB, run it by itself: --benchmark_filter=WORKLOAD/system.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h" /* the library's */
#include "suites.h"

static const struct workload *(*const suites[])(size_t index) = {
#define SUITE(name) name##_suite,
    SUITES(SUITE)
#undef SUITE
};

enum { SUITE_COUNT = sizeof suites / sizeof suites[0] };

static void help(void) {
    puts("Usage: stepwell-bench [--benchmark_filter=REGEX] [--benchmark_list_tests]\n"
         "                      [--benchmark_min_time=SECONDS] [--benchmark_repetitions=N]\n"
         "                      [--benchmark_enable_random_interleaving]\n"
         "                      [--benchmark_format=console|json|csv] [--benchmark_out=FILE]\n"
         "                      [any other option of Google Benchmark 1.7]\n\n"
         "Times every workload over every strategy, and measures the memory of each beside.\n\n"
         "Workloads:");
    for (size_t i = 0; i < SUITE_COUNT; i++)
        for (size_t j = 0; suites[i](j); j++)
            printf("  %-26s %s\n", suites[i](j)->name, suites[i](j)->summary);
    puts("\nStrategies:");
    for (size_t i = 0; sw_strategy_info(i); i++)
        printf("  %-26s %s\n", sw_strategy_info(i)->name, sw_strategy_info(i)->summary);
    puts("\nExamples:\n"
         "  stepwell-bench --benchmark_filter=step_loop\n"
         "  stepwell-bench --benchmark_filter='/pool(/|$)' --benchmark_format=json >pool.json");
}

/* Google Benchmark 1.7's options, for the line on one that is none of them. */
static const char *const option_names[] = {"--benchmark_color",
                                           "--benchmark_context",
                                           "--benchmark_counters_tabular",
                                           "--benchmark_display_aggregates_only",
                                           "--benchmark_enable_random_interleaving",
                                           "--benchmark_filter",
                                           "--benchmark_format",
                                           "--benchmark_list_tests",
                                           "--benchmark_min_time",
                                           "--benchmark_min_warmup_time",
                                           "--benchmark_out",
                                           "--benchmark_out_format",
                                           "--benchmark_perf_counters",
                                           "--benchmark_repetitions",
                                           "--benchmark_report_aggregates_only",
                                           "--benchmark_time_unit",
                                           "--help",
                                           NULL};

static void refuse(const char *argument) {
    char name[64];
    size_t length = strcspn(argument, "=");
    const char *value = argument[length] ? argument + length + 1 : "";
    snprintf(name, sizeof name, "%.*s", (int)length, argument);
    for (const char *const *known = option_names; *known; known++) {
        if (strcmp(name, *known) == 0) {
            fprintf(stderr, "stepwell-bench: '%s' is no value of %s\n", value, name);
            return;
        }
    }
    char why[1024];
    sw__explain_unknown("option", name, strlen(name), option_names, why, sizeof why);
    fprintf(stderr, "stepwell-bench: %s\n", why);
}

/* The machine's setting that changes the figures most. */
static void add_huge_pages_to_context(void) {
    char text[64] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (file && fgets(text, sizeof text, file))
        text[strcspn(text, "\n")] = '\0';
    if (file)
        fclose(file);
    gb_add_context("transparent_hugepage", *text ? text : "unknown");
}

/* The value of the last such option, name and sign included in `option`; NULL for none. */
static const char *value_of(int argc, char **argv, const char *option) {
    size_t length = strlen(option);
    const char *value = NULL;
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], option, length) == 0)
            value = argv[i] + length;
    return value;
}

/* The library does not ask whether its file could be written: whole results end in a line, and JSON
 * in its last brace. */
static bool is_whole(const char *path, const char *format) {
    char last[2] = "";
    struct stat of_file;
    if (stat(path, &of_file) != 0 || !S_ISREG(of_file.st_mode))
        return true; /* the library has said that it cannot be opened; or nobody can read it again */
    FILE *file = fopen(path, "r");
    bool is_read = file && fseek(file, -2, SEEK_END) == 0 && fread(last, 1, 2, file) == 2;
    if (file)
        fclose(file);
    bool is_json = !format || strcmp(format, "json") == 0;
    return is_read && last[1] == '\n' && (!is_json || last[0] == '}');
}

int main(int argc, char **argv) {
    const char *out = value_of(argc, argv, "--benchmark_out=");
    const char *format = value_of(argc, argv, "--benchmark_out_format=");
    const char *lists = value_of(argc, argv, "--benchmark_list_tests");
    if (!format)
        format = getenv("BENCHMARK_OUT_FORMAT");
    gb_add_context("stepwell_version", sw_version());
    add_huge_pages_to_context();
    for (size_t i = 0; i < SUITE_COUNT; i++)
        for (size_t j = 0; suites[i](j); j++)
            for (size_t k = 0; sw_strategy_info(k); k++)
                register_workload(suites[i](j), sw_strategy_info(k)->name);
    int code = gb_main(argc, argv, help, refuse);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "stepwell-bench: not all could be written: %s\n", strerror(errno));
        return 1;
    }
    if (code == 0 && out && *out && !lists && !is_whole(out, format)) {
        fprintf(stderr, "stepwell-bench: not all could be written to %s: is the disk full?\n", out);
        return 1;
    }
    return code;
}
