/* read of a large block after free: USE_AFTER_FREE */
#include "misuse.h"

int main(void) {
    char *block = TAKE(LARGE);
    volatile char *old = hidden(block);
    GIVE_BACK(block);
    (void)old[LARGE / 2];
    return 0;
}
