/*
 * error.h - the last error that a thread met: what sw_error() tells.
 */
#ifndef SW_ERROR_H
#define SW_ERROR_H

#define SW__ERROR_SIZE 320

/* The thread's sentence, to be written over: SW__ERROR_SIZE bytes. */
char *sw__error_text(void);
/* Sets the sentence and errno. Returns NULL. */
void *sw__fail(int code, const char *sentence);

#endif
