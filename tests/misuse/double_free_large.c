/* double free of a large block: FREE_TWICE */
#include "misuse.h"

int main(void) {
    char *block = TAKE(LARGE);
    void *again = hidden(block);
    GIVE_BACK(block);
    GIVE_BACK(again);
    return 0;
}
