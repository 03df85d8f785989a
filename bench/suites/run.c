/*
 * run.c - one workload over one strategy: the timed run, the tracked pass, the counters.
 *
 * The order in a run, which shim/gbench.cc keeps: set_up() by one thread, run() by all of them,
 * tear_down() by the last. The heap of the timed run is gone before the tracked pass begins, and
 * what libc kept of it has been trimmed, as far as libc does.
 */
#define _GNU_SOURCE /* RUSAGE_THREAD */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "suites.h"

/* A workload, a strategy, a case: one registration. */
struct bench {
    const struct workload *workload;
    const struct bench_case *parameters;
    const char *strategy;
    sw_heap *heap; /* of the run under way; NULL if it could not be made: then why says it */
    char why[256];
    struct worker workers[MAX_THREADS];
    pthread_barrier_t meeting; /* of the tracked pass */
};

/* ---- Workers --------------------------------------------------------------------------------- */

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
    if (!memory) {
        fprintf(stderr, "stepwell-bench: out of memory\n");
        exit(1);
    }
    return memset(memory, 0, size);
}

static void make_workers(struct bench *bench, bool tracked) {
    const struct workload *workload = bench->workload;
    int threads = bench->parameters->threads;
    void *shared = room(workload->shared_size);
    for (int i = 0; i < threads; i++)
        bench->workers[i] = (struct worker){.workload = workload,
                                            .args = bench->parameters->args,
                                            .index = i,
                                            .threads = threads,
                                            .own = room(workload->own_size),
                                            .shared = shared,
                                            .batch = 1,
                                            .tracked = tracked,
                                            .meeting = &bench->meeting};
}

static void end_workers(struct bench *bench) {
    for (int i = 0; i < bench->parameters->threads; i++)
        free(bench->workers[i].own);
    free(bench->workers[0].shared);
}

static void call(void (*slot)(struct worker *), struct worker *worker) {
    if (slot)
        slot(worker);
}

static bool make_heap(struct bench *bench, const char *conf) {
    bench->heap = sw_heap_create(bench->strategy, conf);
    if (!bench->heap)
        snprintf(bench->why, sizeof bench->why, "%s", sw_error());
    for (int i = 0; i < bench->parameters->threads; i++)
        bench->workers[i].heap = bench->heap;
    return bench->heap;
}

/* ---- The tracked pass ------------------------------------------------------------------------ */

static struct sw_stats stats_of(sw_heap *heap) {
    struct sw_stats stats;
    if (sw_heap_stats(heap, &stats, sizeof stats) != 0) {
        perror("stepwell-bench: sw_heap_stats");
        exit(1);
    }
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

/* Every worker works at once, each in a thread; the first in this one. */
static void work_together(struct bench *bench) {
    pthread_t threads[MAX_THREADS];
    pthread_barrier_init(&bench->meeting, NULL, (unsigned)bench->parameters->threads);
    for (int i = 1; i < bench->parameters->threads; i++) {
        if (pthread_create(&threads[i], NULL, work_tracked, &bench->workers[i]) != 0) {
            fprintf(stderr, "stepwell-bench: no more threads\n");
            exit(1);
        }
    }
    work_tracked(&bench->workers[0]);
    for (int i = 1; i < bench->parameters->threads; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&bench->meeting);
}

static void for_each_worker(struct bench *bench, void (*slot)(struct worker *)) {
    for (int i = 0; i < bench->parameters->threads; i++)
        call(slot, &bench->workers[i]);
}

/* Where a measure is not defined (0/0) there is no counter: JSON has no NaN. */
static void count(struct gb_state *state, const char *name, double value) {
    if (!isnan(value))
        gb_counter(state, name, value, GB_PLAIN);
}

static void count_fullest(struct gb_state *state, const struct bench *bench) {
    const struct sw_stats *fullest = &bench->workers[0].fullest;
    for (int i = 1; i < bench->parameters->threads; i++)
        if (bench->workers[i].fullest.requested.current > fullest->requested.current)
            fullest = &bench->workers[i].fullest;
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
    count(state, "retention_0ms", (double)measures.retention);
    sw_trim(heap);
    stats = stats_of(heap);
    sw_measure(&stats, &measures);
    count(state, "retention_after_trim", (double)measures.retention);
}

/* A heap of libc is told by the growth of the process, so what libc keeps is handed back first. */
static void settle(const struct bench *bench) {
    sw_heap *heap = sw_heap_create(bench->strategy, NULL);
    if (heap)
        sw_trim(heap);
    sw_heap_destroy(heap);
}

static void measure(struct gb_state *state, struct bench *bench) {
    settle(bench);
    make_workers(bench, true);
    if (make_heap(bench, NULL)) {
        work_together(bench);
        for_each_worker(bench, bench->workload->go_idle);
        count_fullest(state, bench);
        count_idle(state, bench->heap);
        for_each_worker(bench, bench->workload->end);
        sw_heap_destroy(bench->heap);
    }
    end_workers(bench);
}

/* ---- The timed run --------------------------------------------------------------------------- */

static void set_up(struct gb_state *state) {
    struct bench *bench = gb_context(state);
    make_workers(bench, false);
    make_heap(bench, "tracking:0"); /* as fast as the strategy is */
}

static void tear_down(struct gb_state *state) {
    struct bench *bench = gb_context(state);
    end_workers(bench);
    if (!bench->heap)
        return;
    sw_heap_destroy(bench->heap);
    measure(state, bench);
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

static void run(struct gb_state *state) {
    struct bench *bench = gb_context(state);
    struct worker *worker = &bench->workers[gb_thread_index(state)];
    const struct workload *workload = bench->workload;
    if (!bench->heap) {
        gb_skip_with_error(state, bench->why);
        return;
    }
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

/* ---- Registration ---------------------------------------------------------------------------- */

static void register_case(const struct workload *workload, const struct bench_case *parameters,
                          const char *strategy) {
    char name[128];
    snprintf(name, sizeof name, "%s/%s", workload->name, strategy);
    struct bench *bench = room(sizeof *bench);
    *bench = (struct bench){.workload = workload, .parameters = parameters, .strategy = strategy};
    struct gb_benchmark *registered = gb_register(name, run, bench);
    gb_setup(registered, set_up);
    gb_teardown(registered, tear_down);
    gb_unit(registered, workload->unit);
    size_t args = 0;
    while (workload->arg_names[args])
        args++;
    if (args) {
        gb_args(registered, args, parameters->args);
        gb_arg_names(registered, args, workload->arg_names);
    }
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
