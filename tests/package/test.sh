#!/bin/bash
# The installed library as its users see it: test.sh CASE. Each case is a function below.
#
# `install` makes the prefix that the others use. CC and CXX are the compilers of the build; so are
# STEPWELL_SOURCE_DIR and STEPWELL_BUILD_DIR its directories.
set -euo pipefail

here=$STEPWELL_SOURCE_DIR/tests/package
all=$STEPWELL_BUILD_DIR/package
prefix=$all/prefix
work=$all/$1
strategies=$(sed -n 's/.*\(BUILT_IN\|SEPARATE\)(\([a-z]*\)[,)].*/\2/p' \
    "$STEPWELL_SOURCE_DIR/alloc/strategies.h" | paste -sd ' ')

commands=$(sed -n 's/^    X(\([a-z]*\), .*/\1/p' "$STEPWELL_SOURCE_DIR/bench/command/command.h")

fail() {
    echo "$*" >&2
    exit 1
}

# works COMMAND...: a consumer that goes through every strategy of the list.
works() {
    local said
    said=$("$@") || fail "$* failed"
    [[ $said == "$strategies" ]] || fail "$* said '$said', not '$strategies'"
}

uses_shared_library() {
    readelf -d "$1" | grep -q 'NEEDED.*libstepwell\.so\.0'
}

use_pkg_config() {
    export PKG_CONFIG_PATH=$1/lib/pkgconfig
    pkg-config --exists stepwell || fail "pkg-config does not know stepwell"
}

case_install() {
    rm -rf "$prefix"
    cmake --install "$STEPWELL_BUILD_DIR" --prefix "$prefix" >install.log
    local wanted=(
        bin/stepwell
        include/stepwell.h
        lib/cmake/stepwell/stepwell-config-version.cmake
        lib/cmake/stepwell/stepwell-config.cmake
        lib/cmake/stepwell/stepwell-targets-"$BUILD_TYPE".cmake
        lib/cmake/stepwell/stepwell-targets.cmake
        lib/libstepwell-jemalloc.so
        lib/libstepwell-preload.so
        lib/libstepwell.a
        lib/libstepwell.so
        lib/libstepwell.so.0
        lib/libstepwell.so.0.1.0
        lib/pkgconfig/stepwell.pc
        share/bash-completion/completions/stepwell
        share/fish/vendor_completions.d/stepwell.fish
        share/man/man1/stepwell.1
        share/man/man7/stepwell.7
        share/zsh/site-functions/_stepwell
    )
    local command
    for command in $commands; do wanted+=("share/man/man1/stepwell-$command.1"); done
    diff <(printf '%s\n' "${wanted[@]}" | LC_ALL=C sort) \
        <(cd "$prefix" && find . -not -type d -printf '%P\n' | LC_ALL=C sort) ||
        fail "not what an installation consists of (<), but something else (>)"
    ! grep -rlF -e "$prefix" -e "$STEPWELL_BUILD_DIR" "$prefix/lib/pkgconfig" "$prefix/lib/cmake" ||
        fail "the files above cannot be moved: they name where they were made"
    "$prefix/bin/stepwell" list >list.txt || fail "the installed command does not run"
    "$prefix/bin/stepwell" run --stats ls / >/dev/null 2>table.txt || fail "it runs no command"
    grep -q 'strategy auto' table.txt || fail "stepwell run does not find the installed library"
    local strategy
    for strategy in $strategies; do
        grep -qw -e "$strategy" list.txt || fail "the installed command does not list $strategy"
    done
}

# In a prefix that is not where it was installed, with the flags that pkg-config gives.
case_pkg_config() {
    cp -a "$prefix" moved
    use_pkg_config "$PWD/moved"
    # shellcheck disable=SC2046
    "$CC" "$here/consumer.c" -Wl,--as-needed $(pkg-config --cflags --libs stepwell) -o c
    cp "$here/consumer.c" consumer.cc
    # shellcheck disable=SC2046
    "$CXX" consumer.cc -Wl,--as-needed $(pkg-config --cflags --libs stepwell) -o cxx
    local program
    for program in c cxx; do
        uses_shared_library $program || fail "$program is not linked to libstepwell.so.0"
        LD_LIBRARY_PATH=$PWD/moved/lib works ./$program
    done
    [[ $(pkg-config --modversion stepwell) == "$VERSION" ]] || fail "wrong version in stepwell.pc"
}

