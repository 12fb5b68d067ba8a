#!/bin/bash
# Usage: tests/lint/lint.sh BUILD [PART…]     for `make lint`; PART: format tidy cppcheck locks rules docs
# BUILD is a built variant's folder: its include links and generated headers are needed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
build=$1
shift
parts=${*:-format rules locks cppcheck docs tidy}
folders='base proto edge replication node router queue stream cli'
jobs=$(nproc)
bad=()

# NUL-separated, so that a path may hold anything.
sources() {
    local d
    for d in $folders; do
        [ -d "$d" ] && find "$d" -name '*.c' -print0
    done
}
every_c() {
    local d
    for d in $folders tests bench; do
        [ -d "$d" ] && find "$d" -name node_modules -prune -o -name '*.[ch]' -print0
    done
}

# The command line of one file: its folder's links, as the Makefile compiles it.
common=(-std=gnu11 -D_GNU_SOURCE -pthread -mcx16 -msse4.2 -isystem "$build/gen" -isystem /usr/share/include/llhttp -isystem /usr/include/lua5.1)
export LINT_BUILD=$build LINT_COMMON="${common[*]}"

check_format() { every_c | xargs -0 clang-format --dry-run --Werror; }

check_locks() {
    # shellcheck disable=SC2016
    sources | xargs -0 -n 1 -P "$jobs" bash -c '
        clang $LINT_COMMON -I"$LINT_BUILD/inc/${1%%/*}" -fsyntax-only -Wno-everything -Wthread-safety -Werror "$1"' _
}

check_tidy() {
    # shellcheck disable=SC2016
    sources | xargs -0 -n 1 -P "$jobs" bash -c '
        out=$(clang-tidy --quiet "$1" -- $LINT_COMMON -I"$LINT_BUILD/inc/${1%%/*}" 2> /dev/null) || { echo "$out"; exit 1; }' _
}

check_cppcheck() {
    sources | xargs -0 cppcheck --quiet -j "$jobs" --enable=warning,performance,portability \
        --inline-suppr --std=c11 --error-exitcode=1 -D__GNUC__ -D__x86_64__ -D__linux__ \
        -I. --suppress=missingIncludeSystem --suppress=unmatchedSuppression
}

check_rules() { node tests/lint/tidy.js; }

check_docs() {
    local dir status=0
    dir=$(mktemp -d)
    "$build/godwit" dev config-doc > "$dir/CONFIG.md" && cmp "$dir/CONFIG.md" deploy/CONFIG.md || status=1
    "$build/godwit" dev metrics-doc > "$dir/METRICS.md" && cmp "$dir/METRICS.md" deploy/METRICS.md || status=1
    if "$build/godwit" dev --help | grep -q commands-doc; then
        "$build/godwit" dev commands-doc > "$dir/COMMANDS.md" && cmp "$dir/COMMANDS.md" proto/COMMANDS.md || status=1
    fi
    rm -r "$dir"
    [ $status -eq 0 ] || echo "generated files differ: make docs"
    return $status
}

for part in $parts; do
    echo "== lint: $part"
    "check_$part" || bad+=("$part")
done
[ ${#bad[@]} -eq 0 ] || { echo "lint: ${bad[*]} failed"; exit 1; }
echo "lint: clean"
