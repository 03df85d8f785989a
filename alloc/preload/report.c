/*
 * report.c - what the heap behind malloc holds, as a table: for malloc_stats(), and for
 * STEPWELL_STATS when the program ends and on SIGUSR2.
 *
 * A table is written whole, by one write(), so that those of several processes do not mix; and
 * never to stdout. Nothing here allocates, but for what a thread costs where the signal is asked
 * for: the process may be at its end, or out of memory.
 */
#define _GNU_SOURCE /* program_invocation_short_name */
#include "heaps.h"
#include "look.h"
#include "options.h"
#include "os.h"
#include "process.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct timespec started; /* the program, near enough */

/* ---- The table ------------------------------------------------------------------------------- */

static void add_level(struct sw__text *text, const char *name, struct sw_level level) {
    sw__text_add(text, "stepwell: %-10s %12.2f %12.2f\n", name, sw__mib(level.current),
                 sw__mib(level.peak));
}

/* A value that is known now, but whose peak is not. */
static void add_now(struct sw__text *text, const char *name, double bytes) {
    sw__text_add(text, "stepwell: %-10s %12.2f %12s\n", name, sw__mib((size_t)bytes), "n/a");
}

/* Without a ledger these two are looked at only now. */
static void add_level_seen(struct sw__text *text, const char *name, struct sw_level level) {
    if (sw__process.heap->ledger)
        add_level(text, name, level);
    else
        add_now(text, name, (double)level.current);
}

/* The names of struct sw_stats and struct sw_measures, in their order. */
static void add_heap(struct sw__text *text, const struct sw_stats *stats) {
    struct sw_measures measures;
    sw_measure(stats, &measures);
    sw__text_add(text, "stepwell: %-10s %12s %12s\n", "MiB", "current", "peak");
    if (stats->tracked)
        add_level(text, "requested", stats->requested);
    add_level_seen(text, "allocated", stats->allocated);
    if (stats->tracked)
        add_level(text, "active", stats->active);
    add_level_seen(text, "resident", stats->resident);
    add_level(text, "reserved", stats->reserved);
    add_level(text, "metadata", stats->metadata);
    if (stats->tracked) {
        add_now(text, "releasable", measures.releasable);
        add_now(text, "pinned", measures.pinned);
        add_now(text, "retention", measures.retention);
    }
    add_now(text, "unseen", measures.unseen);
}

static double seconds(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double seconds_since_start(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - started.tv_sec) + (double)(now.tv_nsec - started.tv_nsec) / 1e9;
}

static void add_process(struct sw__text *text) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    sw__text_add(text, "stepwell: %s (pid %d), strategy %s\n", program_invocation_short_name,
                 (int)getpid(), sw_heap_strategy(sw__process.heap));
    sw__text_add(text,
                 "stepwell: %.2f s, of CPU %.2f user, %.2f system; page faults %ld, from disk %ld; "
                 "peak RSS %.2f MiB\n",
                 seconds_since_start(), seconds(usage.ru_utime), seconds(usage.ru_stime),
                 usage.ru_minflt, usage.ru_majflt, sw__mib(sw__os_process_peak()));
}

static bool report_nothing(int file) {
    struct sw__text text = {.length = 0};
    sw__text_add(&text, "stepwell: %s (pid %d) allocated nothing\n", program_invocation_short_name,
                 (int)getpid());
    return sw__text_write(&text, file);
}

bool sw__report(int file) {
    struct sw_stats stats;
    struct sw__text text = {.length = 0};
    if (!sw__process.heap)
        return report_nothing(file);
    sw__heap_look(sw__process.heap, &stats);
    stats.process_resident = sw__os_process_resident();
    stats.accounted = /* of malloc's heap alone */
        stats.resident.current + sw__heap_metadata_present(sw__process.heap);
    add_process(&text);
    add_heap(&text, &stats);
    return sw__text_write(&text, file);
}

/* ---- Where it goes --------------------------------------------------------------------------- */

/* What STEPWELL_STATS says, and a second stderr, out of the way: many a program closes its own
 * before we come to speak, or all files that it does not know. */
static struct {
    struct sw__stats_wish wish;
    char file[PATH_MAX]; /* that it names */
    size_t folder;       /* so many bytes of that are where the program began */
    int own_stderr;
    struct stat identity;
} output = {.own_stderr = STDERR_FILENO};

/* As it is now, from the root: many a program goes to another folder, or writes its title over its
 * environment. */
static void keep_file(void) {
    const struct sw__stats_wish *wish = &output.wish;
    bool from_here = *wish->file != '/' && getcwd(output.file, sizeof output.file - 1);
    output.folder = from_here ? strlen(strcat(output.file, "/")) : 0;
    snprintf(output.file + output.folder, sizeof output.file - output.folder, "%.*s",
             (int)wish->file_length, wish->file);
}

