/* write past the end of a block: OVERRUN */
#include "misuse.h"

int main(void) {
    char *block = TAKE(LARGE);
    set((char *)hidden(block) + LARGE);
    GIVE_BACK(block);
    return 0;
}
