/*
 * failures.c - memory runs out at every point where it can.
 *
 * A scripted life of a heap is run again and again: the Nth request to the system fails, for N = 1,
 * 2, ... until the whole script passes without meeting the failure. Whatever the script meets, each
 * call either works or says ENOMEM; every live block keeps its contents; the counts agree with the
 * script's own; afterwards everything works; and when the heap is gone, so are its mappings. The
 * same again with every request failing from the Nth on, and in a process whose address space is
 * limited.
 *
 * Strategies that make their own system calls (system, jemalloc) meet the failures of the ledger
 * and of the heap itself.
 */
#include "support.h"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include "os.h"

/* Of each block so many bytes are filled; the failures are what matters here. */
enum { SLOTS = 700, FAILURES_MAX = 2000, FILLED = 4096 };

struct script {
    sw_heap *heap;
    bool tracked;
    size_t refused;
    size_t blocks, requested;
    char *block[SLOTS];
    size_t size[SLOTS];
};

static void adopt(struct script *script, size_t slot, char *block, size_t size) {
    if (!block) {
        assert_int_equal(errno, ENOMEM);
        assert_string_not_equal(sw_error(), "");
        script->refused++;
        return;
    }
    assert_true(sw_usable_size(script->heap, block) >= size);
    script->block[slot] = block;
    script->size[slot] = size;
    script->blocks++;
    script->requested += size;
    fill(block, least_of(size, FILLED), slot);
}

static void check(const struct script *script) {
    for (size_t i = 0; i < SLOTS; i++)
        if (script->block[i])
            assert_true(holds(script->block[i], least_of(script->size[i], FILLED), i));
    if (!script->tracked)
        return;
    struct sw_stats stats = stats_of(script->heap);
    assert_int_equal(stats.blocks.current, script->blocks);
    assert_int_equal(stats.requested.current, script->requested);
}

static void allocate(struct script *script, size_t slot, size_t size) {
    errno = 0;
    adopt(script, slot, sw_alloc(script->heap, size, (enum sw_tag)(slot % SW_TAG_COUNT)), size);
}

static void allocate_zeroed(struct script *script, size_t slot, size_t size) {
    errno = 0;
    char *block = sw_alloc_zeroed(script->heap, 1, size, SW_TAG_INPUT);
    if (block)
        assert_true(is_all_zero(block, size));
    adopt(script, slot, block, size);
}

static void allocate_aligned(struct script *script, size_t slot, size_t alignment, size_t size) {
    errno = 0;
    char *block = sw_alloc_aligned(script->heap, alignment, size, SW_TAG_INPUT);
    assert_true(is_aligned(block, alignment));
    adopt(script, slot, block, size);
}

static void release(struct script *script, size_t slot) {
    if (!script->block[slot])
        return;
    sw_free(script->heap, script->block[slot]);
    script->block[slot] = NULL;
    script->blocks--;
    script->requested -= script->size[slot];
}

static void resize(struct script *script, size_t slot, size_t size) {
    char *old = script->block[slot];
    if (!old)
        return;
    errno = 0;
    char *block = sw_realloc(script->heap, old, size);
    if (!block) {
        assert_int_equal(errno, ENOMEM);
        script->refused++;
        return; /* check() finds the old one as it was */
    }
    assert_true(holds(block, least_of(least_of(size, script->size[slot]), FILLED), slot));
    script->blocks--;
    script->requested -= script->size[slot];
    adopt(script, slot, block, size);
}

/* Small ones of many classes, tensors, alignments, growth, holes, steps, trim: whatever makes a
 * strategy ask the system for more. */
static void play(struct script *script) {
    for (size_t i = 0; i < 300; i++)
        allocate(script, i, 1 + i * i * 2 % 40000);
    check(script);
    assert_int_equal(sw_step_begin(script->heap), 0);
    for (size_t i = 300; i < 330; i++)
        allocate(script, i, (i - 299) * 60 * KIB);
    check(script);
    for (size_t i = 0; i < 330; i += 3)
        release(script, i);
    for (size_t i = 330; i < 345; i++)
        allocate_aligned(script, i, (size_t)64 << (i - 330), 5000 * (i - 329));
    for (size_t i = 345; i < 355; i++)
        allocate_zeroed(script, i, 70 * KIB * (i - 344));
    check(script);
    for (size_t i = 1; i < 300; i += 7)
        resize(script, i, script->size[i] * 5 + 1);
    for (size_t i = 301; i < 330; i += 4)
        resize(script, i, script->size[i] + 300 * KIB);
    check(script);
    assert_int_equal(sw_step_end(script->heap), 0);
    sw_trim(script->heap);
    check(script);
    for (size_t i = 355; i < 365; i++) /* from what trim gave back, or could not */
        allocate_zeroed(script, i, 70 * KIB * (i - 354));
    allocate(script, 365, 80 * MIB); /* larger than a first region */
    for (size_t i = 366; i < SLOTS; i++)
        allocate(script, i, 100 + i);
    check(script);
}

