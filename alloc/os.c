/*
 * os.c - the operating system: see os.h. Linux.
 */
#define _GNU_SOURCE /* mremap */
#include "os.h"

#include "align.h"
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

static struct {
    atomic_long requests;
    atomic_long fail_at; /* the request that fails; 0: none */
    atomic_bool and_after;
} seam;

void sw__os_fail_nth(long n) {
    atomic_store(&seam.and_after, false);
    atomic_store(&seam.fail_at, n > 0 ? atomic_load(&seam.requests) + n : 0);
}

void sw__os_fail_from(long n) {
    sw__os_fail_nth(n);
    atomic_store(&seam.and_after, n > 0);
}

long sw__os_requests(void) {
    return atomic_load(&seam.requests);
}

static bool request_is_to_fail(void) {
    long request = atomic_fetch_add(&seam.requests, 1) + 1;
    long fail_at = atomic_load(&seam.fail_at);
    return fail_at && (request == fail_at || (request > fail_at && atomic_load(&seam.and_after)));
}

bool sw__os_page_size_fits(void) {
    return sysconf(_SC_PAGESIZE) == (long)SW__PAGE;
}

/* Without MAP_NORESERVE: then the kernel refuses to commit more than the machine has, as programs
 * that probe for memory count on. */
static void *map(size_t size) {
    void *start = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return start == MAP_FAILED ? NULL : start;
}

/* Where mappings ran out its place is lost, but not its pages. */
void sw__os_release(void *start, size_t size) {
    if (munmap(start, size) != 0)
        madvise(start, size, MADV_DONTNEED);
}

/* Maps more than needed and cuts the edges off. */
static void *map_and_cut(size_t size, size_t alignment) {
    if (size > SIZE_MAX - alignment)
        return NULL;
    char *start = map(size + alignment);
    if (!start)
        return NULL;
    size_t before = -(uintptr_t)start & (alignment - 1);
    size_t after = alignment - before;
    if (before)
        sw__os_release(start, before);
    if (after)
        sw__os_release(start + before + size, after);
    return start + before;
}

static void *reserve(size_t size, size_t alignment) {
    if (request_is_to_fail())
        return NULL;
    /* The kernel places mappings downwards one below the other, so the first try often fits. */
    char *start = map(size);
    if (!start || ((uintptr_t)start & (alignment - 1)) == 0)
        return start;
    sw__os_release(start, size);
    return map_and_cut(size, alignment);
}

static atomic_uint refusals;

void *sw__os_reserve(size_t size, size_t alignment) {
    void *start = reserve(size, alignment);
    refusals += !start;
    return start;
}

bool sw__os_commit(void *start, size_t size) {
    bool came = !request_is_to_fail() && mprotect(start, size, PROT_READ | PROT_WRITE) == 0;
    refusals += !came;
    return came;
}

unsigned sw__os_refusals(void) {
    return refusals;
}

void sw__os_expect_refusals(void) {
    refusals++;
}

bool sw__os_set_access(void *start, size_t size, bool accessible) {
    if (request_is_to_fail())
        return false;
    return mprotect(start, size, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) == 0;
}

void *sw__os_map(size_t size) {
    void *start = sw__os_reserve(size, SW__PAGE);
    if (start && !sw__os_commit(start, size)) {
        sw__os_release(start, size);
        start = NULL;
    }
    return start;
}

bool sw__os_purge(void *start, size_t size) {
    return !request_is_to_fail() && madvise(start, size, MADV_DONTNEED) == 0;
}

/* Not by libc's name: one that stands before it there (UCX before 1.14) loses the target. */
static void *remap(void *from, size_t size, int more_flags, void *to) {
    return (void *)syscall(SYS_mremap, from, size, size, MREMAP_MAYMOVE | more_flags, to);
}

/* Where to stop on the way: where the last move did. That begins on a huge page where huge pages
 * move, or kernels before 6.7 would split them. It is asked for, no more. */
