/* write after free, or after realloc moved the block: USE_AFTER_FREE */
#include "misuse.h"

int main(void) {
    char *block = TAKE(SMALL);
    char *old = hidden(block);
    GIVE_BACK(block);
    set(old + 50);
    return 0;
}
