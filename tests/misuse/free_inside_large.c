/* free of a pointer into a large block: FREE_INSIDE */
#include "misuse.h"

int main(void) {
    char *block = TAKE(LARGE);
    GIVE_BACK(hidden(block + LARGE / 2));
    return 0;
}
