/*
 * output.c - see output.h.
 */
#include "output.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"

static const double largest_whole = 9007199254740992.0; /* 2^53: doubles hold these exactly */

/* rename() would put a plain file in the place of a link, a pipe or a device, and take a file's other
 * names from it: those are written to as they are. And it asks nobody whether the file may be. */
static bool can_be_replaced(const char *path) {
    struct stat status;
    if (lstat(path, &status) != 0) {
        return errno == ENOENT;
    }
    return S_ISREG(status.st_mode) && status.st_nlink == 1 && access(path, W_OK) == 0;
}

/* Can it be written to as it is? A link may lead to what is not there yet. */
static bool is_writable(const char *path) {
    struct stat status;
    if (lstat(path, &status) != 0) {
        return false;
    }
    if (stat(path, &status) != 0) {
        return errno == ENOENT;
    }
    errno = EISDIR;
    return !S_ISDIR(status.st_mode) && access(path, W_OK) == 0;
}

/* The folder that a name is in, and the name there. */
static const char *split(const char *path, struct stat *folder) {
    const char *slash = strrchr(path, '/');
    char *before = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    bool found = before && stat(before, folder) == 0;
    free(before);
    return found ? (slash ? slash + 1 : path) : NULL;
}

static bool is_same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool output_is_one_file(const char *path, const char *other) {
    struct stat status, other_status;
    bool is_there = stat(path, &status) == 0;
    if (is_there != (stat(other, &other_status) == 0)) {
        return false;
    }
    if (is_there) {
        return S_ISREG(status.st_mode) && is_same(&status, &other_status);
    }
    const char *name = split(path, &status);
    const char *other_name = split(other, &other_status);
    return name && other_name && strcmp(name, other_name) == 0 && is_same(&status, &other_status);
}

/* mkstemp() makes the file private; a result should be as readable as any new file. */
static void give_usual_mode(int fd, const char *path) {
    struct stat status;
    mode_t mask = umask(0);
    umask(mask);
    mode_t mode = stat(path, &status) == 0 ? status.st_mode & 0777 : 0666 & ~mask;
    (void)fchmod(fd, mode);
}

static FILE *open_beside(struct output_file *output) {
    if (asprintf(&output->temporary, "%s.XXXXXX", output->path) < 0) {
        output->temporary = NULL;
        return NULL;
    }
    int fd = mkstemp(output->temporary);
    if (fd < 0) {
        free(output->temporary);
        output->temporary = NULL;
        return NULL;
    }
    give_usual_mode(fd, output->path);
    return fdopen(fd, "w");
}

bool output_open(struct output_file *output, const char *path) {
    *output = (struct output_file){.path = path};
    if (strcmp(path, "-") == 0) {
        output->file = stdout;
    } else {
        bool is_replaced = can_be_replaced(path);
        output->file = is_replaced ? open_beside(output) : NULL;
        int error = errno;
        if (!output->file && (!is_replaced || is_writable(path))) {
            output->file = fopen(path, "w"); /* or in a folder that takes no other file */
        } else {
            errno = error;
        }
    }
    if (!output->file) {
        complain("cannot write %s: %s", path, strerror(errno));
    }
    return output->file != NULL;
}

/* What is mounted by itself cannot be replaced: it is written over. */
static bool copy_over(const char *from, const char *to) {
    char bytes[4096];
    size_t length;
    FILE *source = fopen(from, "r");
    FILE *file = source ? fopen(to, "w") : NULL;
    while (file && (length = fread(bytes, 1, sizeof bytes, source)) > 0) {
        fwrite(bytes, 1, length, file);
    }
    bool good = file && !ferror(source) && !ferror(file);
    good = file && fclose(file) == 0 && good;
    if (source) {
        fclose(source);
    }
    return good && unlink(from) == 0;
}

static bool put_in_place(const struct output_file *output) {
    return rename(output->temporary, output->path) == 0 ||
           (errno == EBUSY && copy_over(output->temporary, output->path));
}

bool output_close(struct output_file *output) {
    if (output->file == stdout) {
        return true; /* whether it took all is said once, when the program ends */
    }
    bool good = fflush(output->file) == 0 && !ferror(output->file);
    good = fclose(output->file) == 0 && good;
    if (output->temporary && good) {
        good = put_in_place(output);
    }
    if (!good) {
        complain("cannot write %s: %s", output->path, strerror(errno));
        if (output->temporary) {
            unlink(output->temporary);
        }
    }
    free(output->temporary);
    return good;
}

