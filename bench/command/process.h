/*
 * process.h - what the kernel says of this process: memory and page faults. Nothing here allocates,
 * so that looking does not change what is seen.
 */
#ifndef STEPWELL_PROCESS_H
#define STEPWELL_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

/* From /proc/self/status, in bytes. */
struct process_memory {
    size_t resident;  /* VmRSS */
    size_t peak;      /* VmHWM: the highest VmRSS since the process began or the peak was reset */
    size_t file;      /* RssFile: program text, libraries, mapped files */
    size_t anonymous; /* RssAnon + RssShmem: heaps, stacks, buffers (VmRSS before Linux 4.5) */
};

bool read_process_memory(struct process_memory *memory);

/* Sets VmHWM back to the present VmRSS. False where the kernel does not offer it. */
bool reset_peak_memory(void);

/* Page faults of all threads so far. */
size_t count_page_faults(void);

/* Reads a small file of /proc or /sys into text, without the last newline. False if it cannot. */
bool read_small_file(const char *path, char *text, size_t size);

/* The value of "KEY: N" lines as in /proc/meminfo and /proc/self/status; kB become bytes. */
bool find_field(const char *text, const char *key, size_t *value);

#endif
