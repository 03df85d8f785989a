/*
 * secure.c - says whether it runs with rights that its caller has not, and which heap it has.
 * test_secure.py links it with the preload library, as /etc/ld.so.preload would.
 */
#include <malloc.h>
#include <stdio.h>
#include <sys/auxv.h>

int main(void) {
    printf("secure %lu\n", getauxval(AT_SECURE));
    malloc_stats();
    return 0;
}
