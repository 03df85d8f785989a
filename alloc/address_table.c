/*
 * address_table.c - entries found by an address: see address_table.h.
 */
#include "address_table.h"

#include "os.h"

#include <assert.h>
#include <string.h>

static char *place_at(const struct sw__address_table *table, size_t index) {
    return table->places + index * table->entry_size;
}

static uintptr_t key_of(const char *place) {
    uintptr_t key;
    memcpy(&key, place, sizeof key);
    return key;
}

static void set_key(char *place, uintptr_t key) {
    memcpy(place, &key, sizeof key);
}

/* Where the key's probing starts. */
static size_t home_of(const struct sw__address_table *table, uintptr_t key) {
    return (size_t)(sw__address_table_hash(key) >> 20) & (table->capacity - 1);
}

/* The key's entry, or the free place where it would go. */
static char *place_of(const struct sw__address_table *table, uintptr_t key) {
    size_t index = home_of(table, key);
    uintptr_t there;
    while ((there = key_of(place_at(table, index))) != 0 && there != key)
        index = (index + 1) & (table->capacity - 1);
    return place_at(table, index);
}

void *sw__address_table_find(const struct sw__address_table *table, uintptr_t key) {
    char *place = table->capacity && key ? place_of(table, key) : NULL;
    return place && key_of(place) ? place : NULL;
}

void *sw__address_table_enter(struct sw__address_table *table, uintptr_t key) {
    assert(table->count < table->capacity); /* or nothing would end the search */
    char *place = place_of(table, key);
    if (key_of(place) == 0) {
        memset(place, 0, table->entry_size);
        set_key(place, key);
        table->count++;
    }
    return place;
}

void sw__address_table_erase(struct sw__address_table *table, void *entry) {
    size_t mask = table->capacity - 1;
    size_t hole = (size_t)((char *)entry - table->places) / table->entry_size;
    for (size_t next = (hole + 1) & mask; key_of(place_at(table, next)); next = (next + 1) & mask) {
        size_t home = home_of(table, key_of(place_at(table, next)));
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            memcpy(place_at(table, hole), place_at(table, next), table->entry_size);
            hole = next;
        }
    }
    set_key(place_at(table, hole), 0);
    table->count--;
}

bool sw__address_table_ensure_room(struct sw__address_table *table, size_t wanted) {
    assert((table->entry_size & (table->entry_size - 1)) == 0 && table->entry_size <= SW__PAGE);
    size_t capacity = table->capacity ? table->capacity : SW__PAGE / table->entry_size;
    while (wanted > capacity / 4 * 3)
        capacity *= 2;
    if (capacity == table->capacity)
        return true;
    struct sw__address_table larger = {.entry_size = table->entry_size, .capacity = capacity};
    larger.places = sw__os_map(sw__address_table_bytes(&larger));
    if (!larger.places)
        return false;
    for (const char *entry = NULL; (entry = sw__address_table_next(table, entry));)
        memcpy(sw__address_table_enter(&larger, key_of(entry)), entry, table->entry_size);
    sw__address_table_release(table);
    *table = larger;
    return true;
}

void *sw__address_table_next(const struct sw__address_table *table, const void *entry) {
    size_t index =
        entry ? (size_t)((const char *)entry - table->places) / table->entry_size + 1 : 0;
    while (index < table->capacity && key_of(place_at(table, index)) == 0)
        index++;
    return index < table->capacity ? place_at(table, index) : NULL;
}

size_t sw__address_table_present(const struct sw__address_table *table) {
    return table->places ? sw__os_resident(table->places, sw__address_table_bytes(table)) : 0;
}

void sw__address_table_release(struct sw__address_table *table) {
    if (table->capacity)
        sw__os_release(table->places, sw__address_table_bytes(table));
    table->places = NULL;
    table->capacity = table->count = 0;
}
