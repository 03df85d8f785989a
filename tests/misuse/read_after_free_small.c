/* read of a small block after free: NOTHING */
#include "misuse.h"

int main(void) {
    char *block = TAKE(SMALL);
    volatile char *old = hidden(block);
    GIVE_BACK(block);
    (void)old[50];
    return 0;
}
