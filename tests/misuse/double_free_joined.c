/* double free of a small block, after others: FREE_TWICE */
#include "misuse.h"

/* When it is freed its neighbours are free already. */
int main(void) {
    char *before = TAKE(SMALL), *block = TAKE(SMALL), *behind = TAKE(SMALL);
    void *again = hidden(block);
    GIVE_BACK(before);
    GIVE_BACK(behind);
    GIVE_BACK(block);
    GIVE_BACK(again);
    return 0;
}
