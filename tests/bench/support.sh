# For the scripts beside it: . "$(dirname "$0")/support.sh", with $work a folder of their own.

small_corpus() { # folder, lines, different words
    mkdir -p "$1"
    for part in train valid test; do
        awk -v seed=${#part} -v lines="$2" -v types="$3" 'BEGIN { srand(seed); for (l = 0; l < lines; l++) {
            for (w = 0; w < 12; w++) printf " w%d", int(types * rand() * rand()); print "" } }' >"$1/$part.txt"
    done
}

# A program says one sentence about what is wrong, and ends with exit code 2.
refused() { # what it should say, then the command
    say=$1
    shift
    code=0
    "$@" >"$work/out.refused" 2>"$work/err.refused" || code=$?
    lines=$(wc -l <"$work/err.refused")
    [ $code -eq 2 ] && [ "$lines" -ge 1 ] && [ "$lines" -le 2 ] && grep -q -e "$say" "$work/err.refused" && return
    echo "FAIL (exit $code): $*" >&2
    cat "$work/err.refused" >&2
    exit 1
}
