#!/bin/sh
# The pages' code compiles, and the names in their text exist; and both checks notice what is wrong.
# usage: pages.sh LIBRARY.so   (CC, CFLAGS)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
pages="README.md $(find docs -name '*.md' ! -path 'docs/results/*' | sort)"
sh "$here/snippets.sh" "$1" $pages
sh "$here/names.sh" $pages
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wrong() { # wrong CHECK...: it must not like the page on standard input
    cat >"$work/page.md"
    if "$@" "$work/page.md" >/dev/null 2>&1; then
        echo "not noticed:" >&2
        cat "$work/page.md" >&2
        exit 1
    fi
}
printf '```c\nxlstm_session_reset(session);\n```\n' | wrong sh "$here/snippets.sh" "$1"
printf '```c\nint main(void) {\n    return 1;\n}\n```\n' | wrong sh "$here/snippets.sh" "$1"
printf '```c\n/* lib/layer/mine.c */\n#include "layer/layer.h"\nxl_kind mine;\n```\n' | wrong sh "$here/snippets.sh" "$1"
echo 'See xlstm_session_rewind().' | wrong sh "$here/names.sh"
echo 'See `slstm_unit_fwd()`.' | wrong sh "$here/names.sh"
echo 'See lib/ops/ref/slstm.c.' | wrong sh "$here/names.sh"
