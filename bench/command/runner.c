/*
 * runner.c - see runner.h.
 *
 * A worker is this program again (/proc/self/exe), so that nothing of the parent's heap, libraries'
 * state or page tables is inherited, and every strategy starts from the same place.
 */
#include "runner.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "syscalls.h"

enum { ARGUMENTS_MOST = 16, LINE_MOST = 8192 };

/* ---- The child's side ------------------------------------------------------------------------ */

struct argument_list {
    char *words[ARGUMENTS_MOST];
    size_t count;
};

__attribute__((format(printf, 2, 3))) static void add(struct argument_list *list,
                                                      const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&list->words[list->count++], format, arguments) < 0) {
        abort();
    }
    va_end(arguments);
}

static void compose_arguments(struct argument_list *list, const struct training_options *training,
                              const char *strategy, int fd, bool count_calls) {
    *list = (struct argument_list){0};
    add(list, "stepwell");
    add(list, "compare");
    add(list, "--worker=%d", fd);
    if (count_calls) {
        add(list, "--count-calls");
    }
    add(list, "--strategies=%s", strategy);
    if (training->model) {
        add(list, "--model=%s", training->model);
    }
    if (training->data_dir) {
        add(list, "--data=%s", training->data_dir);
    }
    if (training->conf) {
        add(list, "--conf=%s", training->conf);
    }
    if (training->steps) {
        add(list, "--steps=%zu", training->steps);
    }
    if (training->batch) {
        add(list, "--batch=%zu", training->batch);
    }
    add(list, "--threads=%u", training->threads);
    add(list, "--seed=%llu", (unsigned long long)training->seed);
}

static void free_arguments(struct argument_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->words[i]);
    }
}

/* Between fork and exec: only what a signal handler may do, for the parent may have threads. */
static _Noreturn void become_worker(const struct argument_list *list, int fd, int go_fd) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* ^C on the parent must not leave a worker computing */
    int error = go_fd >= 0 ? submit_to_counting(go_fd) : 0;
    if (error == 0 && fcntl(fd, F_SETFD, 0) == 0) {
        execv("/proc/self/exe", list->words);
        error = errno;
    }
    dprintf(fd, "error it could not be started: %s\n", strerror(error));
    _exit(EXIT_MACHINERY);
}

/* ---- The parent's side ----------------------------------------------------------------------- */

struct worker_process {
    pid_t pid;
    int fd;    /* what it writes */
    int go_fd; /* -1 unless its calls are counted */
};

__attribute__((format(printf, 2, 3))) static void broken(struct run_result *result,
                                                         const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(result->why, sizeof result->why, format, arguments);
    va_end(arguments);
    result->outcome = RUN_BROKEN;
}

static void close_if_open(int fd) {
    if (fd >= 0) {
        close(fd);
    }
}

static bool start_worker(const struct training_options *training, const char *strategy,
                         bool count_calls, struct worker_process *worker,
                         struct run_result *result) {
    int results[2] = {-1, -1};
    int go[2] = {-1, -1};
    struct argument_list list;
    if (pipe2(results, O_CLOEXEC) != 0 || (count_calls && pipe2(go, O_CLOEXEC) != 0)) {
        broken(result, "no pipe: %s", strerror(errno));
        close_if_open(results[0]);
        close_if_open(results[1]);
        return false;
    }
    compose_arguments(&list, training, strategy, results[1], count_calls);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close_if_open(go[1]); /* or it would wait for itself when the parent is gone */
        become_worker(&list, results[1], go[0]);
    }
    if (pid < 0) {
        broken(result, "no process: %s", strerror(errno));
        close(results[0]);
        close_if_open(go[1]);
    }
    free_arguments(&list);
    close(results[1]);
    close_if_open(go[0]);
    *worker = (struct worker_process){pid, results[0], go[1]};
    return pid >= 0;
}

