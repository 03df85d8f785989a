/* free of what was never a block: FREE */
#include "misuse.h"

int main(void) {
    _Alignas(16) char local[64] = {0};
    GIVE_BACK(hidden(local + 16));
    return 0;
}
