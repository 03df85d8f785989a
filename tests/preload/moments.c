/*
 * moments.c - malloc at any moment of a process's life: before and after main, while libraries come
 * and go, at the end of threads, on both sides of a fork. See second_self.h; moments/ has the
 * libraries. One of them is preloaded behind ours, or with the argument `before` in front of it;
 * with `bundled` a library that exports a malloc of its own is behind ours too; with `tracked` the
 * heap has a ledger.
 */
#define _GNU_SOURCE
#include "moments/early.h"
#include "second_self.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *directory; /* of this program, where its libraries are too */

static void *load(const char *name, int flags) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    void *library = dlopen(path, flags);
    if (!library)
        fail_msg("%s", dlerror());
    return library;
}

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found)
        fail_msg("%s", dlerror());
    return found;
}

/* Sizes of all kinds, checked. For a child: what is wrong ends it. */
static void allocate(void) {
    enum { BLOCKS = 60 };
    unsigned char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = (size_t)1 << (i % 17);
        blocks[i] = malloc(size);
        if (!blocks[i])
            abort();
        memset(blocks[i], (int)i, size);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i][((size_t)1 << (i % 17)) - 1] != i)
            abort();
        free(blocks[i]);
    }
}

/* ---- Before main ----------------------------------------------------------------------------- */

static char *from_constructor;

__attribute__((constructor(101))) static void allocate_before_main(void) {
    allocate();
    from_constructor = strdup("before main");
}

static void what_was_allocated_before_main_is_there(void **state) {
    (void)state;
    assert_string_equal(from_constructor, "before main");
    from_constructor = realloc(from_constructor, 100000);
    assert_string_equal(from_constructor, "before main");
    free(from_constructor);
    char **text = symbol(RTLD_DEFAULT, "early_text");
    assert_string_equal(*text, "from a constructor");
}

static void resolvers_may_allocate(void **state) {
    (void)state;
    int (*answer)(void);
    *(void **)&answer = symbol(RTLD_DEFAULT, "early_answer"); /* dlsym runs the resolver */
    assert_int_equal(answer(), 42);
    assert_null(dlsym(RTLD_DEFAULT, "no such symbol")); /* allocates its error */
    assert_non_null(dlerror());
}

/* ---- Libraries come and go ------------------------------------------------------------------- */

static void libraries_may_come_and_go(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        void *plugin = load("libmoments-plugin.so", RTLD_NOW | RTLD_LOCAL);
        size_t (*use)(void);
        *(void **)&use = symbol(plugin, "plugin_use_thread");
        assert_int_equal(use(), 200);
        dlclose(plugin);
    }
}

/* libc and jemalloc cannot tell their pointers from others, where no ledger does. */
static int strategy_knows_its_blocks(void) {
    const char *strategy = getenv("STEPWELL_STRATEGY");
    return getenv("STEPWELL_CONF") ||
           (strcmp(strategy, "system") != 0 && strcmp(strategy, "jemalloc") != 0);
}

enum { MIB = 1 << 20 };

