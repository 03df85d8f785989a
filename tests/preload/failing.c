/*
 * failing.c - what libstepwell-preload-failing.so has beside the preload library's own objects: the
 * seam of alloc/os.c, for oom.cc to fail the system's calls by.
 */
#include "os.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT void stepwell_test_fail_nth(long n);
EXPORT void stepwell_test_fail_from(long n);
EXPORT long stepwell_test_requests(void);

void stepwell_test_fail_nth(long n) {
    sw__os_fail_nth(n);
}

void stepwell_test_fail_from(long n) {
    sw__os_fail_from(n);
}

long stepwell_test_requests(void) {
    return sw__os_requests();
}
