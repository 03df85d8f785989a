/*
 * os.h - the operating system, as the allocator sees it. The only file of the library that makes
 * system calls on memory (os.c); everything above it sees values, and errno of sw__os_write() alone.
 *
 * Address space goes through three states: reserved (ours, no access, costs nothing), committed
 * (readable and writable; pages appear when touched), purged (committed, pages given back, reads as
 * zero). Arguments are promised: non-null, and multiples of SW__PAGE in place and size.
 */
#ifndef SW_OS_H
#define SW_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The unit of everything below. Kernels with larger pages (16 or 64 KiB on some aarch64) are told
 * from 4 KiB ones at start-up and refused there: purging by 4 KiB would be an error on them. */
#define SW__PAGE_SHIFT      12
#define SW__PAGE            ((size_t)1 << SW__PAGE_SHIFT)
#define SW__HUGE_PAGE_SHIFT 21
#define SW__HUGE_PAGE       ((size_t)1 << SW__HUGE_PAGE_SHIFT)

/* Where the huge page of an address begins; and the first that begins there or later. */
static inline char *sw__huge_page_at(const char *address) {
    return (char *)(address - ((uintptr_t)address & (SW__HUGE_PAGE - 1)));
}

static inline char *sw__huge_page_from(const char *address) {
    return (char *)(address + (-(uintptr_t)address & (SW__HUGE_PAGE - 1)));
}

/* True when the kernel's page is the one this was built for. */
bool sw__os_page_size_fits(void);

/* Address space of that alignment (a power of two of at least SW__PAGE). NULL when there is none.
 */
void *sw__os_reserve(size_t size, size_t alignment);
/* Makes a reserved range usable, all zero. False when memory is out. */
bool sw__os_commit(void *start, size_t size);
/* How often either was refused so far; and once more, by who knows that it will be. */
unsigned sw__os_refusals(void);
void sw__os_expect_refusals(void);
/* Both at once: usable memory, all zero, aligned to SW__PAGE. NULL when memory is out. */
void *sw__os_map(size_t size);
/* Takes access to a committed range away, its pages and contents staying, or gives it back. False
 * when the kernel is out of mappings: then it may be so for a part. */
bool sw__os_set_access(void *start, size_t size, bool accessible);
/* Gives a range back whole: neither reserved nor committed any longer. */
void sw__os_release(void *start, size_t size);
/* Gives the pages of a committed range back; it reads as zero afterwards. False if the kernel would
 * not (locked pages): then each page is as it was or reads as zero, for it may have come half way. */
bool sw__os_purge(void *start, size_t size);
/* Moves the pages of a committed range to another of the same size, which loses what it had; the
 * first reads as zero afterwards. Nothing is copied and nothing faults. False leaves the first as
 * it was, and the other may read as zero: the kernel is older than 5.7, memory is locked, the first
 * is not of one piece for the kernel, or mappings ran out. */
bool sw__os_move(void *from, void *to, size_t size);
/* The program locks memory (mlock): from now on each move looks whether what it takes is locked. */
void sw__os_expect_locks(void);
/* Brings the pages of a committed range that are not there, whoever may use it meanwhile; as far as
 * memory goes, and without being told. Kernels before 5.14 can't. */
bool sw__os_can_bring(void);
void sw__os_bring(void *start, size_t size);
/* As if every thread of the process passed a fence, this one among them: what it stored before, all
 * see from now on, and it sees what they did. Takes from microseconds to a millisecond. */
void sw__os_fence_all(void);
/* The same where that is a system call; false where it would be a wait. */
bool sw__os_fence_all_at_once(void);
/* Asks for, or declines, huge pages in a committed range. False, with nothing changed, when mappings
 * ran out. */
bool sw__os_advise_huge(void *start, size_t size, bool wanted);

/* Can the eight bytes there (aligned) be read? Of an address that nobody vouches for. */
bool sw__os_is_readable(const void *address);
/* Bytes of the range, which may be any, that are physically present. */
size_t sw__os_resident(const void *start, size_t size);
/* Whom to ask of single pages, to be closed: a file, or a negative number for another way or none.
 * For use in malloc, where a filter of system calls is not to end the process for mincore. */
int sw__os_open_pages(void);
#define SW__PAGES_UNOPENED (-3) /* what it never returns */
void sw__os_close_pages(int file);
/* Does the page exist, if only on disk? True where nobody tells. */
bool sw__os_has_page(int file, const void *page);
/* Of so many bytes, and more, the kernel is asked which pages exist before they are made zero: those
 * that do not read as zero. */
#define SW__WORTH_ASKING (128 * SW__PAGE)
/* Makes whole pages zero, those that exist. Returns the bytes of these; all where nobody tells. */
size_t sw__os_zero(char *start, size_t size);
/* Bytes of this process that are physically present: all of them (VmRSS), the most there ever were
 * (VmHWM), and those of anonymous memory (RssAnon). */
size_t sw__os_process_resident(void);
size_t sw__os_process_peak(void);
size_t sw__os_process_anonymous(void);

/* Could a process with this machine's memory, and this RLIMIT_AS, ever have so many bytes of that
 * alignment, by a heap with that limit? 0: none. */
bool sw__os_could_serve(size_t limit, size_t size, size_t alignment);

/* Threads of this process, with those that have been joined a moment ago; 0 where nobody tells. */
size_t sw__os_threads(void);

/* The process ends, and its memory with it: nothing need be given back any more, and somebody waits. */
void sw__os_expect_end(void);
bool sw__os_ends(void);

/* How many mappings the kernel grants a process. */
size_t sw__os_most_mappings(void);

/* The beginning of a small file, with a NUL behind it. False when it can't be read; errno stays. */
bool sw__os_read_file(const char *path, char *text, size_t size);
/* What can't be written is lost; where nobody reads a pipe any more, no signal comes of it. False
 * when not all was, for the reason in errno. */
bool sw__os_write(int file, const char *text, size_t length);
/* This thread, one of our own, shares the process's files no longer, and has none: what it opens is
 * never in the way of a program that counts on the lowest number, or closes what it does not know.
 * On kernels before 5.9 nothing changes. */
void sw__os_leave_files(void);
/* Where messages go: file 2, or -1 where that is another than when the process began, unless it is
 * a terminal, a pipe or a log. */
int sw__os_stderr(void);

/* Test seam: the nth request from now (reserve, commit, purge, set_access, and both halves of a
 * move) fails once; or the nth and all after it. 0 ends it. */
void sw__os_fail_nth(long n);
void sw__os_fail_from(long n);
/* Test seam: called in the midst of sw__os_bring(), unless it is NULL. */
extern void (*sw__os_while_bringing)(void);
/* Requests made so far. */
long sw__os_requests(void);

#endif
