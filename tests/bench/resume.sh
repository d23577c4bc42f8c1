#!/bin/sh
# Runs that are cut into pieces, by a limit of time and by kill -9 at any moment, give the result of those that are
# not, bit for bit, whatever the threads; and what is in the way is never lost.
# usage: resume.sh FOLDER_OF_BENCH
set -eu
bin=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/support.sh"
small_corpus "$work/corpus" 200 99

# Everything but times, and how and by how many threads it was made.
numbers() { grep -vE '"(command|threads|seconds|seconds_validating|tokens_per_second|peak_memory_kib)":' "$1"; }

same() { # two folders with the same results
    for one in "$1"/*.json; do
        numbers "$one" >"$work/a"
        numbers "$2/${one##*/}" >"$work/b"
        cmp "$work/a" "$work/b" || { diff "$work/a" "$work/b" | head -20; exit 1; }
    done
    [ "$(ls "$1" | wc -l)" -eq "$(ls "$2" | wc -l)" ]
}

how= # in the background: exec, so that the process is the program itself and not a shell around it
lm() { $how "$bin/xlstm-lm" --data "$work/corpus" --preset smoke --models xlstm@1:1,transformer --steps 40 --dropout 0.1 "$@"; }
parity() { $how "$bin/xlstm-tasks" --task parity --preset smoke --models lstm --lr-grid 1e-3,1e-2 --dropout 0.1 --seeds 2 "$@"; }

lm --out "$work/whole" --threads 1 >"$work/table"
pieces=0 code=3
while [ $code -eq 3 ]; do
    code=0
    lm --out "$work/pieces" --resume --threads 2 --limit-seconds 0.$pieces --checkpoint-every 0 >"$work/out" || code=$?
    pieces=$((pieces + 1))
done
[ $code -eq 0 ]
[ $pieces -gt 1 ]
same "$work/whole" "$work/pieces"

# Killed at any moment, while choosing a learning rate too.
parity --out "$work/whole2" >"$work/table"
kills=0 code=137 how=exec
while [ $code -ne 0 ]; do
    code=0
    parity --out "$work/killed" --resume --checkpoint-every 0 >"$work/out" &
    pid=$!
    sleep "$(awk -v n=$kills 'BEGIN { srand(n); print 0.05 + (0.1 + 0.1 * n) * rand() }')" # later and later: a slow machine ends too
    kill -9 $pid 2>/dev/null || :
    wait $pid || code=$?
    kills=$((kills + 1))
    [ $kills -lt 100 ]
