/*
 * recommend.c - see recommend.h. Every word follows from the medians.
 */
#include "recommend.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "table.h"

static const double unproven = 0.10; /* beyond, overlapping runs excuse nobody */

enum { CANDIDATES_MOST = 64, TEXT = 32 };

/* The rows still in the running. */
struct field {
    const struct row *rows;
    bool in[CANDIDATES_MOST];
    size_t count; /* of rows, in or out */
};

static double median(const struct row *row, enum measure measure) {
    return row->spreads[measure].median;
}

static size_t size_of_field(const struct field *field) {
    size_t in = 0;
    for (size_t i = 0; i < field->count; i++) {
        in += field->in[i];
    }
    return in;
}

/* The index of the lowest that is in and known; count when there is none. */
static size_t lowest(const struct field *field, enum measure measure) {
    size_t best = field->count;
    for (size_t i = 0; i < field->count; i++) {
        double value = median(&field->rows[i], measure);
        if (field->in[i] && !isnan(value) &&
            (best == field->count || value < median(&field->rows[best], measure))) {
            best = i;
        }
    }
    return best;
}

/* Keeps those at most `limit`; all when nobody is known to be. */
static void keep_within(struct field *field, enum measure measure, double limit) {
    if (lowest(field, measure) == field->count) {
        return;
    }
    for (size_t i = 0; i < field->count; i++) {
        double value = median(&field->rows[i], measure);
        field->in[i] = field->in[i] && !(value > limit); /* what is not known stays */
    }
}

/* The best of those in, plus what does not matter. NAN, which keeps all, when none is known. */
static double limit_of(const struct field *field, enum measure measure, double slack) {
    size_t best = lowest(field, measure);
    return best == field->count ? NAN : median(&field->rows[best], measure) + slack;
}

static double slack_in_bytes(const struct field *field) {
    size_t best = lowest(field, MEASURE_resident_peak);
    double peak = best == field->count ? 0 : median(&field->rows[best], MEASURE_resident_peak);
    return fmax(NOISE * peak, NOISE_BYTES);
}

static bool is_fast_enough(const struct row *row, const struct row *fastest) {
    double ratio = median(row, MEASURE_step_ms) / median(fastest, MEASURE_step_ms);
    bool overlaps = row->spreads[MEASURE_step_ms].min <= fastest->spreads[MEASURE_step_ms].max;
    return ratio <= 1 + NOISE || (overlaps && ratio <= 1 + unproven);
}

static void keep_fast(struct field *field) {
    const struct row *fastest = &field->rows[lowest(field, MEASURE_step_ms)];
    for (size_t i = 0; i < field->count; i++) {
        field->in[i] = field->in[i] && is_fast_enough(&field->rows[i], fastest);
    }
}

