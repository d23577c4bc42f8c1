#!/bin/sh
# usage: bench/run.sh [--data DIR] [further options of bench/reproduce, such as --preset smoke]
# Installs what is missing, builds, gets the corpus, and runs the quick comparison of lm and nns by bench/reproduce,
# whose help follows. Without --data or XLSTM_DATA the corpus is WikiText-2, downloaded, or else a text that is here.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd) # paths that are given are those of where it is called
data=${XLSTM_DATA:-} before=
for option; do
    case $option in
    --help | -h)
        sed -n '2,/^set/s/^# *//p' "$0"
        echo
        exec sh "$root/bench/reproduce" --help
        ;;
    --data=*) data=${option#--data=} ;;
    esac
    [ "$before" != --data ] || data=$option
    before=$option
done
[ "$before" != --data ] || { echo "bench/run.sh: --data needs a folder" >&2; exit 2; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/xlstm
source=https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2
sums="9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f  train.txt
f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8  valid.txt
d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0  test.txt"

good() { (cd "$1" 2>/dev/null && printf '%s\n' "$sums" | sha256sum -c --status 2>/dev/null); }

download() { # into a folder beside, renamed when the checksums hold
    rm -rf "$cache/incoming"
    mkdir -p "$cache/incoming"
    for part in train valid test; do
        curl -fsSL --connect-timeout 10 --max-time 300 -o "$cache/incoming/$part.txt" "$source/$part.txt" || return 1
    done
    good "$cache/incoming" || {
        echo "bench/run.sh: the downloaded corpus has wrong checksums; it is not used" >&2
        return 1
    }
    rm -rf "$cache/wikitext-2"
    mv "$cache/incoming" "$cache/wikitext-2"
}

bible_text() { # public-domain text from a Debian package, in lower case with punctuation as words, split 90/5/5
    command -v bible >/dev/null || {
        as_root=""
        [ "$(id -u)" = 0 ] || as_root="sudo"
        $as_root apt-get install -y -qq bible-kjv >/dev/null || return 1
    }
    mkdir -p "$cache/bible-kjv"
    bible -l 1000 Gen1:1-Rev22:21 </dev/null 2>/dev/null | tr 'A-Z' 'a-z' | sed 's/\([^a-z0-9 ]\)/ \1 /g' |
        grep '[a-z]' >"$cache/bible-kjv/all"
    awk -v dir="$cache/bible-kjv" '{ part = NR % 20 == 18 ? "valid" : NR % 20 == 19 ? "test" : "train"; print > (dir "/" part ".txt") }' \
        "$cache/bible-kjv/all"
    [ "$(wc -l <"$cache/bible-kjv/train.txt")" -gt 10000 ]
}

(
    cd "$root"
    sh tests/deps.sh gnuplot-nox
    export CMAKE_GENERATOR=Ninja # where there is no build yet
    cmake --preset release -DXLSTM_BUILD_TESTS=OFF >/dev/null
    cmake --build --preset release
)
if [ -n "$data" ]; then
    echo "corpus: $data, as you asked"
elif good "$cache/wikitext-2"; then
    data=$cache/wikitext-2
    echo "corpus: WikiText-2 v1, from the cache $data"
elif download; then
    data=$cache/wikitext-2
    echo "corpus: WikiText-2 v1, downloaded to $data"
elif bible_text; then
    data=$cache/bible-kjv
    echo "corpus: the King James Bible from the Debian package bible-kjv, because WikiText-2 could not be downloaded"
else
    echo "bench/run.sh: no corpus could be had; give --data DIR with train.txt, valid.txt and test.txt" >&2
    exit 2
fi
exec sh "$root/bench/reproduce" --preset quick --tasks lm,nns "$@" --data "$data"
