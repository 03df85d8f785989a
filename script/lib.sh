# shellcheck shell=bash
# What the scripts share: plain words on stderr, missing packages, configure and build.
# Sourced by each of them, from the root of the project.
#
# Packages are named in script/packages/GROUP and nowhere else. A build directory follows from its
# preset: build/ for release, build-PRESET/ for the others.

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "$@"
    exit 1
}

# nearest WORD NAME...: the name that takes the fewest letters added, dropped or changed.
nearest() {
    printf '%s\n' "$@" | awk '
        function distance(a, b,    i, j, row, above, corner) {
            for (j = 0; j <= length(b); j++) row[j] = j
            for (i = 1; i <= length(a); i++) {
                corner = row[0]
                row[0] = i
                for (j = 1; j <= length(b); j++) {
                    above = row[j]
                    row[j] = corner + (substr(a, i, 1) != substr(b, j, 1))
                    if (above + 1 < row[j]) row[j] = above + 1
                    if (row[j - 1] + 1 < row[j]) row[j] = row[j - 1] + 1
                    corner = above
                }
            }
            return row[length(b)]
        }
        NR == 1 { word = $0; next }
        { far = distance(word, $0) }
        NR == 2 || far < least { least = far; name = $0 }
        END { if (least <= 2 || least <= length(word) / 3) print name }'
}

# refuse_unknown SCRIPT WHAT WORD NAME...: says what is wrong and what there is, and ends with 2.
refuse_unknown() {
    local script=$1 what=$2 word=$3 meant
    shift 3
    meant=$(nearest "$word" "$@")
    [[ -z $meant ]] && meant='; there are' || meant="; did you mean '$meant'? There are"
    say "$script: unknown $what '$word'$meant: $(printf '%s, ' "$@" | sed 's/, $//')"
    exit 2
}

# The packages of the groups, one a line.
list_packages() {
    local group
    for group in "$@"; do
        sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "script/packages/$group"
    done
}

list_missing_packages() {
    local package
    for package in $(list_packages "$@"); do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            echo "$package"
    done
}

# Installs what is missing of the groups; when nothing is, touches nothing, the network least.
ensure_packages() {
    if ! command -v dpkg-query >/dev/null; then
        say "This is no Debian system, so nothing is installed; needed are the counterparts of:"
        say "    $(list_packages "$@" | paste -sd " ")"
        return
    fi
    local missing as_root=()
    mapfile -t missing < <(list_missing_packages "$@")
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        if ! sudo -n true 2>/dev/null; then
            say "Packages are missing, and only root may install them. Run as root:"
            say
            say "    apt-get update && apt-get install --yes --no-install-recommends ${missing[*]}"
            say
            die "and then $0 again."
        fi
        as_root=(sudo -n)
    fi
    say "Installing ${missing[*]}"
    apt_get() {
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
    }
    apt_get update || die "apt-get update failed: see above."
    apt_get install --yes --no-install-recommends "${missing[@]}" ||
        die "apt-get install failed: see above."
}

build_directory() {
    case $1 in
        release) echo build ;;
        *) echo "build-$1" ;;
    esac
}

# build_preset PRESET [TARGET...]: configures and builds; without targets, what the preset names.
build_preset() {
    local preset=$1 directory targets=() for_ninja=()
    shift
    directory=$(build_directory "$preset")
    mkdir -p "$directory"
    [[ -e $directory/build.ninja ]] || say "Configuring $directory/"
    if ! cmake --preset "$preset" >"$directory/configure.log" 2>&1; then
        cat "$directory/configure.log" >&2
        die "Configuring $directory/ failed: see above, or $directory/configure.log."
    fi
    (($#)) && targets=(--target "$@")
    [[ $preset == tidy ]] && for_ninja+=(-k 0) # show what is wrong in all files
    [[ -t 2 ]] || for_ninja+=(--quiet)
    say "Building $directory/"
    cmake --build --preset "$preset" "${targets[@]}" -- "${for_ninja[@]}" >&2 ||
        die "Building $directory/ failed: see above."
}
