/* realloc of what was never a block: REALLOC */
#include "misuse.h"

int main(void) {
    _Alignas(16) char local[64] = {0};
    return RESIZE(hidden(local + 16), 50 * SMALL) == NULL;
}