static void take_over(char *block, size_t size) {
    assert_true(malloc_usable_size(block) >= size);
    block = realloc(block, 2 * size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(block[i], 0x5a);
    free(block);
}

static void a_library_asked_to_be_bound_deeply_frees_what_is_ours(void **state) {
    (void)state;
    void *plugin = load("libmoments-taker.so", RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    void (*take)(void *);
    *(void **)&take = symbol(plugin, "taker_take");
    for (size_t size = 1; size < 2000000; size = size * 3 / 2 + 1)
        take(malloc(size));
}

/* The dynamic linker is to see who called it. */
static void a_library_is_found_by_the_path_of_whoever_loads_it(void **state) {
    (void)state;
    void *finder = load("libmoments-finder.so", RTLD_NOW | RTLD_LOCAL);
    void *(*find)(int is_deep);
    *(void **)&find = symbol(finder, "finder_load");
    assert_null(dlopen("libmoments-found.so", RTLD_NOW));
    for (int is_deep = 0; is_deep <= 1; is_deep++) {
        void *found = find(is_deep);
        assert_non_null(found);
        dlclose(found);
    }
}

struct giver {
    char *(*give)(size_t);
    char *(*give_aligned)(size_t, size_t);
};

static void take_over_of_all_sizes(const struct giver *giver, size_t most) {
    for (size_t size = 1; size < most; size = size * 3 / 2 + 1) {
        free(giver->give(size));
        take_over(giver->give(size), size);
        take_over(giver->give_aligned(256, size), size);
    }
}

/* Where libc has arenas of threads: none so large that it maps them by themselves. */
static void *take_over_in_thread(void *giver) {
    take_over_of_all_sizes(giver, 100000);
    return giver;
}

/* Its malloc is libc's, behind our back; whoever frees the block calls ours. */
static void blocks_of_a_deeply_bound_library_go_back_to_libc(void **state) {
    (void)state;
    if (dlsym(RTLD_DEFAULT, "bundled_text"))
        skip(); /* that one would get them, as without us */
    if (!strategy_knows_its_blocks())
        skip();
    char path[4096];
    snprintf(path, sizeof path, "%s/libmoments-deep.so", directory);
    void *plugin = dlmopen(LM_ID_BASE, path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    assert_non_null(plugin);
    struct giver giver;
    *(void **)&giver.give = symbol(plugin, "deep_give");
    *(void **)&giver.give_aligned = symbol(plugin, "deep_give_aligned");
    /* Each larger than what was freed before: libc maps those by themselves. */
    for (size_t alignment = 16, size = MIB; alignment <= 65536; alignment *= 2, size += MIB) {
        char *block = giver.give_aligned(alignment, size);
        assert_true(malloc_usable_size(block) >= size);
        free(block);
    }
    take_over_of_all_sizes(&giver, 2000000);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_over_in_thread, &giver), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

/* What such a library hands out is freed by the free() that would have been called without us. */
static void a_library_may_bring_its_own_allocator(void **state) {
    (void)state;
    if (!dlsym(RTLD_DEFAULT, "bundled_text"))
        skip(); /* it is not behind us in this run */
    if (!strategy_knows_its_blocks())
        skip();
    char *(*text)(void);
    *(void **)&text = symbol(RTLD_DEFAULT, "bundled_text");
    const int *live = symbol(RTLD_DEFAULT, "bundled_live");
    int before = *live;
    char *block = text();
    assert_int_equal(*live, before + 1);
    free(malloc(100));
    assert_int_equal(*live, before + 1);
    assert_true(malloc_usable_size(block) == 100);
    block = realloc(block, 3000);
    assert_string_equal(block, "from an allocator of its own");
    free(block);
    assert_int_equal(*live, before);
}

/* A malloc between ours and libc's, of which that of the system strategy is, knows nothing of it.
 */
static void libc_is_asked_of_its_own_blocks(void **state) {
    (void)state;
    if (strcmp(getenv("STEPWELL_STRATEGY"), "system") != 0 || getenv("STEPWELL_CONF"))
        skip();
    static const size_t before_the_next = sizeof(size_t); /* of glibc's chunks, which are by 16 */
    for (size_t size = 1; size < 100000; size = size * 3 / 2 + 1) {
        char *block = malloc(size);
        size_t usable = malloc_usable_size(block);
        assert_true(usable >= size && usable % 16 == before_the_next);
        free(block);
    }
    assert_true(mallinfo2().arena > 0);
    malloc_trim(0);
}

/* ---- The end of threads ---------------------------------------------------------------------- */

static pthread_key_t key;
static int rounds;
static _Atomic(void *) handed_over;

static void allocate_at_the_end(void *argument) {
    allocate();
    free(__atomic_exchange_n((void **)&handed_over, strdup("still there"), __ATOMIC_ACQ_REL));
    __atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED);
    pthread_setspecific(key, argument);
}

static void *live_and_end(void *argument) {
    size_t (*use)(void);
    *(void **)&use = symbol(argument, "plugin_use_thread"); /* a thread_local with a destructor */
    use();
    allocate();
    pthread_setspecific(key, argument);
    return NULL;
}

static void threads_may_allocate_in_their_last_moments(void **state) {
    (void)state;
    enum { THREADS = 50 };
    void *plugin = load("libmoments-plugin.so", RTLD_NOW | RTLD_LOCAL);
    assert_int_equal(pthread_key_create(&key, allocate_at_the_end), 0);
    rounds = 0;
    for (int i = 0; i < THREADS; i += 2) {
        pthread_t threads[2];
        for (int j = 0; j < 2; j++)
            assert_int_equal(pthread_create(&threads[j], NULL, live_and_end, plugin), 0);
        for (int j = 0; j < 2; j++)
            pthread_join(threads[j], NULL);
    }
    assert_int_equal(rounds, THREADS * PTHREAD_DESTRUCTOR_ITERATIONS);
    assert_string_equal((char *)handed_over, "still there");
    free((void *)handed_over);
    pthread_key_delete(key);
    dlclose(plugin);
}

/* ---- Forks and the like ---------------------------------------------------------------------- */

enum { BUSY = 3 };

static struct {
    pthread_t threads[BUSY];
    int stop;
} busy;

static void *allocate_until_stopped(void *argument) {
    while (!__atomic_load_n(&busy.stop, __ATOMIC_RELAXED))
        allocate();
    return argument;
}

static int start_busy(void **state) {
    (void)state;
    busy.stop = 0;
    for (int i = 0; i < BUSY; i++)
        if (pthread_create(&busy.threads[i], NULL, allocate_until_stopped, NULL) != 0)
            return -1;
    return 0;
}

static int stop_busy(void **state) {
    (void)state;
    __atomic_store_n(&busy.stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < BUSY; i++)
        pthread_join(busy.threads[i], NULL);
    return 0;
}

/* One of whose threads none takes signals any more is deaf to its alarm. */
static void assert_child_is_well(pid_t child) {
    enum { TENTHS = 400 };
    int status = -1, waited = 0;
    assert_true(child > 0);
    while (waitpid(child, &status, WNOHANG) == 0 && waited++ < TENTHS)
        usleep(waited < 10 ? 1000 : 100000);
    if (waited > TENTHS) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    }
    assert_int_equal(status, 0);
}

static void *allocate_once(void *argument) {
    allocate();
    return argument;
}

/* Fork handlers that were registered by a constructor allocate, and so do a child and its threads.
 */
static void a_child_may_do_anything(void **state) {
    (void)state;
    const int *calls = symbol(RTLD_DEFAULT, "early_forks");
    int before = calls[EARLY_BEFORE];
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            alarm(30); /* a lock left held ends here */
            allocate();
            malloc_trim(0);
            if (pthread_create(&thread, NULL, allocate_once, NULL) != 0)
                _exit(1);
            pthread_join(thread, NULL);
            pid_t grandchild = fork();
            if (grandchild == 0) {
                allocate();
                _exit(0);
            }
            int status = 1;
            waitpid(grandchild, &status, 0);
            _exit(status || calls[EARLY_CHILD] != 1);
        }
        assert_child_is_well(child);
    }
    assert_int_equal(calls[EARLY_BEFORE] - before, 20);
}

