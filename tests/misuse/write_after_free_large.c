/* write after free, or after realloc moved the block: USE_AFTER_FREE */
#include "misuse.h"

int main(void) {
    char *block = TAKE(LARGE);
    char *old = hidden(block);
    GIVE_BACK(block);
    set(old + LARGE / 2);
    return 0;
}