case_pkg_config_static() {
    cp -a "$prefix" moved
    rm moved/lib/libstepwell.so*
    use_pkg_config "$PWD/moved"
    # shellcheck disable=SC2046
    "$CC" "$here/consumer.c" $(pkg-config --static --cflags --libs stepwell) -o c
    ! uses_shared_library c || fail "c is linked to libstepwell.so.0"
    LD_LIBRARY_PATH=$PWD/moved/lib works ./c
}

build_project() {
    CC=$CC CXX=$CXX cmake -S "$1" -B build -G Ninja "${@:2}" >configure.log ||
        fail "$(cat configure.log)"
    cmake --build build >build.log || fail "$(cat build.log)"
}

case_cmake() {
    cp -a "$prefix" moved
    build_project "$here/project" -D CMAKE_PREFIX_PATH="$PWD/moved"
    local language
    for language in c cxx; do
        works "build/$language-stepwell"
        works "build/$language-static"
        uses_shared_library "build/$language-stepwell" || fail "stepwell::stepwell is not shared"
        ! uses_shared_library "build/$language-static" || fail "stepwell::static is not static"
    done
}

case_subproject() {
    build_project "$here/subproject" -D STEPWELL_SOURCE_DIR="$STEPWELL_SOURCE_DIR"
    works build/c-stepwell
    works build/c-static
}

# Without either: a line that anybody can type. And wholly static, where jemalloc cannot be.
case_plain() {
    "$CC" "$here/consumer.c" -I"$prefix/include" -L"$prefix/lib" -Wl,-rpath,"$prefix/lib" \
        -Wl,--no-as-needed -lstepwell -lstepwell-jemalloc -o shared
    works ./shared
    "$CC" -static "$STEPWELL_SOURCE_DIR/examples/link/steps.c" -I"$prefix/include" \
        "$prefix/lib/libstepwell.a" -o static 2>link.log || fail "$(cat link.log)"
    local strategy
    for strategy in ${strategies/ jemalloc/}; do
        ./static "$strategy" || fail "not when static"
    done
}

# The header, the export list and the library name the same functions.
case_exports() {
    sed -n '/^SW_API/p' "$prefix/include/stepwell.h" | grep -o '\bsw_[a-z_]*(' |
        tr -d '(' | LC_ALL=C sort -u >declared
    sed -n 's/^ *\(sw_.*\);/\1/p' "$STEPWELL_SOURCE_DIR/alloc/stepwell.map" | LC_ALL=C sort >listed
    nm -D --defined-only "$prefix/lib/libstepwell.so" |
        sed -n 's/.* T \(.*\)@@STEPWELL_.*/\1/p' | LC_ALL=C sort >exported
    (($(wc -l <declared) > 10)) || fail "this test cannot read stepwell.h any more"
    diff declared listed || fail "stepwell.h (<) and stepwell.map (>) differ"
    diff declared exported || fail "stepwell.h (<) and libstepwell.so (>) differ"
    local others
    others=$(nm -D --defined-only "$prefix/lib/libstepwell.so" | grep -v '@@STEPWELL_\| A STEPWELL_') ||
        true
    [[ -z $others ]] || fail "libstepwell.so exports what stepwell.map does not: $others"
    [[ $(nm -D --defined-only "$prefix/lib/libstepwell-jemalloc.so") == *" sw__strategy_jemalloc" ]] ||
        fail "libstepwell-jemalloc.so must export its table and nothing else"
    (($(nm -D --defined-only "$prefix/lib/libstepwell-jemalloc.so" | wc -l) == 1)) ||
        fail "libstepwell-jemalloc.so exports more than its table"
}

case_late() {
    "$CC" "$here/late.c" -I"$prefix/include" -o late -ldl
    ./late "$prefix/lib/libstepwell.so" || fail "loaded late, it does not work"
}

rm -rf "$work"
mkdir -p "$work"
cd "$work"
"case_${1//-/_}"
