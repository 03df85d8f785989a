/*
 * test_address_table.c - entries found by an address, against a plain list of what is there.
 */
#include "support.h"

#include "address_table.h"
#include "os.h"

struct entry {
    uintptr_t key;
    uint64_t value;
};

enum { KEYS = 3000, OPERATIONS = 200000 };

/* Half of them side by side, as blocks of one slab are, and half pages apart. */
static uintptr_t key_of(size_t i) {
    return i % 2 ? 0x7f0000000000 + i * 16 : 0x550000000000 + i * PAGE;
}

static void check_all(const struct sw__address_table *table, const uint64_t *values) {
    size_t there = 0, met = 0;
    for (size_t i = 0; i < KEYS; i++) {
        const struct entry *entry = sw__address_table_find(table, key_of(i));
        CHECK((entry != NULL) == (values[i] != 0));
        CHECK(!entry || (entry->key == key_of(i) && entry->value == values[i]));
        there += values[i] != 0;
    }
    for (const struct entry *entry = NULL; (entry = sw__address_table_next(table, entry));)
        met += sw__address_table_find(table, entry->key) == entry;
    CHECK(met == there);
    CHECK(table->count == there);
}

static void what_was_entered_is_found_until_it_is_erased(void **state) {
    (void)state;
    static uint64_t values[KEYS];
    struct sw__address_table table = {.entry_size = sizeof(struct entry)};
    uint64_t random = run_seed();
    for (size_t i = 0; i < scaled(OPERATIONS); i++) {
        size_t which = below(&random, KEYS);
        struct entry *entry = sw__address_table_find(&table, key_of(which));
        CHECK((entry != NULL) == (values[which] != 0));
        if (entry && below(&random, 2)) {
            sw__address_table_erase(&table, entry);
            values[which] = 0;
        } else {
            CHECK(sw__address_table_ensure_room(&table, table.count + 1));
            entry = sw__address_table_enter(&table, key_of(which));
            CHECK(entry->value == values[which]); /* 0 of a new one */
            entry->value = values[which] = i + 1;
        }
        if (i % 5000 == 0)
            check_all(&table, values);
    }
    check_all(&table, values);
    sw__address_table_release(&table);
    assert_null(sw__address_table_next(&table, NULL));
}

static void a_table_that_cannot_grow_stays_as_it_was(void **state) {
    (void)state;
    struct sw__address_table table = {.entry_size = sizeof(struct entry)};
    assert_null(sw__address_table_find(&table, key_of(1)));
    assert_true(sw__address_table_ensure_room(&table, 100));
    for (size_t i = 0; i < 100; i++)
        ((struct entry *)sw__address_table_enter(&table, key_of(i)))->value = i;
    for (long refused = 1; refused <= 2; refused++) { /* its space, and the right to use it */
        sw__os_fail_nth(refused);
        assert_false(sw__address_table_ensure_room(&table, 10000));
        sw__os_fail_nth(0);
        assert_int_equal(table.count, 100);
        for (size_t i = 0; i < 100; i++)
            assert_int_equal(((struct entry *)sw__address_table_find(&table, key_of(i)))->value, i);
    }
    assert_true(sw__address_table_ensure_room(&table, 10000));
    assert_true(table.capacity / 4 * 3 >= 10000);
    assert_null(sw__address_table_find(&table, key_of(100)));
    assert_null(sw__address_table_find(&table, 0));
    sw__address_table_release(&table);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_entered_is_found_until_it_is_erased),
        cmocka_unit_test(a_table_that_cannot_grow_stays_as_it_was),
    };
    choose_tests(argc, argv);
    return cmocka_run_group_tests_name("address_table", tests, NULL, NULL);
}
