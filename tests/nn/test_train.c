/*
 * Training as the command uses it: accuracy, progress, options, and the same bits everywhere.
 */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train.h"

static struct nn_result train_on(sw_heap *heap, struct nn_train_options options) {
    struct nn_result result;
    char error[512] = "";
    options.heap = heap;
    if (nn_train(&options, &result, error, sizeof error) != 0) {
        fail_msg("%s", error);
    }
    assert_int_equal(live_bytes(heap), 0);
    return result;
}

static struct nn_result train_with(const char *strategy, struct nn_train_options options) {
    sw_heap *heap = sw_heap_create(strategy, NULL);
    assert_non_null(heap);
    struct nn_result result = train_on(heap, options);
    sw_heap_destroy(heap);
    return result;
}

static void digits_are_learned(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < (SANITIZED ? 1 : 3); seed++) {
        struct nn_result result =
            train_with("pool", (struct nn_train_options){.seed = seed, .evaluate = true});
        assert_true(result.accuracy >= 0.97);
        assert_true(result.accuracy <= 1);
        assert_int_equal(result.steps, 46 * 30);
        assert_true(result.final_loss < 0.1);
    }
}

static bool same(const struct nn_result *a, const struct nn_result *b) {
    return a->final_loss == b->final_loss && a->weights_hash == b->weights_hash &&
           (a->accuracy == b->accuracy || (isnan(a->accuracy) && isnan(b->accuracy)));
}

static void note_loss(void *context, const struct nn_progress *progress) {
    ((double *)context)[progress->step - 1] = progress->loss;
}

/* Losses of each step, weights and accuracy, over every strategy of the list. */
static void check_strategies(struct nn_train_options options) {
    enum { STEPS = 60 }; /* at most */
    double first_losses[STEPS], losses[STEPS];
    struct nn_result first = {0};
    const struct sw_strategy_info *info;
    size_t compared = 0;
    options.on_step = note_loss;
    for (size_t i = 0; (info = sw_strategy_info(i)); i++) {
        for (int keep = 0; keep < 2; keep++) {
            memset(losses, 0, sizeof losses);
            options.context = losses;
            options.free_gradients = keep;
            struct nn_result result = train_with(info->name, options);
            if (compared++ == 0) {
                first = result;
                memcpy(first_losses, losses, sizeof losses);
            }
            if (!same(&first, &result)) {
                fail_msg("%s differs: loss %.17g and %.17g", info->name, first.final_loss,
                         result.final_loss);
            }
            assert_memory_equal(first_losses, losses, sizeof losses);
        }
    }
    assert_true(compared >= 4);
    options.seed++;
    struct nn_result other = train_with("system", options);
    assert_true(other.weights_hash != first.weights_hash);
}

static void every_strategy_gives_the_same_bits(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 2; threads++) {
        check_strategies((struct nn_train_options){
            .steps = SANITIZED ? 20 : 60, .threads = threads, .seed = 1, .evaluate = true});
        check_strategies((struct nn_train_options){
            .model = "wide", .steps = 3, .batch = 97, .threads = threads, .seed = 1});
    }
}

static void every_recipe_trains(void **state) {
    (void)state;
    const struct nn_recipe *recipe;
    for (size_t i = 0; (recipe = nn_recipe_at(i)); i++) {
        assert_ptr_equal(nn_recipe_find(recipe->name), recipe);
        assert_true(recipe->layers <= NN_RECIPE_LAYERS_MAX && recipe->layers > 0);
        if (recipe->data != NN_DATA_DIRECTORY) {
            struct nn_result result = train_with(
                "pool", (struct nn_train_options){.model = recipe->name, .steps = 2, .batch = 40});
            assert_int_equal(result.steps, 2);
            assert_true(isfinite(result.final_loss) && isnan(result.accuracy));
        }
    }
    assert_null(nn_recipe_find("Digits"));
    assert_string_equal(nn_recipe_at(0)->name, "digits");
}

/* ---- Progress, times ------------------------------------------------------------------------- */

struct watch {
    sw_heap *heap;
    struct nn_progress last;
    size_t calls;
};

static void watch_step(void *context, const struct nn_progress *progress) {
    struct watch *watch = context;
    assert_int_equal(progress->step, watch->last.step + 1);
    assert_int_equal(progress->steps, 100);
    assert_int_equal(progress->epoch, watch->calls / 46 + 1); /* 1442 images by 32 */
    assert_int_equal(progress->epochs, 3);
    assert_true(progress->step_ms >= 0 && isfinite(progress->loss));
    struct sw_stats stats;
    assert_int_equal(sw_heap_stats(watch->heap, &stats, sizeof stats), 0);
    assert_int_equal(stats.steps, progress->step); /* each training step is one of the heap's */
    for (int tag = SW_TAG_INPUT; tag <= SW_TAG_TEMPORARY; tag++) {
        if (tag != SW_TAG_INPUT) { /* the window and the readers stay */
            assert_int_equal(stats.tags[tag].requested.current, 0);
        }
    }
    assert_true(stats.tags[SW_TAG_PARAMETER].requested.current > 0);
    watch->last = *progress;
    watch->calls++;
}