static _Atomic(uintptr_t) last_stop_end;

static char *place_to_stop(const char *from, size_t size) {
    uintptr_t end = atomic_load_explicit(&last_stop_end, memory_order_relaxed);
    uintptr_t start = end - size;
    bool overlaps = start < (uintptr_t)from + size && (uintptr_t)from < end;
    return end > size && !overlaps ? (char *)start : NULL;
}

static atomic_bool some_may_be_locked;

void sw__os_expect_locks(void) {
    atomic_store_explicit(&some_may_be_locked, true, memory_order_relaxed);
}

/* The kernel does not set locked pages back in the order in which it swaps. To ask for that changes
 * nothing else, but takes its time. */
static bool is_locked(void *start, size_t size) {
    return atomic_load_explicit(&some_may_be_locked, memory_order_relaxed) &&
           madvise(start, size, MADV_COLD) != 0;
}

/* A move would unlock the whole mapping that the pages are from: what is locked does not move. Where
 * all memory is (mlockall) the target is, too; it is asked to go first, which the kernel refuses
 * there.
 *
 * By way of another place. Straight to the target, kernels before 6.17 would unmap it first and
 * then refuse a source that is several mappings: a hole in the heap. So that refusal comes while
 * nothing is lost, and what moves to the target is one mapping for certain. */
bool sw__os_move(void *from, void *to, size_t size) {
    enum { DONTUNMAP = 4 }; /* MREMAP_DONTUNMAP, which older headers lack */
    static atomic_bool kernel_can, kernel_cannot;
    if (request_is_to_fail() || kernel_cannot || is_locked(from, size) ||
        madvise(to, size, MADV_DONTNEED) != 0)
        return false;
    char *between = remap(from, size, DONTUNMAP, place_to_stop(from, size));
    if (between == MAP_FAILED) {
        if (errno == EINVAL && !kernel_can)
            kernel_cannot = true;
        return false;
    }
    kernel_can = true;
    atomic_store_explicit(&last_stop_end,
                          ((uintptr_t)between + size) & ~(uintptr_t)(SW__HUGE_PAGE - 1),
                          memory_order_relaxed);
    if (!request_is_to_fail() && remap(between, size, MREMAP_FIXED, to) == to)
        return true;
    memcpy(from, between, size);
    sw__os_release(between, size);
    /* The kernel may have taken the target away before memory of its own ran out. Nobody else's
     * mapping is replaced. */
    void *again = mmap(to, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (again == MAP_FAILED && errno != EEXIST) {
        sw__locks_expect_abort();
        abort(); /* a hole in the heap, and nothing to fill it */
    }
    return false;
}

enum { POPULATE_WRITE = 23 }; /* MADV_POPULATE_WRITE, which older headers lack */

bool sw__os_can_bring(void) {
    return madvise(NULL, 0, POPULATE_WRITE) == 0;
}

void (*sw__os_while_bringing)(void);

void sw__os_bring(void *start, size_t size) {
    if (sw__os_while_bringing)
        sw__os_while_bringing();
    madvise(start, size, POPULATE_WRITE);
}

/* A kernel that has no huge pages knows neither. */
bool sw__os_advise_huge(void *start, size_t size, bool wanted) {
    return madvise(start, size, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) == 0 || errno == EINVAL;
}

/* The kernel reads the new signal mask before it finds that nobody knows how it is to be set. */
bool sw__os_is_readable(const void *address) {
    enum { NO_HOW = -1, MASK_SIZE = 8 };
    int kept = errno;
    bool readable =
        syscall(SYS_rt_sigprocmask, NO_HOW, address, NULL, MASK_SIZE) != 0 && errno != EFAULT;
    errno = kept;
    return readable;
}

/* Not libc's open: see where files are read, below. */
static int open_to_read(const char *path) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

/* A number in this thread's status, which is its process's but for the filter of system calls. Piece by
 * piece: a line of groups may stand before it that is longer than any buffer. */
static bool read_status(const char *key, unsigned long long *value) {
    enum { LINE = 64 }; /* that of a number is shorter */
    char text[1024];
    int kept = errno, file = open_to_read("/proc/thread-self/status");
    const char *found = NULL;
    size_t length = 0;
    long more = file >= 0;
    while (more > 0 && !found) {
        size_t before = sw__smaller(length, LINE);
        memmove(text, text + length - before, before);
        more = syscall(SYS_read, file, text + before, sizeof text - 1 - before);
        length = before + (size_t)(more > 0 ? more : 0);
        text[length] = '\0';
        found = strstr(text, key);
        if (found && more > 0 && found + LINE > text + length)
            found = NULL; /* it may not be whole */
    }
    if (found)
        *value = strtoull(found + strlen(key), NULL, 10);
    if (file >= 0)
        syscall(SYS_close, file);
    errno = kept;
    return found != NULL;
}

enum { ASK_MINCORE = -1, NOBODY_TELLS = -2 };

static int open_page_map(void) {
    return open_to_read("/proc/thread-self/pagemap");
}

static bool may_be_filtered(void) {
    unsigned long long filter;
    return !read_status("Seccomp:", &filter) || filter != 0;
}

/* membarrier(2), of which a thread that was never told may be killed by its filter. Without it: no
 * processor holds a store back for as much as a microsecond, and one that is taken from a thread, or
 * from the machine, has none. */
static bool ask_for_fences(void) {
    return !may_be_filtered() &&
           syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0) == 0 &&
           syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) == 0;
}

