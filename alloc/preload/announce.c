/*
 * announce.c - tells `stepwell run` whether malloc in the program it started is ours.
 *
 * STEPWELL_RUN is "PID:PATH": the process that is asked, and the pipe that waits for the answer (a
 * path under /proc, so that the program inherits no file of ours). The answer is "+", or "-" and
 * the file that malloc is in. The variable goes: no child is asked, and none sees it.
 */
#define _GNU_SOURCE /* dladdr */
#include "process.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char here;

/* False when it is another's, whose file *found then names. A program at a fixed address that uses
 * malloc's as a value has a stub of that name, which jumps to whose it is: the next, and that is
 * ours, as we are the first to be preloaded. */
static bool malloc_is_ours(Dl_info *found) {
    Dl_info ours = {0};
    const ElfW(Sym) *symbol = NULL;
    dladdr(&here, &ours);
    dladdr1(dlsym(RTLD_DEFAULT, "malloc"), found, (void **)&symbol, RTLD_DL_SYMENT);
    bool is_stub = symbol && symbol->st_shndx == SHN_UNDEF;
    return is_stub || found->dli_fbase == ours.dli_fbase;
}

static void answer(const char *path) {
    Dl_info found = {0};
    char text[512];
    int file = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return;
    int length = malloc_is_ours(&found) ? snprintf(text, sizeof text, "+\n")
                                        : snprintf(text, sizeof text, "-%.400s\n", found.dli_fname);
    ssize_t written = write(file, text, (size_t)length);
    (void)written;
    close(file);
}

__attribute__((constructor)) static void answer_who_asked(void) {
    const char *asked = sw__process_told("STEPWELL_RUN");
    if (!asked)
        return;
    char *path;
    if (strtol(asked, &path, 10) == getpid() && *path == ':')
        answer(path + 1);
    unsetenv("STEPWELL_RUN");
}