static void progress_counts_steps_and_epochs(void **state) {
    (void)state;
    struct watch watch = {.heap = sw_heap_create("pool", NULL)};
    struct nn_result result = train_on(
        watch.heap, (struct nn_train_options){
                        .steps = 100, .warmup = 10, .on_step = watch_step, .context = &watch});
    assert_int_equal(watch.calls, 100);
    assert_true(result.step_ms_min <= result.step_ms && result.step_ms <= result.step_ms_max);
    assert_true(result.step_ms_min > 0);
    sw_heap_destroy(watch.heap);
}

static void note_warmup(void *context, const struct nn_progress *progress) {
    *(size_t *)context = progress->warmup;
}

static void warm_up_leaves_half_of_the_steps_at_least(void **state) {
    (void)state;
    static const struct {
        size_t steps, wanted, expected;
    } cases[] = {{1, 1000, 0}, {2, 1000, 1}, {5, 1000, 2}, {5, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t warmup = 77;
        struct nn_train_options options = {.steps = cases[i].steps,
                                           .warmup = cases[i].wanted,
                                           .on_step = note_warmup,
                                           .context = &warmup};
        struct nn_result result = train_with("pool", options);
        bool one_is_timed = cases[i].steps - cases[i].expected == 1;
        assert_int_equal(warmup, cases[i].expected);
        assert_true(result.step_ms > 0);
        assert_true(!one_is_timed || result.step_ms_min == result.step_ms_max);
    }
}

/* ---- Refusals -------------------------------------------------------------------------------- */

static void refuse(struct nn_train_options options, const char *part) {
    char error[512] = "";
    struct nn_result result;
    sw_heap *heap = sw_heap_create("pool", NULL);
    options.heap = heap;
    assert_int_equal(nn_train(&options, &result, error, sizeof error), -1);
    if (!strstr(error, part)) {
        fail_msg("'%s' lacks '%s'", error, part);
    }
    assert_int_equal(live_bytes(heap), 0);
    assert_int_equal(sw_step_begin(heap), 0); /* none was left open */
    sw_step_end(heap);
    sw_heap_destroy(heap);
}

static size_t requested_peak(size_t steps) {
    struct sw_stats stats;
    sw_heap *heap = sw_heap_create("pool", NULL);
    train_on(heap, (struct nn_train_options){.steps = steps});
    assert_int_equal(sw_heap_stats(heap, &stats, sizeof stats), 0);
    sw_heap_destroy(heap);
    return stats.requested.peak;
}

static void memory_does_not_depend_on_the_number_of_steps(void **state) {
    (void)state;
    assert_int_equal(requested_peak(2), requested_peak(500));
}

static void times_go_where_they_are_wanted(void **state) {
    (void)state;
    static double times[NN_TIMES_MAX];
    struct nn_result result =
        train_with("pool", (struct nn_train_options){.steps = 3, .times = times});
    assert_true(times[0] == result.step_ms_min && times[2] == result.step_ms_max);
    assert_true(times[3] == 0);
}

static void bad_options_are_one_sentence(void **state) {
    (void)state;
    refuse((struct nn_train_options){.model = "digit"},
           "unknown model 'digit'; there are digits, mnist");
    refuse((struct nn_train_options){.model = "mnist"}, "mnist needs a directory");
    refuse((struct nn_train_options){.data_dir = "/nonexistent"},
           "the data directory '/nonexistent': No such file");
    refuse((struct nn_train_options){.threads = 100000}, "100000 threads");
    refuse((struct nn_train_options){.batch = SIZE_MAX / 2}, "batch");
    char error[16];
    struct nn_result result;
    assert_int_equal(
        nn_train(&(struct nn_train_options){.model = "digits"}, &result, error, sizeof error), -1);
    assert_string_equal(error, "no heap was giv"); /* cut to its size */
}

static void a_step_that_is_open_already_is_refused(void **state) {
    (void)state;
    char error[512] = "";
    struct nn_result result;
    sw_heap *heap = sw_heap_create("pool", NULL);
    assert_int_equal(sw_step_begin(heap), 0);
    assert_int_equal(
        nn_train(&(struct nn_train_options){.heap = heap}, &result, error, sizeof error), -1);
    assert_non_null(strstr(error, "step"));
    assert_int_equal(live_bytes(heap), 0);
    assert_int_equal(sw_step_end(heap), 0);
    sw_heap_destroy(heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_are_learned),
        cmocka_unit_test(every_strategy_gives_the_same_bits),
        cmocka_unit_test(every_recipe_trains),
        cmocka_unit_test(progress_counts_steps_and_epochs),
        cmocka_unit_test(warm_up_leaves_half_of_the_steps_at_least),
        cmocka_unit_test(memory_does_not_depend_on_the_number_of_steps),
        cmocka_unit_test(times_go_where_they_are_wanted),
        cmocka_unit_test(bad_options_are_one_sentence),
        cmocka_unit_test(a_step_that_is_open_already_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
