/* usable size of a freed block: USABLE_SIZE */
#include "misuse.h"

int main(void) {
    char *block = TAKE(SMALL);
    void *old = hidden(block);
    GIVE_BACK(block);
    return SIZE_OF(old) == 0;
}
