/*
 * error.c - the last error that a thread met: see error.h.
 */
#include "error.h"

#include "stepwell.h"

#include <errno.h>
#include <stdio.h>

static _Thread_local char last_error[SW__ERROR_SIZE];

char *sw__error_text(void) {
    return last_error;
}

const char *sw_error(void) {
    return last_error;
}

void *sw__fail(int code, const char *sentence) {
    snprintf(last_error, sizeof last_error, "%s", sentence);
    errno = code;
    return NULL;
}
