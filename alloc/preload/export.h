/*
 * export.h - what a program finds in the preload library in libc's place; preload.map lists it too.
 */
#ifndef SW_EXPORT_H
#define SW_EXPORT_H

#define EXPORT __attribute__((visibility("default")))

#endif
