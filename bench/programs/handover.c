/*
 * handover.c - a loader and a consumer: one thread makes batches, each of 16 samples of 64 to 256
 * KiB and one buffer into which they are collated, frees the samples and hands the buffer over;
 * another reads it and frees it. Four buffers at most wait at a time.
 */
#include "queue.h"

enum { SAMPLES = 16, WAITING = 4, BATCHES = 1500 };

struct batch {
    unsigned char *bytes;
    size_t size;
    unsigned char sum; /* of a byte in each line */
};

static struct batch *collate(uint64_t *state) {
    unsigned char *samples[SAMPLES];
    size_t size = 64 * KIB + below(state, 192 * KIB);
    for (size_t i = 0; i < SAMPLES; i++) {
        samples[i] = take(size);
        memset(samples[i], mark_of(samples[i], size), size);
    }
    struct batch *batch = take(sizeof *batch);
    *batch = (struct batch){.bytes = take(SAMPLES * size), .size = SAMPLES * size};
    for (size_t i = 0; i < SAMPLES; i++) {
        memcpy(batch->bytes + i * size, samples[i], size);
        give(samples[i], size);
    }
    mark(batch->bytes, batch->size);
    return batch;
}

static void *load(void *own) {
    struct pair *pair = own;
    uint64_t state = seed_of(pair->number);
    for (uint64_t i = 0; i < pair->total; i++) {
        put(pair, collate(&state));
    }
    return NULL;
}

static void *consume(void *own) {
    struct pair *pair = own;
    for (uint64_t i = 0; i < pair->total; i++) {
        struct batch *batch = get(pair);
        for (size_t at = 0; at < batch->size; at += 64) {
            batch->sum += batch->bytes[at];
        }
        give(batch->bytes, batch->size);
        free(batch);
    }
    return NULL;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t batches = run_pairs(&shape, share(&shape, BATCHES), WAITING, load, consume);
    report_at_rest(&shape, batches * (SAMPLES + 2));
}
