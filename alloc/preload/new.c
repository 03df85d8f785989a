/*
 * new.c - C++'s operator new and delete, under the names of the Itanium C++ ABI, so that no C++
 * compiler or library is needed: they end in malloc's and free's fast paths.
 *
 * Out of memory, the rules of [new.delete]: the new handler is called until there is memory or none
 * is set, then std::bad_alloc is thrown. The nothrow forms do the same and return NULL for any
 * exception, the handler's own too: catching takes C++, so they go by way of the runtime's nothrow
 * forms, which call the throwing ones, ours. The runtime is libstdc++ (or libc++), looked up when
 * needed, as it may be loaded long after us.
 */
#include "export.h"
#include "fast.h"

#include <dlfcn.h>
#include <errno.h>
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

static void *try(size_t size, size_t alignment) {
    return alignment ? aligned_alloc(alignment, size) : sw__malloc(size);
}

/* An alignment that is no power of two is no shortage of memory: no handler can help. */
static __attribute__((noinline)) void *new_slow(size_t size, size_t alignment) {
    void *block = NULL;
    bool may_come = (alignment & (alignment - 1)) == 0;
    while (may_come && call_new_handler() && !(block = try(size, alignment)))
        ;
    if (!block)
        throw_bad_alloc();
    return block;
}

/* NULL as well where there is no runtime: then there is no handler. */
static __attribute__((noinline)) void *nothrow_slow(const char *form, size_t size, size_t alignment,
                                                    const void *tag) {
    void *symbol = runtime_symbol(form);
    if (!symbol)
        return NULL;
    if (alignment) {
        void *(*aligned)(size_t, size_t, const void *);
        *(void **)&aligned = symbol;
        return aligned(size, alignment, tag);
    }
    void *(*plain)(size_t, const void *);
    *(void **)&plain = symbol;
    return plain(size, tag);
}

/* new: plain and array; throwing and nothrow; aligned or not. n is size_t, as on every LP64 system.
 */
#define NEW(name, suffix, parameters, alignment, slow)                                             \
    EXPORT void *_Zn##name##m##suffix parameters;                                                  \
    EXPORT void *_Zn##name##m##suffix parameters {                                                 \
        void *block = try(size, alignment);                                                        \
        return __builtin_expect(block != NULL, 1) ? block : (slow);                                \
    }

#define THROWING(name, suffix, parameters, alignment)                                              \
    NEW(name, suffix, parameters, alignment, new_slow(size, alignment))
#define NOTHROW(name, suffix, parameters, alignment)                                               \
    NEW(name, suffix, parameters, alignment,                                                       \
        nothrow_slow("_Zn" #name "m" #suffix, size, alignment, tag))

#define NEWS(name)                                                                                 \
    THROWING(name, , (size_t size), 0)                                                             \
    NOTHROW(name, RKSt9nothrow_t, (size_t size, const void *tag), 0)                               \
    THROWING(name, St11align_val_t, (size_t size, size_t alignment), alignment)                    \
    NOTHROW(name, St11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void *tag), \
            alignment)

NEWS(w)
NEWS(a)

/* delete: plain and array; sized, aligned, nothrow: the block says for itself what it is. */
#define DELETE(name, suffix, parameters)                                                           \
    EXPORT void _Zd##name##Pv##suffix parameters;                                                  \
    EXPORT void _Zd##name##Pv##suffix parameters {                                                 \
        sw__free(block);                                                                           \
    }

#define UNUSED __attribute__((unused))

#define DELETES(name)                                                                              \
    DELETE(name, , (void *block))                                                                  \
    DELETE(name, m, (void *block, size_t size UNUSED))                                             \
    DELETE(name, RKSt9nothrow_t, (void *block, const void *tag UNUSED))                            \
    DELETE(name, St11align_val_t, (void *block, size_t alignment UNUSED))                          \
    DELETE(name, mSt11align_val_t, (void *block, size_t size UNUSED, size_t alignment UNUSED))     \
    DELETE(name, St11align_val_tRKSt9nothrow_t,                                                    \
           (void *block, size_t alignment UNUSED, const void *tag UNUSED))

DELETES(l)
DELETES(a)
