/*
 * mstress.c - threads that live briefly and leave objects behind. A thread allocates objects of
 * many sizes, keeps some, frees some, and exchanges others with whatever lies in slots that all
 * share; when it ends, what it put there lives on, and a later thread frees it.
 */
#include "shape.h"

#include <stdatomic.h>

enum { SHARED = 1000, KEPT = 2000, TURNS = 20000, GENERATIONS = 300 };

/* An object is an array of words, each the cookie of its own place; the first is their number. */
typedef uintptr_t word;

static _Atomic(word *) shared[SHARED];

static const word cookie = (word)0xbf58476d1ce4e5b9u;

static word *make(uint64_t *state) {
    /* 2 to 32 words; one in 64 has up to 1,024, one in 4,096 up to 8,192. */
    size_t chance = below(state, 4096);
    size_t most = chance == 0 ? 8192 : chance < 64 ? 1024 : 32;
    size_t count = 2 + below(state, most - 1);
    word *object = malloc(count * sizeof *object);
    if (!object) {
        fail("out of memory");
    }
    object[0] = count;
    for (size_t i = 1; i < count; i++) {
        object[i] = cookie ^ i;
    }
    return object;
}

static void unmake(word *object) {
    if (!object) {
        return;
    }
    for (size_t i = 1; i < object[0]; i++) {
        if (object[i] != (cookie ^ i)) {
            fail("an object has changed");
        }
    }
    free(object);
}

/* A random slot's object for a new one. */
static void exchange(uint64_t *state) {
    unmake(atomic_exchange(&shared[below(state, SHARED)], make(state)));
}

static void *live(void *own) {
    uint64_t here = *(uint64_t *)own, *state = &here; /* the other threads' lie beside it */
    word *kept[KEPT] = {0};
    for (size_t turn = 0; turn < TURNS; turn++) {
        size_t place = below(state, KEPT);
        if (below(state, 4) == 0) {
            exchange(state);
        } else if (kept[place]) {
            unmake(kept[place]);
            kept[place] = NULL;
        } else {
            kept[place] = make(state);
        }
    }
    for (size_t place = 0; place < KEPT; place++) {
        if (place % 16 == 0) { /* outlives the thread */
            kept[place] = atomic_exchange(&shared[below(state, SHARED)], kept[place]);
        }
        unmake(kept[place]);
    }
    *(uint64_t *)own = here;
    return NULL;
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t generations = share(&shape, GENERATIONS), states[MAX_THREADS];
    for (unsigned t = 0; t < shape.threads; t++) {
        states[t] = seed_of(t);
    }
    for (uint64_t g = 0; g < generations; g++) {
        pthread_t threads[MAX_THREADS];
        for (unsigned t = 0; t < shape.threads; t++) {
            threads[t] = start(live, &states[t]);
        }
        for (unsigned t = 0; t < shape.threads; t++) {
            pthread_join(threads[t], NULL);
        }
    }
    for (size_t i = 0; i < SHARED; i++) {
        unmake(atomic_load(&shared[i]));
    }
    report(&shape, generations * shape.threads * TURNS);
}