static void spawned_children_start(void **state) {
    (void)state;
    char *arguments[] = {(char *)"true", NULL};
    for (int i = 0; i < 20; i++) {
        pid_t child;
        assert_int_equal(posix_spawnp(&child, "true", NULL, NULL, arguments, environ), 0);
        assert_child_is_well(child);
        FILE *pipe = popen("echo hello", "r");
        char line[16];
        assert_non_null(fgets(line, sizeof line, pipe));
        assert_string_equal(line, "hello\n");
        assert_int_equal(pclose(pipe), 0);
    }
}

/* The child has our memory and our stack, and our thread waits for it. */
static void a_vfork_child_may_allocate(void **state) {
    (void)state;
    static void *volatile block;
    for (volatile int i = 0; i < 20; i++) {
        pid_t child = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */
        if (child == 0) {
            block = malloc(100000); /* NOLINT(clang-analyzer-unix.Vfork) */
            free(malloc(100));
            execlp("true", "true", (char *)NULL);
            _exit(127);
        }
        assert_child_is_well(child);
        assert_non_null(block);
        free(block);
    }
}

static int child_of_clone(void *argument) {
    allocate();
    *(void **)argument = strdup("from the child");
    return 0;
}

static void a_clone_that_shares_memory_may_allocate(void **state) {
    (void)state;
    enum { STACK = 256 << 10 };
    char *stack = malloc(STACK);
    void *text = NULL;
    for (int i = 0; i < 20; i++) {
        pid_t child = clone(child_of_clone, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, &text);
        assert_child_is_well(child);
        assert_string_equal(text, "from the child");
        free(text);
    }
    free(stack);
}

/* glibc interrupts every thread for it, wherever it is. */
static void another_user_may_allocate(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    pid_t child = fork();
    if (child == 0) {
        enum { NOBODY = 65534 };
        alarm(30);
        start_busy(NULL);
        if (seteuid(NOBODY) != 0 || seteuid(0) != 0 || setgroups(0, NULL) != 0 ||
            setuid(NOBODY) != 0)
            _exit(1);
        allocate();
        stop_busy(NULL);
        malloc_trim(0);
        _exit(geteuid() == NOBODY ? 0 : 1);
    }
    assert_child_is_well(child);
}

/* Enough for auto to have a thread. */
static void allocate_large(void) {
    enum { LARGE = 65 << 20 };
    char *block = malloc(LARGE);
    if (!block)
        _exit(1);
    memset(block, 1, LARGE);
    free(block);
}

static void fork_once(void) {
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    int cancelled_before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelled_before);
    assert_child_is_well(child);
    pthread_setcancelstate(cancelled_before, NULL);
}

/* Past all handlers of forks: of our own threads none is there, and nothing says so. */
static void a_child_without_handlers_may_end(void **state) {
    (void)state;
    allocate_large();
    fflush(NULL);
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        alarm(30);
        allocate();
        fork_once();
        exit(0);
    }
    assert_child_is_well(child);
}

