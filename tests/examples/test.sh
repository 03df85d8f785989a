#!/bin/bash
# Builds an example as its comment says and looks at what it prints: test.sh link|strategy.
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

# The same blocks are live in both; only what they take differs.
case_strategy() {
    build strategy
    local said
    said=$(build/try) || fail "try failed"
    local blocks='requested peak \([0-9]*\), allocated peak [0-9]*, resident peak [1-9][0-9]*'
    [[ $(sed -n "s/^pool *$blocks$/\1/p" <<<"$said") == 5250000 ]] || fail "$said"
    [[ $(sed -n "s/^freelist *$blocks$/\1/p" <<<"$said") == 5250000 ]] || fail "$said"
}

rm -rf "$work"
mkdir -p "$work"
cd "$work"
"case_$1"
