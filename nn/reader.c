/*
 * The reader: a buffer of unpacked bytes, and where the next of them come from.
 *
 *     memory   the buffer is the data
 *     plain    read(2) fills the buffer
 *     gzip     read(2) fills `packed`, inflate() the buffer; zlib's state lies in `zlib`
 *
 * All parts are one block of the heap. zlib's gz functions would do most of this, but they take
 * their memory from malloc.
 */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum {
    BUFFER = 64 << 10,
    ZLIB = 64 << 10, /* zlib 1.2 and 1.3 take 40 KiB of it: 7 for inflate's state, 32 of window */
};

struct nn_reader {
    sw_heap *heap;
    size_t held;
    const char *name;
    int file; /* -1: memory */
    bool gzip;
    bool member_open; /* between a gzip member's first byte and its last */

    const unsigned char *bytes; /* the buffer: fill bytes, used of them read */
    size_t fill, used;
    uint64_t before; /* bytes that went through the buffer earlier */

    unsigned char *buffer;
    unsigned char *packed;
    unsigned char *zlib;
    size_t zlib_used;
    z_stream stream;
};

/* ---- zlib's memory: pieces of one block, none given back before all are ---------------------- */

static void *zlib_alloc(void *reader_pointer, unsigned count, unsigned size) {
    struct nn_reader *reader = reader_pointer;
    size_t bytes = ((size_t)count * size + 15) / 16 * 16;
    if (bytes > ZLIB - reader->zlib_used) {
        return NULL;
    }
    void *piece = reader->zlib + reader->zlib_used;
    reader->zlib_used += bytes;
    return piece;
}

static void zlib_free(void *reader, void *piece) {
    (void)reader;
    (void)piece;
}

/* ---- Fill ------------------------------------------------------------------------------------ */

static int read_file(struct nn_reader *reader, unsigned char *to, size_t *got,
                     struct nn_error *error) {
    ssize_t count;
    do {
        count = read(reader->file, to, BUFFER);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        return nn_fail(error, "%s: byte %llu: %s", reader->name,
                       (unsigned long long)nn_reader_offset(reader), strerror(errno));
    }
    *got = (size_t)count;
    return 0;
}

/* Packed bytes for inflate, unless it has some left. */
static int feed(struct nn_reader *reader, struct nn_error *error) {
    if (reader->stream.avail_in != 0) {
        return 0;
    }
    size_t got = 0;
    if (read_file(reader, reader->packed, &got, error) != 0) {
        return -1;
    }
    reader->stream.next_in = reader->packed;
    reader->stream.avail_in = (unsigned)got;
    return 0;
}

static int inflate_some(struct nn_reader *reader, struct nn_error *error) {
    if (!reader->member_open) {
        inflateReset(&reader->stream);
        reader->member_open = true;
    }
    int status = inflate(&reader->stream, Z_NO_FLUSH);
    if (status == Z_STREAM_END) {
        reader->member_open = false; /* another member may follow */
    } else if (status == Z_MEM_ERROR) {
        return nn_fail(error, "%s: out of memory: zlib wants more than %d KiB", reader->name,
                       ZLIB >> 10);
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
        return nn_fail(
            error, "%s: byte %llu: the gzip data is damaged (%s)", reader->name,
            (unsigned long long)(nn_reader_offset(reader) + BUFFER - reader->stream.avail_out),
            reader->stream.msg ? reader->stream.msg : "it cannot be unpacked");
    }
    return 0;
}

static int fill_gzip(struct nn_reader *reader, struct nn_error *error) {
    reader->stream.next_out = reader->buffer;
    reader->stream.avail_out = BUFFER;
    while (reader->stream.avail_out != 0) {
        if (feed(reader, error) != 0) {
            return -1;
        }
        if (reader->stream.avail_in == 0) {
            break;
        }
        if (inflate_some(reader, error) != 0) {
            return -1;
        }
    }
    reader->fill = BUFFER - reader->stream.avail_out;
    if (reader->fill == 0 && reader->member_open) { /* perhaps only its checksum is missing */
        return nn_fail(error, "%s: byte %llu: the gzip data ends too early", reader->name,
                       (unsigned long long)nn_reader_offset(reader));
    }
    return 0;
}

/* The next buffer full; fill is 0 at the end. */
static int fill(struct nn_reader *reader, struct nn_error *error) {
    if (reader->file < 0) {
        return 0;
    }
    reader->before += reader->fill;
    reader->fill = reader->used = 0;
    return reader->gzip ? fill_gzip(reader, error)
                        : read_file(reader, reader->buffer, &reader->fill, error);
}

