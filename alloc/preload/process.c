/*
 * process.c - the one heap behind malloc: see process.h.
 *
 * The first call of malloc may come from the dynamic linker, before any constructor and before libc
 * knows its environment. Nothing here allocates, but for what libc does on its own (dlsym telling
 * an error): that comes back here and is served from a small static buffer.
 */
#include "process.h"

#include "checked.h"
#include "options.h"
#include "text.h"

#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

struct sw__process sw__process;

static struct sw__lock starting;
static const void *starter; /* the thread that starts, told by the place of its errno */

extern char **environ;

/* Not getenv(), which knows nothing before libc has started. The auxiliary vector is there as soon
 * as the linker runs. */
const char *sw__process_told(const char *name) {
    size_t length = strlen(name);
    if (getauxval(AT_SECURE))
        return NULL;
    for (char **each = environ; each && *each; each++)
        if (strncmp(*each, name, length) == 0 && (*each)[length] == '=')
            return *each + length + 1;
    return NULL;
}

/* The variable's value; its default where it is empty or missing. */
static const char *variable(enum sw__variable_index index) {
    const char *value = sw__process_told(sw__variables[index].name);
    return value && *value ? value : sw__variables[index].initially;
}

static void say(const char *sentence, const char *instead) {
    struct sw__text text = {.length = 0};
    sw__text_add(&text, "stepwell: %s; %s\n", sentence, instead);
    sw__text_write(&text, sw__os_stderr());
}

/* What is wrong is told, and its default taken. */
static sw_heap *create_as_asked(void) {
    const char *strategy = variable(SW__STRATEGY);
    struct sw__config config;
    char why[320];
    sw__options_defaults(&config);
    if (!sw__options_parse(variable(SW__CONF), &config, why, sizeof why))
        say(why, "going on without it");
    sw_heap *heap = sw__heap_create(strategy, &config);
    const char *const others[] = {sw__variables[SW__STRATEGY].initially, "system"};
    for (int i = 0; i < 2 && !heap && errno != ENOMEM; i++) {
        char instead[64];
        if (strcmp(strategy, others[i]) == 0)
            continue;
        strategy = others[i];
        snprintf(instead, sizeof instead, "going on with strategy '%s'", strategy);
        say(sw_error(), instead);
        heap = sw__heap_create(strategy, &config);
    }
    if (heap && !sw__options_are_heeded(&config, strategy, why, sizeof why))
        say(why, "going on without it");
    return heap;
}

static void *break_at_start; /* libc's own heap, if it ever has one, begins here */

bool sw__process_knows(const void *block) {
    struct sw__checked *checked = sw__process.heap->checked;
    if (checked && sw__checked_standing(checked, block) != SW__UNKNOWN)
        return true;
    if (sw__process.strategy->in_page_map)
        return sw__page_map_get(block) != NULL;
    if (sw__process.heap->ledger)
        return sw__ledger_knows(sw__process.heap->ledger, block);
    return !checked;
}

/* What libc's malloc leaves in the word before a block: the size and three flags. */
#define LIBC_IS_MMAPPED     2
#define LIBC_NON_MAIN_ARENA 4
#define LIBC_FLAGS          7

/* Arenas but the main one are made of pieces that say at their start how long they are, in the
 * third word. */
static bool is_in_arena(uintptr_t address) {
    const size_t piece_max = (size_t)64 << 20;
    const size_t *piece = (const size_t *)(address & ~(piece_max - 1));
    return sw__os_is_readable(piece + 2) && piece[2] <= piece_max &&
           address - (uintptr_t)piece < piece[2];
}

/* A mapping for one block: the word before it is the size, with a flag, and the one before that how
 * far into the mapping it all begins, where it was to be aligned. */
static bool is_mapped_by_libc(uintptr_t address, const size_t *words) {
    size_t size = words[1] & ~(size_t)LIBC_FLAGS, lead = words[0], rest = address % SW__PAGE;
    return (words[1] & LIBC_FLAGS) == LIBC_IS_MMAPPED && (rest & (rest - 1)) == 0 &&
           (address - 16 - lead) % SW__PAGE == 0 && (lead + size) % SW__PAGE == 0;
}

bool sw__process_is_libcs(const void *block) {
    uintptr_t address = (uintptr_t)block;
    if (address & 15)
        return false;
    if (address >= (uintptr_t)break_at_start && address < (uintptr_t)sbrk(0))
        return true;
    const size_t *words = (const size_t *)block - 2;
    if (!sw__os_is_readable(words))
        return false;
    return is_mapped_by_libc(address, words) ||
           ((words[1] & LIBC_NON_MAIN_ARENA) && is_in_arena(address));
}

size_t sw__process_loaders(const void *block) {
    enum { LOADER_IMAGE = 1 << 18 };
    uintptr_t offset = (uintptr_t)block - (uintptr_t)_r_debug.r_ldbase;
    return offset < LOADER_IMAGE ? LOADER_IMAGE - offset : 0;
}

static void publish(sw_heap *heap) {
    sw__process.strategy = heap->strategy;
    if (sw__process.strategy->small_in_slabs && !heap->ledger) {
        sw__process.blocks = heap->state;
        sw__slabs_put_in_front(&sw__process.blocks->slabs);
    }
    __atomic_store_n(&sw__process.heap, heap, __ATOMIC_RELEASE);
}

bool sw__process_start(void) {
    int kept = errno;
    if (starter == &errno)
        return false;
    sw__lock(&starting);
    if (!sw__process.heap) {
        starter = &errno;
        break_at_start = sbrk(0);
        sw_heap *heap = create_as_asked();
        starter = NULL;
        if (!heap) {
            say("no memory for the first heap", "giving up");
            _exit(127);
        }
        publish(heap);
    }
    sw__unlock(&starting);
    errno = kept;
    return true;
}
