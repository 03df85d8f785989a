/*
 * strategies.h - the list of strategies, in the order tables show them. A new strategy is one line
 * here and one file in strategies/. SEPARATE ones live in a library of their own, loaded when
 * named.
 */
#define SW_STRATEGIES(BUILT_IN, SEPARATE)                                                          \
    BUILT_IN(system)                                                                               \
    SEPARATE(jemalloc, "jemalloc itself through its own API, an arena per heap")                   \
    BUILT_IN(pool)                                                                                 \
    BUILT_IN(sizeclass)                                                                            \
    BUILT_IN(arena)                                                                                \
    BUILT_IN(auto)
