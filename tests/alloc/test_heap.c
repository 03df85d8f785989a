/*
 * test_heap.c - what sw_error() says: one sentence that names what was wrong, and the right errno.
 */
#include "support.h"

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

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_what_cannot_be_created),
        cmocka_unit_test_setup_teardown(of_what_cannot_be_allocated, begin, end),
        cmocka_unit_test_setup_teardown(of_what_is_out_of_place, begin, end),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
