/* write past the end of a block: OVERRUN */
#include "misuse.h"

int main(void) {
    char *block = TAKE_ZEROED(SMALL);
    set((char *)hidden(block) + SMALL);
    GIVE_BACK(block);
    return 0;
}
