#!/bin/sh
# The include check passes on this tree and fails on a copy with a wrong include.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
sh "$here/includes.sh"
cp -r "$here/../../lib" "$copy/lib"
echo '#include "model/module.h"' >>"$copy/lib/ops/ops.c"
if sh "$here/includes.sh" "$copy" 2>/dev/null; then
    echo "the check did not see a wrong include" >&2
    exit 1
fi
echo "include rules hold"
