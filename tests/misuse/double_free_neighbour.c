/* double free of a small block, after others: FREE_TWICE */
#include "misuse.h"

int main(void) {
    char *block = TAKE(SMALL), *other = TAKE(SMALL);
    void *again = hidden(block);
    GIVE_BACK(block);
    GIVE_BACK(other);
    GIVE_BACK(again);
    return 0;
}