int nn_reader_read(struct nn_reader *reader, void *to, size_t size, size_t *got,
                   struct nn_error *error) {
    *got = 0;
    while (*got < size) {
        if (reader->used == reader->fill) {
            if (fill(reader, error) != 0) {
                return -1;
            }
            if (reader->used == reader->fill) {
                break;
            }
        }
        size_t left = reader->fill - reader->used;
        size_t part = size - *got < left ? size - *got : left;
        memcpy((unsigned char *)to + *got, reader->bytes + reader->used, part);
        reader->used += part;
        *got += part;
    }
    return 0;
}

int nn_reader_rewind(struct nn_reader *reader, struct nn_error *error) {
    reader->used = 0;
    if (reader->file < 0) {
        return 0;
    }
    reader->fill = 0;
    reader->before = 0;
    reader->stream.avail_in = 0;
    reader->member_open = false;
    if (lseek(reader->file, 0, SEEK_SET) != 0) {
        return nn_fail(error, "%s: %s", reader->name, strerror(errno));
    }
    return 0;
}

/* ---- Open, close ----------------------------------------------------------------------------- */

uint64_t nn_reader_offset(const struct nn_reader *reader) {
    return reader->before + reader->used;
}

const char *nn_reader_name(const struct nn_reader *reader) {
    return reader->name;
}

size_t nn_reader_held(const struct nn_reader *reader) {
    return reader->held;
}

/* The block: the struct, the parts it needs, the name. */
static struct nn_reader *take(sw_heap *heap, const char *name, size_t parts,
                              struct nn_error *error) {
    size_t head = (sizeof(struct nn_reader) + 63) / 64 * 64;
    size_t held = head + parts + strlen(name) + 1;
    struct nn_reader *reader = sw_alloc_aligned(heap, 64, held, SW_TAG_INPUT);
    if (!reader) {
        nn_fail(error, "out of memory: reading %s would take %zu bytes", name, held);
        return NULL;
    }
    unsigned char *part = (unsigned char *)reader + head;
    *reader = (struct nn_reader){.heap = heap, .held = held, .file = -1};
    reader->buffer = part;
    reader->packed = part + BUFFER;
    reader->zlib = part + (size_t)2 * BUFFER;
    reader->name = memcpy(part + parts, name, strlen(name) + 1);
    return reader;
}

static int start_gzip(struct nn_reader *reader, struct nn_error *error) {
    const int gzip_only = 16 + MAX_WBITS;
    reader->gzip = true;
    reader->stream.zalloc = zlib_alloc;
    reader->stream.zfree = zlib_free;
    reader->stream.opaque = reader;
    return inflateInit2(&reader->stream, gzip_only) == Z_OK
               ? 0
               : nn_fail(error, "%s: out of memory: zlib wants more than %d KiB", reader->name,
                         ZLIB >> 10);
}

/* A reader of an open file; the file is closed when this fails. */
static struct nn_reader *open_descriptor(sw_heap *heap, const char *path, int file,
                                         struct nn_error *error) {
    unsigned char magic[2] = {0};
    ssize_t got = pread(file, magic, sizeof magic, 0);
    struct nn_reader *reader = NULL;
    if (got < 0) {
        nn_fail(error, "%s: %s", path, strerror(errno));
    } else {
        bool gzip = magic[0] == 0x1f && magic[1] == 0x8b;
        reader = take(heap, path, gzip ? 2 * BUFFER + ZLIB : BUFFER, error);
        if (reader && gzip && start_gzip(reader, error) != 0) {
            nn_reader_close(reader);
            reader = NULL;
        }
    }
    if (!reader) {
        close(file);
        return NULL;
    }
    reader->file = file;
    reader->bytes = reader->buffer;
    return reader;
}

struct nn_reader *nn_reader_open(sw_heap *heap, const char *path, struct nn_error *error) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        nn_fail(error, "%s: %s", path, strerror(errno));
        return NULL;
    }
    return open_descriptor(heap, path, file, error);
}

struct nn_reader *nn_reader_open_memory(sw_heap *heap, const char *name, const void *data,
                                        size_t size, struct nn_error *error) {
    struct nn_reader *reader = take(heap, name, 0, error);
    if (reader) {
        reader->bytes = data;
        reader->fill = size;
    }
    return reader;
}

void nn_reader_close(struct nn_reader *reader) {
    if (!reader) {
        return;
    }
    if (reader->gzip) {
        inflateEnd(&reader->stream);
    }
    if (reader->file >= 0) {
        close(reader->file);
    }
    sw_free(reader->heap, reader);
}
