/*
 * oom_report.c - what is said when memory is out: see oom_report.h.
 */
#include "oom_report.h"

#include "look.h"
#include "os.h"
#include "text.h"

#include <stdint.h>
#include <unistd.h>

/* ---- By size --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t most;
} groups[] = {{"up to 1 KiB", 1 << 10},
              {"to 32 KiB", 32 << 10},
              {"to 1 MiB", 1 << 20},
              {"to 32 MiB", 32 << 20},
              {"above", SIZE_MAX}};

enum { GROUPS = sizeof groups / sizeof groups[0] };

static void count_size(void *context, size_t block_size, size_t bytes) {
    size_t *by_group = context;
    int group = 0;
    while (block_size > groups[group].most)
        group++;
    by_group[group] += bytes;
}

static int count_block(const struct sw_block *block, void *context) {
    count_size(context, block->allocated, block->allocated);
    return 0;
}

static void add_sizes(struct sw__text *text, sw_heap *heap) {
    const struct sw__strategy *strategy = heap->strategy;
    size_t by_group[GROUPS] = {0};
    if (heap->ledger)
        sw_heap_visit(heap, count_block, by_group);
    else if (strategy->visit_sizes)
        strategy->visit_sizes(heap->state, count_size, by_group);
    else
        return;
    sw__text_add(text, "stepwell: by size of block, MiB:");
    for (int i = 0; i < GROUPS; i++)
        sw__text_add(text, "%s %s %.2f", i ? "," : "", groups[i].name, sw__mib(by_group[i]));
    sw__text_add(text, "\n");
}

/* ---- By tag ---------------------------------------------------------------------------------- */

static void add_tags(struct sw__text *text, const struct sw_stats *stats) {
    sw__text_add(text, "stepwell: by tag, MiB requested:");
    const char *between = "";
    for (int tag = 0; tag < SW_TAG_COUNT; tag++) {
        size_t requested = stats->tags[tag].requested.current;
        if (requested) {
            sw__text_add(text, "%s %s %.2f", between, sw_tag_name(tag), sw__mib(requested));
            between = ",";
        }
    }
    sw__text_add(text, "\n");
}

/* ---- The paragraph --------------------------------------------------------------------------- */

static bool is_at_limit(const sw_heap *heap) {
    struct sw__strategy_stats own = {0};
    heap->strategy->stats(heap->state, &own);
    return own.at_limit;
}

static void add_cause(struct sw__text *text, const sw_heap *heap, size_t limit) {
    if (limit && is_at_limit(heap))
        sw__text_add(text, "the option limit:%zu is reached", limit);
    else
        sw__text_add(text, "the system gives no more");
}

static void write_paragraph(const struct sw__oom_report *report, sw_heap *heap, size_t size) {
    struct sw_stats stats;
    struct sw__text text = {.length = 0};
    sw__heap_look(heap, &stats);
    sw__text_add(&text, "stepwell: out of memory: %zu bytes were asked for, and ", size);
    add_cause(&text, heap, report->limit);
    sw__text_add(&text, ". Strategy %s, pid %d.\n", sw_heap_strategy(heap), (int)getpid());
    sw__text_add(&text,
                 "stepwell: MiB live (%s) %.2f, resident %.2f, reserved %.2f, largest free %.2f\n",
                 heap->ledger ? "requested" : "allocated",
                 sw__mib(heap->ledger ? stats.requested.current : stats.allocated.current),
                 sw__mib(stats.resident.current), sw__mib(stats.reserved.current),
                 sw__mib(stats.largest_free));
    add_sizes(&text, heap);
    if (heap->ledger)
        add_tags(&text, &stats);
    sw__text_write(&text, sw__os_stderr());
}

void sw__oom_note(struct sw__oom_report *report, sw_heap *heap, size_t size, size_t alignment) {
    if (report->is_wanted && sw__os_could_serve(0, size, alignment) &&
        !atomic_exchange(&report->done, true))
        write_paragraph(report, heap, size);
}
