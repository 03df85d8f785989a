/* write past the end of a block: OVERRUN */
#include "misuse.h"

int main(void) {
    char *block = RESIZE(TAKE(SMALL), 2 * SMALL);
    set((char *)hidden(block) + 2 * SMALL);
    GIVE_BACK(block);
    return 0;
}
