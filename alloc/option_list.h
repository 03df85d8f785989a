/*
 * option_list.h - the options of a heap, and the environment variables of the preload library: the
 * one list of each.
 *
 * A new option is one line here. struct sw__config has a member of its name then; parsing, what is
 * said of wrong values, `stepwell run --help`, the manual page, shell completion and the list in
 * README.md (`script/list-options` writes it) follow from the line.
 *
 *   kind     FLAG, CHOICE or BYTES (suffixes K, M, G)
 *   default  as one would type it: of sw_heap_create(), and of the heap behind malloc
 *   range    FLAG and CHOICE: the words there are, "a|b|c"; a choice's value is the index of its
 *            word. BYTES: "LEAST..MOST", or "LEAST.."
 *   unit     of a number, or ""
 *   heeded   by which strategies, "a, b, c", or by checked heaps of any; "" by all
 *   sentence what it does: without its subject, without a full stop
 */
#ifndef SW_OPTION_LIST_H
#define SW_OPTION_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define SW__BY_AUTO    "auto"
#define SW__BY_EXTENTS "pool, sizeclass, arena, auto"
#define SW__BY_CHECKED "checked:1"

/* clang-format off */
/*    name        kind    default, preloaded  range                unit    heeded            sentence */
#define SW_OPTIONS(X)                                                                              \
    X(tracking,   FLAG,   "1",     "0",       "0|1",               "",      "",              "keeps a ledger of every live block, needed for what was requested, for all that follows from it, and for every figure per block or per tag; 0 makes alloc and free as fast as the strategy is") \
    X(checked,    FLAG,   "0",     "0",       "0|1",               "",      "",              "watches for misuse, over any strategy: writes past either end of a block or after it was freed, of large blocks most reads as well, frees and reallocs of what is no live block; takes a few times the time and 100 bytes a block") \
    X(quarantine, BYTES,  "32M",   "32M",     "0..",               "bytes", SW__BY_CHECKED,  "with checked, keeps so much of what was freed from use, in 65,536 blocks at most, to see accesses to it") \
    X(huge_pages, CHOICE, "auto",  "auto",    "auto|never|always", "",      SW__BY_EXTENTS,  "asks for transparent huge pages: auto where one live block covers the whole huge page and large blocks are used to their ends, always for all the heap maps (strategies " SW__BY_EXTENTS ")") \
    X(background_thread, FLAG, "1", "1",      "0|1",               "",      SW__BY_AUTO,     "lets a sleeping thread notice that work has stopped, and give back what is kept for it; none is started before the heap holds 8 MiB. Behind malloc it makes way for unshare(), setns(), capset() and what prctl() changes of a thread's rights. A program that may have one thread only for another reason, or that filters system calls (strictly, or for its first thread alone: this one is then not filtered), wants 0 (strategy " SW__BY_AUTO ")") \
    X(retain,     BYTES,  "0",     "0",       "0..",               "bytes", SW__BY_AUTO,     "keeps no more than this free for work to come; 0 is no cap but what recent steps needed (strategy " SW__BY_AUTO ")") \
    X(soft_limit, BYTES,  "0",     "0",       "0..",               "bytes", SW__BY_AUTO,     "gives free memory back before it holds more than this; 0 is no limit (strategy " SW__BY_AUTO ")") \
    X(limit,      BYTES,  "0",     "0",       "0..",               "bytes", SW__BY_EXTENTS,  "holds no more than this: what is free is given back first, and what would live beyond it fails as when memory is out (pool and arena count the segments and chunks of small blocks whole). What a heap keeps of its own beside them comes on top, of many small blocks with tracking more than they are; 0 is no limit (strategies " SW__BY_EXTENTS ")") \
    X(oom_report, FLAG,   "0",     "1",       "0|1",               "",      "",              "writes a paragraph to stderr, once, when memory is out: what was asked for, what is live, by size and with tracking by tag, and what is free. Of a request larger than the machine's memory or RLIMIT_AS, which nobody could serve, it says nothing")

/* What the preload library reads from the environment. */
#define SW_VARIABLES(X)                                                                            \
    X(STRATEGY, "auto", "a name that `stepwell list` shows", "the strategy behind malloc")         \
    X(CONF,     "",     "KEY:VALUE,KEY:VALUE...",            "the options of the heap behind malloc") \
    X(STATS,    "0",    "0|1|FILE, or the same with `,signal` behind it", "what the heap held and holds, as a table, when the program ends by exit() or by returning from main: 1 on stderr, else into FILE, where %p stands for the process id and %% for one %, and which has a slash, a dot or a % in its name, and is taken from the folder where the program starts; with `,signal` also whenever SIGUSR2 comes, unless the program handles that signal itself (it costs a thread, and a process whose main thread ends by pthread_exit does not end without it). A second stderr stays open to the end, in forked children as well")
/* clang-format on */

enum sw__huge_pages { SW__HUGE_AUTO, SW__HUGE_NEVER, SW__HUGE_ALWAYS };

#define SW__TYPE_FLAG   bool
#define SW__TYPE_CHOICE int
#define SW__TYPE_BYTES  size_t

/* sw_heap_create()'s conf, parsed. */
struct sw__config {
#define SW__MEMBER(name, kind, initially, preloaded, range, unit, heeded, sentence)                \
    SW__TYPE_##kind name;
    SW_OPTIONS(SW__MEMBER)
#undef SW__MEMBER
};

#endif
