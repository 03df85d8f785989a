/*
 * large_pages.c - preloaded beside ours: a kernel whose pages are 16 KiB, as far as sysconf() tells.
 * Whoever asks for anything else is told that it is not known.
 */
#include <errno.h>
#include <unistd.h>

long sysconf(int name) {
    if (name == _SC_PAGESIZE)
        return 16 << 10;
    errno = EINVAL;
    return -1;
}