/* ---- Cancellation ---------------------------------------------------------------------------- */

static void *work_while_cancelled(void *work) {
    pthread_cancel(pthread_self());
    (*(void (**)(void))work)();
    pthread_testcancel();
    return work;
}

static void do_while_cancelled(void (*work)(void)) {
    pthread_t thread;
    void *result;
    if (pthread_create(&thread, NULL, work_while_cancelled, (void *)&work) != 0 ||
        pthread_join(thread, &result) != 0 || result != PTHREAD_CANCELED)
        _exit(1);
}

/* Neither allocating nor forking is a point where a thread is cancelled: it would leave our locks
 * held for ever. */
static void what_is_cancelled_leaves_no_lock_held(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        do_while_cancelled(allocate_large);
        allocate_large();
        do_while_cancelled(fork_once);
        allocate_large();
        fork_once();
        _exit(0);
    }
    assert_child_is_well(child);
}

/* ---- After main ------------------------------------------------------------------------------ */

static void *of_the_end;

static void allocate_at_exit(void) {
    allocate();
    of_the_end = malloc(1000);
}

__attribute__((destructor)) static void allocate_after_main(void) {
    free(of_the_end);
    allocate();
}

static void *outlive_main(void *argument) {
    for (;;)
        allocate();
    return argument;
}

/* Threads go on while the process ends, with the table asked for. */
static void a_process_may_end_amid_its_threads(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            alarm(30);
            for (int j = 0; j < BUSY; j++)
                if (pthread_create(&thread, NULL, outlive_main, NULL) != 0)
                    _exit(1);
            allocate();
            exit(0);
        }
        assert_child_is_well(child);
    }
}

static void *wait_for_main_to_end(void *main_thread) {
    if (pthread_join(*(pthread_t *)main_thread, NULL) != 0)
        _exit(1);
    allocate_large();
    return NULL;
}

/* A process ends when its last thread does, and no thread of ours is one of the program's. */
static void main_may_end_before_its_threads(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        static pthread_t self;
        pthread_t thread;
        alarm(30);
        self = pthread_self();
        allocate_large();
        if (pthread_create(&thread, NULL, wait_for_main_to_end, &self) != 0)
            _exit(1);
        pthread_exit(NULL);
    }
    assert_child_is_well(child);
}

static int check(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_allocated_before_main_is_there),
        /* before 64 MiB have been taken, after which limits are first looked for */
        cmocka_unit_test(what_is_cancelled_leaves_no_lock_held),
        cmocka_unit_test(resolvers_may_allocate),
        cmocka_unit_test(libraries_may_come_and_go),
        cmocka_unit_test(a_library_asked_to_be_bound_deeply_frees_what_is_ours),
        cmocka_unit_test(a_library_is_found_by_the_path_of_whoever_loads_it),
        cmocka_unit_test(blocks_of_a_deeply_bound_library_go_back_to_libc),
        cmocka_unit_test(a_library_may_bring_its_own_allocator),
        cmocka_unit_test(libc_is_asked_of_its_own_blocks),
        cmocka_unit_test(threads_may_allocate_in_their_last_moments),
        cmocka_unit_test_setup_teardown(a_child_may_do_anything, start_busy, stop_busy),
        cmocka_unit_test_setup_teardown(spawned_children_start, start_busy, stop_busy),
        cmocka_unit_test_setup_teardown(a_vfork_child_may_allocate, start_busy, stop_busy),
        cmocka_unit_test_setup_teardown(a_clone_that_shares_memory_may_allocate, start_busy,
                                        stop_busy),
        cmocka_unit_test(another_user_may_allocate),
        cmocka_unit_test(a_child_without_handlers_may_end),
        cmocka_unit_test(a_process_may_end_amid_its_threads),
        cmocka_unit_test(main_may_end_before_its_threads),
    };
    atexit(allocate_at_exit);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv) {
    directory = realpath("/proc/self/exe", NULL);
    *strrchr(directory, '/') = '\0';
    setenv("STEPWELL_STATS", "/dev/null", 1);
    const char *order = argc > 1 ? argv[1] : "";
    if (strcmp(order, "tracked") == 0)
        setenv("STEPWELL_CONF", "tracking:1", 1);
    char libraries[8192];
    snprintf(libraries, sizeof libraries, "%s/libmoments-early.so:%s/%s", directory, directory,
             strcmp(order, "bundled") == 0 ? "libmoments-bundled.so" : "libmoments-early.so");
    setenv(strcmp(order, "before") == 0 ? "STEPWELL_TEST_BEFORE" : "STEPWELL_TEST_AFTER", libraries,
           1);
    return run_second_selves("preload.moments", argc, argv, check);
}
