/*
 * test_table.c - tables to the letter, and numbers as text.
 */
#include <math.h>

#include "support.h"
#include "table.h"

static void make_small(struct table *table) {
    table_init(table);
    table_column(table, "name", ALIGN_LEFT);
    table_column(table, "step\nms", ALIGN_RIGHT);
    table_column(table, "note", ALIGN_LEFT);
    size_t row = table_row(table);
    table_set(table, row, 0, MARK_NONE, "system");
    table_set(table, row, 1, MARK_NONE, "12.5");
    table_set(table, row, 2, MARK_NONE, "a");
    row = table_row(table);
    table_set(table, row, 0, MARK_NONE, "pool");
    table_set(table, row, 1, MARK_BEST, "9.75");
}

static void columns_align_and_best_is_marked(void **state) {
    (void)state;
    struct table table;
    struct printed printed;
    make_small(&table);
    printed_open(&printed);
    table_print(&table, printed.file, false, 80);
    printed_expect(&printed, "        step\n"
                             "name      ms   note\n"
                             "system  12.5   a\n"
                             "pool    9.75*\n");
    table_free(&table);
}

static void colour_is_bold_for_the_best(void **state) {
    (void)state;
    struct table table;
    struct printed printed;
    make_small(&table);
    printed_open(&printed);
    table_print(&table, printed.file, true, 80);
    fflush(printed.file);
    assert_non_null(strstr(printed.text, "\033[1m    9.75*\033[0m"));
    assert_null(strstr(printed.text, "\033[1m  12.5"));
    fclose(printed.file);
    free(printed.text);
    table_free(&table);
}

static void without_colour_no_escape_is_written(void **state) {
    (void)state;
    struct table table;
    struct printed printed;
    make_small(&table);
    printed_open(&printed);
    table_print(&table, printed.file, false, 80);
    fclose(printed.file);
    assert_null(strchr(printed.text, '\033'));
    free(printed.text);
    table_free(&table);
}

static void wide_table_is_printed_in_blocks(void **state) {
    (void)state;
    struct table table;
    struct printed printed;
    table_init(&table);
    table_column(&table, "n", ALIGN_LEFT);
    table_column(&table, "one", ALIGN_RIGHT);
    table_column(&table, "two", ALIGN_RIGHT);
    table_column(&table, "three", ALIGN_RIGHT);
    size_t row = table_row(&table);
    table_set(&table, row, 0, MARK_NONE, "a");
    table_set(&table, row, 1, MARK_NONE, "1");
    table_set(&table, row, 2, MARK_NONE, "2");
    table_set(&table, row, 3, MARK_NONE, "3");
    printed_open(&printed);
    table_print(&table, printed.file, false, 11); /* 1 + 2+3 + 2+3 fit, 2+5 more do not */
    printed_expect(&printed, "n  one  two\n"
                             "a    1    2\n"
                             "\n"
                             "n  three\n"
                             "a      3\n");
    printed_open(&printed);
    table_print(&table, printed.file, false, 1); /* too narrow for any: one column at a time */
    printed_expect(&printed, "n  one\na    1\n\nn  two\na    2\n\nn  three\na      3\n");
    table_free(&table);
}

/* As a median and its spread. */
static void columns_that_belong_together_are_not_parted(void **state) {
    (void)state;
    struct table table;
    struct printed printed;
    table_init(&table);
    table_column(&table, "n", ALIGN_LEFT);
    table_column(&table, "one", ALIGN_RIGHT);
    table_column(&table, "two", ALIGN_RIGHT);
    table_column_beside(&table, "three", ALIGN_RIGHT);
    size_t row = table_row(&table);
    table_set(&table, row, 1, MARK_NONE, "1");
    table_set(&table, row, 2, MARK_NONE, "2");
    table_set(&table, row, 3, MARK_NONE, "3");
    printed_open(&printed);
    table_print(&table, printed.file, false, 13); /* one and two would fit, and so do the others */
    printed_expect(&printed, "n  one\n     1\n\nn  two  three\n     2      3\n");
    table_free(&table);
}

static void letters_beyond_ascii_count_once(void **state) {
    (void)state;
    struct table table;
    struct printed printed;
    table_init(&table);
    table_column(&table, "µs", ALIGN_LEFT);
    table_column(&table, "x", ALIGN_RIGHT);
    size_t row = table_row(&table);
    table_set(&table, row, 0, MARK_NONE, "éé");
    table_set(&table, row, 1, MARK_NONE, "1");
    printed_open(&printed);
    table_print(&table, printed.file, false, 80);
    printed_expect(&printed, "µs  x\néé  1\n");
    table_free(&table);
}

static void digits_are_those_that_matter(void **state) {
    (void)state;
    char text[32];
    assert_string_equal(format_digits(text, sizeof text, 0), "0");
    assert_string_equal(format_digits(text, sizeof text, 0.0123), "0.012");
    assert_string_equal(format_digits(text, sizeof text, 0.0994), "0.099");
    assert_string_equal(format_digits(text, sizeof text, 0.0996), "0.10");
    assert_string_equal(format_digits(text, sizeof text, 1.254), "1.25");
    assert_string_equal(format_digits(text, sizeof text, 9.996), "10.0");
    assert_string_equal(format_digits(text, sizeof text, 12.54), "12.5");
    assert_string_equal(format_digits(text, sizeof text, 99.96), "100");
    assert_string_equal(format_digits(text, sizeof text, 1250), "1250");
    assert_string_equal(format_digits(text, sizeof text, -12.54), "-12.5");
    assert_string_equal(format_digits(text, sizeof text, NAN), "n/a");
}

static void bytes_are_told_in_units(void **state) {
    (void)state;
    char text[32];
    assert_string_equal(format_bytes(text, sizeof text, 0), "0 B");
    assert_string_equal(format_bytes(text, sizeof text, 1023), "1023 B");
    assert_string_equal(format_bytes(text, sizeof text, 12.5 * 1024), "12.5 KiB");
    assert_string_equal(format_bytes(text, sizeof text, 61.3 * (1 << 20)), "61.3 MiB");
    assert_string_equal(format_bytes(text, sizeof text, 2.5 * (1 << 30)), "2.50 GiB");
    assert_string_equal(format_bytes(text, sizeof text, NAN), "n/a");
    assert_string_equal(format_mib(text, sizeof text, 61.3 * (1 << 20)), "61.3");
    assert_string_equal(format_mib(text, sizeof text, 4096), "0.00");
    assert_string_equal(format_mib(text, sizeof text, 0), "0");
    assert_string_equal(format_mib(text, sizeof text, NAN), "n/a");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_align_and_best_is_marked),
        cmocka_unit_test(colour_is_bold_for_the_best),
        cmocka_unit_test(without_colour_no_escape_is_written),
        cmocka_unit_test(wide_table_is_printed_in_blocks),
        cmocka_unit_test(columns_that_belong_together_are_not_parted),
        cmocka_unit_test(letters_beyond_ascii_count_once),
        cmocka_unit_test(digits_are_those_that_matter),
        cmocka_unit_test(bytes_are_told_in_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
