/*
 * misuse.c - how a process ends that misused its memory: see misuse.h.
 */
#include "misuse.h"

#include "lock.h"
#include "os.h"
#include "text.h"

#include <stddef.h>
#include <stdlib.h>

static void say(const char *sentence) {
    struct sw__text text = {.length = 0};
    sw__text_add(&text, "stepwell: %s\n", sentence);
    sw__text_write(&text, sw__os_stderr());
}

/* With a lock in hand, perhaps. */
_Noreturn static void end(void) {
    sw__locks_expect_abort();
    abort();
}

_Noreturn void sw__stop(const char *sentence) {
    say(sentence);
    end();
}

_Noreturn void sw__misuse(enum sw__misuse what, const char *details) {
    static const char *const sentences[] = {
#define SENTENCE(name, sentence) sentence,
        SW_MISUSES(SENTENCE)
#undef SENTENCE
    };
    say(sentences[what]);
    if (details)
        say(details);
    end();
}

_Noreturn void sw__misuse_free(void) {
    sw__misuse(SW__MISUSE_FREE, NULL);
}
