/*
 * support.c - what the allocator's tests share: see support.h.
 */
#define _GNU_SOURCE /* mremap */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os.h"
#include "pressure.h"

_Thread_local size_t check_operation;

_Noreturn void check_failed(const char *condition, const char *file, int line) {
    fprintf(stderr, "%s:%d: not so: %s (STEPWELL_SEED=%llu, operation %zu)\n", file, line,
            condition, (unsigned long long)run_seed(), check_operation);
    abort();
}

size_t number_of(const char *variable, size_t usual) {
    const char *text = getenv(variable);
    return text ? (size_t)strtoull(text, NULL, 0) : usual;
}

/* ---- Subjects -------------------------------------------------------------------------------- */

sw_heap *make_heap(const struct subject *subject, const char *more) {
    char conf[128];
    snprintf(conf, sizeof conf, "tracking:%d,checked:%d%s%s", subject->tracked, subject->checked,
             more ? "," : "", more ? more : "");
    sw_heap *heap = sw_heap_create(subject->strategy, conf);
    if (!heap)
        fprintf(stderr, "%s, %s: %s\n", subject->strategy, conf, sw_error());
    CHECK(heap);
    return heap;
}

/* A strategy that asks os.h for memory is told by its asking. */
static bool makes_os_requests(const char *strategy) {
    sw_heap *heap = make_heap(&(struct subject){.strategy = strategy}, NULL);
    long before = sw__os_requests();
    void *block = sw_alloc(heap, 96 * MIB, SW_TAG_OTHER);
    CHECK(block);
    bool asks = sw__os_requests() != before;
    sw_free(heap, block);
    sw_heap_destroy(heap);
    return asks;
}

static bool is_to_be_had(const char *strategy) {
    sw_heap *heap = sw_heap_create(strategy, NULL);
    if (!heap && errno == ENOTSUP) {
        fprintf(stderr, "left out: %s\n", sw_error());
#if defined(HAVE_JEMALLOC)
        CHECK(!"every strategy was built, so every strategy is to be had");
#endif
        return false;
    }
    sw_heap_destroy(heap);
    return true;
}

size_t list_subjects(struct subject *subjects) {
    size_t count = 0;
    bool checked = number_of("STEPWELL_CHECKED", 0);
    for (size_t i = 0; sw_strategy_info(i); i++) {
        const char *strategy = sw_strategy_info(i)->name;
        if (!is_to_be_had(strategy))
            continue;
        CHECK(count + 2 <= SUBJECTS_MAX);
        bool asks_os = makes_os_requests(strategy);
        subjects[count++] = (struct subject){strategy, true, checked, asks_os};
        subjects[count++] = (struct subject){strategy, false, checked, asks_os};
    }
    return count;
}

bool is_tracked(const struct subject *subject) {
    return subject->tracked;
}

bool is_untracked(const struct subject *subject) {
    return !subject->tracked;
}

bool is_own(const struct subject *subject) {
    return subject->asks_os;
}

bool is_tracked_or_own(const struct subject *subject) {
    return subject->asks_os || subject->tracked;
}

bool is_own_unchecked(const struct subject *subject) {
    return subject->asks_os && !subject->checked;
}

static bool is_run(const struct behaviour *behaviour, const struct subject *subject) {
    bool has_threads = behaviour->has_threads || strcmp(subject->strategy, "auto") == 0;
    return (!behaviour->wants || behaviour->wants(subject)) && (has_threads || !THREAD_SANITIZED);
}

int run_behaviours(const char *group, const struct behaviour *behaviours, size_t count, int argc,
                   char **argv) {
    static struct subject subjects[SUBJECTS_MAX];
    static struct CMUnitTest tests[TESTS_MAX];
    static char names[TESTS_MAX][96];
    size_t subject_count = list_subjects(subjects), test_count = 0;
    CHECK(subject_count > 0);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < subject_count; j++) {
            if (!is_run(&behaviours[i], &subjects[j]))
                continue;
            CHECK(test_count < TESTS_MAX);
            snprintf(names[test_count], sizeof names[0], "%s[%s, tracking:%d%s]",
                     behaviours[i].name, subjects[j].strategy, subjects[j].tracked,
                     subjects[j].checked ? ", checked:1" : "");
            tests[test_count] = (struct CMUnitTest){.name = names[test_count],
                                                    .test_func = behaviours[i].run,
                                                    .initial_state = &subjects[j]};
            test_count++;
        }
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (argc > 2)
        cmocka_set_skip_filter(argv[2]);
    return _cmocka_run_group_tests(group, tests, test_count, NULL, NULL);
}

