#!/bin/sh
# tests/mirror.sh finds the mirror in every way of writing apt's sources, and exits 2 where there is none.
set -eu
mirror=$(cd "$(dirname "$0")/.." && pwd)/mirror.sh
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
finds() {
    found=$(sh "$mirror" "$apt")
    [ "$found" = "$1" ] || {
        echo "mirror.sh printed $found where apt uses $1" >&2
        exit 1
    }
}
mkdir "$apt/sources.list.d"
status=0
sh "$mirror" "$apt" >"$apt/out" 2>"$apt/sentence" || status=$?
if [ $status != 2 ] || [ -s "$apt/out" ] || ! grep -q 'names a mirror of Debian' "$apt/sentence"; then
    echo "without a source mirror.sh exits with $status and says: $(cat "$apt/out" "$apt/sentence")" >&2
    exit 1
fi
printf 'Types: deb\n# comment\nURIs: http://one.example/debian/\nSuites: bookworm\n' >"$apt/sources.list.d/debian.sources"
finds http://one.example/debian
echo "URIs: mirror+file://$apt/list" >"$apt/sources.list.d/debian.sources"
printf '# comment\nhttp://three.example/debian-security/\nhttp://three.example/debian/\tpriority:1\n' >"$apt/list"
finds http://three.example/debian
printf 'URIs:\thttp://four.example/other http://five.example/debian\n' >"$apt/sources.list.d/debian.sources"
echo 'deb http://off.example/debian bookworm main' >"$apt/sources.list.d/debian.list.disabled"
finds http://five.example/debian
echo 'deb [signed-by=/key] https://two.example/mirror/debian bookworm main' >"$apt/sources.list"
finds https://two.example/mirror/debian
echo "mirrors found"
