/* realloc of a freed block: REALLOC */
#include "misuse.h"

int main(void) {
    char *block = TAKE(SMALL);
    void *old = hidden(block);
    GIVE_BACK(block);
    return RESIZE(old, 50 * SMALL) == NULL;
}
