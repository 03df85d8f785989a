/*
 * interrupted.c - a program that ends by exit() in a signal's handler, as many do, while it
 * allocates: mostly within malloc, with a lock in hand.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static void end(int signal) {
    (void)signal;
    exit(0); /* NOLINT(bugprone-signal-handler): it is what this is about */
}

int main(void) {
    enum { BLOCKS = 1000 };
    static void *blocks[BLOCKS];
    signal(SIGALRM, end);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = 50000}, NULL);
    for (unsigned i = 0;; i++) {
        void **block = &blocks[i * 7919 % BLOCKS];
        free(*block);
        *block = malloc(100000 + i * 12345U % 400000);
    }
}
