/*
 * replaced.cc - a program that has its own operator new(size_t) and operator delete(void *), as
 * [replacement.functions] allows: then all forms without an alignment are to come to those two.
 */
#include "second_self.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#ifndef __clang__ /* which takes a program for mistaken that has these two alone */
#pragma GCC diagnostic ignored "-Wsized-deallocation"
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace {

/* In front of each block of ours: no other can be taken for one. */
constexpr std::size_t front = 32;
constexpr char mark[] = "of this program's own new";
std::size_t made, gone;
bool refuses;

} // namespace

__attribute__((noinline)) void *operator new(std::size_t size) {
    char *block = refuses ? nullptr : static_cast<char *>(std::malloc(front + size));
    if (block == nullptr)
        throw std::bad_alloc();
    std::memcpy(block, mark, sizeof mark);
    made++;
    return block + front;
}

__attribute__((noinline)) void operator delete(void *block) noexcept {
    if (block == nullptr)
        return;
    char *start = static_cast<char *>(block) - front;
    CHECK(std::memcmp(start, mark, sizeof mark) == 0);
    std::memset(start, 0, front);
    gone++;
    std::free(start);
}

namespace {

/* Every new with every delete that may follow it. */
void check_every_form(std::size_t size) {
    const std::nothrow_t &nothrow = std::nothrow;
    const std::size_t before = made;
    ::operator delete(::operator new(size), size);
    ::operator delete(::operator new(size), nothrow);
    ::operator delete(::operator new(size, nothrow));
    ::operator delete(::operator new(size, nothrow), size);
    ::operator delete[](::operator new[](size));
    ::operator delete[](::operator new[](size), size);
    ::operator delete[](::operator new[](size), nothrow);
    ::operator delete[](::operator new[](size, nothrow));
    CHECK(made == before + 8);
    CHECK(gone == made);
}

/* Those that are aligned are nobody's but the library's. */
void check_aligned_forms(std::size_t size) {
    constexpr std::align_val_t wide{256};
    const std::size_t before = made;
    for (void *block : {::operator new(size, wide), ::operator new[](size, wide),
                        ::operator new(size, wide, std::nothrow)}) {
        CHECK(reinterpret_cast<std::uintptr_t>(block) % 256 == 0);
        std::memset(block, 1, size);
        ::operator delete(block, size, wide);
    }
    CHECK(made == before);
}

void check_refusal() {
    refuses = true;
    void *plain = ::operator new(100, std::nothrow), *array = ::operator new[](100, std::nothrow);
    bool has_thrown = false;
    try {
        ::operator delete[](::operator new[](100));
    } catch (const std::bad_alloc &) {
        has_thrown = true;
    }
    refuses = false;
    CHECK(plain == nullptr && array == nullptr && has_thrown);
}

int check() {
    for (std::size_t size : {0, 1, 100, 5000, 3000000}) {
        check_every_form(size);
        check_aligned_forms(size + 1);
    }
    check_refusal();
    const std::size_t before = made;
    std::string text(1000, 'x');
    CHECK(made == before + 1); /* which the runtime has asked for */
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    return run_second_selves("preload.replaced", argc, argv, check);
}
