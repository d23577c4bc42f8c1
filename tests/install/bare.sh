#!/bin/sh
# Both commands of the README in a clone of this tree on a Debian 12 that has nothing else: a root file system by debootstrap in a
# temporary folder, for root without sudo and in another one for a user with sudo. docs/testing.md has the last result.
# Needs root, the network of apt, and the packages debootstrap and git. Takes long, so not in CI.
# usage: bare.sh [root | user [COMMAND...]]   (default: one after the other; the README's commands as they stand there)
set -eu
case "${1:-}" in
"")
    sh "$0" root
    exec sh "$0" user
    ;;
root | user)
    who=$1
    shift
    ;;
*)
    sed -n 's/^# usage: /usage: /p' "$0" >&2
    exit 2
    ;;
esac
[ $# -gt 0 ] || set -- tests/run.sh bench/run.sh
. "$(dirname "$0")/root.sh"
sh "$source/tests/deps.sh" debootstrap git
make_root
home=/root
if [ "$who" = user ]; then
    home=/home/user
    quiet_in_root 'apt-get update -q && apt-get install -q -y --no-install-recommends sudo && useradd --create-home user &&
        echo "user ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/user'
fi
git clone -q --no-hardlinks "$source" "$root$home/libxlstm"
in_root "! command -v cc && chown -R $who: $home"
echo "Debian $(cat "$root/etc/debian_version"), $who, commit $(git -C "$source" rev-parse --short=12 HEAD), $(date -u +%F):"
for command; do
    begin=$(date +%s)
    status=0
    in_root "su $who -c 'cd && cd libxlstm && $command'" >"$work/log" 2>&1 </dev/null || status=$?
    if [ $status != 0 ]; then
        tail -80 "$work/log" >&2
        echo "$command ends with $status" >&2
        exit 1
    fi
    echo "  $command: $(($(date +%s) - begin)) s; $(grep -E 'tests passed|report' "$work/log" | tail -1)"
done
