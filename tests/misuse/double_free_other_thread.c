/* double free of a small block, after others: FREE_TWICE */
#include "misuse.h"

#include <pthread.h>

static void *give_back(void *block) {
    GIVE_BACK(block);
    return NULL;
}

int main(void) {
    pthread_t thread;
    void *block = TAKE(SMALL);
    pthread_create(&thread, NULL, give_back, hidden(block));
    pthread_join(thread, NULL);
    GIVE_BACK(block);
    return 0;
}