/* ---- The words ------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void say(struct recommendation *recommendation,
                                                      const char *format, ...) {
    size_t length = strlen(recommendation->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(recommendation->text + length, sizeof recommendation->text - length, format,
              arguments);
    va_end(arguments);
}

static double percent(double part, double whole) {
    return 100 * (part / whole - 1);
}

static bool overlaps_none(const struct row *row, const struct field *others) {
    for (size_t i = 0; i < others->count; i++) {
        const struct row *other = &others->rows[i];
        if (other != row &&
            other->spreads[MEASURE_step_ms].min <= row->spreads[MEASURE_step_ms].max) {
            return false;
        }
    }
    return true;
}

static void say_speed(struct recommendation *recommendation, const struct field *all,
                      const struct row *taken, size_t fast) {
    char ms[2][TEXT];
    const struct row *fastest = &all->rows[lowest(all, MEASURE_step_ms)];
    double step = median(taken, MEASURE_step_ms);
    double ratio = step / median(fastest, MEASURE_step_ms);
    format_digits(ms[0], TEXT, step);
    format_digits(ms[1], TEXT, median(fastest, MEASURE_step_ms));
    if (fast == 1 && taken->count == 1) {
        say(recommendation, "its step is the fastest (%s ms; one run does not tell it from noise)",
            ms[0]);
    } else if (fast == 1) {
        say(recommendation,
            overlaps_none(taken, all)
                ? "its step is the fastest, by more than noise (%s ms)"
                : "its step is the fastest (%s ms; some runs overlap others')",
            ms[0]);
    } else if (taken == fastest) {
        say(recommendation, "its step is the fastest (%s ms; %zu of %zu are as good as equal)",
            ms[0], fast, size_of_field(all));
    } else if (ratio <= 1 + NOISE) {
        say(recommendation, "its step (%s ms) is within 3 %% of the fastest (%s, %s ms)", ms[0],
            fastest->strategy, ms[1]);
    } else {
        say(recommendation,
            "its step (%s ms) is not proven slower than the fastest (%s, %s ms), whose runs it "
            "overlaps",
            ms[0], fastest->strategy, ms[1]);
    }
}

static void say_memory(struct recommendation *recommendation, const struct row *taken, size_t fast,
                       size_t lean) {
    char bytes[TEXT];
    char overhead[TEXT];
    double peak = median(taken, MEASURE_resident_peak);
    format_bytes(bytes, TEXT, peak);
    format_digits(overhead, TEXT, median(taken, MEASURE_overhead));
    if (isnan(peak)) {
        say(recommendation, ".");
    } else if (fast == 1) {
        say(recommendation, ", with %s resident at its peak (overhead %s).", bytes, overhead);
    } else if (lean == fast) {
        say(recommendation,
            ", and those %zu are as good as equal in resident memory at the peak too, this one "
            "with %s (overhead %s).",
            fast, bytes, overhead);
    } else if (lean == 1) {
        say(recommendation,
            ", and of the %zu that are that fast it has the least resident memory at its peak, %s "
            "(overhead %s).",
            fast, bytes, overhead);
    } else {
        say(recommendation,
            ", and of the %zu that are that fast, %zu are as good as equal in resident memory at "
            "the peak, this one with %s (overhead %s).",
            fast, lean, bytes, overhead);
    }
}

static void say_retention(struct recommendation *recommendation, const struct field *lean,
                          const struct row *taken, size_t frugal) {
    char bytes[TEXT];
    double kept = median(taken, MEASURE_retention_1000ms);
    if (isnan(kept)) {
        return;
    }
    format_bytes(bytes, TEXT, kept);
    if (size_of_field(lean) > 1 && frugal < size_of_field(lean)) {
        say(recommendation, " It is chosen for keeping least of it when idle: %s after a second.",
            bytes);
    } else if (kept > 0.1 * median(taken, MEASURE_resident_peak) && kept > NOISE_BYTES) {
        char trimmed[TEXT];
        format_bytes(trimmed, TEXT, median(taken, MEASURE_retention_after_trim));
        say(recommendation, " Idle for a second it keeps %s above what is live, %s after a trim.",
            bytes, trimmed);
    }
}

/* What one gives up by taking this one: somebody leaner that is slower. */
static void say_alternative(struct recommendation *recommendation, const struct field *all,
                            const struct row *taken) {
    size_t leanest = lowest(all, MEASURE_resident_peak);
    if (leanest == all->count) {
        return;
    }
    const struct row *other = &all->rows[leanest];
    double peak = median(taken, MEASURE_resident_peak);
    double other_peak = median(other, MEASURE_resident_peak);
    if (other == taken || peak - other_peak <= slack_in_bytes(all)) {
        return;
    }
    char bytes[TEXT];
    say(recommendation,
        " If memory matters more than time: %s peaks at %s (%+.0f %%), for a step %+.0f %%.",
        other->strategy, format_bytes(bytes, TEXT, other_peak), percent(other_peak, peak),
        percent(median(other, MEASURE_step_ms), median(taken, MEASURE_step_ms)));
}

static const char *why_nothing_compares(const struct field *all) {
    if (all->count < 2) {
        return "one strategy alone compares with nothing";
    }
    return size_of_field(all) == 0 ? "no strategy could do the work"
                                   : "one strategy alone could do the work";
}

void recommend(const struct row *rows, size_t count, struct recommendation *recommendation) {
    struct field all = {.rows = rows, .count = count < CANDIDATES_MOST ? count : CANDIDATES_MOST};
    *recommendation = (struct recommendation){0};
    for (size_t i = 0; i < all.count; i++) {
        all.in[i] = !isnan(median(&rows[i], MEASURE_step_ms));
    }
    if (size_of_field(&all) < 2) {
        say(recommendation, "No recommendation: %s.", why_nothing_compares(&all));
        return;
    }
    if (!losses_agree(rows, count) || !weights_agree(rows, count)) {
        say(recommendation, "No recommendation: what was run was not the same work.");
        return;
    }
    struct field fast = all;
    keep_fast(&fast);
    struct field lean = fast;
    keep_within(&lean, MEASURE_resident_peak,
                limit_of(&lean, MEASURE_resident_peak, slack_in_bytes(&lean)));
    struct field frugal = lean;
    keep_within(&frugal, MEASURE_retention_1000ms,
                limit_of(&frugal, MEASURE_retention_1000ms, slack_in_bytes(&frugal)));

    recommendation->given = true;
    recommendation->row = lowest(&frugal, MEASURE_step_ms);
    const struct row *taken = &rows[recommendation->row];
    say(recommendation, "Take %s for this work: ", taken->strategy);
    say_speed(recommendation, &all, taken, size_of_field(&fast));
    say_memory(recommendation, taken, size_of_field(&fast), size_of_field(&lean));
    say_retention(recommendation, &lean, taken, size_of_field(&frugal));
    say_alternative(recommendation, &all, taken);
}
