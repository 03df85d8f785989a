#!/bin/bash
# The library on other systems: built anew there, and heaps.c with it.
#   test.sh aarch64|musl
set -euo pipefail
here=$(dirname "$(realpath "$0")")
source_dir=${STEPWELL_SOURCE_DIR:?}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

skip_without() {
    if ! command -v "$1" >/dev/null; then
        echo "SKIPPED: no $1 here"
        exit 77
    fi
}

# build COMPILER CMAKE-OPTION...: the library, and heaps with it.
build() {
    local compiler=$1
    shift
    CC=$compiler CFLAGS=${CFLAGS:-} cmake -G Ninja -S "$source_dir" -B "$scratch/build" \
        -DSTEPWELL_TOOLS=OFF -DSTEPWELL_TESTS=OFF "$@" >"$scratch/log" 2>&1 &&
        cmake --build "$scratch/build" >>"$scratch/log" 2>&1 || {
        cat "$scratch/log"
        exit 1
    }
    # shellcheck disable=SC2086 # CFLAGS is several words
    "$compiler" -O2 -Wall -Wextra -Werror ${CFLAGS:-} -I "$source_dir/alloc" \
        "$here/heaps.c" "$scratch/build/lib/libstepwell.a" -pthread -ldl -o "$scratch/heaps"
}

expect() {
    if [[ $1 != "5 strategies and malloc" ]]; then
        echo "heaps said: $1"
        exit 1
    fi
}

# Debian's cross compiler, run by qemu's user mode, where no page is to move: qemu 7.2 knows nothing of
# MREMAP_DONTUNMAP, takes the place that pages moved from for unmapped, and who comes there again ends
# in a signal.
aarch64() {
    skip_without aarch64-linux-gnu-gcc
    skip_without qemu-aarch64
    build aarch64-linux-gnu-gcc -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64
    export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
    expect "$(qemu-aarch64 "$scratch/heaps" small)"
    local preload=$scratch/build/lib/libstepwell-preload.so
    expect "$(qemu-aarch64 -E LD_PRELOAD="$preload" "$scratch/heaps" small)"
    local said
    said=$(qemu-aarch64 -E LD_PRELOAD="$preload" -E STEPWELL_STATS=1 "$scratch/heaps" small 2>&1)
    grep -q 'strategy auto' <<<"$said" || {
        echo "the library was not preloaded: $said"
        exit 1
    }
}

# The library to preload is for glibc; the kernel's headers are where glibc has them.
musl() {
    skip_without musl-gcc
    mkdir "$scratch/include"
    ln -s /usr/include/linux /usr/include/asm-generic "$scratch/include/"
    ln -s "/usr/include/$(gcc -print-multiarch)/asm" "$scratch/include/"
    export CFLAGS="-idirafter $scratch/include"
    build musl-gcc -DSTEPWELL_PRELOAD=OFF
    expect "$("$scratch/heaps")"
}

case ${1:-} in
aarch64 | musl) "$1" ;;
*)
    echo "usage: test.sh aarch64|musl" >&2
    exit 2
    ;;
esac
