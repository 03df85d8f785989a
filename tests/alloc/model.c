/*
 * model.c - random sequences of every call, checked against a model of what a heap must do.
 *
 * The model is a list of blocks: where each is, how long, and a seed that its contents follow from.
 * After every call: no two blocks overlap (an ordered set of all live ranges), the alignment is
 * there, the usable size is enough and all of it can be written, contents are kept, zeroed memory
 * is zero, the counts agree. The sizes come from one distribution for a while and then from
 * another, and the number of live blocks swells and shrinks.
 *
 * With several threads each has its own list and hands blocks to the others through boxes that all
 * can reach; threads end with blocks live, and the next generation goes on with them.
 *
 * STEPWELL_SEED repeats a run; STEPWELL_OPERATIONS says how many operations per subject.
 */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ENTRIES = 1500, THREADS = 4, BOXES = 64, GENERATIONS = 3, PHASE = 4000 };

/* All of a block whose usable size is twice this is filled, of a larger one so much at both ends.
 */
#define END ((size_t)768)
/* What one list may hold at once; most of it is never touched. */
#define REQUESTED_MAX (512 * MIB)

struct entry {
    char *block; /* NULL: not in use */
    size_t requested;
    size_t usable;
    uint64_t seed;
};

struct range {
    uintptr_t start, end;
};

/* The ordered set of live ranges. */
struct ranges {
    size_t count;
    struct range list[ENTRIES];
};

struct shared {
    sw_heap *heap;
    bool tracked;
    _Atomic(struct entry *) boxes[BOXES];
};

/* One thread's part of the model. */
struct model {
    struct shared *shared;
    struct ranges *ranges; /* NULL with several threads */
    size_t index;
    size_t operations;
    uint64_t random;
    size_t requested, blocks;
    struct entry *entries[ENTRIES]; /* where the handed out ones go round */
    struct entry room[ENTRIES];
    bool in_step;
    int distribution;
    size_t target; /* blocks wanted at present */
};

/* ---- No overlap ------------------------------------------------------------------------------ */

static size_t position(const struct ranges *ranges, uintptr_t start) {
    size_t low = 0, high = ranges->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges->list[middle].start < start)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void enter_range(struct ranges *ranges, const struct entry *entry) {
    if (!ranges)
        return;
    struct range range = {(uintptr_t)entry->block, (uintptr_t)entry->block + entry->usable};
    size_t at = position(ranges, range.start);
    CHECK(at == 0 || ranges->list[at - 1].end <= range.start);
    CHECK(at == ranges->count || range.end <= ranges->list[at].start);
    CHECK(ranges->count < ENTRIES);
    memmove(&ranges->list[at + 1], &ranges->list[at], (ranges->count - at) * sizeof range);
    ranges->list[at] = range;
    ranges->count++;
}

static void leave_range(struct ranges *ranges, const struct entry *entry) {
    if (!ranges)
        return;
    size_t at = position(ranges, (uintptr_t)entry->block);
    CHECK(at < ranges->count && ranges->list[at].start == (uintptr_t)entry->block);
    ranges->count--;
    memmove(&ranges->list[at], &ranges->list[at + 1],
            (ranges->count - at) * sizeof ranges->list[0]);
}

/* ---- Contents -------------------------------------------------------------------------------- */

static size_t head_of(const struct entry *entry) {
    return entry->usable <= 2 * END ? entry->usable : END;
}

static size_t tail_of(const struct entry *entry) {
    return entry->usable <= 2 * END ? 0 : END;
}

static void write_contents(struct model *model, struct entry *entry) {
    entry->seed = random_of(&model->random);
    fill(entry->block, head_of(entry), entry->seed);
    fill(entry->block + entry->usable - tail_of(entry), tail_of(entry), entry->seed + 1);
}

/* The first `kept` bytes are what the entry says, at the place given. */
static void check_contents(const struct entry *entry, const char *block, size_t kept) {
    CHECK(holds(block, least_of(kept, head_of(entry)), entry->seed));
    size_t tail_at = entry->usable - tail_of(entry);
    if (kept > tail_at)
        CHECK(holds(block + tail_at, kept - tail_at, entry->seed + 1));
}

