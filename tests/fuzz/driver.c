/*
 * driver.c - runs a fuzz target on one input from stdin, or on each file named. For AFL++:
 *
 *   CC=afl-clang-fast CXX=afl-clang-fast++ cmake -B build-afl -DSTEPWELL_SANITIZE=address,undefined
 *   cmake --build build-afl --target fuzz.heap
 *   ASAN_OPTIONS=abort_on_error=1:symbolize=0:detect_leaks=0 afl-fuzz -m none -t 5000 \
 *       -i tests/fuzz/corpus -o build-afl/findings build-afl/bin/tests/fuzz.heap
 */
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run(FILE *file, const char *name) {
    static uint8_t input[1 << 20];
    if (!file) {
        perror(name);
        return 1;
    }
    size_t size = fread(input, 1, sizeof input, file);
    return LLVMFuzzerTestOneInput(input, size);
}

int main(int argc, char **argv) {
    int failed = 0;
    if (argc < 2)
        return run(stdin, "stdin");
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        failed |= run(file, argv[i]);
        if (file)
            fclose(file);
    }
    return failed;
}
