/*
 * measures.c - see measures.h.
 */
#include "measures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

const struct measure_info measure_infos[MEASURE_COUNT] = {
#define MEASURE_INFO(key, header, kind, best, place) {#key, header, kind, best, place},
    MEASURES(MEASURE_INFO)
#undef MEASURE_INFO
};

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t drop_unknown(double *values, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isnan(values[i])) {
            values[kept++] = values[i];
        }
    }
    return kept;
}

struct spread spread_of(double *values, size_t count) {
    count = drop_unknown(values, count);
    if (count == 0) {
        return (struct spread){NAN, NAN, NAN};
    }
    qsort(values, count, sizeof *values, by_value);
    double middle = count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
    return (struct spread){middle, values[0], values[count - 1]};
}

void summarise_row(struct row *row) {
    double values[RUNS_MOST];
    for (int measure = 0; measure < MEASURE_COUNT; measure++) {
        for (size_t i = 0; i < row->count; i++) {
            values[i] = row->runs[i].values[measure];
        }
        row->spreads[measure] = spread_of(values, row->count);
    }
}

const char *format_measure(char *text, size_t size, enum measure measure, double value) {
    switch (measure_infos[measure].kind) {
    case IN_BYTES:
        return format_mib(text, size, value);
    case AS_SHARE:
        if (!isnan(value)) {
            snprintf(text, size, "%.3f", value);
            return text;
        }
        return format_digits(text, size, value);
    case AS_COUNT:
        if (value == floor(value)) {
            snprintf(text, size, "%.0f", value);
            return text;
        }
        return format_digits(text, size, value);
    default:
        return format_digits(text, size, value);
    }
}

/* What cannot be told apart in print is not told apart by a mark either. */
static bool looks_equal(enum measure measure, double a, double b) {
    char text_a[40];
    char text_b[40];
    format_measure(text_a, sizeof text_a, measure, a);
    format_measure(text_b, sizeof text_b, measure, b);
    return strcmp(text_a, text_b) == 0;
}

static bool is_better(enum measure_best best, double a, double b) {
    return best == BEST_LOWEST ? a < b : a > b;
}

bool is_best(enum measure measure, const struct row *rows, size_t count, size_t row) {
    enum measure_best best = measure_infos[measure].best;
    double mine = rows[row].spreads[measure].median;
    bool somebody_is_worse = false;
    if (best == BEST_NONE || isnan(mine)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        double other = rows[i].spreads[measure].median;
        if (isnan(other) || looks_equal(measure, mine, other)) {
            continue;
        }
        if (is_better(best, other, mine)) {
            return false;
        }
        somebody_is_worse = true;
    }
    return somebody_is_worse;
}

bool has_failed(const struct row *row) {
    return row->failed[0] != '\0';
}

size_t count_runs(const struct row *rows, size_t count) {
    size_t runs = 0;
    for (size_t i = 0; i < count; i++) {
        runs += rows[i].count;
    }
    return runs;
}

/* Bit for bit: a NaN agrees with the same NaN, 0 does not with -0. */
static bool same_bits(double a, double b) {
    uint64_t bits[2];
    memcpy(&bits[0], &a, sizeof a);
    memcpy(&bits[1], &b, sizeof b);
    return bits[0] == bits[1];
}

static bool same_loss(const struct run *a, const struct run *b) {
    return same_bits(a->final_loss, b->final_loss);
}

static bool same_weights(const struct run *a, const struct run *b) {
    return a->weights_hash == b->weights_hash;
}

static bool all_agree(const struct row *rows, size_t count,
                      bool (*same)(const struct run *, const struct run *)) {
    const struct run *first = NULL;
    for (size_t row = 0; row < count; row++) {
        for (size_t i = 0; i < rows[row].count; i++) {
            const struct run *run = &rows[row].runs[i];
            first = first ? first : run;
            if (!same(first, run)) {
                return false;
            }
        }
    }
    return true;
}

bool losses_agree(const struct row *rows, size_t count) {
    return all_agree(rows, count, same_loss);
}

bool weights_agree(const struct row *rows, size_t count) {
    return all_agree(rows, count, same_weights);
}