struct sw_stats stats_of(sw_heap *heap) {
    struct sw_stats stats;
    CHECK(sw_heap_stats(heap, &stats, sizeof stats) == 0);
    return stats;
}

void assert_is_misuse(void (*use)(sw_heap *heap), sw_heap *heap) {
    pid_t child = fork();
    if (child == 0) {
        freopen("/dev/null", "w", stderr);
        use(heap);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* ---- Contents -------------------------------------------------------------------------------- */

/* 2^64 over the golden ratio: its multiples are spread evenly. */
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

static uint64_t mix(uint64_t value) {
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

void fill(void *block, size_t size, uint64_t seed) {
    unsigned char *bytes = block;
    uint64_t base = mix(seed + 1), word;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        word = (base + i) * GOLDEN;
        memcpy(bytes + i, &word, 8);
    }
    word = (base + i) * GOLDEN;
    memcpy(bytes + i, &word, size - i);
}

bool holds(const void *block, size_t size, uint64_t seed) {
    const unsigned char *bytes = block;
    uint64_t base = mix(seed + 1), word;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, bytes + i, 8);
        if (word != (base + i) * GOLDEN)
            return false;
    }
    word = (base + i) * GOLDEN;
    return memcmp(bytes + i, &word, size - i) == 0;
}

bool is_all_zero(const void *block, size_t size) {
    const unsigned char *bytes = block;
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

void touch(void *block, size_t size) {
    volatile unsigned char *bytes = block;
    for (size_t i = 0; i < size; i += PAGE)
        bytes[i] = 1;
    if (size)
        bytes[size - 1] = 1;
}

/* ---- Chance ---------------------------------------------------------------------------------- */

uint64_t run_seed(void) {
    static uint64_t seed;
    if (!seed) {
        const char *wanted = getenv("STEPWELL_SEED");
        seed = wanted ? strtoull(wanted, NULL, 0) : (uint64_t)time(NULL);
        seed += seed == 0;
        fprintf(stderr, "STEPWELL_SEED=%llu\n", (unsigned long long)seed);
    }
    return seed;
}

uint64_t random_of(uint64_t *state) {
    return mix(*state += GOLDEN);
}

size_t below(uint64_t *state, size_t bound) {
    return (size_t)(((unsigned __int128)random_of(state) * bound) >> 64);
}

/* ---- Control groups -------------------------------------------------------------------------- */

static char root[128];

int make_root(void **state) {
    (void)state;
    snprintf(root, sizeof root, "/tmp/stepwell-groups-XXXXXX");
    sw__pressure_root = root;
    return mkdtemp(root) ? 0 : -1;
}

int remove_root(void **state) {
    (void)state;
    char command[160];
    snprintf(command, sizeof command, "rm -rf %s", root);
    sw__pressure_root = "";
    return system(command);
}

void write_file(const char *path, const char *text) {
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0755);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

void write_number(const char *path, size_t number) {
    char text[32];
    snprintf(text, sizeof text, "%zu\n", number);
    write_file(path, text);
}

/* ---- The process ----------------------------------------------------------------------------- */

/* Reads /proc/self/maps in one go into static room. */
struct mappings process_mappings(void) {
    static char text[4 << 20];
    struct mappings mappings = {0, 0};
    size_t length = 0;
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    for (ssize_t got; (got = read(file, text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)got;
    close(file);
    CHECK(length < sizeof text - 1);
    text[length] = '\0';
    for (const char *line = text; line && *line; mappings.count++) {
        char *dash;
        uint64_t start = strtoull(line, &dash, 16);
        mappings.bytes += (size_t)(strtoull(dash + 1, NULL, 16) - start);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return mappings;
}

int exit_code_of(pid_t child) {
    int status;
    assert_true(child >= 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

size_t process_resident(void) {
    char text[128] = {0};
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    CHECK(read(file, text, sizeof text - 1) > 0);
    close(file);
    char *second = strchr(text, ' ');
    CHECK(second);
    return (size_t)strtoull(second, NULL, 10) * PAGE;
}

void *map_scratch(size_t size) {
    void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(start != MAP_FAILED);
    return start;
}

void unmap_scratch(void *start, size_t size) {
    munmap(start, size);
}

bool kernel_can_move(void) {
    char *pages = map_scratch(2 * PAGE);
    pages[0] = 1;
    int flags = MREMAP_MAYMOVE | MREMAP_FIXED | 4 /* MREMAP_DONTUNMAP */;
    bool can = mremap(pages, PAGE, PAGE, flags, pages + PAGE) == pages + PAGE;
    unmap_scratch(pages, 2 * PAGE);
    return can;
}
