#!/bin/sh
# Prints the mirror of Debian that this machine's apt uses; where apt names none, says so and exits 2.
# usage: mirror.sh [FOLDER]   with sources.list and sources.list.d; default: /etc/apt
apt=${1:-/etc/apt}
mirror=$(cat "$apt"/sources.list "$apt"/sources.list.d/* 2>/dev/null |
    sed -n 's/^URIs: *\([^ ]*debian\)\/* *$/\1/p; s/^deb  *\(\[[^]]*\] *\)*\([^ ]*\/debian\)\/* .*/\2/p' | head -1)
if [ -z "$mirror" ]; then
    echo "mirror.sh: no source in $apt names a mirror of Debian, an address that ends in /debian; add one" >&2
    exit 2
fi
echo "$mirror"
