#!/bin/sh
# Installs, on Debian, what the build, the tests and the programs need, and what is named. Does nothing where all is there.
set -eu
packages="cmake ninja-build gcc g++ libc6-dev pkg-config libopenblas-dev libjansson-dev libutf8proc-dev libcmocka-dev locales zlib1g-dev valgrind curl ca-certificates"
missing=""
for p in $packages "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q "install ok installed" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "tests/deps.sh: no apt-get here; install by hand:$missing" >&2
    exit 2
fi
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"
if [ -n "$as_root" ] && ! command -v sudo >/dev/null; then
    echo "tests/deps.sh: you are not root and there is no sudo; as root: apt-get install$missing" >&2
    exit 2
fi
echo "installing:$missing"
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get" # sudo hands on no variable of this shell
$apt update -qq
$apt install -y -qq --no-install-recommends $missing >/dev/null
