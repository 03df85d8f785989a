/*
 * compare_output.c - a comparison as a table with words, as JSON, as CSV. All three are made from
 * the one list in measures.h.
 */
#include <math.h>
#include <string.h>

#include "compare.h"
#include "facts.h"
#include "output.h"
#include "recommend.h"
#include "table.h"

enum { TEXT = 40, KEY = 64 };

/* What is equal in all runs; of a row that failed, nothing. */
static const struct run *first_run(const struct row *row) {
    static const struct run unknown = {.final_loss = NAN, .accuracy = NAN};
    return row->count > 0 ? &row->runs[0] : &unknown;
}

/* ---- The table ------------------------------------------------------------------------------- */

/* Do the row's runs differ by more than the noise, and enough to be printed differently? */
static bool is_spread(const struct spread *spread, enum measure measure) {
    char low[TEXT];
    char high[TEXT];
    double width = spread->max - spread->min;
    format_measure(low, sizeof low, measure, spread->min);
    format_measure(high, sizeof high, measure, spread->max);
    return width > NOISE * spread->max && strcmp(low, high) != 0 &&
           (measure_infos[measure].kind != IN_BYTES || width > NOISE_BYTES);
}

/* The spread of times is always worth a look; that of other measures where there is one. */
static bool has_spread(const struct comparison *comparison, enum measure measure) {
    bool has = measure_infos[measure].kind == IN_MS && comparison->runs > 1;
    for (size_t i = 0; i < comparison->count; i++) {
        has = has || is_spread(&comparison->rows[i].spreads[measure], measure);
    }
    return has;
}

static void add_median(struct table *table, const struct comparison *comparison,
                       enum measure measure) {
    char text[TEXT];
    size_t column = table_column(table, measure_infos[measure].header, ALIGN_RIGHT);
    for (size_t row = 0; row < comparison->count; row++) {
        bool best = is_best(measure, comparison->rows, comparison->count, row);
        double median = comparison->rows[row].spreads[measure].median;
        table_set(table, row, column, best ? MARK_BEST : MARK_NONE, "%s",
                  format_measure(text, sizeof text, measure, median));
    }
}

static void add_spread(struct table *table, const struct comparison *comparison,
                       enum measure measure) {
    char low[TEXT];
    char high[TEXT];
    size_t column = table_column_beside(table, "min..max", ALIGN_LEFT);
    for (size_t row = 0; row < comparison->count; row++) {
        const struct spread *spread = &comparison->rows[row].spreads[measure];
        if (spread->max > spread->min) {
            format_measure(low, sizeof low, measure, spread->min);
            format_measure(high, sizeof high, measure, spread->max);
            table_set(table, row, column, MARK_NONE, "%s..%s", low, high);
        }
    }
}

static void add_training(struct table *table, const struct comparison *comparison) {
    size_t loss = table_column(table, "final\nloss", ALIGN_RIGHT);
    size_t accuracy = table_column(table, "accuracy\n%", ALIGN_RIGHT);
    for (size_t row = 0; row < comparison->count; row++) {
        const struct run *run = first_run(&comparison->rows[row]);
        bool failed = has_failed(&comparison->rows[row]);
        table_set(table, row, loss, MARK_NONE, failed ? "n/a" : "%.6f", run->final_loss);
        table_set(table, row, accuracy, MARK_NONE, failed ? "n/a" : "%.2f", 100 * run->accuracy);
    }
}

static void print_table(const struct comparison *comparison, bool colour) {
    struct table table;
    table_init(&table);
    table_column(&table, "strategy", ALIGN_LEFT);
    for (size_t i = 0; i < comparison->count; i++) {
        table_set(&table, table_row(&table), 0, MARK_NONE, "%s", comparison->rows[i].strategy);
    }
    for (int measure = 0; measure < MEASURE_COUNT; measure++) {
        if (measure_infos[measure].place != IN_TABLE) {
            continue;
        }
        add_median(&table, comparison, measure);
        if (has_spread(comparison, measure)) {
            add_spread(&table, comparison, measure);
        }
    }
    add_training(&table, comparison);
    table_print(&table, stdout, colour, output_width(stdout));
    table_free(&table);
}

/* ---- The words ------------------------------------------------------------------------------- */

static size_t batch_of(const struct training_options *training) {
    return training->batch ? training->batch : chosen_recipe(training)->batch;
}

