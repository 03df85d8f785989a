/*
 * process.c - see process.h.
 */
#include "process.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

bool read_small_file(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size_t length = 0;
    ssize_t got;
    while (length < size - 1 && (got = read(fd, text + length, size - 1 - length)) > 0) {
        length += (size_t)got;
    }
    close(fd);
    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        length--;
    }
    text[length] = '\0';
    return length > 0;
}

bool find_field(const char *text, const char *key, size_t *value) {
    size_t key_length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, key_length) == 0 && line[key_length] == ':') {
            char *end;
            *value = strtoull(line + key_length + 1, &end, 10);
            *value *= strncmp(end, " kB", 3) == 0 ? 1024 : 1;
            return true;
        }
    }
    return false;
}

bool read_process_memory(struct process_memory *memory) {
    char text[1 << 16]; /* 5,000 groups and more may stand before it */
    size_t shared = 0;
    *memory = (struct process_memory){0};
    if (!read_small_file("/proc/self/status", text, sizeof text) ||
        !find_field(text, "VmRSS", &memory->resident) ||
        !find_field(text, "VmHWM", &memory->peak)) {
        return false;
    }
    if (!find_field(text, "RssAnon", &memory->anonymous)) {
        memory->anonymous = memory->resident;
        return true;
    }
    find_field(text, "RssFile", &memory->file);
    find_field(text, "RssShmem", &shared);
    memory->anonymous += shared;
    return true;
}

bool reset_peak_memory(void) {
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool done = write(fd, "5", 1) == 1;
    close(fd);
    return done;
}

size_t count_page_faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)(usage.ru_minflt + usage.ru_majflt);
}
