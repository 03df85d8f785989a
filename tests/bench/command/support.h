/*
 * support.h - what the command's unit tests share: cmocka, and a file to print into.
 */
#ifndef COMMAND_TEST_SUPPORT_H
#define COMMAND_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Text written to a file that lives in memory. */
struct printed {
    FILE *file;
    char *text;
    size_t size;
};

static inline void printed_open(struct printed *printed) {
    printed->file = open_memstream(&printed->text, &printed->size);
    assert_non_null(printed->file);
}

static inline void printed_expect(struct printed *printed, const char *expected) {
    assert_int_equal(fclose(printed->file), 0);
    assert_string_equal(printed->text, expected);
    free(printed->text);
}

#endif
