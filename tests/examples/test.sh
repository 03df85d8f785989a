#!/bin/bash
# Builds an example as its comment says and looks at what it prints: test.sh CASE.
set -euo pipefail

examples=$STEPWELL_SOURCE_DIR/examples
prefix=$STEPWELL_BUILD_DIR/package/prefix
work=$STEPWELL_BUILD_DIR/examples/$1
strategies=$(sed -n 's/.*\(BUILT_IN\|SEPARATE\)(\([a-z]*\)[,)].*/\2/p' \
    "$STEPWELL_SOURCE_DIR/alloc/strategies.h")

fail() {
    echo "$*" >&2
    exit 1
}

build() {
    cmake -S "$examples/$1" -B build -G Ninja -D CMAKE_PREFIX_PATH="$prefix" >configure.log 2>&1 ||
        fail "$(cat configure.log)"
    cmake --build build >build.log || fail "$(cat build.log)"
}

# Live are the weights, a MiB; at the peak there are 4 MiB of activations beside them.
case_link() {
    build link
    local strategy said counts='1048576 bytes requested, 5242880 at the peak; 2 steps, 0 survivors'
    for strategy in $strategies; do
        said=$(build/steps "$strategy") || fail "steps $strategy failed"
        [[ $said == "$strategy: $counts" ]] || fail "steps $strategy said: $said"
    done
    ! said=$(build/steps poool 2>&1) || fail "steps poool did not fail"
    [[ $said == *pool* ]] || fail "steps poool said: $said"
}

# keeps_contract SUITE SUBJECTS [LEFT-OUT]: what tests/alloc/ demands of every strategy, of the
# example's alone.
keeps_contract() {
    local tests=$STEPWELL_SOURCE_DIR/tests/alloc flags
    flags=$(pkg-config --cflags --libs cmocka)
    # shellcheck disable=SC2086
    "$CC" -std=gnu17 -O2 -I build/alloc -I "$tests/.." "$tests/$1.c" "$tests/support.c" \
        build/libstepwell_freelist.a $flags -pthread -lm -o "$1"
    ./"$1" "*freelist$2" ${3:+"$3"} >"$1.log" 2>&1 || fail "$(cat "$1.log")"
    grep -q '^\[  PASSED  \] [1-9]' "$1.log" || fail "no test of $1 ran: $(cat "$1.log")"
}

# The same blocks are live in both; only what they take differs.
case_strategy() {
    build strategy
    local said
    said=$(build/try) || fail "try failed"
    local blocks='requested peak \([0-9]*\), allocated peak [0-9]*, resident peak [1-9][0-9]*'
    [[ $(sed -n "s/^pool *$blocks$/\1/p" <<<"$said") == 5250000 ]] || fail "$said"
    [[ $(sed -n "s/^freelist *$blocks$/\1/p" <<<"$said") == 5250000 ]] || fail "$said"
}

# The example is held to all that the library's own strategies are held to, but for this: its slots
# never change their size, so what is freed makes no room for other sizes and is never one piece.
case_strategy_contract() {
    build strategy
    keeps_contract contract '*' 'what_is_freed_*'
    keeps_contract failures '*'
    keeps_contract model '*'
    keeps_contract misuse ', tracking:1*' # without, only a strategy that looks sees it
}

rm -rf "$work"
mkdir -p "$work"
cd "$work"
"case_${1//-/_}"
