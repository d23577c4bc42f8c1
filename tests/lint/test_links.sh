#!/bin/sh
# The check of calls passes on this build, and fails with a planted call upward, with a planted cycle, and where a known
# cycle is gone.  usage: test_links.sh OBJECTS
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sh "$here/links.sh" "$1"
cp "$here/links.sh" "$here/folders.txt" "$work"

# plant FILE TEXT: the text is compiled as a file of the library
plant() {
    object=$work/planted.dir/$1.o
    mkdir -p "$(dirname "$object")"
    echo "$2" | ${CC:-cc} -x c -c -o "$object" -
    echo "$object" >>"$work/objects"
}
# finds SENTENCE: the check fails and says it
finds() {
    if sh "$work/links.sh" "$work/objects" >"$work/out" 2>&1; then
        echo "links.sh did not see that $1" >&2
        exit 1
    fi
    grep -qF "$1" "$work/out" || {
        cat "$work/out" >&2
        exit 1
    }
}

cp "$1" "$work/objects"
plant lib/base/upward.c 'void xlstm_tensors_close(void *); void upward(void); void upward(void) { xlstm_tensors_close(0); }'
finds "lib/base/upward.c calls xlstm_tensors_close of lib/file/safetensors.c, which folders.txt does not allow"

cp "$1" "$work/objects"
plant lib/text/one.c 'int one(void); int two(void); int one(void) { return two(); }'
plant lib/text/two.c 'int two(void); int three(void); int two(void) { return three(); }'
plant lib/file/three.c 'int one(void); int three(void); int three(void) { return one(); }'
finds "these files call each other in a cycle: lib/file/three.c lib/text/one.c lib/text/two.c"

cp "$1" "$work/objects"
sed "s,^known=',&\nlib/base/mem.c lib/base/rng.c," "$here/links.sh" >"$work/links.sh"
finds "a known cycle is gone, so its line in links.sh has to go: lib/base/mem.c lib/base/rng.c"
echo "link rules hold"
