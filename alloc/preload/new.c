/*
 * new.c - C++'s operator new and delete, under the names of the Itanium C++ ABI, so that no C++
 * compiler or library is needed: they end in malloc's and free's fast paths.
 *
 * A program may replace some of them, and C's family: so each calls what [new.delete] says that it
 * calls, by name, as libstdc++'s do. Array forms call plain ones, sized deletes call unsized ones, and
 * those call malloc and free. Who replaces new(size_t) and delete(void *) has all that are not aligned.
 * (The file is compiled without PLT: a call by name is a jump by way of a word.)
 *
 * Out of memory, the rules of [new.delete]: the new handler is called until there is memory or none
 * is set, then std::bad_alloc is thrown. The nothrow forms do the same and return NULL for any
 * exception, the handler's own too: catching takes C++, so they go by way of the runtime's nothrow
 * forms, which call the throwing ones. The runtime is libstdc++ (or libc++), looked up when needed, as
 * it may be loaded long after us.
 */
#include "align.h"
#include "export.h"
#include "fast.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A symbol of the C++ runtime behind us, which may be loaded where only its users see it. */
static void *runtime_symbol(const char *name) {
    void *symbol = dlsym(RTLD_NEXT, name);
    static const char *const libraries[] = {"libstdc++.so.6", "libc++.so.1"};
    for (int i = 0; !symbol && i < 2; i++) {
        void *library = dlopen(libraries[i], RTLD_NOW | RTLD_NOLOAD);
        if (library)
            symbol = dlsym(library, name);
    }
    return symbol;
}

/* Calls the handler that is set; false if none is. */
static bool call_new_handler(void) {
    typedef void handler(void);
    handler *(*get)(void);
    *(void **)&get = runtime_symbol("_ZSt15get_new_handlerv");
    handler *set = get ? get() : NULL;
    if (set)
        set();
    return set != NULL;
}

static _Noreturn void throw_bad_alloc(void) {
    void (*thrower)(void);
    *(void **)&thrower = runtime_symbol("_ZSt17__throw_bad_allocv");
    if (thrower)
        thrower();
    sw__stop("out of memory in operator new");
}

/* Does the name mean our own, and not what the program brings? Through an asm, for clang takes two names
 * for two addresses, and would never ask. */
#define IS_BOUND_TO(name, own)                                                                     \
    ({                                                                                             \
        __typeof(&(name)) meant = (name);                                                          \
        __asm__("" : "+r"(meant));                                                                 \
        __builtin_expect(meant == (own), 1);                                                       \
    })

static bool is_malloc_ours(void) {
    return IS_BOUND_TO(malloc, sw__own_malloc);
}

/* As libstdc++ asks it, which leaves nothing to its taste. */
static __attribute__((noinline)) void *try_programs(size_t size, size_t alignment) {
    size = sw__larger(size, 1);
    if (!alignment)
        return malloc(size);
    bool can_be = (alignment & (alignment - 1)) == 0 && size <= SIZE_MAX - alignment;
    return can_be ? aligned_alloc(alignment, sw__align_up(size, alignment)) : NULL;
}

static void *try(size_t size, size_t alignment) {
    if (!is_malloc_ours())
        return try_programs(size, alignment);
    return alignment ? aligned_alloc(alignment, size) : sw__malloc(size);
}

/* Where there is none at hand. An alignment that is no power of two is no shortage of memory: no handler
 * can help. */
static __attribute__((noinline)) void *new_slow(size_t size, size_t alignment) {
    void *block = try(size, alignment);
    bool may_come = (alignment & (alignment - 1)) == 0;
    while (!block && may_come && call_new_handler())
        block = try(size, alignment);
    if (!block)
        throw_bad_alloc();
    return block;
}

/* ---- new that throws: plain and array, aligned or not. n is size_t, as on every LP64 system. ---- */

#define THROWING(name, parameters)                                                                 \
    EXPORT void *name parameters;                                                                  \
    extern __typeof(name) own##name __attribute__((alias(#name), visibility("hidden")));           \
    EXPORT void *name parameters

THROWING(_Znwm, (size_t size)) {
    void *block = is_malloc_ours() ? sw__front_alloc(size) : NULL;
    return __builtin_expect(block != NULL, 1) ? block : new_slow(size, 0);
}

THROWING(_ZnwmSt11align_val_t, (size_t size, size_t alignment)) {
    return new_slow(size, alignment);
}