static void release_all(struct script *script) {
    for (size_t i = 0; i < SLOTS; i++)
        release(script, i);
    check(script);
}

/* One life with a failure set. True when the failure was met. */
static bool live(const struct subject *subject, void (*set_failure)(long), long n) {
    static struct script script;
    char conf[32];
    memset(&script, 0, sizeof script);
    snprintf(conf, sizeof conf, "tracking:%d,checked:%d", subject->tracked, subject->checked);
    long before = sw__os_requests();
    set_failure(n);
    errno = 0;
    script.heap = sw_heap_create(subject->strategy, conf);
    script.tracked = subject->tracked;
    if (!script.heap) {
        assert_int_equal(errno, ENOMEM);
        set_failure(0);
        return true;
    }
    play(&script);
    bool met = sw__os_requests() - before >= n;
    set_failure(0);
    check(&script);

    /* Memory is back: nothing is refused any more, with what is left from before and without. */
    release_all(&script);
    script.refused = 0;
    play(&script);
    assert_int_equal(script.refused, 0);
    release_all(&script);
    if (subject->asks_os) {
        sw_trim(script.heap);
        assert_int_equal(stats_of(script.heap).allocated.current, 0);
    }
    sw_heap_destroy(script.heap);
    return met;
}

/* What libc has handed out: system's blocks, and nothing else's. Exact without libc's thread cache,
 * whose blocks count as handed out. A sanitizer's malloc does not tell. */
static size_t handed_out_by_libc(void) {
    struct mallinfo2 info = mallinfo2();
    return SANITIZED ? 0 : info.uordblks + info.hblkhd;
}

static void fail_each(const struct subject *subject, void (*set_failure)(long)) {
    live(subject, set_failure, 0); /* what is made once and stays is there now */
    live(subject, set_failure, 0);
    struct mappings before = process_mappings();
    size_t handed_out = handed_out_by_libc();
    long n = 1;
    while (live(subject, set_failure, n)) {
        assert_int_equal(handed_out_by_libc(), handed_out);
        if (subject->asks_os && !SANITIZED) { /* a sanitizer maps memory of its own */
            struct mappings after = process_mappings();
            if (after.bytes > before.bytes + MIB)
                fail_msg("request %ld: mappings were %zu bytes, are %zu", n, before.bytes,
                         after.bytes);
            assert_true(after.count <= before.count + 2);
        }
        n += SANITIZED ? 3 : 1;
        assert_true(n < FAILURES_MAX);
    }
    print_message("%s, tracking:%d: %ld requests failed in turn\n", subject->strategy,
                  subject->tracked, n - 1);
    assert_true(n > (subject->asks_os && !SANITIZED ? 40 : 1)); /* the heap itself is one */
}

static void the_nth_request_fails(void **state) {
    fail_each(*state, sw__os_fail_nth);
}

static void every_request_fails_from_the_nth_on(void **state) {
    fail_each(*state, sw__os_fail_from);
}

/* Blocks of a size that not one more is to be had of. */
static size_t exhaust_size(sw_heap *heap, size_t size, void **blocks, size_t most) {
    size_t count = 0;
    while (count < most && (blocks[count] = sw_alloc(heap, size, SW_TAG_OTHER)))
        count++;
    assert_true(count < most);
    return count;
}

static void a_block_can_be_made_smaller_when_memory_is_out(void **state) {
    enum { LARGE = 300 << 10, SMALL = 5000, MOST = 4096 };
    static void *small[MOST];
    const struct subject *subject = *state;
    if (!subject->asks_os || subject->checked)
        skip(); /* the first is for others to say; and in checked mode every block has its own place */
    sw_heap *heap = make_heap(subject, NULL);
    char *block = sw_alloc(heap, LARGE, SW_TAG_INPUT);
    fill(block, LARGE, 5);
    sw__os_fail_from(1);
    size_t count = exhaust_size(heap, SMALL, small, MOST);
    char *smaller = sw_realloc(heap, block, SMALL);
    sw__os_fail_from(0);
    assert_non_null(smaller);
    assert_true(holds(smaller, SMALL, 5));
    if (subject->tracked)
        assert_int_equal(stats_of(heap).requested.current, (count + 1) * SMALL);
    sw_free(heap, smaller);
    for (size_t i = 0; i < count; i++)
        sw_free(heap, small[i]);
    sw_heap_destroy(heap);
}