bool output_check(const char *path) {
    struct output_file output = {.path = path};
    if (!path || strcmp(path, "-") == 0) {
        return true;
    }
    bool is_replaced = can_be_replaced(path);
    output.file = is_replaced ? open_beside(&output) : NULL;
    if (output.file) {
        fclose(output.file);
        unlink(output.temporary);
        free(output.temporary);
        return true;
    }
    int error = errno;
    if (is_writable(path)) {
        return true;
    }
    complain("cannot write %s: %s", path, strerror(is_replaced ? error : errno));
    return false;
}

/* The bytes of the character there; 0 where it is none in UTF-8. */
static size_t character_length(const unsigned char *at) {
    static const struct {
        unsigned char mask, lead;
    } forms[] = {{0x80, 0x00}, {0xe0, 0xc0}, {0xf0, 0xe0}, {0xf8, 0xf0}};
    for (size_t more = 0; more < sizeof forms / sizeof *forms; more++) {
        if ((at[0] & forms[more].mask) != forms[more].lead) {
            continue;
        }
        for (size_t i = 1; i <= more; i++) {
            if ((at[i] & 0xc0) != 0x80) {
                return 0;
            }
        }
        bool is_long = (more == 1 && at[0] < 0xc2) ||
                       (more == 2 && at[0] == 0xe0 && at[1] < 0xa0) ||
                       (more == 3 && at[0] == 0xf0 && at[1] < 0x90);
        bool is_none = (more == 2 && at[0] == 0xed && at[1] >= 0xa0) || /* half of a pair */
                       (more == 3 && (at[0] > 0xf4 || (at[0] == 0xf4 && at[1] >= 0x90)));
        return is_long || is_none ? 0 : more + 1;
    }
    return 0;
}

void make_readable(char *text) {
    for (unsigned char *at = (unsigned char *)text; *at;) {
        size_t length = character_length(at);
        if (length == 0) {
            *at = '?';
        }
        at += length ? length : 1;
    }
}

bool write_json(const char *path, const cJSON *json) {
    struct output_file output;
    char *text = cJSON_Print(json);
    if (!text) {
        complain("no memory for the JSON text");
        return false;
    }
    make_readable(text);
    bool good = output_open(&output, path);
    if (good) {
        fprintf(output.file, "%s\n", text);
        good = output_close(&output);
    }
    cJSON_free(text);
    return good;
}

/* cJSON's own printing of numbers depends on its version; ours does not. */
static const char *exact(char *text, size_t size, double value) {
    if (floor(value) == value && fabs(value) < largest_whole) {
        snprintf(text, size, "%.0f", value);
    } else {
        snprintf(text, size, "%.17g", value);
        char shorter[40]; /* 0.1 rather than 0.10000000000000001, if that reads back the same */
        snprintf(shorter, sizeof shorter, "%.15g", value);
        if (strtod(shorter, NULL) == value) {
            snprintf(text, size, "%s", shorter);
        }
    }
    return text;
}

void add_number(cJSON *object, const char *key, double value) {
    char text[40];
    if (isfinite(value)) {
        cJSON_AddRawToObject(object, key, exact(text, sizeof text, value));
    } else {
        cJSON_AddNullToObject(object, key);
    }
}

void add_bytes(cJSON *object, const char *key, size_t bytes) {
    char text[40];
    snprintf(text, sizeof text, "%zu", bytes);
    cJSON_AddRawToObject(object, key, text);
}

void add_hash(cJSON *object, const char *key, unsigned long long hash) {
    char text[40];
    snprintf(text, sizeof text, "%016llx", hash);
    cJSON_AddStringToObject(object, key, text);
}

void add_sentence(cJSON *object, const char *key, const char *text) {
    cJSON_AddItemToObject(object, key, *text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

void csv_text(FILE *file, bool first, const char *text) {
    fputs(first ? "" : ",", file);
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"') {
            fputc('"', file);
        }
        fputc(*text, file);
    }
    fputc('"', file);
}

void csv_number(FILE *file, bool first, double value) {
    char text[40];
    csv_text(file, first, isfinite(value) ? exact(text, sizeof text, value) : "");
}
