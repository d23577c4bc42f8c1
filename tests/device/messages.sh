#!/bin/sh
# What is said where a device cannot be used: without its library, with one of another release, and with the right one on a
# machine without a card.
#
#     sh messages.sh PROGRAM LIBRARY NAME CC     PROGRAM: test_device; LIBRARY: libxlstm_cuda, or nothing where it was not built
set -eu
program=$1 library=$2 name=$3 cc=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$program" "$work/test_device" # the library is looked for beside it

# expect TEXT WHAT
expect() {
    said=$("$work/test_device" --say cuda)
    case $said in
    *"$1"*) echo "$2: $said" ;;
    *) echo "messages: $2: \"$said\" does not say \"$1\"" >&2 && exit 1 ;;
    esac
}

expect "needs the library $name beside libxlstm" "no library"
cat >"$work/other.c" <<'END'
typedef struct { const char *version; } xl_cuda;
const xl_cuda *xl_cuda_enter(const void *host);
const xl_cuda *xl_cuda_enter(const void *host) {
    static const xl_cuda other = {"0.0.1"};
    (void)host;
    return &other;
}
END
$cc -shared -fPIC "$work/other.c" -o "$work/$name"
expect "is of version 0.0.1, and libxlstm of version" "another release"
if [ -z "$library" ]; then
    echo "not tested: what is said without a card (libxlstm_cuda was not built)"
    exit 0
fi
cp "$library" "$work/$name"
if [ "$("$work/test_device" --say cuda)" = "it is there" ]; then
    echo "not tested: what is said without a card (this machine has one)"
else
    expect "use the device \"cpu\"" "no card"
fi
