/* double free of a small block, after others: FREE_TWICE */
#include "misuse.h"

int main(void) {
    void *block = TAKE(SMALL), *again = hidden(block);
    GIVE_BACK(block);
    for (int i = 0; i < 1000; i++) {
        void *others[] = {TAKE(SMALL), TAKE(SMALL), TAKE(SMALL)};
        for (int j = 0; j < 3; j++)
            GIVE_BACK(others[j]);
    }
    GIVE_BACK(again);
    return 0;
}
