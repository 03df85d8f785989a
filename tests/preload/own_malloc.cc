/*
 * own_malloc.cc - a program that brings C's malloc family, as one does that has an allocator linked in,
 * and none of C++'s operators: new and delete are to come to its family, aligned or not, as they do
 * without us.
 */
#include "second_self.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

/* Nothing is used again. The size is in front of the block. */
constexpr std::size_t front = 16;
alignas(4096) char pool[64 << 20];
std::size_t used, freed;
volatile std::size_t too_much = SIZE_MAX - 100, no_power_of_two = 96;

bool is_in_pool(const void *block) {
    return block >= pool && block < pool + sizeof pool;
}

std::size_t size_of(const void *block) {
    std::size_t size;
    std::memcpy(&size, static_cast<const char *>(block) - front, sizeof size);
    return size;
}

void *take(std::size_t alignment, std::size_t size) {
    if (alignment < front)
        alignment = front;
    const std::size_t at = (used + front + alignment - 1) / alignment * alignment;
    if (at > sizeof pool || size > sizeof pool - at)
        return nullptr;
    used = at + size;
    std::memcpy(pool + at - front, &size, sizeof size);
    return pool + at;
}

} // namespace

extern "C" {

void *malloc(std::size_t size) {
    return take(0, size);
}

void free(void *block) {
    CHECK(block == nullptr || is_in_pool(block));
    freed += block != nullptr;
}

void *calloc(std::size_t count, std::size_t size) {
    return take(0, count * size); /* never used before, so it is zero */
}

void *realloc(void *block, std::size_t size) {
    void *moved = take(0, size);
    if (block != nullptr && moved != nullptr)
        std::memcpy(moved, block, size_of(block) < size ? size_of(block) : size);
    return moved;
}

void *aligned_alloc(std::size_t alignment, std::size_t size) {
    CHECK(size > 0 && size % alignment == 0);
    return take(alignment, size);
}

int posix_memalign(void **block, std::size_t alignment, std::size_t size) {
    *block = take(alignment, size);
    return 0;
}

void *memalign(std::size_t alignment, std::size_t size) {
    return take(alignment, size);
}

std::size_t malloc_usable_size(void *block) {
    return block != nullptr ? size_of(block) : 0;
}
}

namespace {

int check() {
    constexpr std::align_val_t wide{256};
    const std::size_t before = freed;
    void *plain[] = {::operator new(100), ::operator new[](100), ::operator new(0),
                     ::operator new(100, std::nothrow), ::operator new[](100, std::nothrow)};
    void *aligned[] = {::operator new(100, wide), ::operator new[](0, wide),
                       ::operator new(100, wide, std::nothrow),
                       ::operator new (5, std::align_val_t{4})};
    for (void *block : plain) {
        CHECK(is_in_pool(block));
        ::operator delete(block);
    }
    for (void *block : aligned) {
        CHECK(is_in_pool(block));
        ::operator delete(block, wide);
    }
    CHECK(freed == before + 9);
    CHECK(::operator new(sizeof pool, std::nothrow) == nullptr);
    CHECK(::operator new(too_much, wide, std::nothrow) == nullptr);
    CHECK(::operator new (100, std::align_val_t{no_power_of_two}, std::nothrow) == nullptr);
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    return run_second_selves("preload.own_malloc", argc, argv, check);
}