static void keep_stderr(void) {
    enum { OUT_OF_THE_WAY = 200 };
    int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
    if (copy >= 0 && fstat(copy, &output.identity) == 0)
        output.own_stderr = copy;
}

/* A number that was closed may be another file by now. */
static int stderr_now(void) {
    struct stat now;
    bool is_still_it = output.own_stderr != STDERR_FILENO && fstat(output.own_stderr, &now) == 0 &&
                       now.st_dev == output.identity.st_dev && now.st_ino == output.identity.st_ino;
    return is_still_it ? output.own_stderr : sw__os_stderr();
}

static void say_unwritten(const char *path, int error) {
    struct sw__text text = {.length = 0};
    sw__text_add(&text, "stepwell: can't write '%.1000s', named in %s: %s\n", path,
                 sw__variables[SW__STATS].name, strerrordesc_np(error));
    sw__text_write(&text, stderr_now());
}

/* The file's name, with %p in it filled in, but for the folder. */
static void name_report(char path[PATH_MAX]) {
    const char *name = output.file + output.folder;
    memcpy(path, output.file, output.folder);
    if (!sw__stats_file(path, output.folder, name, strlen(name), (int)getpid()))
        snprintf(path, PATH_MAX, "%s", output.file);
}

static void report_to_file(void) {
    char path[PATH_MAX];
    name_report(path);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int error = file >= 0 && sw__report(file) ? 0 : errno;
    if (file >= 0 && close(file) != 0 && !error)
        error = errno;
    if (error)
        say_unwritten(path, error);
}

static void report_where_asked(void) {
    if (output.wish.file) {
        report_to_file();
        return;
    }
    int file = stderr_now();
    if (file >= 0)
        sw__report(file);
}

/* ---- On SIGUSR2 ------------------------------------------------------------------------------ */

/* The signal may interrupt whoever holds a lock of the heap, so a thread writes the table: it
 * exists only where the signal was asked for. A child that was forked makes its own. */
static sem_t asked;

static void ask(int signal) {
    (void)signal;
    int kept = errno;
    sem_post(&asked);
    errno = kept;
}

static _Noreturn void *report_when_asked(void *unused) {
    (void)unused;
    for (;;) {
        while (sem_wait(&asked) != 0)
            ;
        report_where_asked();
    }
}

/* With every signal blocked: those of the program are for the program's threads. */
static void start_reporter(void) {
    pthread_t thread;
    sigset_t all, before;
    sem_init(&asked, 0, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, report_when_asked, NULL) == 0)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static bool is_ours(void) {
    struct sigaction now;
    return sigaction(SIGUSR2, NULL, &now) == 0 && now.sa_handler == ask;
}

static void start_reporter_in_child(void) {
    if (is_ours())
        start_reporter();
}

/* Only where nobody has said what the signal is to do. A program that handles it does so later than
 * this, and takes it from us. */
static void listen_to_signal(void) {
    struct sigaction now;
    struct sigaction ours = {.sa_handler = ask, .sa_flags = SA_RESTART};
    if (sigaction(SIGUSR2, NULL, &now) != 0 || now.sa_handler != SIG_DFL)
        return;
    start_reporter();
    pthread_atfork(NULL, NULL, start_reporter_in_child);
    sigaction(SIGUSR2, &ours, NULL);
}

/* ---- Start and end --------------------------------------------------------------------------- */

static void say_unclear(const char *value) {
    struct sw__text text = {.length = 0};
    sw__text_add(&text, "stepwell: " SW__STATS_ARE ", not '%.40s'; going on without it\n", value);
    sw__text_write(&text, sw__os_stderr());
}

/* A forked child as well. */
static void note_start(void) {
    clock_gettime(CLOCK_MONOTONIC, &started);
}

__attribute__((constructor)) static void note_what_is_asked(void) {
    note_start();
    const char *value = sw__process_told(sw__variables[SW__STATS].name);
    output.wish = sw__parse_stats(value);
    if (output.wish.is_unclear)
        say_unclear(value);
    if (output.wish.file)
        keep_file();
    if (output.wish.at_exit || output.wish.on_signal) {
        keep_stderr();
        pthread_atfork(NULL, NULL, note_start);
    }
    if (output.wish.on_signal)
        listen_to_signal();
}

/* By a signal's handler, perhaps, whose thread was interrupted with a lock in hand that the table
 * takes. */
static void say_why_not(void) {
    struct sw__text text = {.length = 0};
    sw__text_add(&text, "stepwell: %s (pid %d) ended within a call of malloc: no table\n",
                 program_invocation_short_name, (int)getpid());
    sw__text_write(&text, stderr_now());
}

__attribute__((destructor)) static void report_at_exit(void) {
    if (!output.wish.at_exit)
        return;
    if (sw__heaps_locks_come())
        report_where_asked();
    else
        say_why_not();
}
