/*
 * late.c - the preload library loaded late, by dlopen(), as an ordinary library: it takes nobody's
 * malloc away, needs little static thread-local storage, and may be closed again while threads that
 * used it go on.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* glibc keeps 1,664 bytes for all libraries that come late; half a KiB is all that we ask for. */
#define BUDGET 512

static size_t thread_storage_of_ours;

static int look_for_ours(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    (void)context;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (strstr(info->dlpi_name, "libstepwell-preload.so") &&
            info->dlpi_phdr[i].p_type == PT_TLS)
            thread_storage_of_ours = info->dlpi_phdr[i].p_memsz;
    return 0;
}

static void *load(int flags) {
    char path[4096];
    snprintf(path, sizeof path, "%s/lib/libstepwell-preload.so", getenv("STEPWELL_BUILD_DIR"));
    void *library = dlopen(path, RTLD_NOW | flags);
    if (!library)
        fail_msg("%s", dlerror());
    return library;
}

static void *(*their_malloc)(size_t);
static void (*their_free)(void *);

static void take_names(void *library) {
    *(void **)&their_malloc = dlsym(library, "malloc");
    *(void **)&their_free = dlsym(library, "free");
    assert_ptr_not_equal(their_malloc, malloc);
    assert_ptr_not_equal(their_free, free);
}

static void allocate(void) {
    for (size_t size = 1; size < 4 << 20; size *= 3) {
        void *block = their_malloc(size);
        if (!block)
            abort();
        their_free(memset(block, 0x5a, size));
        free(memset(malloc(size), 0x5a, size)); /* libc's goes on beside it */
    }
}

static void it_asks_for_little_thread_storage(void **state) {
    (void)state;
    void *library = load(RTLD_LOCAL);
    dl_iterate_phdr(look_for_ours, NULL);
    assert_in_range(thread_storage_of_ours, 1, BUDGET);
    take_names(library);
    allocate();
    dlclose(library);
}

static void it_is_beside_libc_where_all_may_see_it(void **state) {
    (void)state;
    void *before = malloc(100);
    void *library = load(RTLD_GLOBAL);
    take_names(library);
    allocate();
    free(realloc(before, 1000));
    dlclose(library);
}

static pthread_barrier_t turn;

static void *outlive_the_library(void *argument) {
    allocate();
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* closed meanwhile */
    return argument;             /* what the library keeps for the thread ends now */
}

static void threads_may_outlive_its_closing(void **state) {
    (void)state;
    pthread_t thread;
    void *library = load(RTLD_LOCAL);
    take_names(library);
    pthread_barrier_init(&turn, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, outlive_the_library, NULL), 0);
    pthread_barrier_wait(&turn);
    assert_int_equal(dlclose(library), 0); /* the last reference */
    pthread_barrier_wait(&turn);
    pthread_join(thread, NULL);
    pid_t child = fork(); /* its fork handlers are still there, or gone as a whole */
    if (child == 0) {
        free(malloc(100));
        exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_asks_for_little_thread_storage),
        cmocka_unit_test(it_is_beside_libc_where_all_may_see_it),
        cmocka_unit_test(threads_may_outlive_its_closing),
    };
    return cmocka_run_group_tests_name("preload.late", tests, NULL, NULL);
}
