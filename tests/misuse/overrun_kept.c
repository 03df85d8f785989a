/* write past the end of a block: OVERRUN */
#include "misuse.h"

int main(void) {
    char *block = TAKE(SMALL);
    set((char *)hidden(block) + SMALL);
    return 0;
}
