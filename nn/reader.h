/*
 * reader.h - bytes in order, from a file (plain or gzip, told by its first bytes) or from memory.
 *
 * A reader holds nn_reader_held() bytes of the heap and no more, all taken when it is opened: a
 * buffer of 64 KiB for a plain file; for gzip a second one and 64 KiB for zlib's own state. From
 * memory it holds nothing beside itself. A file may be of any size.
 */
#ifndef NN_READER_H
#define NN_READER_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "stepwell.h"

struct nn_reader;

/* NULL with the sentence. */
struct nn_reader *nn_reader_open(sw_heap *heap, const char *path, struct nn_error *error);

/* size bytes at data, which stay the caller's; name is what errors call it. */
struct nn_reader *nn_reader_open_memory(sw_heap *heap, const char *name, const void *data,
                                        size_t size, struct nn_error *error);

void nn_reader_close(struct nn_reader *reader); /* NULL is ignored */

/* Up to size bytes; *got is less only where the data ends. -1: they cannot be read. */
int nn_reader_read(struct nn_reader *reader, void *to, size_t size, size_t *got,
                   struct nn_error *error);

/* Back to the first byte. */
int nn_reader_rewind(struct nn_reader *reader, struct nn_error *error);

/* The next byte's offset, in unpacked data. */
uint64_t nn_reader_offset(const struct nn_reader *reader);

const char *nn_reader_name(const struct nn_reader *reader);
size_t nn_reader_held(const struct nn_reader *reader);

#endif
