/*
 * terminal.c - see terminal.h. Progress goes to stderr and never mixes into results.
 */
#include "terminal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"

enum { DEFAULT_WIDTH = 100, NARROWEST = 40 };

static const double redraw_seconds = 0.1;
static const double plain_seconds = 5;

static bool is_set(const char *name) {
    const char *value = getenv(name);
    return value && *value;
}

bool wants_colour(FILE *file, enum colour_when when) {
    if (when != COLOUR_AUTO) {
        return when == COLOUR_ALWAYS;
    }
    const char *term = getenv("TERM");
    bool dumb = term && strcmp(term, "dumb") == 0;
    return isatty(fileno(file)) && !is_set("NO_COLOR") && !dumb;
}

int output_width(FILE *file) {
    struct winsize size;
    if (ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    const char *columns = getenv("COLUMNS");
    int width = columns ? atoi(columns) : 0;
    return width >= NARROWEST ? width : DEFAULT_WIDTH;
}

void print_filled(FILE *file, const char *text, int indent, int width) {
    int used = 0;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (used > 0 && used + 1 + length > width) {
            fputc('\n', file);
            used = 0;
        }
        used += fprintf(file, "%*s%.*s", used > 0 ? 1 : indent, "", length, text);
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', file);
}

void progress_start(struct progress *progress, bool quiet) {
    *progress = (struct progress){.quiet = quiet,
                                  .terminal = isatty(STDERR_FILENO),
                                  .last_shown = -plain_seconds + clock_seconds()};
}

bool progress_due(const struct progress *progress) {
    double wait = progress->terminal ? redraw_seconds : plain_seconds;
    return !progress->quiet && clock_seconds() - progress->last_shown >= wait;
}

void progress_show(struct progress *progress, const char *format, ...) {
    if (progress->quiet) {
        return;
    }
    if (progress->terminal) {
        fputs("\r\033[K", stderr);
    }
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (!progress->terminal) {
        fputc('\n', stderr);
    }
    fflush(stderr);
    progress->dirty = progress->terminal;
    progress->last_shown = clock_seconds();
}

void progress_end(struct progress *progress) {
    if (progress->dirty) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        progress->dirty = false;
    }
}
