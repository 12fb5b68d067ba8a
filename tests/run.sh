#!/bin/bash
# Usage: tests/run.sh all|asan|tsan|e2e [FILE]      what `make test` and its kin run after the set-up
# Every part ends in a line `N passed, N failed`; so does the whole, with their sums. A part that ends
# without one, or badly, counts as one more failure: silence is never a success.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
# What a caller has in the environment must not reach the programs under test.
unset MAKEFLAGS MFLAGS MAKELEVEL NODE_OPTIONS NODE_ENV
build=${BUILD:-build}
jobs=$(nproc)
logs=$build/test-logs
passed=0 failed=0
broken=()
mkdir -p "$logs"

# add NAME STATUS LOG: takes the last summary line of a part.
add() {
    local p=0 f=0
    if [[ $(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$3" | tail -n 1) =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]}
    elif [ "$2" -eq 0 ]; then
        echo "$1: ended without saying how many tests passed"
        f=1
    fi
    if [ "$2" -ne 0 ] && [ "$f" -eq 0 ]; then
        echo "$1: ended with status $2"
        f=1
    fi
    passed=$((passed + p)) failed=$((failed + f))
    [ "$f" -eq 0 ] || broken+=("$1")
}

# part NAME SECONDS COMMAND…
part() {
    local name=$1 seconds=$2 log status
    shift 2
    log=$logs/${name//[^a-z0-9_.-]/-}.log
    echo "== $name"
    timeout --kill-after=10 "$seconds" "$@" > "$log" 2>&1
    status=$?
    if [ "$status" -ne 0 ]; then
        grep -v '^== ' "$log" | tail -n 60
        [ "$status" -ne 124 ] || echo "$name: not done after $seconds s"
    else
        tail -n 1 "$log"
    fi
    add "$name" "$status" "$log"
}

close() {
    [ ${#broken[@]} -eq 0 ] || echo "failed: ${broken[*]} (logs in $logs)"
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

build() {
    echo "== build ($1)"
    if ! make --no-print-directory -j"$jobs" VARIANT="$@" > "$logs/build-$1.log" 2>&1; then
        tail -n 40 "$logs/build-$1.log"
        failed=$((failed + 1)) broken+=("build-$1")
        close
    fi
}

unit() {
    local b
    for b in "$build/$1"/unit_*; do
        [ -x "$b" ] && part "unit-$1-${b##*/unit_}" 600 "${@:2}" "$b"
    done
}

prop() {
    local b
    for b in "$build/$1"/prop_*; do
        [ -x "$b" ] && [[ $b != *.d ]] && part "prop-$1-${b##*/prop_}" 120 "${@:2}" "$b"
    done
}

replay() {
    local c name
    for c in tests/fuzz/fuzz_*.c; do
        name=${c##*/fuzz_}
        name=${name%.c}
        [ -e "$c" ] && part "corpus-$1-$name" 300 "$build/$1/replay_$name" "tests/fuzz/corpus/$name"
    done
}

# npm is asked only when what it would install is not what is there.
clients() {
    local have=tests/e2e/node_modules/.package-lock.json
    [ "$have" -nt tests/e2e/package.json ] && [ "$have" -nt tests/e2e/package-lock.json ] && return
    echo "== npm: the published clients, into tests/e2e/node_modules"
    if ! (cd tests/e2e && npm ci --no-audit --no-fund --loglevel=error) > "$logs/npm.log" 2>&1; then
        cat "$logs/npm.log"
        failed=$((failed + 1)) broken+=(npm)
        return 1
    fi
    touch "$have"
}

# Node's own reporters: one for people, one to count from.
e2e() {
    local program=$1 slow=$2 only=${3:-} log=$logs/e2e.log tap=$logs/e2e.tap status
    local files=(tests/e2e/${only:-*}.test.js)
    case $only in
    '') files+=(tests/spec/*.test.js) ;;
    spec) files=(tests/spec/*.test.js) ;;
    esac
    [ -e "${files[0]}" ] || { echo "e2e: no ${files[0]}"; failed=$((failed + 1)); broken+=(e2e); return; }
    clients || return
    echo "== e2e ($program)"
    rm -f "$tap"
    GODWIT_BIN=$program GODWIT_SLOW=$slow timeout --kill-after=30 "${E2E_SECONDS:-900}" \
        node --test --test-reporter=tap --test-reporter-destination="$tap" \
        --test-reporter=spec --test-reporter-destination=stdout "${files[@]}" > "$log" 2>&1
    status=$?
    count_tap "$tap" >> "$log"
    if [ "$status" -ne 0 ]; then
        sed -n '/failing tests:/,$p' "$log" | tail -n 200
        [ "$status" -ne 124 ] || { echo "e2e: not done after ${E2E_SECONDS:-900} s"; tail -n 40 "$log"; }
    fi
    add e2e "$status" "$log"
}

count_tap() {
    awk '/^# (pass|fail|cancelled) [0-9]+$/ { n[$2] = $3; any = 1 }
         END { if (any) printf "%d passed, %d failed\n", n["pass"], n["fail"] + n["cancelled"] }' "$1"
}

case ${1:-all} in
all)
    build release bin/godwit
    build debug unit-bins replay-bins prop-bins
    unit debug
    prop debug
    replay debug
    e2e bin/godwit "${GODWIT_SLOW:-1}"
    ;;
asan)
    # What is freed and kept to catch later uses counts as resident, so it stays well below the tests' bounds.
    export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1:quarantine_size_mb=64
    export UBSAN_OPTIONS=print_stacktrace=1
    # A sanitizer needs other code, not more of the same chance: less of each than `make test` does.
    # Each server's change log is applied to an empty database when it ends, and compared (promise 5).
    export CHECK_LOG=1
    export DIFF_SECONDS=${DIFF_SECONDS:-20} ISOLATION_SECONDS=${ISOLATION_SECONDS:-5} STORM_SECONDS=${STORM_SECONDS:-5}
    build asan all unit-bins replay-bins
    unit asan
    replay asan
    e2e "$build/asan/godwit" "${GODWIT_SLOW:-4}"
    ;;
tsan)
    # clang 14's ThreadSanitizer cannot live with every random layout of the address space.
    still=()
    setarch -R true 2> /dev/null && still=(setarch -R)
    export TSAN_OPTIONS=halt_on_error=0:exitcode=66:second_deadlock_stack=1
    build tsan unit-bins prop-bins
    unit tsan "${still[@]}"
    prop tsan "${still[@]}"
    ;;
e2e)
    build release bin/godwit
    e2e "${GODWIT_BIN:-bin/godwit}" "${GODWIT_SLOW:-1}" "${2:-}"
    ;;
*)
    echo "usage: tests/run.sh all|asan|tsan|e2e [FILE]" >&2
    exit 2
    ;;
esac
close