bool sw__os_fence_all_at_once(void) {
    atomic_thread_fence(memory_order_seq_cst);
    return ask_for_fences();
}

void sw__os_fence_all(void) {
    if (sw__os_fence_all_at_once())
        return;
    struct timespec left = {.tv_nsec = 1000000};
    while (syscall(SYS_nanosleep, &left, &left) != 0 && errno == EINTR)
        continue; /* not libc's, which is a point where a thread is cancelled */
    atomic_thread_fence(memory_order_seq_cst);
}

/* A daemon that has given up root may not read its own map; its status it may. */
int sw__os_open_pages(void) {
    int file = open_page_map();
    if (file >= 0)
        return file;
    return may_be_filtered() ? NOBODY_TELLS : ASK_MINCORE;
}

void sw__os_close_pages(int file) {
    if (file >= 0)
        syscall(SYS_close, file);
}

#define ENTRY_PRESENT (UINT64_C(1) << 63) /* of pagemap */
#define ENTRY_SWAPPED (UINT64_C(1) << 62)

static bool read_entries(int file, const char *start, uint64_t *entries, size_t count) {
    size_t bytes = count * sizeof *entries;
    return syscall(SYS_pread64, file, entries, bytes,
                   ((uintptr_t)start >> SW__PAGE_SHIFT) * sizeof *entries) == (long)bytes;
}

bool sw__os_has_page(int file, const void *page) {
    uint64_t entry;
    unsigned char present;
    if (file == ASK_MINCORE)
        return mincore((void *)page, SW__PAGE, &present) != 0 || (present & 1);
    return file < 0 || !read_entries(file, page, &entry, 1) ||
           (entry & (ENTRY_PRESENT | ENTRY_SWAPPED));
}

enum { ENTRIES_AT_ONCE = SW__WORTH_ASKING / SW__PAGE };

/* Of up to ENTRIES_AT_ONCE pages those that exist. Where nobody tells, that is all. */
static size_t zero_existing(int file, char *start, size_t pages) {
    uint64_t entries[ENTRIES_AT_ONCE];
    size_t zeroed = 0;
    if (!read_entries(file, start, entries, pages))
        memset(entries, 0xff, sizeof entries);
    for (size_t i = 0, run; i < pages; i += run + 1) {
        for (run = 0; i + run < pages && (entries[i + run] & (ENTRY_PRESENT | ENTRY_SWAPPED));)
            run++;
        /* A vector store of nothing, to a page that is not there, takes the processor long. */
        if (run == 0)
            continue;
        memset(start + (i << SW__PAGE_SHIFT), 0, run << SW__PAGE_SHIFT);
        zeroed += run << SW__PAGE_SHIFT;
    }
    return zeroed;
}

