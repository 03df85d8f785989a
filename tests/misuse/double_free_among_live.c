/* double free of a small block, the second straight after the first: FREE_TWICE */
#include "misuse.h"

int main(void) {
    void *other = TAKE(SMALL), *block = TAKE(SMALL), *again = hidden(block);
    GIVE_BACK(block);
    GIVE_BACK(again);
    GIVE_BACK(other);
    return 0;
}
