/*
 * measures.h - the list of measures that `compare` reports: one list, from which the table, the
 * JSON keys, the CSV columns and the spreads follow.
 *
 * A run of one strategy in a process of its own is a struct run; the runs of a strategy together
 * are a struct row, of medians and spreads.
 */
#ifndef STEPWELL_MEASURES_H
#define STEPWELL_MEASURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum measure_kind { IN_MS, IN_BYTES, AS_RATIO, AS_SHARE, AS_COUNT };
enum measure_best { BEST_NONE, BEST_LOWEST, BEST_HIGHEST };
enum measure_place { IN_TABLE, IN_FILES_ONLY }; /* shown in the table, or in JSON and CSV alone */

/* key, header in the table, kind, which value is best, where it is shown */
#define MEASURES(X)                                                                                \
    X(step_ms, "step\nms", IN_MS, BEST_LOWEST, IN_TABLE)                                           \
    X(requested_peak, "requested\npeak MiB", IN_BYTES, BEST_LOWEST, IN_TABLE)                      \
    X(allocated_peak, "allocated\npeak MiB", IN_BYTES, BEST_LOWEST, IN_TABLE)                      \
    X(active_peak, "active\npeak MiB", IN_BYTES, BEST_LOWEST, IN_FILES_ONLY)                       \
    X(resident_peak, "resident\npeak MiB", IN_BYTES, BEST_LOWEST, IN_TABLE)                        \
    X(reserved_peak, "reserved\npeak MiB", IN_BYTES, BEST_LOWEST, IN_FILES_ONLY)                   \
    X(metadata_peak, "metadata\npeak MiB", IN_BYTES, BEST_LOWEST, IN_FILES_ONLY)                   \
    X(overhead, "overhead", AS_RATIO, BEST_LOWEST, IN_TABLE)                                       \
    X(internal_fragmentation, "internal\nfragm.", AS_SHARE, BEST_LOWEST, IN_TABLE)                 \
    X(external_fragmentation, "external\nfragm.", AS_SHARE, BEST_LOWEST, IN_TABLE)                 \
    X(utilisation, "utilisation", AS_SHARE, BEST_HIGHEST, IN_FILES_ONLY)                           \
    X(utilisation_of_peaks, "utilisation\nof peaks", AS_SHARE, BEST_HIGHEST, IN_FILES_ONLY)        \
    X(retention_0ms, "retention\n0 ms MiB", IN_BYTES, BEST_LOWEST, IN_TABLE)                       \
    X(retention_1000ms, "retention\n1 s MiB", IN_BYTES, BEST_LOWEST, IN_TABLE)                     \
    X(retention_after_trim, "retention\ntrim MiB", IN_BYTES, BEST_LOWEST, IN_TABLE)                \
    X(survivors, "survivors", AS_COUNT, BEST_LOWEST, IN_TABLE)                                     \
    X(releasable, "releasable\nMiB", IN_BYTES, BEST_LOWEST, IN_FILES_ONLY)                         \
    X(pinned, "pinned\nMiB", IN_BYTES, BEST_LOWEST, IN_FILES_ONLY)                                 \
    X(unseen, "unseen\nMiB", IN_BYTES, BEST_NONE, IN_FILES_ONLY)                                   \
    X(drift, "drift\nB a step", AS_COUNT, BEST_NONE, IN_FILES_ONLY)                                \
    X(page_faults_per_step, "page faults\nper step", AS_COUNT, BEST_LOWEST, IN_TABLE)              \
    X(memory_system_calls_per_step, "memory calls\nper step", AS_COUNT, BEST_LOWEST, IN_TABLE)

enum measure {
#define MEASURE_ID(key, header, kind, best, place) MEASURE_##key,
    MEASURES(MEASURE_ID)
#undef MEASURE_ID
        MEASURE_COUNT
};

/* Differences below these are noise: of a time or a size as a share of it, of a size in bytes too.
 */
#define NOISE       0.03
#define NOISE_BYTES (64 * 1024.0)

struct measure_info {
    const char *key;
    const char *header;
    enum measure_kind kind;
    enum measure_best best;
    enum measure_place place;
};

extern const struct measure_info measure_infos[MEASURE_COUNT];

/* One run: NAN where a measure could not be taken. */
struct run {
    double values[MEASURE_COUNT];
    double final_loss;
    double accuracy;
    uint64_t weights_hash;
};

struct spread {
    double median;
    double min;
    double max;
};

/* Of the values that are numbers; all NAN when none is. Sorts values in place. */
struct spread spread_of(double *values, size_t count);

enum { RUNS_MOST = 1000 };

enum { WHY_MOST = 600 };

/* The runs of one strategy; none, where one of them failed. */
struct row {
    const char *strategy;
    struct run *runs;
    size_t count;
    char failed[WHY_MOST]; /* a sentence; "": it did not */
    struct spread spreads[MEASURE_COUNT];
};

/* Fills spreads from the runs. */
void summarise_row(struct row *row);

/* Is this row's median the best of the measure? Nobody's is when all are equal, and differences
 * too small to print are none. */
bool is_best(enum measure measure, const struct row *rows, size_t count, size_t row);

bool has_failed(const struct row *row);
/* Of all rows. */
size_t count_runs(const struct row *rows, size_t count);

/* Did every run of every row end with the same loss, and the same weights, to the last bit? */
bool losses_agree(const struct row *rows, size_t count);
bool weights_agree(const struct row *rows, size_t count);

/* The value as the table shows it. */
const char *format_measure(char *text, size_t size, enum measure measure, double value);

#endif