/* mincore is not asked: it does not know what has been swapped out. */
size_t sw__os_zero(char *start, size_t size) {
    const size_t at_once = SW__WORTH_ASKING;
    int file = size >= at_once ? open_page_map() : -1;
    size_t zeroed = 0;
    if (file < 0) {
        memset(start, 0, size);
        return size;
    }
    for (size_t at = 0; at < size; at += at_once)
        zeroed +=
            zero_existing(file, start + at, sw__smaller(size - at, at_once) >> SW__PAGE_SHIFT);
    sw__os_close_pages(file);
    return zeroed;
}

/* As mincore, a byte a page. */
static bool read_page_map(const char *start, size_t size, unsigned char *present) {
    uint64_t entries[ENTRIES_AT_ONCE];
    size_t pages = size >> SW__PAGE_SHIFT, done = 0;
    int file = open_page_map();
    while (file >= 0 && done < pages) {
        size_t count = pages - done < ENTRIES_AT_ONCE ? pages - done : ENTRIES_AT_ONCE;
        if (!read_entries(file, start + (done << SW__PAGE_SHIFT), entries, count))
            break;
        for (size_t i = 0; i < count; i++)
            present[done++] = (entries[i] & ENTRY_PRESENT) != 0;
    }
    sw__os_close_pages(file);
    return done == pages;
}

/* Under a filter of system calls mincore may be the end of the process: it is not among systemd's
 * @system-service, by which services are confined. */
static bool look_at_pages(char *start, size_t size, unsigned char *present) {
    return prctl(PR_GET_SECCOMP) > 0 ? read_page_map(start, size, present)
                                     : mincore(start, size, present) == 0;
}

/* Of pages that are whole. */
static size_t resident_in_pages(char *start, size_t size) {
    enum { PAGES_AT_ONCE = 1024 }; /* of the caller's stack, which may be the least there is */
    unsigned char present[PAGES_AT_ONCE];
    size_t resident = 0;
    for (size_t at = 0; at < size; at += PAGES_AT_ONCE * SW__PAGE) {
        size_t piece = size - at;
        if (piece > PAGES_AT_ONCE * SW__PAGE)
            piece = PAGES_AT_ONCE * SW__PAGE;
        if (!look_at_pages(start + at, piece, present))
            continue;
        for (size_t i = 0; i < piece >> SW__PAGE_SHIFT; i++)
            resident += (size_t)(present[i] & 1) << SW__PAGE_SHIFT;
    }
    return resident;
}

size_t sw__os_resident(const void *start, size_t size) {
    size_t before = (uintptr_t)start & (SW__PAGE - 1);
    size_t after = -((uintptr_t)start + size) & (SW__PAGE - 1);
    char *first = (char *)start - before;
    size_t whole = before + size + after;
    size_t resident = resident_in_pages(first, whole);
    if (before && resident_in_pages(first, SW__PAGE))
        resident -= before;
    if (after && resident_in_pages(first + whole - SW__PAGE, SW__PAGE))
        resident -= after;
    return resident;
}

/* Files, without stdio: this may run where malloc must not. And without libc's open, read and
 * write: there a thread may be cancelled, which malloc would not survive with its locks in hand. */

bool sw__os_read_file(const char *path, char *text, size_t size) {
    int kept = errno;
    int file = open_to_read(path);
    long length = file < 0 ? 0 : syscall(SYS_read, file, text, size - 1);
    if (file >= 0)
        syscall(SYS_close, file);
    text[length > 0 ? length : 0] = '\0';
    errno = kept;
    return length > 0;
}

