/*
 * address_table.h - entries found by an address: what is known of blocks, apart from the blocks.
 *
 * Open addressing with linear probing; an erased entry is closed by shifting those behind it back
 * (Knuth, The Art of Computer Programming 3, 6.4, algorithm R), so there are no tombstones and a
 * long-lived table stays as fast as a new one. The memory is the system's own.
 *
 * Nothing here locks.
 */
#ifndef SW_ADDRESS_TABLE_H
#define SW_ADDRESS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An entry begins with its key, a pointer or an address as a number, which is never 0: that marks a
 * free place. */
struct sw__address_table {
    char *places;
    size_t entry_size; /* a power of two, up to a page; the user's to set */
    size_t capacity;   /* a power of two, or 0 */
    size_t count;
};

/* 2^64 over the golden ratio (Fibonacci hashing), without the bits that alignment leaves 0. The
 * highest bits are free for who keeps several tables. */
static inline uint64_t sw__address_table_hash(uintptr_t key) {
    return (key >> 4) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline size_t sw__address_table_bytes(const struct sw__address_table *table) {
    return table->capacity * table->entry_size;
}

/* How many of them are physically present. */
size_t sw__address_table_present(const struct sw__address_table *table);

/* The key's entry; NULL if there is none. */
void *sw__address_table_find(const struct sw__address_table *table, uintptr_t key);
/* The key's entry, made (all zero but the key) if there was none. Room has been ensured. */
void *sw__address_table_enter(struct sw__address_table *table, uintptr_t key);
void sw__address_table_erase(struct sw__address_table *table, void *entry);
/* Room for so many entries at a load of 3/4 at most. False, with nothing changed, when out of
 * memory. */
bool sw__address_table_ensure_room(struct sw__address_table *table, size_t wanted);
/* The entry that comes after, in no order; the first after NULL, and NULL after the last. */
void *sw__address_table_next(const struct sw__address_table *table, const void *entry);
void sw__address_table_release(struct sw__address_table *table);

#endif
