/*
 * run.c - one workload over one strategy: the timed pass, the tracked pass, the counters.
 *
 * The order in a run: set_up() by one thread; run() by all of them, at the end of which the first
 * does the tracked pass while no other works; tear_down() when the others have ended. The timed
 * heap lives until then, as threads that used it have to end first, but it has been trimmed.
 */
#define _GNU_SOURCE /* RUSAGE_THREAD */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "suites.h"

/* A heap and those who work on it. */
struct pass {
    sw_heap *heap; /* NULL if it could not be made: sw_error() of then is in why */
    char why[256];
    int threads;
    struct worker workers[MAX_THREADS];
    pthread_barrier_t meeting; /* of all workers */
};

/* A workload, a case, a strategy: one registration. */
struct bench {
    const struct workload *workload;
    const struct bench_case *parameters;
    const char *strategy;
    struct pass timed; /* of the run under way */
    struct bench *next;
};

static struct bench *all_benches; /* they live as long as the program */

/* ---- A pass ---------------------------------------------------------------------------------- */

_Noreturn static void die(const char *reason) {
    fprintf(stderr, "stepwell-bench: %s\n", reason);
    exit(1);
}

void die_out_of_memory(const struct worker *worker, size_t size) {
    fprintf(stderr, "stepwell-bench: %s: the %s heap has no room for %zu bytes\n",
            worker->workload->name, sw_heap_strategy(worker->heap), size);
    exit(1);
}

/* Zero, touched (see suites.h), and on cache lines of its own. */
static void *room(size_t size) {
    enum { CACHE_LINE = 64 };
    if (size == 0)
        return NULL;
    void *memory = aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!memory)
        die("out of memory");
    return memset(memory, 0, size);
}

/* The workers' own memory first, then the heap: what comes before it does not count as its. */
static void open_pass(struct pass *pass, const struct bench *bench, bool tracked) {
    const struct workload *workload = bench->workload;
    int threads = bench->parameters->threads;
    *pass = (struct pass){.threads = threads};
    pthread_barrier_init(&pass->meeting, NULL, (unsigned)threads);
    void *shared = room(workload->shared_size);
    for (int i = 0; i < threads; i++)
        pass->workers[i] = (struct worker){.workload = workload,
                                           .args = bench->parameters->args,
                                           .index = i,
                                           .threads = threads,
                                           .own = room(workload->own_size),
                                           .shared = shared,
                                           .batch = 1,
                                           .tracked = tracked,
                                           .meeting = &pass->meeting};
    /* Without tracking a heap is as fast as its strategy is. */
    pass->heap = sw_heap_create(bench->strategy, tracked ? NULL : "tracking:0");
    if (!pass->heap)
        snprintf(pass->why, sizeof pass->why, "%s", sw_error());
    for (int i = 0; i < threads; i++)
        pass->workers[i].heap = pass->heap;
}

static void close_pass(struct pass *pass) {
    sw_heap_destroy(pass->heap);
    for (int i = 0; i < pass->threads; i++)
        free(pass->workers[i].own);
    free(pass->workers[0].shared);
    pthread_barrier_destroy(&pass->meeting);
}

static void call(void (*slot)(struct worker *), struct worker *worker) {
    if (slot)
        slot(worker);
}

static void for_each_worker(struct pass *pass, void (*slot)(struct worker *)) {
    for (int i = 0; i < pass->threads; i++)
        call(slot, &pass->workers[i]);
}

/* ---- The tracked pass ------------------------------------------------------------------------ */

static struct sw_stats stats_of(sw_heap *heap) {
    struct sw_stats stats;
    if (sw_heap_stats(heap, &stats, sizeof stats) != 0)
        die(sw_error());
    return stats;
}

void look_at_fullest(struct worker *worker) {
    struct sw_stats stats = stats_of(worker->heap);
    if (stats.requested.current >= worker->fullest.requested.current)
        worker->fullest = stats;
}

void look_when_all_are_fullest(struct worker *worker) {
    pthread_barrier_wait(worker->meeting);
    if (worker->index == 0)
        look_at_fullest(worker);
    pthread_barrier_wait(worker->meeting);
}

static void *work_tracked(void *argument) {
    struct worker *worker = argument;
    call(worker->workload->begin, worker);
    for (int i = 0; i < worker->workload->tracked; i++)
        worker->workload->work(worker);
    return NULL;
}

/* All workers at once, each in a thread; the first in this one. */
static void work_together(struct pass *pass) {
    pthread_t threads[MAX_THREADS] = {0};
    for (int i = 1; i < pass->threads; i++)
        if (pthread_create(&threads[i], NULL, work_tracked, &pass->workers[i]) != 0)
            die("no more threads");
    work_tracked(&pass->workers[0]);
    for (int i = 1; i < pass->threads; i++)
        pthread_join(threads[i], NULL);
}

/* Where a measure is not defined (0/0) there is no counter: JSON has no NaN. */
static void count(struct gb_state *state, const char *name, double value) {
    if (!isnan(value))
        gb_counter(state, name, value, GB_PLAIN);
}

