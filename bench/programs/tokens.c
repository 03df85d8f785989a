/*
 * tokens.c - text is generated, as a transformer without a place reserved for it does: what it knows
 * of the tokens so far gets longer with each, so that every layer's keys and values are copied to a
 * block that is 8 KiB larger, and the old one is freed. Six layers, twelve such blocks, from a prompt
 * of 64 tokens to 512; of the scores, which get longer too, a few are made on the way. Then the next
 * text. Each thread writes its own.
 */
#include "shape.h"

enum { LAYERS = 6, PROMPT = 64, TOKENS = 512, TEXTS = 2, SCORES_EACH = 128, TEMPORARIES = 3 };

#define TOKEN_SIZE (8 * KIB) /* of four texts at once: keys, or values, of eight heads of 64 */

struct worker {
    _Alignas(64) uint64_t texts;
    uint64_t operations;
};

static struct worker workers[MAX_THREADS];
static _Thread_local uint64_t operations;

/* As PyTorch allocates a tensor. */
static char *tensor(size_t size) {
    void *block;
    if (posix_memalign(&block, 64, size) != 0) {
        fail("out of memory");
    }
    operations++;
    return block;
}

/* What a cache has of a token: no two caches the same. */
static char value_of(int cache, size_t token) {
    return (char)(token * 2 * LAYERS + (size_t)cache);
}

static void write_token(char *keys, int cache, size_t token) {
    memset(keys + token * TOKEN_SIZE, value_of(cache, token), TOKEN_SIZE);
}

/* One more token at the end of a cache of so many. */
static char *append(char *keys, int cache, size_t tokens) {
    char *longer = tensor((tokens + 1) * TOKEN_SIZE);
    memcpy(longer, keys, tokens * TOKEN_SIZE);
    write_token(longer, cache, tokens);
    free(keys);
    return longer;
}

/* Scores of a token for all before it, and what comes of them. */
static void attend(size_t tokens) {
    char *temporaries[TEMPORARIES];
    for (int i = 0; i < TEMPORARIES; i++) {
        temporaries[i] = tensor(tokens * SCORES_EACH);
        memset(temporaries[i], i, tokens * SCORES_EACH);
    }
    for (int i = 0; i < TEMPORARIES; i++) {
        free(temporaries[i]);
    }
}

static void check_cache(const char *keys, int cache) {
    for (size_t token = 0; token < TOKENS; token++) {
        if (keys[token * TOKEN_SIZE] != value_of(cache, token)) {
            fail("a token has changed");
        }
    }
}

static void generate(void) {
    char *caches[2 * LAYERS];
    for (int i = 0; i < 2 * LAYERS; i++) {
        caches[i] = tensor(PROMPT * TOKEN_SIZE);
        for (size_t token = 0; token < PROMPT; token++) {
            write_token(caches[i], i, token);
        }
    }
    for (size_t token = PROMPT; token < TOKENS; token++) {
        for (int i = 0; i < 2 * LAYERS; i++) {
            caches[i] = append(caches[i], i, token);
            if (i % 2 == 1) {
                attend(token + 1);
            }
        }
    }
    for (int i = 0; i < 2 * LAYERS; i++) {
        check_cache(caches[i], i);
        free(caches[i]);
    }
}

static void *work(void *own) {
    struct worker *worker = own;
    for (uint64_t text = 0; text < worker->texts; text++) {
        generate();
    }
    worker->operations = operations;
    return NULL;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t all = 0;
    for (unsigned i = 0; i < shape.threads; i++) {
        workers[i].texts = shape.quick ? 1 : TEXTS;
    }
    run_threads(shape.threads, work, workers, sizeof *workers);
    for (unsigned i = 0; i < shape.threads; i++) {
        all += workers[i].operations;
    }
    report_at_rest(&shape, all);
}
