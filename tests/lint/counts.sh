#!/bin/sh
# Counts what says how the house stands: per folder files, lines, lines with comment per line with code, and functions (from
# the line of the name to the closing brace) by number and length; in lib casts between number types, what helpers
# should do, and long lists of arguments; ops and their kernels; link cycles and calls upward. docs/architecture.md quotes it.
# usage: counts.sh [BUILD [TREE]]   TREE: default: this one; BUILD: its build directory, for the last two; default: build
# Needs universal-ctags, which it installs on Debian.
set -eu
lint=$(cd "$(dirname "$0")" && pwd)
sh "$lint/../deps.sh" universal-ctags >&2
tree=$(cd "${2:-$lint/../..}" && pwd)
build=$(cd "${1:-$tree/build}" 2>/dev/null && pwd) || build=""
cd "$tree"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Files are split into comment and code once: TEXT has the code alone, with empty strings, a line of source on a line.
cat >"$work/split.awk" <<'AWK'
{
    line = $0
    text = ""
    comment = code = 0
    while (line != "") {
        if (inside) {
            at = index(line, "*/")
            if (line ~ /[^ \t]/)
                comment = 1
            inside = !at
            line = at ? substr(line, at + 2) : ""
        } else if (!match(line, /\/\*|\/\/|"|'/)) {
            text = text line
            line = ""
        } else {
            token = substr(line, RSTART, RLENGTH)
            text = text substr(line, 1, RSTART - 1)
            line = substr(line, RSTART + RLENGTH)
            if (token == "/*" || token == "//") {
                comment = 1
                inside = token == "/*"
                line = inside ? line : ""
            } else {
                text = text token token
                line = match(line, token == "'" ? /^([^'\\]|\\.)*'/ : /^([^"\\]|\\.)*"/) ? substr(line, RLENGTH + 1) : ""
            }
        }
    }
    comments += comment
    codes += text ~ /[^ \t]/
    print text >TEXT
}
END { printf "%d %.2f", NR, codes ? comments / codes : 0 }
AWK

# lists FILES: name, file, length and number of arguments of every function
lists() {
    xargs ctags -f - --languages=C --langmap=C:.c.h --kinds-C=f --fields=+neS <"$1" | awk -F '\t' '{
        line = end = 0
        arguments = 0
        for (i = 4; i <= NF; i++) {
            if ($i ~ /^line:/) line = substr($i, 6)
            if ($i ~ /^end:/) end = substr($i, 5)
            if ($i ~ /^signature:/) {
                depth = 0
                arguments = $i !~ /^signature:\((void)?\)$/
                for (k = 11; k <= length($i); k++) {
                    c = substr($i, k, 1)
                    depth += (c == "(") - (c == ")")
                    arguments += c == "," && depth == 1
                }
            }
        }
        if (end) print $1, $2, end - line + 1, arguments
    }'
}

# row NAME FIND...: one line of the table, of the files that find prints
row() {
    name=$1
    shift
    find "$@" \( -name '*.c' -o -name '*.h' -o -name '*.def' \) -type f >"$work/files"
    [ -s "$work/files" ] || return 0
    lists "$work/files" | sort -k 3n >"$work/functions"
    printf '%-12s %5d %7d %9.2f %9d ' "$name" "$(wc -l <"$work/files")" \
        $(xargs cat <"$work/files" | awk -v TEXT="$work/text" -f "$work/split.awk") "$(wc -l <"$work/functions")"
    awk '{ length_of[NR] = $3; name = $1 }
        function at(share) { return length_of[int(NR * share) + 1] }
        END { printf "%6d %4d %4d  %s\n", at(0.5), at(0.9), length_of[NR], name }' "$work/functions"
}

printf '%-12s %5s %7s %9s %9s %6s %4s %4s  %s\n' folder files lines comm/code functions median p90 max longest
row include include
for folder in lib/*; do
    row "$folder" "$folder" -maxdepth 1
    for inner in "$folder"/*/; do
        [ ! -d "$inner" ] || row "${inner%/}" "$inner"
    done
done
for folder in bench examples tests lib; do # lib last: its text and functions are counted below
    row "$folder" "$folder"
done

# counted REGEX [IN]: how often it matches in the code of lib
counted() {
    awk -v pattern="$1" '{ while (match($0, pattern)) { n++; $0 = substr($0, RSTART + RLENGTH - 1) } } END { print n + 0 }' "${2:-$work/text}"
}
say() {
    printf '%-64s %s\n' "$1" "$2"
}
# A number type in brackets and the beginning of an expression behind it.
number='(unsigned )?(char|short|int|long|long long)|unsigned|(u?int(8|16|32|64|ptr)|size|ptrdiff)_t|double|float|real'
cast="\\(($number)\\)[A-Za-z0-9_(*&!~.-]"
echo
say "casts between number types in lib" "$(counted "$cast")"
find lib/ops/cpu -name '*.[ch]' | xargs cat | awk -v TEXT="$work/cpu" -f "$work/split.awk" >"$work/unused"
say "  in lib/ops/cpu" "$(counted "$cast" "$work/cpu")"
say "addresses of rows made by hand in lib: p + (size_t)" "$(counted '[.>]p [+] [(]size_t[)]')"
say "lengths of rows asked by hand in lib: lengths ? lengths[b] : T" "$(counted 'lengths [?] [^:;]*[[]')"
say "arguments unused by their function in lib: (void)thread" "$(counted '[(]void[)]thread')"
say "functions in lib with 7 arguments or more, and the most" \
    "$(awk '$4 >= 7 { n++ } $4 > most { most = $4; name = $1 } END { print n + 0 ", " most " (" name ")" }' "$work/functions")"
ops=$(sed -n 's/^OP(\([a-z_0-9]*\),.*/\1/p' lib/ops/ops.def)
bare=""
for op in $ops; do
    grep -qE -- "->$op = [a-z_0-9]+;" lib/ops/cpu/*.c || bare="$bare $op"
done
say "ops" "$(echo "$ops" | wc -l)"
say "  without a kernel in lib/ops/cpu" "$(echo $bare | wc -w)${bare:+:$bare}"
find lib -name '*.c' >"$work/files"
say "lib's .c files that open with a comment" \
    "$(xargs -n 1 sed -n '1{/^\/\*/p;}' <"$work/files" | wc -l) of $(wc -l <"$work/files")"
for list in "$build"/tests/lint/objects_*.txt; do
    if [ -f "$list" ]; then
        found=$(sh "$lint/links.sh" "$list" 2>/dev/null | tail -1)
    else
        found=""
    fi
    found=${found:-"cycles not counted, calls not counted: needs a build"}
    say "link cycles in lib" "$(echo "$found" | sed 's/.*cycles \([^,]*\),.*/\1/')"
    say "calls upward in lib" "$(echo "$found" | sed 's/.*calls //')"
done
