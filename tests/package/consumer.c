/*
 * consumer - what a user of the installed library might write, in the C that is also C++.
 *
 * A heap of every strategy there is, all at once; a block from each; a step that leaves nothing
 * behind. Names the strategies it went through on stdout, in the library's order. Exit code 1 and a
 * sentence on stderr when something is not as the header says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stepwell.h>

enum { MOST = 16, SIZE = 100000 };

static void require(int holds, const char *sentence) {
    if (!holds) {
        fprintf(stderr, "consumer: %s (%s)\n", sentence, sw_error());
        exit(1);
    }
}

int main(void) {
    sw_heap *heaps[MOST];
    void *blocks[MOST];
    size_t count = 0;
    require(strcmp(sw_version(), SW_VERSION) == 0, "header and library differ in version");
    for (const struct sw_strategy_info *info; (info = sw_strategy_info(count)); count++) {
        require(count < MOST, "more strategies than this program has room for");
        heaps[count] = sw_heap_create(info->name, NULL);
        require(heaps[count] != NULL, "no heap");
        require(sw_step_begin(heaps[count]) == 0, "no step");
        blocks[count] = sw_alloc(heaps[count], SIZE, SW_TAG_ACTIVATION);
        require(blocks[count] != NULL, "no block");
        memset(blocks[count], (int)count, SIZE);
    }
    for (size_t i = 0; i < count; i++) {
        struct sw_stats stats;
        require(*(char *)blocks[i] == (char)i, "a block was written over");
        sw_free(heaps[i], blocks[i]);
        require(sw_step_end(heaps[i]) == 0, "no end of the step");
        require(sw_heap_stats(heaps[i], &stats, sizeof stats) == 0, "no stats");
        require(stats.requested.peak == SIZE && stats.survivors == 0, "wrong stats");
        printf("%s%s", i ? " " : "", sw_heap_strategy(heaps[i]));
        sw_heap_destroy(heaps[i]);
    }
    printf("\n");
    return 0;
}
