/*
 * witness.c - see witness.h.
 */
#include "witness.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"

static const char library[] = "libstepwell-preload.so";

/* Milliseconds after the start; from the last on, as many after each look. But looking takes no
 * more than a hundredth of the time, however many processes there are. */
static const int looks_at[] = {50, 200, 1000, 5000};

enum { LOOKS = sizeof looks_at / sizeof *looks_at, SHARE_OF_TIME = 100, DEEPEST = 64 };

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* ---- What is said ---------------------------------------------------------------------------- */

/* One line per program, however many processes run it; and no two about the command itself. */
static void tell(struct witness *witness, pid_t pid, const char *program, const char *why) {
    if (pid == witness->pid) {
        witness->told_of_command = true;
    }
    for (size_t i = 0; i < witness->told_count; i++) {
        if (strcmp(witness->told[i], program) == 0) {
            return;
        }
    }
    if (witness->told_count < WITNESS_TOLD_MOST) {
        snprintf(witness->told[witness->told_count++], PROGRAM_PATH, "%s", program);
        complain("Stepwell is not behind malloc in '%s': it %s", program, why);
    }
}

/* ---- Processes ------------------------------------------------------------------------------- */

static FILE *open_of(pid_t pid, const char *name) {
    char path[96];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

/* Does a line (or a variable) of a file in /proc/PID contain the text? */
static bool file_mentions(pid_t pid, const char *name, int separator, const char *text) {
    FILE *file = open_of(pid, name);
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (file && !found && getdelim(&line, &size, separator, file) > 0) {
        found = strstr(line, text) != NULL;
    }
    free(line);
    if (file) {
        fclose(file);
    }
    return found;
}

static bool program_of(pid_t pid, char path[PROGRAM_PATH]) {
    char link[96];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    ssize_t length = readlink(link, path, PROGRAM_PATH - 1);
    path[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* The C library is mapped after what is preloaded: once it is there, ours will not come any more.
 * Before, the program is still on its way. */
static bool is_past_loading(pid_t pid) {
    return file_mentions(pid, "maps", '\n', "/libc.so") ||
           file_mentions(pid, "maps", '\n', "/libc-");
}

/* It is past loading, and ours is not there. */
static const char *explain_environment(pid_t pid) {
    if (file_mentions(pid, "environ", '\0', library)) {
        return "could not load it";
    }
    return file_mentions(pid, "environ", '\0', "LD_PRELOAD=")
               ? "was started with another LD_PRELOAD in its environment"
               : "was started without LD_PRELOAD in its environment";
}

static void judge_process(struct witness *witness, pid_t pid) {
    char program[PROGRAM_PATH];
    char why[PROGRAM_PATH + 256];
    /* The program is asked for before and after: between them it may have become another. */
    char program_after[PROGRAM_PATH];
    if ((pid == witness->pid && witness->told_of_command) || !program_of(pid, program)) {
        return;
    }
    if (file_mentions(pid, "maps", '\n', library)) {
        if (has_own_malloc(program)) {
            tell(witness, pid, program, "has an allocator of its own linked in");
        }
        return;
    }
    bool explained = explain_no_preload(program, why, sizeof why);
    if (!explained && is_past_loading(pid)) {
        explained = true;
        snprintf(why, sizeof why, "%s", explain_environment(pid));
    }
    if (explained && program_of(pid, program_after) && strcmp(program, program_after) == 0) {
        tell(witness, pid, program, why);
    }
}

static void judge_tree(struct witness *witness, pid_t pid, int depth);

static void judge_children(struct witness *witness, pid_t pid, pid_t thread, int depth) {
    char name[64];
    int child;
    snprintf(name, sizeof name, "task/%d/children", (int)thread);
    FILE *file = open_of(pid, name);
    while (file && fscanf(file, "%d", &child) == 1) {
        judge_tree(witness, child, depth);
    }
    if (file) {
        fclose(file);
    }
}

static void judge_tree(struct witness *witness, pid_t pid, int depth) {
    char path[96];
    if (pid == getpid()) { /* may be a child of the command's as well */
        return;
    }
    judge_process(witness, pid);
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = depth < DEEPEST ? opendir(path) : NULL;
    for (struct dirent *entry; threads && (entry = readdir(threads));) {
        if (entry->d_name[0] != '.') {
            judge_children(witness, pid, (pid_t)strtol(entry->d_name, NULL, 10), depth + 1);
        }
    }
    if (threads) {
        closedir(threads);
    }
}

/* ---- The command ----------------------------------------------------------------------------- */

static void take_answer(struct witness *witness) {
    char text[512];
    char why[600];
    ssize_t length = read(witness->answers, text, sizeof text - 1);
    if (length <= 0) {
        return;
    }
    witness->answered = true;
    text[length] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (text[0] == '-') {
        snprintf(why, sizeof why, "has an allocator of its own: malloc is the one in %s", text + 1);
        tell(witness, witness->pid, witness->command, why);
    }
}

static void judge_file(struct witness *witness) {
    char path[PROGRAM_PATH];
    char why[PROGRAM_PATH + 256];
    if (find_program(witness->command, path) && explain_no_preload(path, why, sizeof why)) {
        tell(witness, witness->pid, witness->command, why);
    }
}

void witness_init(struct witness *witness, const char *command) {
    int ends[2];
    *witness = (struct witness){.command = command, .answers = -1};
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0) {
        witness->answers = ends[0];
        witness->answers_in = ends[1];
    }
    judge_file(witness);
}

void witness_ask(const struct witness *witness, pid_t attendant) {
    char question[96];
    snprintf(question, sizeof question, "%d:/proc/%d/fd/%d", (int)getpid(), (int)attendant,
             witness->answers_in);
    setenv("STEPWELL_RUN", question, 1);
}

void witness_start(struct witness *witness, pid_t pid) {
    witness->pid = pid;
    witness->started = now();
    witness->next_look = witness->started + looks_at[0];
}

int witness_milliseconds(const struct witness *witness) {
    long long left = witness->next_look - now();
    return left > 0 ? (int)left : 0;
}

static void plan_next_look(struct witness *witness, long long look_took) {
    long long wait = looks_at[LOOKS - 1];
    if (witness->looks < LOOKS) {
        witness->next_look = witness->started + looks_at[witness->looks];
        return;
    }
    if (wait < look_took * SHARE_OF_TIME) {
        wait = look_took * SHARE_OF_TIME;
    }
    witness->next_look = now() + wait;
}

bool witness_has_seen_start(const struct witness *witness) {
    return witness->looks >= LOOKS;
}

void witness_look(struct witness *witness) {
    take_answer(witness);
    if (witness_milliseconds(witness) == 0) {
        long long start = now();
        witness->looks++;
        judge_tree(witness, witness->pid, 0);
        plan_next_look(witness, now() - start);
    }
}

void witness_end(struct witness *witness) {
    take_answer(witness);
    if (!witness->answered && !witness->told_of_command) {
        tell(witness, witness->pid, witness->command, "could not load it");
    }
}
