#!/bin/sh
# What cannot be printed is not passed over: one sentence and exit code 2, in every program of the build, whichever there are. A reader
# that has seen enough ends a program in silence. And a file is none of the streams that were closed.
# usage: output.sh FOLDER_OF_BENCH FOLDER_OF_EXAMPLES
set -eu
bin=$1
examples=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$(cd "$(dirname "$0")/../.." && pwd)
small=$here/tests/golden/data/mixed_bias_tied

# what it says, then the command: on a full disk, and with standard output closed
unprinted() {
    say=$1
    shift
    for way in full closed; do
        code=0
        if [ $way = full ]; then "$@" >/dev/full 2>"$work/err"; else "$@" >&- 2>"$work/err"; fi || code=$?
        if [ $code -ne 2 ] || [ "$(grep -c "$say" "$work/err")" -ne 1 ]; then
            echo "FAIL ($way, exit $code): $*" >&2
            cat "$work/err" >&2
            exit 1
        fi
    done
}

# Nobody reads: whether the program notices depends on who is first, but it never says a word.
unread() {
    "$@" 2>"$work/err" | :
    [ ! -s "$work/err" ]
}

programs=0 lessons=0
for program in "$bin"/* "$examples"/*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    case ${program##*/} in
    *.so* | *.a) continue ;;
    xlstm-*)
        programs=$((programs + 1))
        for option in --help --usage --version; do
            "$program" $option >"$work/out"
            [ -s "$work/out" ]
            unprinted "standard output cannot be written" "$program" $option
            unread "$program" $option
        done
        grep -qE "^${program##*/} [0-9]+\.[0-9]+" "$work/out"
        ;;
    *) # of the lessons, those that take no time are run; all begin alike
        lessons=$((lessons + 1))
        sed -n '/^int main(/{n;p;}' "$here/examples/${program##*/}.c" | grep -q '^ *program_begin();'
        case ${program##*/} in
        cell) unprinted "standard output cannot be written" "$program" ;;
        official) unprinted "standard output cannot be written" "$program" "$small" ;;
        characters) unprinted "standard output cannot be written" "$program" "$work/characters" 0 ;;
        esac
        ;;
    esac
done
[ $programs -ge 9 ]
[ $lessons -ge 10 ]

# The work of each, on a full disk.
"$examples/xlstm-init" "$small/config.json" "$work/model" >"$work/out"
printf '<unk>\n<eos>\na\nb\n' >"$work/model/vocab.txt"
yes 'a b' | head -100 >"$work/text"
unprinted "standard output cannot be written" "$examples/xlstm-generate" "$work/model" --tokens 1,2 -n 20
unprinted "standard output cannot be written" "$examples/xlstm-perplexity" "$work/model" "$work/text" --streams 2
unprinted "standard output cannot be written" "$examples/xlstm-check" "$small" "$small/case.safetensors"
unprinted "standard output cannot be written" "$bin/xlstm-nns" --preset smoke --models lstm --steps 1
unprinted "standard output cannot be written" "$bin/xlstm-speed" --shapes d256 --width 8 --blocks 1 --models lstm --measure decode \
    --repeats 1 --seconds 0.001 --threads 1
anew() { rm -rf "$work/anew" && "$examples/xlstm-init" "$small/config.json" "$work/anew"; }
unprinted "standard output cannot be written" anew
# Text that cannot be shown is not made: the first token that cannot ends it.
unprinted "standard output cannot be written" "$examples/xlstm-generate" "$work/model" --tokens 1,2 -n 1000000000
"$examples/xlstm-generate" "$work/model" --tokens 1,2 -n 1000000000 2>"$work/err" | head -c 1 >"$work/out"
[ ! -s "$work/err" ]

# So are runs and measurements, which wait for their own processes besides.
unread "$bin/xlstm-nns" --preset smoke --models lstm --steps 1
"$bin/xlstm-speed" --shapes d256 --width 8 --blocks 1 --models lstm --measure train,forward --repeats 1 --seconds 0.001 --threads 1 \
    2>"$work/err" | head -1 >"$work/out"
[ -s "$work/out" ]
[ ! -s "$work/err" ]

# The state would be the first file that is opened: it is no place for what is printed.
for streams in '>&-' '<&- >&-' '<&- >&- 2>&-'; do
    rm -f "$work/state"
    code=0
    eval '"$examples/xlstm-generate" "$work/model" --tokens 1,2 -n 3 --save-state "$work/state"' "$streams" 2>"$work/err" || code=$?
    [ $code -eq 2 ]
    [ ! -e "$work/state" ] || "$examples/xlstm-generate" "$work/model" --tokens 1 -n 1 --state "$work/state" >"$work/out"
done