done
how=
rm -f "$work/killed"/*.tmp "$work/killed/search"/*.tmp "$work/killed"/*.lock "$work/killed/search"/*.lock
same "$work/whole2" "$work/killed"
same "$work/whole2/search" "$work/killed/search"

# A seed that is run alone has the learning rate and the result that it has among others.
parity --out "$work/apart" --seed 2 --seeds 1 >"$work/table"
rm "$work/whole2/parity-lstm-s1.json"
same "$work/whole2" "$work/apart"
same "$work/whole2/search" "$work/apart/search"

# A stop that was asked for is a clean one.
how=exec
lm --out "$work/asked" --resume --steps 100000 --threads 1 --checkpoint-every 0 >"$work/out" &
pid=$!
how=
while ! [ -f "$work/asked/lm-xlstm-1-1-s1.checkpoint" ]; do sleep 0.05; done
kill -INT $pid
kill -TERM $pid # a terminal's, and that of a script that it stopped: asked once
code=0
wait $pid || code=$?
[ $code -eq 3 ]
grep -q "not finished: lm-xlstm-1-1-s1" "$work/out"
[ -f "$work/asked/lm-xlstm-1-1-s1.checkpoint" ]

# So is the end of a terminal, in every program that trains; told twice, it is still one request. What goes on then is the run that was
# cut. Under nohup the terminal's end is nobody's business.
hung() { # the name of its files, then the command
    name=$1
    shift
    rm -rf "$work/hung"
    "$@" --out "$work/hung.whole" >"$work/table"
    "$@" --out "$work/hung" --checkpoint-every 0 --resume >"$work/out" &
    pid=$!
    while ! [ -f "$work/hung/$name.checkpoint" ]; do sleep 0.01; done
    kill -HUP $pid
    kill -HUP $pid 2>/dev/null || :
    code=0
    wait $pid || code=$?
    [ $code -eq 3 ]
    grep -q "not finished: $name" "$work/out"
    "$@" --out "$work/hung" --resume >"$work/out"
    same "$work/hung.whole" "$work/hung"
    rm -rf "$work/hung.whole"
}
hung nns-lstm-s1 "$bin/xlstm-nns" --preset smoke --models lstm --steps 1500 --threads 1
hung mqar-lstm-s1 "$bin/xlstm-tasks" --task mqar --preset smoke --models lstm --steps 400 --threads 1
hung lm-lstm-s1 "$bin/xlstm-lm" --data "$work/corpus" --preset smoke --models lstm --steps 400 --threads 1
nohup "$bin/xlstm-nns" --preset smoke --models lstm --steps 200 --threads 1 --out "$work/nohup" --checkpoint-every 0 >"$work/out" 2>/dev/null &
pid=$!
while ! [ -f "$work/nohup/nns-lstm-s1.checkpoint" ]; do sleep 0.01; done
kill -HUP $pid
wait $pid
[ -f "$work/nohup/nns-lstm-s1.json" ]

# A file that may not grow is a sentence, and nothing is left half written.
code=0
(
    ulimit -f 40
    exec "$bin/xlstm-nns" --preset smoke --models lstm --out "$work/small" --checkpoint-every 0 >"$work/out" 2>"$work/err"
) || code=$?
[ $code -eq 2 ]
[ "$(wc -l <"$work/err")" -eq 1 ]
grep -q "cannot write it" "$work/err"
[ -z "$(ls "$work/small")" ]

# A checkpoint that was left beside a finished result goes, one of another run stays.
lm --out "$work/left" --resume --limit-seconds 0 >"$work/out" || [ $? -eq 3 ]
cp "$work/left/lm-xlstm-1-1-s1.checkpoint" "$work/kept"
lm --out "$work/left" --resume >"$work/out"
cp "$work/kept" "$work/left/lm-xlstm-1-1-s1.checkpoint"
cp "$work/asked/lm-xlstm-1-1-s1.checkpoint" "$work/left/lm-transformer-s1.checkpoint"
lm --out "$work/left" --resume >"$work/out"
[ ! -e "$work/left/lm-xlstm-1-1-s1.checkpoint" ]
[ -f "$work/left/lm-transformer-s1.checkpoint" ]

# Two that make the same run, and seeds that need the same search, take turns. The search is shared without --resume, too, even
# where it was cut short.
parity --out "$work/together" --resume --limit-seconds 0 >"$work/out" || [ $? -eq 3 ]
first=parity-lstm-s1-lr0.01
[ -f "$work/together/search/$first.checkpoint" ]
exec 9>"$work/together/search/$first.lock"
flock 9 # one that makes the first run, until all others have come to it
n=0 pids=
for options in "--seed 1 --resume" "--seed 2 --resume" "--seed 2 --resume" "--seed 3"; do
    n=$((n + 1))
    { exec 9>&- && parity --out "$work/together" --seeds 1 --threads 1 --checkpoint-every 0 $options; } >"$work/out.$n" 2>&1 &
    pids="$pids $!"
done
tries=0
while [ "$(cat "$work"/out.? | grep -c "another process makes $first; waiting")" -lt 4 ]; do
    sleep 0.1
    tries=$((tries + 1))
    [ $tries -lt 600 ]
done
exec 9>&-
for pid in $pids; do wait $pid; done
cp "$work/killed/parity-lstm-s1.json" "$work/whole2"
parity --out "$work/whole2" --seed 3 --seeds 1 >"$work/table"
same "$work/whole2" "$work/together"
same "$work/whole2/search" "$work/together/search"

refused "lm-xlstm-1-1-s1.checkpoint is an unfinished run" lm --out "$work/asked" --steps 100000
refused "lm-xlstm-1-1-s1.checkpoint is of a run .*(training.steps is .* there and 99 here)" lm --out "$work/asked" --resume --steps 99
refused "lm-xlstm-1-1-s1.checkpoint is of a run .*(model" lm --out "$work/asked" --resume --steps 100000 --width 256 # has more weights than all it holds
refused "lm-xlstm-1-1-s1.json is of a run .*(training.learning_rate is .* there and .* here)" lm --out "$work/whole" --resume --lr 1e-5
echo w1 >>"$work/corpus/valid.txt"
refused "lm-xlstm-1-1-s1.json is of a run with other settings or data (data.valid_" lm --out "$work/whole" --resume
sed -i '$d' "$work/corpus/valid.txt"

# Damage is set aside, and the run is made again.
file=$work/pieces/lm-transformer-s1.json
head -c 700 "$file" >"$work/cut"
cp "$work/cut" "$file"
cp "$work/cut" "$file.damaged"
lm --out "$work/pieces" --resume >"$work/out" 2>"$work/err"
grep -q "lm-transformer-s1.json is damaged .*lm-transformer-s1.json.damaged.2" "$work/err"
cmp "$work/cut" "$file.damaged.2"
rm "$file.damaged" "$file.damaged.2"
same "$work/whole" "$work/pieces"
checkpoint=$work/asked/lm-xlstm-1-1-s1.checkpoint
printf 'X' | dd of="$checkpoint" bs=1 seek=20000 conv=notrunc 2>/dev/null
code=0
lm --out "$work/asked" --resume --steps 100000 --limit-seconds 0.2 >"$work/out" 2>"$work/err" || code=$?
[ $code -eq 3 ]
grep -q "checkpoint is damaged" "$work/err"
[ -f "$checkpoint.damaged" ]
sed -i 's/"schema": 2/"schema": 1/' "$file"
refused "lm-transformer-s1.json: it has schema version 1" lm --out "$work/pieces" --resume
