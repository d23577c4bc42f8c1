#!/bin/sh
# Who calls whom, by the symbols of compiled files: fails on a call into a folder that folders.txt does not allow, and on
# a cycle of files that call each other, and prints the calls. The last line counts both.
# usage: links.sh OBJECTS     a file that lists lib's objects one a line, as the build writes tests/lint/objects_TYPE.txt
set -eu
lint=$(cd "$(dirname "$0")" && pwd)
if [ $# != 1 ] || [ ! -s "$1" ]; then
    echo "usage: links.sh OBJECTS, the file tests/lint/objects_*.txt of a build directory" >&2
    exit 2
fi

# ---- known cycles, the files of one on a line in the order of LC_ALL=C sort; to be emptied, and one that is gone has to go
known='
'
# ---- end of known cycles

list=$1
set --
while IFS= read -r object || [ -n "$object" ]; do
    set -- "$@" "$object"
done <"$list"
symbols=$(mktemp)
trap 'rm -f "$symbols"' EXIT
LC_ALL=C "${NM:-nm}" -A -P -g "$@" >"$symbols"
KNOWN=$known LC_ALL=C awk '
function complain(sentence) {
    print "links: " sentence > "/dev/stderr"
    bad = 1
}
function folder_of(file) {
    split(file, part, "/")
    return part[2]
}
# One kind of call is shown by the first of its symbols.
function show_calls(members, count,    i, k) {
    for (i = 1; i <= count; i++)
        for (k = 1; k <= count; k++)
            if ((members[i], members[k]) in call)
                print "    " members[i] " calls " call[members[i], members[k]] " of " members[k] > "/dev/stderr"
}
function sort_files(members, count,    i, k, moved) {
    for (i = 2; i <= count; i++)
        for (k = i; k > 1 && members[k] < members[k - 1]; k--) {
            moved = members[k]; members[k] = members[k - 1]; members[k - 1] = moved
        }
}
function see_cycle(members, count,    i, name) {
    sort_files(members, count)
    for (i = 1; i <= count; i++)
        name = name (i > 1 ? " " : "") members[i]
    cycles++
    if (name in listed) {
        seen[name] = 1
        return
    }
    complain("these files call each other in a cycle: " name)
    show_calls(members, count)
}
# Tarjan: a file whose lowest reachable place on the stack is its own closes a component, which is all above it.
function visit(file,    i, count, used, to, members) {
    place[file] = lowest[file] = ++visited
    stack[++top] = file
    waiting[file] = 1
    count = split(calls[file], used, " ")
    for (i = 1; i <= count; i++) {
        to = used[i]
        if (!(to in place))
            visit(to)
        if (waiting[to] && lowest[to] < lowest[file])
            lowest[file] = lowest[to]
    }
    if (lowest[file] < place[file])
        return
    count = 0
    do {
        members[++count] = stack[top]
        waiting[stack[top]] = 0
    } while (stack[top--] != file)
    if (count > 1)
        see_cycle(members, count)
}
FILENAME == ARGV[1] { # folders.txt
    for (i = 1; i <= NF && !/^#/; i++)
        may[$1, $i] = 1
    next
}
{ # path: symbol type ..., where U is a use; v and w are uses that may find nothing
    at = index($0, ": ")
    file = substr($0, 1, at - 1)
    sub(/.*\.dir\//, "", file) # one source for several instruction sets is one file
    sub(/^\.\//, "", file)
    sub(/\.(o|obj)$/, "", file)
    split(substr($0, at + 2), field, " ")
    if (!(file in calls)) {
        if (file !~ /^lib\/[a-z]+\//)
            complain(file " is not in a folder of lib")
        calls[file] = ""
        files[++file_count] = file
    }
    if (field[2] ~ /[Uvw]/) {
        user[++uses] = file
        used_symbol[uses] = field[1]
    } else
        home[field[1]] = file
}
END {
    for (i = 1; i <= uses; i++) {
        from = user[i]
        symbol = used_symbol[i]
        to = home[symbol]
        if (to == "" || to == from || (from, to) in call)
            continue
        call[from, to] = symbol
        calls[from] = calls[from] " " to
        links++
        if (!((folder_of(from), folder_of(to)) in may)) {
            complain(from " calls " symbol " of " to ", which folders.txt does not allow")
            upward++
        }
    }
    for (i = split(ENVIRON["KNOWN"], lines, "\n"); i > 0; i--)
        if (lines[i] != "")
            listed[lines[i]] = 1
    for (i = 1; i <= file_count; i++)
        if (!(files[i] in place))
            visit(files[i])
    for (name in listed)
        if (!(name in seen))
            complain("a known cycle is gone, so its line in links.sh has to go: " name)
    if (links < file_count)
        complain("of " file_count " files only " links + 0 " call another: these are not objects of the library")
    printf "%d files, %d links, link cycles %d, upward calls %d\n", file_count, links, cycles, upward
    exit bad
}' "$lint/folders.txt" "$symbols"
