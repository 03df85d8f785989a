/* write past the end of a block: OVERRUN */
#include "misuse.h"

int main(void) {
    char *block = TAKE_ALIGNED(64, 192);
    set((char *)hidden(block) + 192);
    GIVE_BACK(block);
    return 0;
}
