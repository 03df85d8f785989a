/* free of a block of another heap: FREE_ELSEWHERE */
#include "misuse.h"

int main(void) {
    sw_heap *other = new_heap();
    void *block = sw_alloc(other, SMALL, SW_TAG_OTHER);
    GIVE_BACK(hidden(block));
    return 0;
}