void begin_comparison(const struct comparison *comparison) {
    if (!wants_table(&comparison->output)) {
        return;
    }
    const struct training_options *training = &comparison->training;
    struct facts facts;
    char memory[TEXT];
    read_facts(&facts);
    printf("%s: ", chosen_recipe(training)->name);
    if (training->steps) {
        printf("%zu steps", training->steps);
    } else {
        printf("%zu epochs", chosen_recipe(training)->epochs);
    }
    printf(", batch %zu, %u thread%s, seed %llu; %zu run%s of each strategy, medians\n",
           batch_of(training), training->threads, training->threads == 1 ? "" : "s",
           (unsigned long long)training->seed, comparison->runs, comparison->runs == 1 ? "" : "s");
    char machine[sizeof facts + sizeof memory + TEXT];
    snprintf(machine, sizeof machine, "%s, %zu core%s, %s, %s, %s, huge pages: %s", facts.cpu,
             facts.cores, facts.cores == 1 ? "" : "s",
             format_bytes(memory, sizeof memory, (double)facts.memory), facts.kernel, facts.libc,
             *facts.huge_pages ? facts.huge_pages : "none");
    print_filled(stdout, machine, 0, output_width(stdout));
    printf("\n");
    fflush(stdout);
}

static void print_each_result(const struct comparison *comparison) {
    for (size_t i = 0; i < comparison->count; i++) {
        const struct row *row = &comparison->rows[i];
        for (size_t run = 0; run < row->count; run++) {
            printf("  %-12s loss %.17g, weights %016llx\n", row->strategy,
                   row->runs[run].final_loss, (unsigned long long)row->runs[run].weights_hash);
        }
    }
}

/* Of those that were done, which are one at least. */
static const struct run *any_run(const struct comparison *comparison) {
    size_t row = 0;
    while (has_failed(&comparison->rows[row])) {
        row++;
    }
    return first_run(&comparison->rows[row]);
}

static void print_failures(const struct comparison *comparison) {
    bool any = false;
    for (size_t i = 0; i < comparison->count; i++) {
        const struct row *row = &comparison->rows[i];
        char line[WHY_MOST + TEXT];
        if (has_failed(row)) {
            snprintf(line, sizeof line, "%s failed: %s.", row->strategy, row->failed);
            print_filled(stdout, line, 0, output_width(stdout));
            any = true;
        }
    }
    fputs(any ? "\n" : "", stdout);
}

/* A fact computed from the results; when it does not hold, memory is not all that differs. */
static void print_agreement(const struct comparison *comparison, bool colour) {
    bool losses = losses_agree(comparison->rows, comparison->count);
    bool weights = weights_agree(comparison->rows, comparison->count);
    size_t runs = count_runs(comparison->rows, comparison->count);
    if (runs < 2) {
        return; /* there is nothing that it could agree with */
    }
    if (losses && weights) {
        printf("The losses agree to the last bit in all %zu runs, and so do the final weights "
               "(%016llx).\n",
               runs, (unsigned long long)any_run(comparison)->weights_hash);
        return;
    }
    printf("%sWARNING: the %s differ between runs, so these are not the same trainings:%s\n",
           colour ? "\033[1;31m" : "", losses ? "weights" : "losses", colour ? "\033[0m" : "");
    print_each_result(comparison);
}

static void print_comparison(const struct comparison *comparison) {
    bool colour = wants_colour(stdout, comparison->output.colour);
    struct recommendation recommendation;
    print_table(comparison, colour);
    printf("\n* the best of its column\n\n");
    print_failures(comparison);
    print_agreement(comparison, colour);
    recommend(comparison->rows, comparison->count, &recommendation);
    print_filled(stdout, recommendation.text, 0, output_width(stdout));
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void add_spread_json(cJSON *object, const char *key, const struct spread *spread) {
    char longer[KEY];
    add_number(object, key, spread->median);
    snprintf(longer, sizeof longer, "%s_min", key);
    add_number(object, longer, spread->min);
    snprintf(longer, sizeof longer, "%s_max", key);
    add_number(object, longer, spread->max);
}

static cJSON *row_json(const struct row *row) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "strategy", row->strategy);
    add_number(object, "final_loss", first_run(row)->final_loss);
    add_number(object, "accuracy", first_run(row)->accuracy);
    if (has_failed(row)) {
        cJSON_AddNullToObject(object, "weights_hash");
    } else {
        add_hash(object, "weights_hash", first_run(row)->weights_hash);
    }
    add_sentence(object, "failed", row->failed);
    for (int measure = 0; measure < MEASURE_COUNT; measure++) {
        add_spread_json(object, measure_infos[measure].key, &row->spreads[measure]);
    }
    return object;
}

