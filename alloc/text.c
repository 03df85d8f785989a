/*
 * text.c - a text that is put together without allocating: see text.h.
 */
#include "text.h"

#include "os.h"

#include <stdarg.h>
#include <stdio.h>

void sw__text_add(struct sw__text *text, const char *format, ...) {
    size_t room = sizeof text->bytes - text->length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text->bytes + text->length, room, format, arguments);
    va_end(arguments);
    if (length > 0)
        text->length += (size_t)length < room ? (size_t)length : room - 1;
}

bool sw__text_write(const struct sw__text *text, int file) {
    return sw__os_write(file, text->bytes, text->length);
}
