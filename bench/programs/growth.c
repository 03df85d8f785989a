/*
 * growth.c - buffers that grow by realloc, as strings and lists do: by half each time, from 16
 * bytes to 4 MiB, and by 64 bytes each time, to 64 KiB. A small block is allocated between two
 * growths, so that a buffer cannot always grow where it is. What is added is written.
 */
#include "shape.h"

enum { BUFFERS = 4000, SMALL = 48, NEIGHBOURS = 32, STEP = 64 };

struct buffer {
    unsigned char *bytes;
    size_t size;
};

static uint64_t operations;
static void *neighbours[NEIGHBOURS];

static void put_neighbour(void) {
    void **place = &neighbours[operations % NEIGHBOURS];
    if (*place) {
        give(*place, SMALL);
    }
    *place = take(SMALL);
}

static void grow(struct buffer *buffer, size_t size) {
    unsigned char *bytes = realloc(buffer->bytes, size);
    if (!bytes) {
        fail("out of memory");
    }
    if (buffer->size > 0 && (bytes[0] != 1 || bytes[buffer->size - 1] != 1)) {
        fail("realloc lost a byte");
    }
    memset(bytes + buffer->size, 1, size - buffer->size);
    *buffer = (struct buffer){bytes, size};
    operations++;
    put_neighbour();
}

static void grow_by_half(size_t most) {
    struct buffer buffer = {NULL, 0};
    for (size_t size = 16; size <= most; size += size / 2) {
        grow(&buffer, size);
    }
    free(buffer.bytes);
}

static void grow_by_step(size_t most) {
    struct buffer buffer = {NULL, 0};
    for (size_t size = STEP; size <= most; size += STEP) {
        grow(&buffer, size);
    }
    free(buffer.bytes);
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t buffers = share(&shape, BUFFERS);
    for (uint64_t i = 0; i < buffers; i++) {
        grow_by_half(4 * MIB);
        grow_by_step(64 * KIB);
    }
    report(&shape, operations);
}