static void check_zero(const char *block, size_t size, bool all) {
    if (all || size <= 64 * KIB) {
        CHECK(is_all_zero(block, size));
        return;
    }
    CHECK(is_all_zero(block, 32 * KIB));
    CHECK(is_all_zero(block + size - 32 * KIB, 32 * KIB));
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

static size_t any_below_power(uint64_t *random, size_t lowest, size_t highest) {
    size_t power = lowest + below(random, highest - lowest + 1);
    return 1 + below(random, (size_t)1 << power);
}

/* What layers of a few widths ask for at a few batch sizes: few sizes, over and over. */
static size_t tensor_size(uint64_t *random) {
    static const size_t widths[] = {10, 64, 100, 256, 784, 1024, 3072};
    static const size_t batches[] = {1, 7, 32, 64, 128};
    size_t rows = below(random, 3) ? batches[below(random, LENGTH_OF(batches))]
                                   : widths[below(random, LENGTH_OF(widths))];
    return 4 * rows * widths[below(random, LENGTH_OF(widths))];
}

static size_t size_of(struct model *model) {
    uint64_t *random = &model->random;
    switch (model->distribution) {
    case 0:
        return below(random, 300);
    case 1:
        return tensor_size(random);
    case 2:
        return PAGE * (1 + below(random, 40)) + below(random, 48) - 24;
    case 3:
        return any_below_power(random, 4, 17);
    case 4:
        return below(random, 12) ? any_below_power(random, 3, 12) : any_below_power(random, 16, 26);
    default:
        return below(random, 4) ? tensor_size(random) : 1 + below(random, 2 * MIB);
    }
}

static size_t bounded_size(struct model *model) {
    size_t size = size_of(model);
    return model->requested + size > REQUESTED_MAX ? 64 : size;
}

/* ---- Operations ------------------------------------------------------------------------------ */

static enum sw_tag any_tag(struct model *model) {
    return (enum sw_tag)below(&model->random, SW_TAG_COUNT);
}

static void adopt(struct model *model, struct entry *entry, char *block, size_t size) {
    CHECK(block);
    CHECK(is_aligned(block, SW_MIN_ALIGNMENT));
    entry->block = block;
    entry->requested = size + (size == 0);
    entry->usable = sw_usable_size(model->shared->heap, block);
    CHECK(entry->usable >= entry->requested);
    model->requested += entry->requested;
    model->blocks++;
    enter_range(model->ranges, entry);
}

static void allocate(struct model *model, struct entry *entry) {
    sw_heap *heap = model->shared->heap;
    size_t size = bounded_size(model);
    char *block;
    switch (below(&model->random, 6)) {
    case 0: {
        size_t alignment = (size_t)1 << below(&model->random, below(&model->random, 8) ? 13 : 22);
        block = sw_alloc_aligned(heap, alignment, size, any_tag(model));
        CHECK(is_aligned(block, alignment));
        break;
    }
    case 1:
        if (size > 4 * MIB)
            size = 4 * MIB;
        block = sw_alloc_zeroed(heap, 1, size, any_tag(model));
        CHECK(block);
        check_zero(block, size, below(&model->random, 8) == 0);
        break;
    default:
        block = sw_alloc(heap, size, any_tag(model));
    }
    adopt(model, entry, block, size);
    write_contents(model, entry);
}

static void abandon(struct model *model, struct entry *entry) {
    leave_range(model->ranges, entry);
    model->requested -= entry->requested;
    model->blocks--;
}

static void release(struct model *model, struct entry *entry) {
    check_contents(entry, entry->block, entry->usable);
    abandon(model, entry);
    sw_free(model->shared->heap, entry->block);
    entry->block = NULL;
}

static void resize(struct model *model, struct entry *entry) {
    struct entry old = *entry;
    size_t size =
        below(&model->random, 3) ? bounded_size(model) : old.requested + below(&model->random, 100);
    if (size > 4 * MIB && old.requested > 4 * MIB)
        size = old.requested; /* copying a large one to a larger is slow and shows nothing new */
    check_contents(&old, old.block, old.usable);
    abandon(model, entry);
    char *block = sw_realloc(model->shared->heap, old.block, size);
    CHECK(block);
    check_contents(&old, block, least_of(old.requested, size));
    adopt(model, entry, block, size);
    write_contents(model, entry);
}

static void step(struct model *model) {
    if (model->index != 0)
        return; /* steps are one thread's to mark */
    CHECK((model->in_step ? sw_step_end : sw_step_begin)(model->shared->heap) == 0);
    model->in_step = !model->in_step;
}

static void compare_counts(struct model *model) {
    if (!model->ranges || !model->shared->tracked)
        return;
    struct sw_stats stats = stats_of(model->shared->heap);
    CHECK(stats.blocks.current == model->blocks);
    CHECK(stats.requested.current == model->requested);
    CHECK(stats.requested.current <= stats.allocated.current);
    CHECK(stats.allocated.current <= stats.active.current);
    CHECK(stats.resident.current <= stats.reserved.current);
    size_t allocated = 0;
    for (size_t i = 0; i < ENTRIES; i++)
        allocated += model->entries[i]->block ? model->entries[i]->usable : 0;
    CHECK(stats.allocated.current == allocated);
}

/* A block for a box's, which may be any thread's. Alone there is nobody to hand it to. */
static void hand_over(struct model *model, size_t slot) {
    if (model->ranges)
        return;
    struct entry *mine = model->entries[slot];
    if (mine->block)
        abandon(model, mine);
    size_t box = below(&model->random, BOXES);
    struct entry *other = atomic_exchange(&model->shared->boxes[box], mine);
    model->entries[slot] = other;
    if (other->block) {
        check_contents(other, other->block, other->usable);
        model->requested += other->requested;
        model->blocks++;
    }
}

static void change_phase(struct model *model) {
    model->distribution = (int)below(&model->random, 6);
    model->target = below(&model->random, 4) ? 1 + below(&model->random, ENTRIES - BOXES) : 0;
    compare_counts(model);
}

static void operate(struct model *model) {
    size_t slot = below(&model->random, ENTRIES);
    struct entry *entry = model->entries[slot];
    size_t choice = below(&model->random, 1000);
    if (choice < 1 && below(&model->random, 4) == 0)
        sw_trim(model->shared->heap);
    else if (choice < 20)
        step(model);
    else if (choice < 70)
        hand_over(model, slot);
    else if (entry->block && choice < 200)
        resize(model, entry);
    else if (entry->block && choice < 300)
        check_contents(entry, entry->block, entry->usable);
    else if (entry->block && (model->blocks > model->target || choice < 500))
        release(model, entry);
    else if (!entry->block && (model->blocks <= model->target || choice < 400))
        allocate(model, entry);
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static void *run(void *argument) {
    struct model *model = argument;
    for (size_t i = 0; i < model->operations; i++) {
        check_operation = i;
        if (i % PHASE == 0)
            change_phase(model);
        operate(model);
    }
    if (model->in_step)
        step(model);
    return NULL;
}

static void release_everything(struct model *models, size_t count, struct shared *shared) {
    for (size_t m = 0; m < count; m++)
        for (size_t i = 0; i < ENTRIES; i++)
            if (models[m].entries[i]->block)
                release(&models[m], models[m].entries[i]);
    for (size_t i = 0; i < BOXES; i++) {
        struct entry *entry = atomic_load(&shared->boxes[i]);
        if (entry->block) {
            check_contents(entry, entry->block, entry->usable);
            sw_free(shared->heap, entry->block);
        }
    }
}

static void run_models(const struct subject *subject, struct model *models, size_t count,
                       size_t generations) {
    static struct shared shared;
    static struct entry in_boxes[BOXES];
    size_t operations = number_of("STEPWELL_OPERATIONS", scaled(100000));
    shared.heap = make_heap(subject, NULL);
    shared.tracked = subject->tracked;
    for (size_t i = 0; i < BOXES; i++) {
        in_boxes[i] = (struct entry){0};
        atomic_store(&shared.boxes[i], &in_boxes[i]);
    }
    for (size_t m = 0; m < count; m++) {
        models[m].shared = &shared;
        models[m].index = m;
        models[m].random = run_seed() + m;
        models[m].operations = operations / count / generations;
        for (size_t i = 0; i < ENTRIES; i++)
            models[m].entries[i] = &models[m].room[i];
    }
    for (size_t generation = 0; generation < generations; generation++) {
        pthread_t threads[THREADS];
        for (size_t m = 0; m < count; m++)
            CHECK(pthread_create(&threads[m], NULL, run, &models[m]) == 0);
        for (size_t m = 0; m < count; m++)
            CHECK(pthread_join(threads[m], NULL) == 0);
    }
    release_everything(models, count, &shared);
    if (subject->tracked)
        assert_int_equal(stats_of(shared.heap).requested.current, 0);
    if (subject->asks_os) {
        sw_trim(shared.heap);
        assert_int_equal(stats_of(shared.heap).allocated.current, 0);
    }
    sw_heap_destroy(shared.heap);
}

static void one_thread_finds_every_promise_kept(void **state) {
    struct model *model = map_scratch(sizeof *model);
    struct ranges *ranges = map_scratch(sizeof *ranges);
    model->ranges = ranges;
    run_models(*state, model, 1, 1);
    unmap_scratch(ranges, sizeof *ranges);
    unmap_scratch(model, sizeof *model);
}

static void four_threads_find_every_promise_kept(void **state) {
    struct model *models = map_scratch(THREADS * sizeof *models);
    run_models(*state, models, THREADS, GENERATIONS);
    unmap_scratch(models, THREADS * sizeof *models);
}

static const struct behaviour behaviours[] = {
    BEHAVIOUR(one_thread_finds_every_promise_kept),
    BEHAVIOUR_OF_THREADS(four_threads_find_every_promise_kept),
};

int main(int argc, char **argv) {
    run_seed();
    return run_behaviours("model", behaviours, LENGTH_OF(behaviours), argc, argv);
}
