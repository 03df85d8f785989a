/*
 * test_heap.c - what sw_error() says: one sentence that names what was wrong, and the right errno.
 * And a thread with the least stack there may be is refused as any other.
 */
#include "support.h"

#include <limits.h>
#include <pthread.h>
#include <unistd.h>

static sw_heap *heap;

static int begin(void **state) {
    (void)state;
    heap = sw_heap_create("pool", "tracking:0,limit:8M");
    return heap ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    sw_heap_destroy(heap);
    return 0;
}

/* The call failed just now. */
static void expect(int code, const char *mention) {
    assert_int_equal(errno, code);
    if (!strstr(sw_error(), mention))
        fail_msg("'%s' is not in: %s", mention, sw_error());
    assert_null(strchr(sw_error(), '\n'));
    errno = 0;
}

static void of_what_cannot_be_created(void **state) {
    (void)state;
    assert_null(sw_heap_create(NULL, NULL));
    expect(EINVAL, "no strategy was named");
    assert_null(sw_heap_create("pol", NULL));
    expect(EINVAL, "unknown strategy 'pol'; did you mean 'pool'?");
    assert_null(sw_heap_create("pool", "limt:1G"));
    expect(EINVAL, "unknown option 'limt'; did you mean 'limit'?");
    assert_null(sw_heap_create("pool", "huge_pages:sometimes"));
    expect(EINVAL, "takes auto, never or always, not 'sometimes'");
}

static void of_what_cannot_be_allocated(void **state) {
    (void)state;
    volatile size_t huge = SIZE_MAX;
    assert_null(sw_alloc(heap, 9 * MIB, SW_TAG_OTHER));
    expect(ENOMEM, "out of memory: 9437184 bytes were asked for of a heap with limit:8388608");
    assert_null(sw_alloc(heap, huge, SW_TAG_OTHER));
    expect(ENOMEM, "more bytes were asked for than there can be");
    assert_null(sw_alloc_zeroed(heap, huge / 2, 3, SW_TAG_OTHER));
    expect(ENOMEM, "more bytes were asked for than there can be");
    assert_null(sw_alloc(heap, 1, SW_TAG_COUNT));
    expect(EINVAL, "no tag");
    assert_null(sw_alloc_aligned(heap, 48, 1, SW_TAG_OTHER));
    expect(EINVAL, "no power of two");
    void *block = sw_alloc(heap, 100, SW_TAG_OTHER);
    assert_non_null(block);
    assert_null(sw_realloc(heap, block, 10 * MIB));
    expect(ENOMEM, "out of memory: 10485760 bytes");
    sw_free(heap, block);
}

static int see_nothing(const struct sw_block *block, void *context) {
    (void)block;
    (void)context;
    return 0;
}

static void of_what_is_out_of_place(void **state) {
    (void)state;
    assert_int_equal(sw_step_end(heap), -1);
    expect(EINVAL, "no step is open");
    assert_int_equal(sw_step_begin(heap), 0);
    assert_int_equal(sw_step_begin(heap), -1);
    expect(EINVAL, "a step is open already");
    assert_int_equal(sw_heap_visit(heap, see_nothing, NULL), -1);
    expect(ENOTSUP, "tracking:0");
}

static void *allocate_until_refused(void *argument) {
    sw_heap *small = argument;
    while (sw_alloc(small, MIB, SW_TAG_OTHER))
        ;
    return NULL;
}

/* What it takes to look at the heap for the paragraph is all on that stack. A page more: jemalloc's
 * thread-local storage, which this program links, lies on it as well. */
static void a_thread_with_little_stack_is_refused(void **state) {
    (void)state;
    if (SANITIZED) /* whose frames are larger */
        skip();
    char said[256] = "";
    int pipe_of_stderr[2], kept = dup(STDERR_FILENO);
    assert_int_equal(pipe(pipe_of_stderr), 0);
    dup2(pipe_of_stderr[1], STDERR_FILENO);
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN + PAGE), 0);
    sw_heap *small = sw_heap_create("auto", "tracking:0,limit:64M,oom_report:1");
    assert_non_null(small);
    assert_int_equal(pthread_create(&thread, &attributes, allocate_until_refused, small), 0);
    pthread_join(thread, NULL);
    dup2(kept, STDERR_FILENO);
    assert_true(read(pipe_of_stderr[0], said, sizeof said - 1) > 0);
    assert_non_null(strstr(said, "out of memory: 1048576 bytes were asked for"));
    sw_heap_destroy(small);
    pthread_attr_destroy(&attributes);
    close(pipe_of_stderr[0]);
    close(pipe_of_stderr[1]);
    close(kept);
}

/* Of 2 GiB the metadata is mapped and not there: what is libc's is not less for it. */
static void metadata_that_nobody_touched_is_no_memory(void **state) {
    (void)state;
    sw_heap *libcs = sw_heap_create("system", "tracking:0"), *other = sw_heap_create("auto", NULL);
    assert_non_null(libcs);
    assert_non_null(other);
    char *touched = sw_alloc(libcs, 8 * MIB, SW_TAG_OTHER);
    assert_non_null(touched);
    memset(touched, 1, 8 * MIB);
    size_t before = stats_of(libcs).resident.current;
    void *vast = sw_alloc(other, 2048 * MIB, SW_TAG_OTHER);
    assert_non_null(vast);
    assert_true(stats_of(other).metadata.current > 4 * MIB);
    assert_true(stats_of(libcs).resident.current >= before - MIB);
    sw_free(other, vast);
    sw_free(libcs, touched);
    sw_heap_destroy(other);
    sw_heap_destroy(libcs);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_what_cannot_be_created),
        cmocka_unit_test_setup_teardown(of_what_cannot_be_allocated, begin, end),
        cmocka_unit_test_setup_teardown(of_what_is_out_of_place, begin, end),
        cmocka_unit_test(a_thread_with_little_stack_is_refused),
        cmocka_unit_test(metadata_that_nobody_touched_is_no_memory),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
