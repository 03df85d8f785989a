/* write after free, or after realloc moved the block: USE_AFTER_FREE */
#include "misuse.h"

int main(void) {
    char *block = TAKE(SMALL);
    char *old = hidden(block);
    block = RESIZE(block, 50 * SMALL);
    set(old);
    GIVE_BACK(block);
    return 0;
}
