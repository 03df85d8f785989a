/*
 * soak.c - one process that does for a long time what processes do: threads that come and go,
 * blocks of all sizes that outlive them, children. script/soak runs it with the library preloaded.
 *
 *   soak SECONDS INTERVAL    prints "SECOND RESIDENT_KIB OPERATIONS FORKS THREADS" every INTERVAL
 *
 * What is live swings about the same level all the time, so resident memory has to be flat.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 3, SLOTS = 6000, LIFE = 300000 };

struct slot {
    unsigned char *_Atomic block;
};

static struct slot slots[SLOTS]; /* any worker fills and frees any of them */
static _Atomic(unsigned long) operations, forks, threads_ended;
static _Atomic(int) stop;

static uint64_t random_of(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Mostly small, now and then a tensor: 96 % under 1 KiB, 1 in 500 up to 1 MiB. */
static size_t size_of(uint64_t chance) {
    unsigned kind = chance % 500;
    if (kind == 0)
        return 4096 + (chance >> 20) % (1 << 20);
    return kind < 20 ? 1024 + (chance >> 20) % 31000 : 8 + (chance >> 20) % 1000;
}

/* The size is in front, and its last byte at both ends. */
static unsigned char *make(uint64_t *state) {
    size_t size = sizeof(size_t) + 1 + size_of(random_of(state));
    unsigned char *block = random_of(state) % 8 ? malloc(size) : calloc(1, size);
    if (!block)
        abort();
    memcpy(block, &size, sizeof size);
    block[sizeof size] = block[size - 1] = (unsigned char)size;
    return block;
}

static void end(unsigned char *block) {
    size_t size;
    if (!block)
        return;
    memcpy(&size, block, sizeof size);
    if (block[sizeof size] != (unsigned char)size || block[size - 1] != (unsigned char)size) {
        fprintf(stderr, "soak: a block of %zu bytes has lost what it held\n", size);
        abort();
    }
    free(block);
}

static void turn_over(uint64_t *state, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        end(__atomic_exchange_n((unsigned char **)&slots[random_of(state) % SLOTS].block,
                                make(state), __ATOMIC_ACQ_REL));
}

/* A worker's life is short: the next one takes over. */
static void *work(void *argument) {
    uint64_t state = (uint64_t)(uintptr_t)argument * 0x9e3779b97f4a7c15 + 1;
    for (unsigned i = 0; i < LIFE && !stop; i += 100) {
        turn_over(&state, 100);
        operations += 100;
    }
    threads_ended++;
    return NULL;
}

static void *keep_a_worker_going(void *argument) {
    uintptr_t number = (uintptr_t)argument;
    for (; !stop; number += WORKERS) {
        pthread_t worker;
        if (pthread_create(&worker, NULL, work, (void *)number) != 0)
            abort();
        pthread_join(worker, NULL);
    }
    return NULL;
}

/* The child works on with what it was left. */
static void fork_once(uint64_t seed) {
    pid_t child = fork();
    if (child == 0) {
        uint64_t state = seed * 2 + 1;
        alarm(120);
        turn_over(&state, 2000);
        exit(0);
    }
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "soak: a child ended with status %d\n", status);
        abort();
    }
    forks++;
}

static unsigned long resident_kib(void) {
    char text[64] = {0};
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || !fgets(text, sizeof text, file))
        abort();
    fclose(file);
    return strtoul(strchr(text, ' '), NULL, 10) * 4;
}

int main(int argc, char **argv) {
    long seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 60;
    long interval = argc > 2 ? strtol(argv[2], NULL, 10) : 5;
    time_t begin = time(NULL), told = begin;
    pthread_t keepers[WORKERS];
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (uintptr_t i = 0; i < WORKERS; i++)
        if (pthread_create(&keepers[i], NULL, keep_a_worker_going, (void *)(i + 1)) != 0)
            abort();
    while (time(NULL) - begin < seconds) {
        fork_once(forks);
        usleep(100000);
        if (time(NULL) - told >= interval) {
            told = time(NULL);
            printf("%ld %lu %lu %lu %lu\n", (long)(told - begin), resident_kib(), operations, forks,
                   threads_ended);
        }
    }
    stop = 1;
    for (int i = 0; i < WORKERS; i++)
        pthread_join(keepers[i], NULL);
    for (int i = 0; i < SLOTS; i++)
        end(slots[i].block);
    return 0;
}
