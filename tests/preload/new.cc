/*
 * new.cc - C++'s operator new and delete in all their forms, as a program meets them under
 * LD_PRELOAD: blocks, alignments, the new handler, bad_alloc. See second_self.h.
 */
#include "second_self.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <malloc.h>
#include <new>
#include <string>
#include <vector>

namespace {

constexpr std::align_val_t wide{256};
constexpr std::align_val_t page{4096};
volatile std::size_t too_much = SIZE_MAX / 2 + 1;

bool is_aligned(const void *block, std::align_val_t alignment) {
    return reinterpret_cast<std::uintptr_t>(block) % static_cast<std::size_t>(alignment) == 0;
}

/* All of the block can be written. */
void *use(void *block, std::size_t size) {
    CHECK(block != nullptr);
    CHECK(malloc_usable_size(block) >= size);
    return std::memset(block, 0x5a, size);
}

void check_that_they_are_ours() {
    const char *names[] = {"_Znwm", "_ZnamSt11align_val_tRKSt9nothrow_t", "_ZdlPv",
                           "_ZdaPvSt11align_val_tRKSt9nothrow_t"};
    for (const char *name : names) {
        Dl_info where;
        void *symbol = dlsym(RTLD_DEFAULT, name);
        CHECK(symbol != nullptr && dladdr(symbol, &where) != 0);
        CHECK(std::strstr(where.dli_fname, "libstepwell-preload.so") != nullptr);
    }
}

/* Every new with every delete that may follow it. */
void check_every_form(std::size_t size) {
    const std::nothrow_t &nothrow = std::nothrow;
    ::operator delete(use(::operator new(size), size));
    ::operator delete(use(::operator new(size), size), size);
    ::operator delete(use(::operator new(size, nothrow), size), nothrow);
    ::operator delete[](use(::operator new[](size), size));
    ::operator delete[](use(::operator new[](size), size), size);
    ::operator delete[](use(::operator new[](size, nothrow), size), nothrow);
    for (std::align_val_t alignment : {wide, page}) {
        void *blocks[] = {
            ::operator new(size, alignment),          ::operator new(size, alignment),
            ::operator new(size, alignment, nothrow), ::operator new[](size, alignment),
            ::operator new[](size, alignment),        ::operator new[](size, alignment, nothrow)};
        for (void *block : blocks)
            CHECK(is_aligned(use(block, size), alignment));
        ::operator delete(blocks[0], alignment);
        ::operator delete(blocks[1], size, alignment);
        ::operator delete(blocks[2], alignment, nothrow);
        ::operator delete[](blocks[3], alignment);
        ::operator delete[](blocks[4], size, alignment);
        ::operator delete[](blocks[5], alignment, nothrow);
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr, wide);
}

template <typename Call> bool throws_bad_alloc(Call call) {
    try {
        CHECK(call() == nullptr); /* and does not come back with a block */
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void check_bad_alloc() {
    CHECK(throws_bad_alloc([] { return ::operator new(too_much); }));
    CHECK(throws_bad_alloc([] { return ::operator new[](too_much); }));
    CHECK(throws_bad_alloc([] { return ::operator new(too_much, wide); }));
    CHECK(throws_bad_alloc([] { return ::operator new[](too_much, wide); }));
    CHECK(::operator new(too_much, std::nothrow) == nullptr);
    CHECK(::operator new[](too_much, std::nothrow) == nullptr);
    CHECK(::operator new(too_much, wide, std::nothrow) == nullptr);
    CHECK(::operator new[](too_much, wide, std::nothrow) == nullptr);
}

int calls;

void give_up_at_third() {
    if (++calls == 3)
        std::set_new_handler(nullptr);
}

void throw_at_second() {
    if (++calls == 2)
        throw std::bad_alloc();
}

template <typename Call> void check_calls(std::new_handler handler, int wanted, Call call) {
    calls = 0;
    std::set_new_handler(handler);
    call();
    std::set_new_handler(nullptr);
    CHECK(calls == wanted);
}

void check_new_handler() {
    check_calls(give_up_at_third, 3,
                [] { CHECK(throws_bad_alloc([] { return ::operator new(too_much); })); });
    check_calls(give_up_at_third, 3,
                [] { CHECK(throws_bad_alloc([] { return ::operator new[](too_much, page); })); });
    check_calls(give_up_at_third, 3,
                [] { CHECK(::operator new(too_much, std::nothrow) == nullptr); });
    /* What a handler throws stays inside the nothrow forms. */
    check_calls(throw_at_second, 2,
                [] { CHECK(::operator new(too_much, std::nothrow) == nullptr); });
    check_calls(throw_at_second, 2,
                [] { CHECK(::operator new[](too_much, wide, std::nothrow) == nullptr); });
    check_calls(throw_at_second, 2,
                [] { CHECK(throws_bad_alloc([] { return ::operator new[](too_much); })); });
}

void check_containers() {
    std::vector<std::string> strings;
    for (int i = 0; i < 20000; i++)
        strings.push_back(std::string(static_cast<std::size_t>(i % 90), 'x'));
    for (int i = 0; i < 20000; i++)
        CHECK(strings[static_cast<std::size_t>(i)].size() == static_cast<std::size_t>(i % 90));
    struct alignas(128) Wide {
        char bytes[128];
    };
    std::vector<Wide> wides(1000);
    CHECK(is_aligned(wides.data(), std::align_val_t{128}));
}

int check() {
    check_that_they_are_ours();
    for (std::size_t size : {0, 1, 16, 100, 4096, 40000, 3000000})
        check_every_form(size);
    check_bad_alloc();
    check_new_handler();
    check_containers();
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    return run_second_selves("preload.new", argc, argv, check);
}
