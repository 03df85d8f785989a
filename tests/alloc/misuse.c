/*
 * misuse.c - each misuse ends the process by SIGABRT with one fixed sentence on stderr, and nothing
 * else. A child process per misuse and subject.
 *
 * A tracked heap sees every one of them. An untracked one sees what its strategy sees: at least the
 * pointers that no heap gave out, large blocks freed twice, and small ones twice in a row.
 */
#include "support.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void misuse(sw_heap *heap);

static const char free_sentence[] =
    "stepwell: free of a pointer that is not a live block of this heap\n";
static const char realloc_sentence[] =
    "stepwell: realloc of a pointer that is not a live block of this heap\n";
static const char usable_size_sentence[] =
    "stepwell: usable size of a pointer that is not a live block of this heap\n";

/* Runs the misuse in a child; its stderr is in text afterwards. */
static int status_of(const struct subject *subject, misuse *commit, char *text, size_t text_size) {
    int ends[2];
    fflush(NULL);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        commit(make_heap(subject, NULL));
        _exit(0); /* it was not noticed */
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(ends[0], text + length, text_size - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void expect_end(void **state, misuse *commit, const char *sentence) {
    char text[4096];
    int status = status_of(*state, commit, text, sizeof text);
    assert_string_equal(text, sentence);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* ---- The misuses ----------------------------------------------------------------------------- */

static void *hidden(void *pointer) {
    void *volatile seen_by_nobody = pointer;
    return seen_by_nobody;
}

static void free_small_twice(sw_heap *heap) {
    void *block = sw_alloc(heap, 100, SW_TAG_OTHER);
    hidden(sw_alloc(heap, 100, SW_TAG_OTHER)); /* stays: counting what is live would not tell */
    void *again = hidden(block);
    sw_free(heap, block);
    sw_free(heap, again);
}

static void free_large_twice(sw_heap *heap) {
    void *block = sw_alloc(heap, 3 * MIB, SW_TAG_OTHER);
    void *again = hidden(block);
    sw_free(heap, block);
    sw_free(heap, again);
}

static void free_the_stack(sw_heap *heap) {
    char local[64] = {0};
    sw_free(heap, hidden(local + (-(uintptr_t)local & 15)));
}

static void free_a_static(sw_heap *heap) {
    static _Alignas(4096) char data[4096];
    sw_free(heap, hidden(data));
}

static void free_inside_a_small_block(sw_heap *heap) {
    char *block = sw_alloc(heap, 100, SW_TAG_OTHER);
    sw_free(heap, hidden(block + 16));
}

static void free_inside_a_large_block(sw_heap *heap) {
    char *block = sw_alloc(heap, 3 * MIB, SW_TAG_OTHER);
    sw_free(heap, hidden(block + 2 * PAGE));
}

static void free_small_in_another_heap(sw_heap *heap) {
    sw_heap *other = sw_heap_create(sw_heap_strategy(heap), NULL);
    void *block = sw_alloc(other, 100, SW_TAG_OTHER);
    sw_free(heap, hidden(block));
}

static void free_large_in_another_heap(sw_heap *heap) {
    sw_heap *other = sw_heap_create(sw_heap_strategy(heap), NULL);
    void *block = sw_alloc(other, 3 * MIB, SW_TAG_OTHER);
    sw_free(heap, hidden(block));
}

static void realloc_what_is_freed(sw_heap *heap) {
    void *block = sw_alloc(heap, 100, SW_TAG_OTHER);
    void *again = hidden(block);
    sw_free(heap, block);
    if (sw_realloc(heap, again, 200))
        _exit(0);
}

static void realloc_what_is_freed_and_large(sw_heap *heap) {
    void *block = sw_alloc(heap, 3 * MIB, SW_TAG_OTHER);
    void *again = hidden(block);
    sw_free(heap, block);
    if (sw_realloc(heap, again, 5 * MIB))
        _exit(0);
}

static void realloc_what_has_moved(sw_heap *heap) {
    void *block = sw_alloc(heap, 100, SW_TAG_OTHER);
    void *again = hidden(block);
    if (!sw_realloc(heap, block, 30 * MIB) || !sw_realloc(heap, again, 200))
        _exit(0);
}

static void ask_the_size_of_what_is_freed(sw_heap *heap) {
    void *block = sw_alloc(heap, 100, SW_TAG_OTHER);
    void *again = hidden(block);
    sw_free(heap, block);
    sw_usable_size(heap, again);
}

static void ask_the_size_of_the_stack(sw_heap *heap) {
    char local[64] = {0};
    sw_usable_size(heap, hidden(local));
}

/* A block of the first step, freed in it and again in the next. */
static void free_again_in_the_next_step(sw_heap *heap) {
    sw_step_begin(heap);
    void *block = sw_alloc(heap, 1000, SW_TAG_ACTIVATION);
    void *again = hidden(block);
    sw_free(heap, block);
    sw_step_end(heap);
    sw_step_begin(heap);
    sw_free(heap, again);
}

#define ENDS(function, sentence)                                                                   \
    static void function##_ends_the_process(void **state) {                                        \
        expect_end(state, function, sentence);                                                     \
    }

ENDS(free_small_twice, free_sentence)
ENDS(free_large_twice, free_sentence)
ENDS(free_the_stack, free_sentence)
ENDS(free_a_static, free_sentence)
ENDS(free_inside_a_small_block, free_sentence)
ENDS(free_inside_a_large_block, free_sentence)
ENDS(free_small_in_another_heap, free_sentence)
ENDS(free_large_in_another_heap, free_sentence)
ENDS(free_again_in_the_next_step, free_sentence)
ENDS(realloc_what_is_freed, realloc_sentence)
ENDS(realloc_what_is_freed_and_large, realloc_sentence)
ENDS(realloc_what_has_moved, realloc_sentence)
ENDS(ask_the_size_of_what_is_freed, usable_size_sentence)
ENDS(ask_the_size_of_the_stack, usable_size_sentence)

/* What their page maps hold looks alike, and is not. */
static const char *elsewhere;

static void free_small_elsewhere(sw_heap *heap) {
    sw_heap *other = sw_heap_create(elsewhere, "tracking:0");
    void *block = sw_alloc(other, 100, SW_TAG_OTHER);
    sw_free(heap, hidden(block));
}

static void free_small_in_a_heap_of_another_strategy_ends_the_process(void **state) {
    static const char *const own[] = {"pool", "sizeclass", "arena", "auto"};
    for (size_t i = 0; i < LENGTH_OF(own); i++) {
        elsewhere = own[i];
        expect_end(state, free_small_elsewhere, free_sentence);
    }
}

/* ---- What is no misuse ----------------------------------------------------------------------- */

static void use_it_well(sw_heap *heap) {
    sw_free(heap, NULL);
    void *block = sw_realloc(heap, sw_alloc(heap, 10, SW_TAG_OTHER), 100);
    if (sw_usable_size(heap, block) < 100)
        abort();
    sw_free(heap, block);
    sw_heap_destroy(heap);
}

static void right_use_says_nothing(void **state) {
    char text[4096];
    int status = status_of(*state, use_it_well, text, sizeof text);
    assert_string_equal(text, "");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static const struct behaviour behaviours[] = {
    BEHAVIOUR_OF(free_small_twice_ends_the_process, is_tracked_or_own),
    BEHAVIOUR_OF(free_large_twice_ends_the_process, is_tracked_or_own),
    BEHAVIOUR_OF(free_the_stack_ends_the_process, is_tracked_or_own),
    BEHAVIOUR_OF(free_a_static_ends_the_process, is_tracked_or_own),
    BEHAVIOUR_OF(free_inside_a_small_block_ends_the_process, is_tracked),
    BEHAVIOUR_OF(free_inside_a_large_block_ends_the_process, is_tracked_or_own),
    BEHAVIOUR_OF(free_small_in_another_heap_ends_the_process, is_tracked_or_own),
    BEHAVIOUR_OF(free_large_in_another_heap_ends_the_process, is_tracked_or_own),
    BEHAVIOUR_OF(free_small_in_a_heap_of_another_strategy_ends_the_process, is_tracked_or_own),
    BEHAVIOUR_OF(free_again_in_the_next_step_ends_the_process, is_tracked),
    BEHAVIOUR_OF(realloc_what_is_freed_ends_the_process, is_tracked),
    BEHAVIOUR_OF(realloc_what_is_freed_and_large_ends_the_process, is_tracked_or_own),
    BEHAVIOUR_OF(realloc_what_has_moved_ends_the_process, is_tracked),
    BEHAVIOUR_OF(ask_the_size_of_what_is_freed_ends_the_process, is_tracked),
    BEHAVIOUR_OF(ask_the_size_of_the_stack_ends_the_process, is_tracked),
    BEHAVIOUR(right_use_says_nothing),
};

int main(int argc, char **argv) {
    return run_behaviours("misuse", behaviours, LENGTH_OF(behaviours), argc, argv);
}
