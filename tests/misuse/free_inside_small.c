/* free of a pointer into a small block: FREE_INSIDE */
#include "misuse.h"

int main(void) {
    char *block = TAKE(SMALL);
    GIVE_BACK(hidden(block + 16));
    return 0;
}
