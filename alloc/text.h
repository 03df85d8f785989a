/*
 * text.h - a text that is put together without allocating, and written by one write().
 */
#ifndef SW_TEXT_H
#define SW_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct sw__text {
    size_t length;
    char bytes[2048];
};

/* What does not fit is cut off. */
void sw__text_add(struct sw__text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* False when not all of it was written, with the reason in errno. */
bool sw__text_write(const struct sw__text *text, int file);

static inline double sw__mib(size_t bytes) {
    return (double)bytes / (1 << 20);
}

#endif
