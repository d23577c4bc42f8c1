#!/bin/sh
# Prints the mirror of Debian that this machine's apt uses; where apt names none, says so and exits 2.
# usage: mirror.sh [FOLDER]   with sources.list and sources.list.d; default: /etc/apt
apt=${1:-/etc/apt}
words() { tr -s ' \t' '\n\n' | sed 's,/*$,,'; }
named=$(cat "$apt"/sources.list "$apt"/sources.list.d/*.list "$apt"/sources.list.d/*.sources 2>/dev/null |
    grep -E '^[[:space:]]*(deb|URIs:)[[:space:]]' | words)
for list in $(echo "$named" | sed -n 's,^mirror+file:/*,/,p'); do # a file with a mirror a line
    named="$named
$(words <"$list")"
done
mirror=$(echo "$named" | grep -E '^[a-z]+:/.*/debian$' | head -1)
if [ -z "$mirror" ]; then
    echo "mirror.sh: no source in $apt names a mirror of Debian, an address that ends in /debian; add one" >&2
    exit 2
fi
echo "$mirror"
