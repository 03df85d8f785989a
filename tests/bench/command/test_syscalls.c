/*
 * test_syscalls.c - memory system calls of a child are counted, all of them, and nothing else is.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "syscalls.h"

enum { PAGE = 4096, TWO_PAGES = 8192 };

/* Six calls that count, and some that do not. */
static void make_six_calls(void) {
    char *pages = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pages, PAGE, PROT_READ | PROT_WRITE);
    madvise(pages, PAGE, MADV_DONTNEED);
    pages = mremap(pages, PAGE, TWO_PAGES, MREMAP_MAYMOVE);
    munmap(pages, TWO_PAGES);
    (void)!sbrk(0); /* libc knows the break: no call */
    (void)syscall(SYS_gettid);
    (void)!brk(sbrk(0));
}

static void *make_one_in_thread(void *unused) {
    (void)unused;
    madvise(NULL, 0, MADV_NORMAL);
    return NULL;
}

static void child_calls_between_marks(void) {
    make_six_calls();
    mark_counting(true);
    make_six_calls();
    make_six_calls();
    mark_counting(false);
    make_six_calls();
}

static void child_calls_in_a_thread(void) {
    pthread_t thread;
    mark_counting(true);
    mark_counting(false);
    pthread_create(&thread, NULL, make_one_in_thread, NULL);
    pthread_join(thread, NULL);
    mark_counting(true);
    make_one_in_thread(NULL); /* thread creation itself maps a stack: count apart from it */
    pthread_create(&thread, NULL, make_one_in_thread, NULL);
    pthread_join(thread, NULL);
    mark_counting(false);
}

static void child_that_forks(void) {
    mark_counting(true);
    pid_t pid = fork();
    if (pid == 0) {
        madvise(NULL, 0, MADV_NORMAL);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    mark_counting(false);
}

static void child_without_marks(void) {
    make_six_calls();
}

/* Runs `work` in a child whose calls are counted. False where counting is refused. */
static bool count_in_child(void (*work)(void), struct call_count *count) {
    int go[2];
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        close(go[1]);
        if (submit_to_counting(go[0]) != 0) {
            _exit(99);
        }
        work();
        _exit(7);
    }
    close(go[0]);
    int status = follow_and_count(child, go[1], count);
    close(go[1]);
    if (status == -1 || WEXITSTATUS(status) == 99) {
        print_message("counting is refused here: %s\n", count->why);
        return false;
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    return true;
}

static void expect_calls(void (*work)(void), size_t calls) {
    struct call_count count;
    if (!count_in_child(work, &count)) {
        skip();
    }
    assert_true(count.known);
    assert_int_equal(count.calls, calls);
}

static void all_six_are_counted_between_marks(void **state) {
    (void)state;
    expect_calls(child_calls_between_marks, 12);
}

static void children_of_the_child_are_counted(void **state) {
    (void)state;
    expect_calls(child_that_forks, 1);
}

static void threads_are_counted(void **state) {
    (void)state;
    struct call_count count;
    if (!count_in_child(child_calls_in_a_thread, &count)) {
        skip();
    }
    assert_true(count.known);
    assert_in_range(count.calls, 2, 8); /* two of ours, and what reusing a stack takes */
}

static void without_marks_nothing_is_known(void **state) {
    (void)state;
    struct call_count count;
    if (!count_in_child(child_without_marks, &count)) {
        skip();
    }
    assert_false(count.known);
}

static void death_by_signal_is_reported(void **state) {
    (void)state;
    struct call_count count;
    int go[2];
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        submit_to_counting(go[0]);
        raise(SIGKILL);
    }
    int status = follow_and_count(child, go[1], &count);
    close(go[0]);
    close(go[1]);
    if (status == -1) {
        skip();
    }
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_six_are_counted_between_marks),
        cmocka_unit_test(children_of_the_child_are_counted),
        cmocka_unit_test(threads_are_counted),
        cmocka_unit_test(without_marks_nothing_is_known),
        cmocka_unit_test(death_by_signal_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
