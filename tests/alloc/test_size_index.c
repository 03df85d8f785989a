/*
 * test_size_index.c - free extents by size and address, against a plain list of what is there.
 */
#include "support.h"

#include "extents/size_index.h"

enum { NODES = 400, OPERATIONS = 100000 };

struct listed {
    struct sw__treap_node node;
    bool is_there;
};

static struct listed listed[NODES];

/* Many of few pages, some equal; half up to a few MiB; now and then a very large one. */
static size_t draw_size(uint64_t *random) {
    size_t kind = below(random, 8);
    if (kind < 3)
        return PAGE * (1 + below(random, 100));
    if (kind < 7)
        return PAGE * (1 + below(random, 2000));
    return PAGE << below(random, 45);
}

static bool is_before(const struct sw__treap_node *node, size_t size, uintptr_t address) {
    return node->size < size || (node->size == size && node->address < address);
}

static const struct sw__treap_node *least_listed_from(size_t size, uintptr_t address) {
    const struct sw__treap_node *least = NULL;
    for (size_t i = 0; i < NODES; i++)
        if (listed[i].is_there && !is_before(&listed[i].node, size, address) &&
            (!least || sw__treap_less(&listed[i].node, least)))
            least = &listed[i].node;
    return least;
}

static const struct sw__treap_node *largest_listed_below(size_t size, uintptr_t address) {
    const struct sw__treap_node *largest = NULL;
    for (size_t i = 0; i < NODES; i++)
        if (listed[i].is_there && is_before(&listed[i].node, size, address) &&
            (!largest || sw__treap_less(largest, &listed[i].node)))
            largest = &listed[i].node;
    return largest;
}

static void enter(struct sw__size_index *index, struct listed *one, uint64_t *random) {
    one->node.size = draw_size(random);
    one->node.address = PAGE * (1 + (uintptr_t)(one - listed));
    sw__size_index_insert(index, &one->node);
    one->is_there = true;
}

static void leave(struct sw__size_index *index, struct listed *one) {
    sw__size_index_remove(index, &one->node);
    one->is_there = false;
}

static void check_neighbours(const struct sw__size_index *index, size_t size, uintptr_t address) {
    CHECK(sw__size_index_at_least(index, size, address) == least_listed_from(size, address));
    CHECK(sw__size_index_below(index, size, address) == largest_listed_below(size, address));
}

static void what_is_there_is_found_in_order(void **state) {
    (void)state;
    struct sw__size_index index = {0};
    uint64_t random = run_seed();
    size_t operations = scaled(OPERATIONS);
    for (size_t i = 0; i < operations; i++) {
        /* By turns there are a few of them, and nearly all. */
        size_t share = i / 2000 % 2 ? 15 : 2;
        struct listed *one = &listed[below(&random, NODES)];
        if (one->is_there && below(&random, 16) >= share)
            leave(&index, one);
        else if (!one->is_there && below(&random, 16) < share)
            enter(&index, one, &random);
        check_neighbours(&index, draw_size(&random), PAGE * below(&random, NODES));
        check_neighbours(&index, one->node.size, one->node.address);
    }
}

static void walks_meet_all_of_it(void **state) {
    (void)state;
    struct sw__size_index index = {0};
    uint64_t random = run_seed();
    size_t up = 0, down = 0;
    for (size_t i = 0; i < NODES; i++)
        enter(&index, &listed[i], &random);
    for (const struct sw__treap_node *node = sw__size_index_at_least(&index, 0, 0), *next; node;
         node = next, up++) {
        next = sw__size_index_after(&index, node);
        CHECK(!next || sw__treap_less(node, next));
    }
    for (const struct sw__treap_node *node = sw__size_index_largest(&index); node; down++)
        node = sw__size_index_below(&index, node->size, node->address);
    assert_int_equal(up, NODES);
    assert_int_equal(down, NODES);
    for (size_t i = 0; i < NODES; i++)
        leave(&index, &listed[i]);
}

static void an_empty_one_has_nothing(void **state) {
    (void)state;
    struct sw__size_index index = {0};
    assert_null(sw__size_index_at_least(&index, 0, 0));
    assert_null(sw__size_index_at_least(&index, SIZE_MAX, 0));
    assert_null(sw__size_index_below(&index, SIZE_MAX, UINTPTR_MAX));
    assert_null(sw__size_index_largest(&index));
    struct sw__treap_node only = {.size = PAGE << 50, .address = PAGE};
    sw__size_index_insert(&index, &only);
    assert_ptr_equal(sw__size_index_largest(&index), &only);
    assert_ptr_equal(sw__size_index_at_least(&index, PAGE, 0), &only);
    sw__size_index_remove(&index, &only);
    assert_null(sw__size_index_largest(&index));
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_is_found_in_order),
        cmocka_unit_test(walks_meet_all_of_it),
        cmocka_unit_test(an_empty_one_has_nothing),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("size_index", tests, NULL, NULL);
}
