/* free of what was never a block: FREE */
#include "misuse.h"

int main(void) {
    static _Alignas(4096) char data[4096];
    GIVE_BACK(hidden(data));
    return 0;
}
