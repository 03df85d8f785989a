/*
 * oom.cc - a program that runs out of memory, and goes on when there is some again. test_oom.py
 * runs it under the preload library and looks at what is said meanwhile.
 *
 *     oom exhaust    takes memory until there is none; gives it back; does it again
 *     oom address    the same, with little address space (RLIMIT_AS)
 *     oom probe      asks for what nobody can have
 *     oom probe-64T  asks for what this machine does not have
 *     oom inject     every call of the system fails once, each in turn
 * (libstepwell-preload-failing) oom inject-on  from each call on, all fail
 *
 * Says nothing and ends with 0 where all is as it should be; else one sentence, and 1.
 */
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUIRE(condition) ((condition) ? (void)0 : give_up(#condition, __LINE__))

[[noreturn]] static void give_up(const char *condition, int line) {
    char text[256];
    int length = snprintf(text, sizeof text, "oom.cc:%d: not so: %s\n", line, condition);
    ssize_t written = write(STDERR_FILENO, text, (size_t)length);
    _exit(written == length ? 1 : 2);
}

/* Not to be seen through by the compiler. */
static volatile size_t opaque = 1;

/* ---- Until there is none --------------------------------------------------------------------- */

constexpr size_t PIECE = 1 << 20;

struct piece {
    piece *next;
    char rest[PIECE - sizeof(piece *)];
};

static size_t take_all(piece **pieces) {
    size_t count = 0;
    for (;; count++) {
        errno = 0;
        auto *taken = static_cast<piece *>(malloc(sizeof(piece)));
        if (!taken)
            break;
        taken->next = *pieces;
        memset(taken->rest, (int)count, sizeof taken->rest);
        *pieces = taken;
    }
    REQUIRE(errno == ENOMEM);
    return count;
}

static void give_all_back(piece **pieces) {
    while (piece *first = *pieces) {
        *pieces = first->next;
        REQUIRE(first->rest[0] == first->rest[sizeof first->rest - 1]);
        free(first);
    }
}

static void refusals_are_told_as_they_should_be() {
    const size_t size = 4 * PIECE * opaque;
    errno = 0;
    REQUIRE(calloc(size, 1) == nullptr && errno == ENOMEM);
    errno = 0;
    REQUIRE(aligned_alloc(4096, size) == nullptr && errno == ENOMEM);
    errno = 7;
    void *untouched = &untouched;
    REQUIRE(posix_memalign(&untouched, 64, size) == ENOMEM);
    REQUIRE(untouched == &untouched && errno == 7);
    bool thrown = false;
    try {
        free(operator new(size));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    REQUIRE(thrown);
    REQUIRE(operator new(size, std::nothrow) == nullptr);
    REQUIRE(new (std::nothrow) char[size] == nullptr);
}

static piece *reserve;

static void use_the_reserve() {
    piece *freed = reserve;
    reserve = nullptr;
    std::set_new_handler(nullptr);
    give_all_back(&freed);
}

static void the_new_handler_is_asked() {
    std::set_new_handler(use_the_reserve);
    void *block = operator new(PIECE *opaque); /* as large as what comes back */
    REQUIRE(block != nullptr && reserve == nullptr);
    operator delete(block);
}

static void exhaust() {
    piece *pieces = nullptr;
    size_t first = take_all(&pieces);
    REQUIRE(first > 20);
    refusals_are_told_as_they_should_be();
    char *grown = static_cast<char *>(malloc(100)); /* may or may not be */
    if (grown) {
        memset(grown, 5, 100);
        REQUIRE(realloc(grown, 4 * PIECE * opaque) == nullptr);
        for (int i = 0; i < 100; i++)
            REQUIRE(grown[i] == 5);
        free(grown);
    }
    for (int i = 0; i < 8; i++) {
        piece *moved = pieces;
        pieces = pieces->next;
        moved->next = reserve;
        reserve = moved;
    }
    the_new_handler_is_asked();
    give_all_back(&pieces);
    REQUIRE(take_all(&pieces) >= first * 9 / 10);
    give_all_back(&pieces);
}

static void limit_address_space() {
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    REQUIRE(file && fscanf(file, "%zu", &pages) == 1);
    fclose(file);
    rlimit limit = {pages * 4096 + (200 << 20), RLIM_INFINITY};
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* ---- What nobody can have -------------------------------------------------------------------- */

static void probe_one(size_t size) {
    errno = 0;
    REQUIRE(malloc(size * opaque) == nullptr && errno == ENOMEM);
    errno = 0;
    REQUIRE(calloc(size * opaque, 1) == nullptr && errno == ENOMEM);
    REQUIRE(operator new(size *opaque, std::nothrow) == nullptr);
}

static void probe() {
    for (size_t size : {SIZE_MAX, SIZE_MAX / 2, (size_t)PTRDIFF_MAX, (size_t)1 << 47})
        probe_one(size);
    free(aligned_alloc(((size_t)1 << 46) * opaque, 10)); /* some have address space for it */
}

/* ---- Each call of the system in turn --------------------------------------------------------- */

static void (*fail_nth)(long);
static void (*fail_from)(long);
static long (*requests)();

template <typename function> static void find(function *&found, const char *name) {
    found = reinterpret_cast<function *>(dlsym(RTLD_DEFAULT, name));
    REQUIRE(found != nullptr);
}

constexpr int BLOCKS = 400;

static size_t size_of(int i) {
    return i % 10 == 9 ? (size_t)(i + 1) << 12 : 1 + (size_t)i * i % 40000;
}

static void *take(int i) {
    void *aligned = nullptr;
    switch (i % 4) {
    case 0:
        return calloc(1, size_of(i));
    case 1:
        return posix_memalign(&aligned, (size_t)64 << i % 8, size_of(i)) == 0 ? aligned : nullptr;
    case 2:
        try {
            return operator new(size_of(i));
        } catch (const std::bad_alloc &) {
            return nullptr;
        }
    default:
        return malloc(size_of(i));
    }
}

static int refused;

static char *take_and_fill(int i) {
    auto *block = static_cast<char *>(take(i));
    if (!block) {
        refused++;
        return nullptr;
    }
    memset(block, i, size_of(i));
    return block;
}

static void *take_in_a_thread(void *slot) {
    *static_cast<char **>(slot) = take_and_fill(3);
    return nullptr;
}

static void grow(char **block, int i) {
    errno = 0;
    auto *grown = static_cast<char *>(realloc(*block, 3 * size_of(i) * opaque));
    if (grown) {
        *block = grown;
    } else {
        REQUIRE(errno == ENOMEM);
        refused++;
    }
}

/* Whatever is refused, what was given holds. */
static void live() {
    static char *blocks[BLOCKS];
    refused = 0;
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = take_and_fill(i);
    for (int i = 0; i < BLOCKS; i += 7)
        if (blocks[i])
            grow(&blocks[i], i);
    char *other = nullptr;
    pthread_t thread;
    if (pthread_create(&thread, nullptr, take_in_a_thread, &other) == 0)
        pthread_join(thread, nullptr);
    free(other);
    for (int i = 0; i < BLOCKS; i++) {
        for (size_t at = 0; blocks[i] && at < size_of(i); at += 1 + size_of(i) / 3)
            REQUIRE(blocks[i][at] == (char)i);
        free(blocks[i]);
    }
    malloc_trim(0);
}

/* True when the pass met the failure. */
static bool live_with_failure(long n, bool and_after) {
    long before = requests();
    (and_after ? fail_from : fail_nth)(n);
    live();
    bool failed = requests() - before >= n;
    fail_nth(0);
    live();
    REQUIRE(refused == 0); /* as there is memory again */
    return failed;
}

/* libc and jemalloc ask the system by themselves. */
static bool asks_by_the_seam() {
    const char *strategy = getenv("STEPWELL_STRATEGY");
    return strcmp(strategy, "system") != 0 && strcmp(strategy, "jemalloc") != 0;
}

/* Each in a process of its own, whose heap has asked for nothing yet. */
static void inject(bool and_after) {
    enum { FAILED = 0, NOT_MET = 42, MOST = 2000 };
    find(fail_nth, "stepwell_test_fail_nth");
    find(fail_from, "stepwell_test_fail_from");
    find(requests, "stepwell_test_requests");
    for (long n = 1; n <= MOST; n++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            _exit(live_with_failure(n, and_after) ? FAILED : NOT_MET);
        REQUIRE(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
        if (WEXITSTATUS(status) == NOT_MET) {
            REQUIRE(n > 1 || !asks_by_the_seam());
            return;
        }
        REQUIRE(WEXITSTATUS(status) == FAILED);
    }
    REQUIRE(!"there are so many calls");
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "exhaust") == 0) {
        exhaust();
    } else if (strcmp(what, "address") == 0) {
        limit_address_space();
        exhaust();
    } else if (strcmp(what, "probe") == 0) {
        probe();
    } else if (strcmp(what, "probe-64T") == 0) {
        probe_one((size_t)1 << 46);
    } else {
        REQUIRE(strncmp(what, "inject", 6) == 0);
        inject(strcmp(what, "inject-on") == 0);
    }
    return 0;
}
