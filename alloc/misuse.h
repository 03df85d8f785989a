/*
 * misuse.h - the kinds of misuse, and the one fixed sentence that each of them ends the process
 * with.
 *
 * Scripts and tests match the sentences word for word. What more is known (which block, which byte)
 * goes on a line of its own behind it.
 */
#ifndef SW_MISUSE_H
#define SW_MISUSE_H

#define SW_MISUSES(X)                                                                              \
    X(FREE, "free of a pointer that is not a live block of this heap")                             \
    X(FREE_TWICE, "double free: the block has been freed before")                                  \
    X(FREE_INSIDE, "free of a pointer into a block, not to its start")                             \
    X(FREE_ELSEWHERE, "free of a block of another heap")                                           \
    X(REALLOC, "realloc of a pointer that is not a live block of this heap")                       \
    X(USABLE_SIZE, "usable size of a pointer that is not a live block of this heap")               \
    X(OVERRUN, "access past the end of a block")                                                   \
    X(UNDERRUN, "access before the start of a block")                                              \
    X(USE_AFTER_FREE, "access to a block after it was freed")                                      \
    X(FREE_LIST,                                                                                   \
      "a free list is corrupt: a block was freed twice, or written to after it was freed")

enum sw__misuse {
#define SW_MISUSE_ENUM(name, sentence) SW__MISUSE_##name,
    SW_MISUSES(SW_MISUSE_ENUM)
#undef SW_MISUSE_ENUM
};

/* Writes "stepwell: SENTENCE\n" to stderr, and details (NULL: none) as a second line, and aborts.
 */
_Noreturn void sw__misuse(enum sw__misuse what, const char *details);
/* The same with a sentence that is about no misuse. */
_Noreturn void sw__stop(const char *sentence);
/* What every strategy has in common: a free of what is no live block. */
_Noreturn void sw__misuse_free(void);

#endif