static void count_fullest(struct gb_state *state, const struct pass *pass) {
    const struct sw_stats *fullest = &pass->workers[0].fullest;
    for (int i = 1; i < pass->threads; i++)
        if (pass->workers[i].fullest.requested.current > fullest->requested.current)
            fullest = &pass->workers[i].fullest;
    struct sw_measures measures;
    sw_measure(fullest, &measures);
    count(state, "internal_fragmentation", measures.internal_fragmentation);
    count(state, "external_fragmentation", measures.external_fragmentation);
}

static void count_idle(struct gb_state *state, sw_heap *heap) {
    struct sw_stats stats = stats_of(heap);
    struct sw_measures measures;
    sw_measure(&stats, &measures);
    count(state, "requested_peak", (double)stats.requested.peak);
    count(state, "allocated_peak", (double)stats.allocated.peak);
    count(state, "resident_peak", (double)stats.resident.peak);
    count(state, "overhead", measures.overhead);
    count(state, "utilisation", measures.utilisation);
    count(state, "survivors", (double)stats.survivors);
    count(state, "retention_0ms", measures.retention);
    sw_trim(heap);
    stats = stats_of(heap);
    sw_measure(&stats, &measures);
    count(state, "retention_after_trim", measures.retention);
}

/* What the timed heap holds is given back first: a heap of libc is told by the growth of the
 * process, and would grow into it unseen. */
static void measure(struct gb_state *state, struct bench *bench) {
    struct pass pass;
    sw_trim(bench->timed.heap);
    open_pass(&pass, bench, true);
    if (pass.heap) {
        work_together(&pass);
        for_each_worker(&pass, bench->workload->go_idle);
        count_fullest(state, &pass);
        count_idle(state, pass.heap);
        for_each_worker(&pass, bench->workload->end);
    }
    close_pass(&pass);
}

/* ---- The timed pass -------------------------------------------------------------------------- */

static void set_up(struct gb_state *state) {
    struct bench *bench = gb_context(state);
    open_pass(&bench->timed, bench, false);
}

static void tear_down(struct gb_state *state) {
    close_pass(&((struct bench *)gb_context(state))->timed);
}

static long faults_of_this_thread(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

void count_from_here(struct worker *worker) {
    worker->bytes = 0;
    worker->faults_before = faults_of_this_thread();
}

static void drive(struct gb_state *state, struct worker *worker) {
    while (gb_keep_running_batch(state, worker->batch))
        worker->workload->work(worker);
}

static void work_timed(struct gb_state *state, struct worker *worker) {
    const struct workload *workload = worker->workload;
    call(workload->begin, worker);
    for (int i = 0; i < workload->warm_up; i++)
        workload->work(worker);
    count_from_here(worker);
    (workload->drive ? workload->drive : drive)(state, worker);
    gb_counter(state, workload->steps ? "page_faults_per_step" : "page_faults_per_operation",
               (double)(faults_of_this_thread() - worker->faults_before), GB_AVERAGE_ITERATIONS);
    if (worker->bytes)
        gb_set_bytes_processed(state, (int64_t)worker->bytes);
    call(workload->go_idle, worker);
    call(workload->end, worker);
}

static void run(struct gb_state *state) {
    struct bench *bench = gb_context(state);
    struct pass *pass = &bench->timed;
    if (!pass->heap) {
        gb_skip_with_error(state, pass->why);
        return;
    }
    work_timed(state, &pass->workers[gb_thread_index(state)]);
    pthread_barrier_wait(&pass->meeting);
    if (gb_thread_index(state) == 0)
        measure(state, bench);
}

/* ---- Registration ---------------------------------------------------------------------------- */

static void register_args(struct gb_benchmark *registered, const struct workload *workload,
                          const struct bench_case *parameters) {
    size_t args = 0;
    while (workload->arg_names[args])
        args++;
    if (args == 0)
        return;
    gb_args(registered, args, parameters->args);
    gb_arg_names(registered, args, workload->arg_names);
}

static void register_case(const struct workload *workload, const struct bench_case *parameters,
                          const char *strategy) {
    char name[128];
    snprintf(name, sizeof name, "%s/%s", workload->name, strategy);
    struct bench *bench = room(sizeof *bench);
    *bench = (struct bench){
        .workload = workload, .parameters = parameters, .strategy = strategy, .next = all_benches};
    all_benches = bench;
    struct gb_benchmark *registered = gb_register(name, run, bench);
    gb_setup(registered, set_up);
    gb_teardown(registered, tear_down);
    gb_unit(registered, workload->unit);
    register_args(registered, workload, parameters);
    if (parameters->threads > 1) {
        gb_threads(registered, parameters->threads);
        gb_use_real_time(registered);
    }
    if (workload->drive)
        gb_use_manual_time(registered);
}

void register_workload(const struct workload *workload, const char *strategy) {
    for (const struct bench_case *one = workload->cases; one->threads; one++)
        register_case(workload, one, strategy);
}