/* ---- A process with little address space ----------------------------------------------------- */

/* More blocks than there is room for, even with what libc kept free from the tests before. */
enum { HEADROOM = 200, BLOCKS = 5 * HEADROOM };

/* Takes all there is, gives half back, takes it again, and ends as if nothing had been. */
static int exhaust(const struct subject *subject) {
    static char *blocks[BLOCKS];
    struct rlimit limit = {process_mappings().bytes + HEADROOM * MIB, RLIM_INFINITY};
    sw_heap *heap = make_heap(subject, NULL);
    char stack[512 << 10]; /* touched now: later there is no address space for it to grow into */
    memset(stack, 1, sizeof stack);
    __asm__ volatile("" : : "r"(stack) : "memory");
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    size_t count = 0;
    for (; count < BLOCKS; count++) {
        errno = 0;
        blocks[count] = sw_alloc(heap, MIB, SW_TAG_OTHER);
        if (!blocks[count])
            break;
        fill(blocks[count], MIB, count);
    }
    CHECK(count < BLOCKS && errno == ENOMEM);
    CHECK(count > HEADROOM / 2);
    CHECK(!sw_alloc(heap, 64 * MIB, SW_TAG_OTHER) && errno == ENOMEM);
    for (size_t i = 0; i < count; i++)
        CHECK(holds(blocks[i], MIB, i));
    for (size_t i = 0; i < count; i += 2)
        sw_free(heap, blocks[i]);
    for (size_t i = 0; i < count; i += 2) {
        blocks[i] = sw_alloc(heap, MIB, SW_TAG_OTHER);
        CHECK(blocks[i]);
        fill(blocks[i], MIB, i);
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(holds(blocks[i], MIB, i));
        sw_free(heap, blocks[i]);
    }
    sw_heap_destroy(heap);
    return 0;
}

static void run_in_child(int (*live)(const struct subject *), const struct subject *subject) {
    if (SANITIZED)
        skip(); /* a sanitizer's shadow needs terabytes of it */
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(live(subject));
    assert_int_equal(exit_code_of(child), 0);
}

static void little_address_space_is_lived_with(void **state) {
    run_in_child(exhaust, *state);
}

/* A large block, and in its place as many small ones as there is room for, and the large one again. */
static int change_sizes(const struct subject *subject) {
    enum { SMALL = 4096, LARGE = HEADROOM * 9 / 10, LEAST = HEADROOM / 2 };
    static void *small[HEADROOM * MIB / SMALL];
    sw_heap *heap = make_heap(subject, NULL);
    struct rlimit limit = {process_mappings().bytes + HEADROOM * MIB, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    char *large = sw_alloc(heap, LARGE * MIB, SW_TAG_OTHER);
    CHECK(large);
    fill(large, LARGE * MIB, 1);
    sw_free(heap, large);
    size_t count = exhaust_size(heap, SMALL, small, LENGTH_OF(small));
    CHECK(count * SMALL >= LEAST * MIB && count < LENGTH_OF(small));
    for (size_t i = 0; i < count; i++)
        fill(small[i], SMALL, i);
    for (size_t i = 0; i < count; i++) {
        CHECK(holds(small[i], SMALL, i));
        sw_free(heap, small[i]);
    }
    large = sw_alloc(heap, LEAST * MIB, SW_TAG_OTHER);
    CHECK(large);
    sw_free(heap, large);
    sw_heap_destroy(heap);
    return 0;
}

static void other_sizes_find_the_room_there_is(void **state) {
    const struct subject *subject = *state;
    if (!is_own_unchecked(subject))
        skip(); /* jemalloc gives no address space back; and a checked heap's table is the system's */
    run_in_child(change_sizes, subject);
}

static const struct behaviour behaviours[] = {
    BEHAVIOUR(the_nth_request_fails),
    BEHAVIOUR(every_request_fails_from_the_nth_on),
    BEHAVIOUR(a_block_can_be_made_smaller_when_memory_is_out),
    BEHAVIOUR(little_address_space_is_lived_with),
    BEHAVIOUR(other_sizes_find_the_room_there_is),
};

/* Starts the program anew without libc's thread cache, which is decided before main. */
static void do_without_thread_cache(char **argv) {
    if (!getenv("GLIBC_TUNABLES") &&
        setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1) == 0)
        execv("/proc/self/exe", argv);
}

int main(int argc, char **argv) {
    do_without_thread_cache(argv);
    return run_behaviours("failures", behaviours, LENGTH_OF(behaviours), argc, argv);
}
