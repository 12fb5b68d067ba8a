#!/bin/bash
# Usage: deploy/setup.sh KIND…   (run, build, test: the second column of packages.txt)
# Installs the Debian packages of these kinds that are missing, and says first which. Asks the network
# for nothing when all are there. No service is started by it: servers under test have ports of their
# own, and what a package starts by itself would take 6379.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

command -v dpkg-query > /dev/null || {
    echo "setup: this is not Debian; deploy/packages.txt lists what is needed" >&2
    exit 1
}

# Node may come from elsewhere (Debian's own is 18): then nothing of Debian's is put over it.
has_node() {
    command -v npm > /dev/null && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2> /dev/null
}

# A package counts as there if another provides it (some nodejs packages bring npm along).
missing() {
    local node=
    ! has_node || node=' nodejs npm '
    dpkg-query -W -f '${db:Status-Status}\t${Package}, ${Provides}\n' | awk -F '\t' -v kinds=" $* " -v node="$node" '
        FNR == NR {
            if ($1 != "installed") next
            n = split($2, names, /, */)
            for (i = 1; i <= n; i++) { sub(/ .*/, "", names[i]); have[names[i]] = 1 }
            next
        }
        /^[^#]/ {
            split($0, f, / +/)
            if (index(kinds, " " f[2] " ") && !(f[1] in have) && !index(node, " " f[1] " ")) printf "%s ", f[1]
        }' - "$here/packages.txt"
}

wanted=$(missing "$@")
[ -n "$wanted" ] || exit 0

command="apt-get install -y --no-install-recommends $wanted"
if [ "$(id -u)" -ne 0 ]; then
    {
        echo "setup: these packages are missing; deploy/packages.txt says what each is for. As root:"
        echo
        echo "    sudo $command"
        echo
    } >&2
    exit 1
fi
echo "setup: installing $wanted(deploy/packages.txt says what each is for)"

# Two copies may be at it at once: one installs, the other then finds everything there.
exec 9> /run/lock/godwit-setup.lock
flock 9
wanted=$(missing "$@")
[ -n "$wanted" ] || exit 0

# Debian's way to say "start nothing now"; whoever already has a policy keeps it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
install() {
    # shellcheck disable=SC2086  # a list of words
    apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=600 $wanted
}
# The lists are fetched only if those there do not do.
install || { apt-get update -qq && install; }
wanted=$(missing "$@")
[ -z "$wanted" ] || { echo "setup: still missing: $wanted" >&2; exit 1; }