static double number_or_nan(const cJSON *json, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static bool parse_result(const char *line, struct run_result *result) {
    cJSON *json = cJSON_Parse(line);
    const cJSON *hash = cJSON_GetObjectItemCaseSensitive(json, "weights_hash");
    if (!json || !cJSON_IsString(hash)) {
        cJSON_Delete(json);
        return false;
    }
    for (int measure = 0; measure < MEASURE_COUNT; measure++) {
        result->run.values[measure] = number_or_nan(json, measure_infos[measure].key);
    }
    result->run.final_loss = number_or_nan(json, "final_loss");
    result->run.accuracy = number_or_nan(json, "accuracy");
    result->run.weights_hash = strtoull(hash->valuestring, NULL, 16);
    result->steady_steps = (size_t)number_or_nan(json, "steady_steps");
    result->peak_was_reset = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "peak_was_reset"));
    result->outcome = RUN_DONE;
    cJSON_Delete(json);
    return true;
}

static void note_line(const char *line, struct progress *progress, const char *label,
                      struct run_result *result) {
    size_t step;
    size_t steps;
    if (sscanf(line, "step %zu %zu", &step, &steps) == 2) {
        if (progress && progress_due(progress)) {
            progress_show(progress, "%s: step %zu of %zu", label, step, steps);
        }
    } else if (strncmp(line, "error ", 6) == 0) {
        result->outcome = RUN_FAILED;
        snprintf(result->why, sizeof result->why, "%.*s", (int)strcspn(line + 6, "\n"), line + 6);
    } else {
        parse_result(line, result);
    }
}

static void read_lines(int fd, struct progress *progress, const char *label,
                       struct run_result *result) {
    char line[LINE_MOST];
    FILE *lines = fdopen(fd, "r");
    if (!lines) {
        close(fd);
        return;
    }
    while (fgets(line, sizeof line, lines)) {
        note_line(line, progress, label, result);
    }
    fclose(lines);
}

/* A worker that wrote no result died of something: where the kernel killed it, for want of memory
 * perhaps, the others may do better. */
static void judge_end(int status, struct run_result *result) {
    if (WIFSIGNALED(status)) {
        broken(result, "the training was killed by signal %d (%s)", WTERMSIG(status),
               strsignal(WTERMSIG(status)));
        result->outcome = RUN_FAILED;
    } else if (result->outcome == RUN_FAILED && WEXITSTATUS(status) == EXIT_MACHINERY) {
        result->outcome = RUN_BROKEN;
    } else if (result->outcome == RUN_BROKEN || WEXITSTATUS(status) > EXIT_FAILED) {
        broken(result, "the training ended with exit code %d and no result", WEXITSTATUS(status));
    }
}

static int wait_for(pid_t pid) {
    int status = EXIT_MACHINERY << 8; /* as if it had ended so */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

void run_measured(const struct training_options *training, const char *strategy,
                  struct progress *progress, const char *label, struct run_result *result) {
    struct worker_process worker;
    *result = (struct run_result){.outcome = RUN_BROKEN};
    if (!start_worker(training, strategy, false, &worker, result)) {
        return;
    }
    read_lines(worker.fd, progress, label, result);
    judge_end(wait_for(worker.pid), result);
}

double run_counted(const struct training_options *training, const char *strategy,
                   struct run_result *result) {
    struct worker_process worker;
    struct call_count count;
    *result = (struct run_result){.outcome = RUN_BROKEN};
    if (!start_worker(training, strategy, true, &worker, result)) {
        return NAN;
    }
    int status = follow_and_count(worker.pid, worker.go_fd, &count);
    close(worker.go_fd);
    /* All it wrote is in the pipe by now: one line, which fits. */
    read_lines(worker.fd, NULL, NULL, result);
    if (status == -1) {
        broken(result, "%s", count.why);
        return NAN;
    }
    judge_end(status, result);
    if (result->outcome == RUN_DONE && (!count.known || result->steady_steps == 0)) {
        broken(result, "the training did not say where its steps begin and end");
    }
    return result->outcome == RUN_DONE ? (double)count.calls / (double)result->steady_steps : NAN;
}
