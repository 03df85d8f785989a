/* write past the end of a block: OVERRUN */
#include "misuse.h"

int main(void) {
    char *block = TAKE(LARGE + 1);
    set((char *)hidden(block) + LARGE + 1);
    GIVE_BACK(block);
    return 0;
}
