/* double free of a small block, the second straight after the first: FREE_TWICE */
#include "misuse.h"

int main(void) {
    char *block = TAKE(SMALL);
    void *again = hidden(block);
    GIVE_BACK(block);
    GIVE_BACK(again);
    return 0;
}
