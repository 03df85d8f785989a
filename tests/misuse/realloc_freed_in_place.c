/* realloc of a freed block to about the size it had: REALLOC */
#include "misuse.h"

int main(void) {
    char *block = TAKE(SMALL);
    void *old = hidden(block);
    GIVE_BACK(block);
    return RESIZE(old, SMALL + 1) == NULL;
}
