/* free of what was never a block: FREE */
#include "misuse.h"

int main(void) {
    GIVE_BACK(hidden((void *)(uintptr_t)0x12340));
    return 0;
}