THROWING(_Znam, (size_t size)) {
    return _Znwm(size);
}

THROWING(_ZnamSt11align_val_t, (size_t size, size_t alignment)) {
    return _ZnwmSt11align_val_t(size, alignment);
}

/* ---- new that does not ----------------------------------------------------------------------- */

/* The runtime's, kept for the next time. */
static void *nothrow_form(const char *name, void *_Atomic *kept) {
    void *form = atomic_load_explicit(kept, memory_order_relaxed);
    if (!form)
        atomic_store_explicit(kept, form = runtime_symbol(name), memory_order_relaxed);
    return form;
}

/* Where the throwing form is the program's, or there is no memory. NULL as well where there is no
 * runtime: then there is no handler. */
static __attribute__((noinline)) void *nothrow_slow(void *form, size_t size, const void *tag) {
    void *(*plain)(size_t, const void *);
    *(void **)&plain = form;
    return form ? plain(size, tag) : NULL;
}

static __attribute__((noinline)) void *nothrow_aligned_slow(void *form, size_t size,
                                                            size_t alignment, const void *tag) {
    void *(*aligned)(size_t, size_t, const void *);
    *(void **)&aligned = form;
    return form ? aligned(size, alignment, tag) : NULL;
}

/* The runtime's forms call the throwing one. While that is ours, and there is memory, so can we. */
#define NOTHROW(name, parameters, is_ours, alignment, slow)                                        \
    EXPORT void *name parameters;                                                                  \
    EXPORT void *name parameters {                                                                 \
        static void *_Atomic kept;                                                                 \
        void *block = (is_ours) ? try(size, alignment) : NULL;                                     \
        return __builtin_expect(block != NULL, 1) ? block : (slow);                                \
    }

#define NOTHROW_PLAIN(name, is_ours)                                                               \
    NOTHROW(name##RKSt9nothrow_t, (size_t size, const void *tag), is_ours, 0,                      \
            nothrow_slow(nothrow_form(#name "RKSt9nothrow_t", &kept), size, tag))
#define NOTHROW_ALIGNED(name, is_ours)                                                             \
    NOTHROW(                                                                                       \
        name##RKSt9nothrow_t, (size_t size, size_t alignment, const void *tag), is_ours,           \
        alignment,                                                                                 \
        nothrow_aligned_slow(nothrow_form(#name "RKSt9nothrow_t", &kept), size, alignment, tag))

#define IS_OURS(name) IS_BOUND_TO(name, own##name)

NOTHROW_PLAIN(_Znwm, IS_OURS(_Znwm))
NOTHROW_PLAIN(_Znam, IS_OURS(_Znam) && IS_OURS(_Znwm))
NOTHROW_ALIGNED(_ZnwmSt11align_val_t, IS_OURS(_ZnwmSt11align_val_t))
NOTHROW_ALIGNED(_ZnamSt11align_val_t,
                IS_OURS(_ZnamSt11align_val_t) && IS_OURS(_ZnwmSt11align_val_t))

/* ---- delete: sized, aligned, nothrow: the block says for itself what it is ------------------- */

#define UNUSED __attribute__((unused))

/* Each calls the one it is a form of. */
#define DELETE(name, parameters, base)                                                             \
    EXPORT void name parameters;                                                                   \
    EXPORT void name parameters {                                                                  \
        base;                                                                                      \
    }

DELETE(_ZdlPv, (void *block), free(block))
DELETE(_ZdaPv, (void *block), _ZdlPv(block))
DELETE(_ZdlPvSt11align_val_t, (void *block, size_t alignment UNUSED), free(block))
DELETE(_ZdaPvSt11align_val_t, (void *block, size_t alignment),
       _ZdlPvSt11align_val_t(block, alignment))

#define DELETES(name)                                                                              \
    DELETE(name##m, (void *block, size_t size UNUSED), name(block))                                \
    DELETE(name##RKSt9nothrow_t, (void *block, const void *tag UNUSED), name(block))               \
    DELETE(name##mSt11align_val_t, (void *block, size_t size UNUSED, size_t alignment),            \
           name##St11align_val_t(block, alignment))                                                \
    DELETE(name##St11align_val_tRKSt9nothrow_t,                                                    \
           (void *block, size_t alignment, const void *tag UNUSED),                                \
           name##St11align_val_t(block, alignment))

DELETES(_ZdlPv)
DELETES(_ZdaPv)
