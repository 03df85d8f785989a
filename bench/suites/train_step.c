/*
 * train_step.c - the training step itself: nn's recipes that need no file from outside.
 *
 * nn_train() owns the loop, so it is not called once an iteration: it is asked for as many steps as
 * there are iterations, tells the time of each, and that is the iteration's time.
 */
#include <stdio.h>
#include <stdlib.h>

#include "suites.h"
#include "train.h"

enum { MAX_RECIPES = 16, UNTIMED_STEPS = 5, TRACKED_STEPS = 12 };

static const struct nn_recipe *recipe_of(const struct worker *worker) {
    return worker->workload->detail;
}

static void train(struct worker *worker, struct nn_train_options *options) {
    struct nn_result result;
    char error[256];
    options->model = recipe_of(worker)->name;
    options->heap = worker->heap;
    options->seed = 1;
    if (nn_train(options, &result, error, sizeof error) != 0) {
        fprintf(stderr, "stepwell-bench: %s: %s\n", worker->workload->name, error);
        exit(1);
    }
}

struct timed {
    struct gb_state *state;
    struct worker *worker;
};

/* The end of an untimed step, or of one that was an iteration; and the start of the next. */
static void iterate(void *context, const struct nn_progress *progress) {
    struct timed *timed = context;
    if (progress->step == UNTIMED_STEPS)
        count_from_here(timed->worker);
    if (progress->step > UNTIMED_STEPS)
        gb_set_iteration_time(timed->state, progress->step_ms / 1e3);
    if (progress->step >= UNTIMED_STEPS)
        gb_keep_running(timed->state);
}

static void drive(struct gb_state *state, struct worker *worker) {
    size_t steps = UNTIMED_STEPS + (size_t)gb_iterations_wanted(state);
    struct timed timed = {state, worker};
    train(worker,
          &(struct nn_train_options){.steps = steps, .on_step = iterate, .context = &timed});
}

static void see_fullest(void *context) {
    at_fullest(context);
}

static void work(struct worker *worker) {
    train(worker, &(struct nn_train_options){
                      .steps = TRACKED_STEPS, .on_forward = see_fullest, .context = worker});
}

static struct workload make_workload(const struct nn_recipe *recipe) {
    char name[64];
    snprintf(name, sizeof name, "train_step_%s", recipe->name);
    return (struct workload){
        .name = strdup(name),
        .summary = recipe->summary,
        .unit = GB_MILLISECOND,
        .steps = true,
        .tracked = 1,
        .detail = recipe,
        .cases = {{1, {0}}},
        .work = work,
        .drive = drive,
    };
}

/* The workloads are made from the recipes at the first call, which main() makes. */
const struct workload *train_step_suite(size_t index) {
    static struct workload workloads[MAX_RECIPES];
    static size_t count;
    if (count == 0)
        for (size_t i = 0; nn_recipe_at(i) && count < MAX_RECIPES; i++)
            if (nn_recipe_at(i)->data != NN_DATA_DIRECTORY)
                workloads[count++] = make_workload(nn_recipe_at(i));
    return index < count ? &workloads[index] : NULL;
}