static _Thread_local bool has_left_files SW__OWN_OF_THREAD;

void sw__os_leave_files(void) {
    enum { CLOSE_RANGE = 436, UNSHARE = 2 }; /* newer than some headers */
    has_left_files = syscall(CLOSE_RANGE, 0U, ~0U, UNSHARE) == 0;
}

/* The process's file 2. Who has no files any more opens it anew, to write at its end. */
static int file_2(void) {
    return has_left_files ? (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/fd/2",
                                         O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC, 0)
                          : STDERR_FILENO;
}

/* File 2 at the process's start, and whether it has been looked at. */
static struct stat stderr_at_start;
static atomic_int stderr_is_known;

__attribute__((constructor)) static void look_at_stderr(void) {
    if (atomic_exchange(&stderr_is_known, true) == false)
        fstat(STDERR_FILENO, &stderr_at_start);
}

/* A program may close it, and what is opened next has its number: a data base, a connection. It may
 * also put a terminal, a pipe or a log in its place, which is a file to append to. */
int sw__os_stderr(void) {
    int kept = errno;
    int file = file_2();
    struct stat now;
    look_at_stderr();
    bool is_ours =
        fstat(file, &now) == 0 &&
        ((now.st_ino == stderr_at_start.st_ino && now.st_dev == stderr_at_start.st_dev) ||
         S_ISCHR(now.st_mode) || S_ISFIFO(now.st_mode) ||
         (file == STDERR_FILENO && (fcntl(file, F_GETFL) & O_APPEND)));
    errno = kept;
    return is_ours ? file : -1;
}

bool sw__os_write(int file, const char *text, size_t length) {
    sigset_t broken_pipe, before, pending;
    const struct timespec at_once = {0};
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
    sigpending(&pending);
    long written = syscall(SYS_write, file, text, length);
    int error = errno;
    if (written < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE))
        syscall(SYS_rt_sigtimedwait, &broken_pipe, NULL, &at_once, _NSIG / 8); /* no cancellation */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (written == (long)length)
        return true;
    errno = written < 0 ? error : ENOSPC;
    return false;
}

/* In bytes; 0 when it is not there. */
static size_t status_size(const char *key) {
    unsigned long long kib = 0;
    read_status(key, &kib);
    return (size_t)kib << 10;
}

size_t sw__os_process_resident(void) {
    return status_size("VmRSS:");
}

/* Not getrusage()'s: that knows what the process was before it became this program. */
size_t sw__os_process_peak(void) {
    return status_size("VmHWM:");
}

size_t sw__os_process_anonymous(void) {
    return status_size("RssAnon:");
}

static atomic_bool is_ending;

void sw__os_expect_end(void) {
    atomic_store_explicit(&is_ending, true, memory_order_relaxed);
}

bool sw__os_ends(void) {
    return atomic_load_explicit(&is_ending, memory_order_relaxed);
}

size_t sw__os_threads(void) {
    struct stat tasks; /* a folder has a link from each one in it, and two more */
    return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > 2 ? tasks.st_nlink - 2 : 0;
}

size_t sw__os_most_mappings(void) {
    enum { USUAL = 65530 };
    char text[64];
    if (!sw__os_read_file("/proc/sys/vm/max_map_count", text, sizeof text))
        return USUAL;
    return strtoul(text, NULL, 10);
}

static size_t most_memory(void) {
    struct sysinfo machine;
    struct rlimit limit;
    size_t most = SIZE_MAX;
    if (sysinfo(&machine) == 0)
        most = (size_t)machine.totalram * machine.mem_unit;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur < most)
        most = limit.rlim_cur;
    return most;
}

bool sw__os_could_serve(size_t limit, size_t size, size_t alignment) {
    size_t most = most_memory();
    return size <= most && alignment <= most - size && (limit == 0 || size <= limit);
}
