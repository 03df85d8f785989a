/* write before the start of a block: UNDERRUN */
#include "misuse.h"

int main(void) {
    char *block = TAKE(LARGE);
    set((char *)hidden(block) - 1);
    GIVE_BACK(block);
    return 0;
}