static cJSON *settings_json(const struct comparison *comparison) {
    const struct training_options *training = &comparison->training;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "model", chosen_recipe(training)->name);
    if (training->data_dir) {
        cJSON_AddStringToObject(json, "data", training->data_dir);
    }
    if (training->conf) {
        cJSON_AddStringToObject(json, "conf", training->conf);
    }
    if (training->steps) {
        add_bytes(json, "steps", training->steps);
    }
    add_number(json, "epochs", training->steps ? NAN : (double)chosen_recipe(training)->epochs);
    add_bytes(json, "batch", batch_of(training));
    add_bytes(json, "threads", training->threads);
    add_bytes(json, "seed", training->seed);
    return json;
}

static cJSON *recommendation_json(const struct comparison *comparison) {
    struct recommendation recommendation;
    recommend(comparison->rows, comparison->count, &recommendation);
    cJSON *json = cJSON_CreateObject();
    const char *strategy =
        recommendation.given ? comparison->rows[recommendation.row].strategy : NULL;
    cJSON_AddItemToObject(json, "strategy",
                          strategy ? cJSON_CreateString(strategy) : cJSON_CreateNull());
    cJSON_AddStringToObject(json, "text", recommendation.text);
    return json;
}

/* Of no runs, nobody can say so. */
static void add_agreement(cJSON *json, const struct comparison *comparison) {
    if (count_runs(comparison->rows, comparison->count) == 0) {
        cJSON_AddNullToObject(json, "losses_agree");
        cJSON_AddNullToObject(json, "weights_agree");
        return;
    }
    cJSON_AddBoolToObject(json, "losses_agree", losses_agree(comparison->rows, comparison->count));
    cJSON_AddBoolToObject(json, "weights_agree",
                          weights_agree(comparison->rows, comparison->count));
}

static bool write_comparison_json(const struct comparison *comparison) {
    struct facts facts;
    read_facts(&facts);
    cJSON *json = cJSON_CreateObject();
    cJSON *rows = cJSON_CreateArray();
    cJSON_AddStringToObject(json, "stepwell", sw_version());
    cJSON_AddItemToObject(json, "machine", facts_json(&facts));
    cJSON_AddItemToObject(json, "settings", settings_json(comparison));
    add_bytes(json, "runs", comparison->runs);
    add_agreement(json, comparison);
    cJSON_AddBoolToObject(json, "resident_peak_exact", comparison->peak_was_reset);
    for (size_t i = 0; i < comparison->count; i++) {
        cJSON_AddItemToArray(rows, row_json(&comparison->rows[i]));
    }
    cJSON_AddItemToObject(json, "rows", rows);
    cJSON_AddItemToObject(json, "recommendation", recommendation_json(comparison));
    bool good = write_json(comparison->output.json, json);
    cJSON_Delete(json);
    return good;
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static void write_csv_header(FILE *file) {
    static const char *const suffixes[] = {"", "_min", "_max"};
    csv_text(file, true, "strategy");
    csv_text(file, false, "final_loss");
    csv_text(file, false, "accuracy");
    for (int measure = 0; measure < MEASURE_COUNT; measure++) {
        for (int i = 0; i < 3; i++) {
            fprintf(file, ",%s%s", measure_infos[measure].key, suffixes[i]);
        }
    }
    csv_text(file, false, "failed");
    fputc('\n', file);
}

static void write_csv_row(FILE *file, const struct row *row) {
    csv_text(file, true, row->strategy);
    csv_number(file, false, first_run(row)->final_loss);
    csv_number(file, false, first_run(row)->accuracy);
    for (int measure = 0; measure < MEASURE_COUNT; measure++) {
        csv_number(file, false, row->spreads[measure].median);
        csv_number(file, false, row->spreads[measure].min);
        csv_number(file, false, row->spreads[measure].max);
    }
    csv_text(file, false, row->failed);
    fputc('\n', file);
}

static bool write_comparison_csv(const struct comparison *comparison) {
    struct output_file output;
    if (!output_open(&output, comparison->output.csv)) {
        return false;
    }
    write_csv_header(output.file);
    for (size_t i = 0; i < comparison->count; i++) {
        write_csv_row(output.file, &comparison->rows[i]);
    }
    return output_close(&output);
}

bool show_comparison(const struct comparison *comparison) {
    bool good = true;
    if (wants_table(&comparison->output) && comparison->begun) {
        print_comparison(comparison);
    }
    if (comparison->output.json) {
        good = write_comparison_json(comparison) && good;
    }
    if (comparison->output.csv) {
        good = write_comparison_csv(comparison) && good;
    }
    return good;
}
