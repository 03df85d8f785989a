/* write after free, or after realloc moved the block: USE_AFTER_FREE */
#include "misuse.h"

int main(void) {
    char *block = TAKE(SMALL);
    void **old = hidden(block);
    GIVE_BACK(block);
    *old = (void *)(uintptr_t)0x4141414141414140;
    for (int i = 0; i < 3; i++)
        set(TAKE(SMALL));
    return 0;
}
