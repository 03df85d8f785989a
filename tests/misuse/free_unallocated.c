/* free of what was never a block: FREE */
#include "misuse.h"

int main(void) {
    char *block = TAKE(SMALL);
    GIVE_BACK(hidden(block + (48 << 20)));
    return 0;
}
