#!/bin/sh
# The programs as a user runs them: smoke runs with valid JSON, and one sentence with exit code 2 for bad input.
# usage: programs.sh FOLDER_OF_BENCH FOLDER_OF_EXAMPLES
set -eu
bin=$1
examples=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/support.sh"
here=$(cd "$(dirname "$0")/../.." && pwd)

corpus=$work/corpus
mkdir -p "$corpus" "$work/none" "$work/empty" "$work/one" "$work/binary" "$work/latin"
wikitext=$here/../shared/data/wikitext-2
for part in train valid test; do
    if [ -f "$wikitext/$part.txt" ]; then
        head -300 "$wikitext/$part.txt" >"$corpus/$part.txt"
    else # English-like lines where the real corpus is not at hand
        awk 'BEGIN { srand(7); for (l = 0; l < 300; l++) { for (w = 0; w < 12; w++) printf " w%d", int(500 * rand() * rand()); print " ." } }' >"$corpus/$part.txt"
    fi
    : >"$work/empty/$part.txt"
    yes word | head -500 | tr '\n' ' ' >"$work/one/$part.txt"
    printf 'a b\0c d\n' >"$work/binary/$part.txt"
    printf 'caf\351 a b\n' >"$work/latin/$part.txt"
done

accepted() { # folder for results, how many there must be, then the command
    folder=$1 many=$2
    shift 2
    "$@" --out "$folder" >"$work/out"
    [ "$(ls "$folder" | wc -l)" -eq "$many" ] # no checkpoint and nothing half written stays
    for file in "$folder"/*.json; do
        grep -q '"schema": 2' "$file"
        [ "$(grep -ciE '\b(nan|inf|infinity)\b' "$file")" = 0 ]
    done
}

accepted "$work/lm" 4 "$bin/xlstm-lm" --preset smoke --data "$corpus"
grep -q "^corpus $corpus" "$work/out"
cat "$work/lm"/*.json | grep '"core_off_target_percent"' |
    awk -F '[:,]' '{ n++; if ($2 !~ /^ *-?[0-9.e-]+$/ || !($2 <= 2 && $2 >= -2)) bad = 1 } END { exit bad || n != 4 }' # sizes are matched
accepted "$work/lm1" 1 env XLSTM_DATA="$corpus" "$bin/xlstm-lm" --preset smoke --models xlstm@0:1 --threads 1
accepted "$work/nns" 5 "$bin/xlstm-nns" --preset smoke
accepted "$work/parity" 5 "$bin/xlstm-tasks" --task parity --preset smoke
accepted "$work/mqar" 4 "$bin/xlstm-tasks" --task mqar --preset smoke --models xlstm@1:0,lstm --seeds 2

accepted "$work/last" 1 "$bin/xlstm-nns" --preset smoke --models lstm --last
grep -q '"scored": "last position"' "$work/last/nns-lstm-s1.json"

# Losses that are not finite are results, too: noted, and the comparison and the search go on.
accepted "$work/diverged" 5 "$bin/xlstm-nns" --preset smoke --lr 10 --weight-decay 10 --steps 100
grep -qE '^ *"diverged": [0-9]+' "$work/diverged/nns-xlstm-1-0-s1.json"
grep -q "diverged at step" "$work/out"
"$bin/xlstm-nns" --preset smoke --models xlstm@1:0 --lr-grid 3e-3,10 --weight-decay 10 --steps 100 --search-steps 100 --out "$work/onebad" >"$work/out"
grep -q '"learning_rate": 0.003' "$work/onebad/nns-xlstm-1-0-s1.json"
# The search goes from the middle of the grid, in whatever order that is given, to where it is better.
"$bin/xlstm-nns" --preset smoke --models lstm --lr-grid 1e-3,1e-6,1e-5,1e-7,1e-4,3e-4 --out "$work/up" >"$work/out"
[ "$(LC_ALL=C ls "$work/up/search")" = "$(printf 'nns-lstm-s1-lr%s.json\n' 0.0001 0.0003 0.001 1e-05)" ]
grep -q '"learning_rate": 0.001' "$work/up/nns-lstm-s1.json"
"$bin/xlstm-nns" --preset smoke --models lstm --lr-grid 1e-6,1e-2,10,9 --steps 100 --search-steps 100 --out "$work/down" >"$work/out"
[ "$(LC_ALL=C ls "$work/down/search")" = "$(printf 'nns-lstm-s1-lr%s.json\n' 0.01 10 1e-06 9)" ]
grep -q '"learning_rate": 0.0099' "$work/down/nns-lstm-s1.json"

# Runs of a search that are as long as a run are runs of seed 1: what the best of them gave is what training gives.
whole() { "$bin/xlstm-nns" --preset smoke --models lstm --steps 30 --seeds 2 "$@" >"$work/out"; }
grid="--search-steps 30 --lr-grid 1e-3,1e-2,3e-2"
outcome() { sed -n '/"outcome"/,/^ }/p' "$1/nns-lstm-s$2.json"; }
whole $grid --out "$work/chosen"
rate=$(awk '$1 == "lstm" { print $(NF - 2) }' "$work/out" | uniq)
[ "$(ls "$work/chosen" | wc -l)" -eq 3 ]
whole --lr "$rate" --out "$work/named"
for seed in 1 2; do
    outcome "$work/chosen" $seed | grep -q '"last": 0'
    [ "$(outcome "$work/chosen" $seed)" = "$(outcome "$work/named" $seed)" ]
done
grep -q "\"best_valid_loss\"" "$work/chosen/search/nns-lstm-s1-lr0.01.json"
[ "$(grep -c -- "--seeds 2 --search-steps" "$work/chosen/nns-lstm-s1.json")" = 1 ]
whole $grid --out "$work/chosen" --resume
# What is there is refused before a search, and a search is shared, with --resume or without.
refused "is there already" "$bin/xlstm-nns" --preset smoke --models lstm --lr-grid 1e-4,1e-3 --seeds 9 --seed 2 --out "$work/chosen"
[ ! -e "$work/chosen/search/nns-lstm-s1-lr0.0001.json" ]
rm "$work/chosen"/*.json
whole $grid --out "$work/chosen"
[ "$(outcome "$work/chosen" 2)" = "$(outcome "$work/named" 2)" ]
# So is it between a run that keeps its weights, which trains the chosen run again, and one that does not.
kept() { "$bin/xlstm-lm" --preset smoke --data "$corpus" --models lstm --search-steps 20 --lr-grid 1e-3,3e-3 "$@" >"$work/out"; }
kept --out "$work/kept"
rm "$work/kept"/*.json
kept --out "$work/kept" --save "$work/kept.model"
[ -s "$work/kept.model/lstm/config.json" ]
# When a grid has grown, a finished result names the search that leads to its rate now; nothing else of it changes.
grown() { "$bin/xlstm-nns" --preset smoke --models lstm --out "$work/grown" --resume --lr-grid "$1" >"$work/out"; }
unsearched() { sed '/"learning_rate_search"/,/^ \]/d' "$work/grown/nns-lstm-s1.json"; }
grown 1e-9,1e-3
before=$(unsearched)
grown 1e-9,1e-3,10
[ "$(grep -c '"best_valid_loss"' "$work/grown/nns-lstm-s1.json")" = 4 ] # of three runs, and its own
[ "$(unsearched)" = "$before" ]
# A rate that diverges in the end is not taken, however well it began.
"$bin/xlstm-lm" --preset smoke --data "$corpus" --models lstm-res --weight-decay 10 --lr-grid 1e-5,1e-4,0.5 --steps 200 --search-steps 200 \
    --evaluations 100 --out "$work/late" >"$work/out"
grep -q '"diverged": [0-9]' "$work/late/search/lm-lstm-res-s1-lr0.5.json"
grep -q '"diverged": null' "$work/late/lm-lstm-res-s1.json"
# A command can be called again: its words are quoted, and what JSON cannot hold does not cost the run.
odd=$(printf "$work/it's \351")
"$bin/xlstm-nns" --preset smoke --models lstm --out "$odd" >"$work/out"
grep -qF -- "--out '$work/it'\\\\''s ?'\"" "$odd/nns-lstm-s1.json"

# Seeds that are run apart keep their weights apart, and no other run's are written over, with --resume or without.
seeds() { "$bin/xlstm-lm" --preset smoke --data "$corpus" --models lstm --save "$work/seeds" --resume "$@" >"$work/out"; }
for seed in 1 2 2; do seeds --out "$work/apart" --seed $seed 2>"$work/err"; done
[ -s "$work/seeds/lm-lstm-s1/config.json" ]
[ -s "$work/seeds/lm-lstm-s2/config.json" ]
refused "lm-lstm-s2 holds a model already" seeds --out "$work/other" --seed 2
# With --resume an export is kept where it is of the same run.
exported() { "$bin/xlstm-nns" --preset smoke --models xlstm@0:1 --export "$work/export" "$@" >"$work/out"; }
exported
grep -q '"command": "xlstm-nns .* --export' "$work/export/nns-xlstm-0-1-s1/setup.json"
refused "is an export already" exported
refused "setup.json is of a run with other settings" exported --out "$work/exporting" --resume --steps 7
echo kept >"$work/export/nns-xlstm-0-1-s1/data.safetensors"
exported --out "$work/exporting" --resume
grep -q kept "$work/export/nns-xlstm-0-1-s1/data.safetensors"
# Also where its setup is from before descriptions of models were whole configurations: what it says still counts.
setup=$work/export/nns-xlstm-0-1-s1/setup.json
sed -i -e 's/"num_heads"/"heads"/; s/"tie_weights"/"tied_embedding"/; s/"decay_embedding"/"embedding_decays"/' \
    -e 's/"slstm_recurrent_uniform": true/"slstm_recurrent_init": "uniform"/; s/"slstm_recurrent_uniform": false/"slstm_recurrent_init": "zeros"/' \
    -e 's/"slstm_bias_init": .*/"slstm_bias_init": 0,/; /"mlstm_eps"\|"chunk_size"\|"norm_eps"\|"embedding_dim"/d' "$setup"
sed 's/"heads": .*/"heads": 64,/' "$setup" >"$work/other.json"
exported --out "$work/exporting" --resume
mv "$work/other.json" "$setup"
refused "model.num_heads is 64 there" exported --out "$work/exporting" --resume

# A trained model continues a text of its own words.
"$bin/xlstm-lm" --preset smoke --data "$corpus" --models xlstm,lstm-res --save "$work/saved" >/dev/null
word=$(sed -n 5p "$work/saved/xlstm/vocab.txt")
for model in xlstm lstm-res; do
    for weights in real bf16 int8 int4; do
        "$examples/xlstm-generate" "$work/saved/$model" --prompt " $word" --length 5 --weights $weights >"$work/out"
        grep -q "^ $word " "$work/out"
    done
done
"$examples/xlstm-generate" "$work/saved/xlstm" --prompt "$word" -n 8 -t 0 --only-new >"$work/whole"
"$examples/xlstm-generate" "$work/saved/xlstm" --prompt "$word" -n 8 -t 0 --only-new --threads 1 | cmp - "$work/whole"
# A state goes on where it was left, and says whose it is; the same file may be read and written.
generate() { model=$1; shift; "$examples/xlstm-generate" "$work/saved/$model" --prompt "$word" -t 0 --only-new "$@"; }
# (LSTMs: tokens of one call and of two give the same bits there, so that no tie is decided otherwise.)
generate lstm-res -n 1 --save-state "$work/state" >"$work/out"
next=$(tr -d ' \n' <"$work/out")
"$examples/xlstm-generate" "$work/saved/lstm-res" --prompt "$word $next" -n 3 -t 0 --only-new >"$work/whole"
"$examples/xlstm-generate" "$work/saved/lstm-res" --prompt "$next" -n 3 -t 0 --only-new --state "$work/state" --save-state "$work/state" >"$work/out"
cmp "$work/out" "$work/whole"
generate xlstm -n 1 --save-state "$work/xlstm.state" >/dev/null
mv "$work/xlstm.state" "$work/state"
"$bin/xlstm-lm" --preset smoke --data "$corpus" --models xlstm --seed 2 --save "$work/second" >/dev/null
ln -s ../second/lm-xlstm-s2 "$work/saved/second"
refused "state is a state of another model" generate second --state "$work/state"
[ ! -s "$work/out.refused" ]
refused "state is a state of another model" generate lstm-res --state "$work/state"
refused "made with --weights real" generate xlstm --state "$work/state" --weights int8
for weights in bf16 int8 int4; do
    generate xlstm -n 3 --save-state "$work/$weights.state" --weights $weights >"$work/out"
    generate xlstm -n 3 --state "$work/$weights.state" --weights $weights >"$work/out"
    refused "made with --weights $weights" generate xlstm --state "$work/$weights.state"
done
sed 's/"module":/"nodule":/' "$work/state" >"$work/nameless" # as of an older program: it goes on, and that is said
generate xlstm -n 1 --state "$work/nameless" >"$work/out" 2>"$work/err"
grep -q "nameless does not say of which model it is" "$work/err"
# Nothing but a state is replaced by a state, nothing but values by values, and all that is found before the work.
cp -R "$work/saved/xlstm" "$work/own"
kept=$(cat "$work"/own/* | cksum)
for file in "$work"/own/*; do
    refused "no file of --save-state" "$examples/xlstm-generate" "$work/own" --prompt "$word" --save-state "$file"
    [ ! -s "$work/out.refused" ]
    refused "no file of --write" "$examples/xlstm-check" "$work/own" "$work/state" --write "$file"
    refused "no file of --csv" "$bin/xlstm-speed" --csv "$file"
    refused "no file of --json" "$bin/xlstm-speed" --json "$file"
    refused "no file of --out" "$bin/xlstm-report" "$work/lm" --out "$file"
    refused "no file of --markdown" "$bin/xlstm-report" "$work/lm" --out "$work/page" --markdown "$file"
    [ ! -e "$work/page" ]
done
[ "$(cat "$work"/own/* | cksum)" = "$kept" ]
refused "no file of --save-state" generate xlstm --save-state "$work/own/config.json"
for option in --save-state=$work/no/such/file --save-state=$work --prompt-file=$work/no/text --state=$work/no/state --state=$work; do
    refused "cannot write\|a directory\|cannot be read" "$examples/xlstm-generate" "$work/no/model" --prompt x "$option"
    grep -qF "${option#*=}" "$work/err.refused"
done
: >"$work/fresh" # what mktemp makes is nobody's
generate xlstm -n 1 --save-state "$work/fresh" >"$work/out"
[ -s "$work/fresh" ]
# A device, a pipe and a link stay what they are.
mkfifo "$work/pipe"
cat "$work/pipe" >"$work/piped" & reader=$!
generate xlstm -n 1 --save-state "$work/pipe" >"$work/out"
wait $reader
cmp "$work/piped" "$work/fresh"
[ -p "$work/pipe" ]
ln -s fresh "$work/link"
generate xlstm -n 1 --save-state "$work/link" >"$work/out"
[ -L "$work/link" ]
cmp "$work/piped" "$work/fresh"
if mknod "$work/null" c 1 3 2>/dev/null && : 2>/dev/null >"$work/null"; then # a null device of its own
    generate xlstm -n 1 --save-state "$work/null" >"$work/out"
    [ -c "$work/null" ]
fi
# Smaller weights change its perplexity by little, threads not at all.
"$examples/xlstm-perplexity" "$work/saved/xlstm" "$corpus/test.txt" --weights real,bf16,int8,int4 --window 16 >"$work/out"
awk '$1 ~ /^(real|bf16|int8|int4)$/ { n++; mb[n] = $4; most = $1 == "int4" ? 5 : 1
        if ($2 $3 !~ /^[-+0-9.%]+$/ || !($3 + 0 <= most && $3 + 0 >= -most && $2 + 0 >= 2)) bad = 1 }
    END { exit !(n == 4 && !bad && mb[2] < mb[1] && mb[3] < mb[2] && mb[4] < mb[3]) }' "$work/out"
"$examples/xlstm-perplexity" "$work/saved/xlstm" "$corpus/test.txt" --window 16 --threads 1 >"$work/alone"
head -2 "$work/out" | cmp - "$work/alone"
refused "needed" "$examples/xlstm-perplexity" "$work/saved/xlstm"
refused "cannot be read" "$examples/xlstm-perplexity" "$work/saved/xlstm" "$work/no/text"
refused "need two each" "$examples/xlstm-perplexity" "$work/saved/xlstm" "$corpus/test.txt" --streams 60000
refused "use real, bf16, int8 or int4" "$examples/xlstm-perplexity" "$work/saved/xlstm" "$corpus/test.txt" --weights int3

refused "one of" "$examples/xlstm-generate" "$work/saved/xlstm"
refused "whole number" "$examples/xlstm-generate" "$work/saved/xlstm" --prompt x --top-k many
refused "weights is empty" "$examples/xlstm-perplexity" "$work/saved/xlstm" "$corpus/test.txt" --weights ,
refused "use real, bf16" "$examples/xlstm-perplexity" "$work/saved/xlstm" "$corpus/test.txt" --weights real,half
[ ! -s "$work/out.refused" ] # before the first is computed
refused "is there already" "$examples/xlstm-init" "$work/saved/xlstm/config.json" "$work/saved/xlstm"
refused "is no folder" "$examples/xlstm-init" "$work/own/config.json" "$work/own/config.json"
refused "cannot be made" "$examples/xlstm-init" "$work/own/config.json" "$work/no/such/folder"
mkdir "$work/theirs" "$work/shards"
echo mine >"$work/theirs/config.json"
refused "theirs/config.json is there already" "$examples/xlstm-init" "$work/own/config.json" "$work/theirs"
[ "$(cat "$work/theirs/config.json")" = mine ]
echo mine >"$work/shards/model_0.safetensors"
refused "model_0.safetensors is there already" "$examples/xlstm-init" "$work/own/config.json" "$work/shards"
cp "$work/own/config.json" "$work/theirs/config.json" # beside the configuration that is given
"$examples/xlstm-init" "$work/theirs/config.json" "$work/theirs" >"$work/out"
refused "tolerance is" "$examples/xlstm-check" "$work/saved/xlstm" case --tolerance few
for number in inf nan -inf 1e999; do # no option of any program takes them
    refused "give a number" "$examples/xlstm-check" "$work/saved/xlstm" case --tolerance=$number
    for option in temperature top-p min-p; do
        refused "give a number" "$examples/xlstm-generate" "$work/saved/xlstm" --prompt x --$option=$number
    done
    refused "whole number" "$examples/xlstm-perplexity" "$work/saved/xlstm" "$corpus/test.txt" --window=$number
    for option in lr lr-grid weight-decay dropout checkpoint-every limit-seconds; do
        refused "give a number" "$bin/xlstm-nns" --$option=$number
    done
    refused "give a number" "$bin/xlstm-speed" --seconds=$number
done
refused "too many" "$examples/xlstm-check" one two three
refused "is not a directory" "$examples/xlstm-generate" "$work/none/such" --prompt x
refused "no token" "$examples/xlstm-generate" "$work/saved/xlstm" --prompt x --stop "no such thing"
refused "token 99999999 is not in 0 to" "$examples/xlstm-generate" "$work/saved/xlstm" --tokens 99999999
refused "0 tokens" "$examples/xlstm-generate" "$work/saved/xlstm" --prompt ""

# Every kind of model and of measurement in a process of its own, beside peers that are there, fail, die or are not there.
cat >"$work/peer" <<'END'
#!/bin/sh
read -r request
case $request in
*'"mlstm"'*) echo '{"ready": true, "parameters": 7}'; while read -r go; do echo '{"seconds": 2.0, "units": 10}'; done ;;
*'"slstm"'*) echo '{"error": "no such thing"}' ;;
*'"lstm"'*) kill -9 $$ ;;
esac
END
small() { "$bin/xlstm-speed" --width 16 --blocks 2 --vocab 20 --repeats 2 --seconds 0.001 "$@" 2>"$work/err"; }
speed() { small --batch 2 --time 8 "$@"; }
speed --shapes d256 --models mlstm,slstm,lstm,lstm-res --peers sh --peers-script "$work/peer" --csv "$work/speed.csv" \
    --json "$work/speed.json" >"$work/out"
[ "$(grep -c '^  official package  *5.0  *5.0  *5.0' "$work/out")" = 3 ]
[ "$(grep -c 'not run: no such thing' "$work/out")" = 3 ]
[ "$(grep -c 'nn.LSTM .*not run: it was ended by signal 9' "$work/out")" = 3 ]
[ "$(grep -c '^lstm-res ' "$work/out")" = 3 ]
[ "$(grep -c 'not run: it ended with exit code 0' "$work/out")" = 3 ]
[ "$(wc -l <"$work/speed.csv")" = 25 ]
[ "$(grep -c '"measure"' "$work/speed.json")" = 24 ]
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i } NR == 2 { exit !($at["least"] > 0 && $at["least"] <= $at["tokens_per_second"] &&
    $at["tokens_per_second"] <= $at["most"] && $at["peak_bytes"] > 1e6 && $at["planned_bytes"] > 1e4 && $at["ratio"] > 1) }' "$work/speed.csv"
printf '#!%s\n' "$work/no/such/interpreter" >"$work/stranded"
chmod +x "$work/stranded"
speed --models transformer,mlstm-large --measure train --peers "$work/stranded" --peers-script "$work/peer" --shapes d512 >"$work/out"
[ "$(grep -c 'not run: .*cannot be started' "$work/out")" = 2 ]
speed --shapes d256 --models mlstm --measure decode --weights real,bf16,int8,int4 >"$work/out"
[ "$(grep -cE '^  (bf16|int8|int4) over real .*[0-9]x$' "$work/out")" = 3 ]
small --shapes d256 --models mlstm --measure forward --lengths 4,8,32 >"$work/out"
[ "$(grep -cE '^  mlstm forward T=(8|32) .*[0-9]x$' "$work/out")" = 2 ]
speed --shapes d256 --models slstm --measure train,decode --scaling 1,2,3 --csv "$work/threads.csv" --json "$work/threads.json" >"$work/out"
kernels="$(sed -n '1s/^.*; kernels \([a-z0-9]*\).*$/\1/p' "$work/out")"
[ -n "$kernels" ] # in the first line, behind the processor
[ "$(grep -c '^threads [123]; this machine: .* GB/s' "$work/out")" = 3 ]
[ "$(grep -cE '^  slstm (train|decode) x[23] .*[0-9]x( +[0-9.]+x)?$' "$work/out")" = 4 ] # sgemm's own beside, where there is one
grep -q '"kernels": "'"$kernels"'"' "$work/threads.json"
[ "$(grep -cE '"(processor|blas_core)": ' "$work/threads.json")" = 2 ]
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i } NR > 1 && $at["kernels"] == "\"'"$kernels"'\"" && $at["processor"] != "" &&
    $at["threads"] == (NR - 2) % 3 + 1 { good++ } END { exit !(good == 6 && NR == 7 && at["blas_core"] && at["sgemm_ratio"]) }' "$work/threads.csv"
XLSTM_BACKEND=base speed --shapes d256 --models lstm --measure decode >"$work/out"
grep -q '; kernels base' "$work/out"
XLSTM_BACKEND=sse9 refused "sse9" "$bin/xlstm-speed" --shapes d256 --models lstm --measure decode
speed --shapes d256 --models slstm --measure train --profile >"$work/out"
awk '/^    [a-z]/ { seen = 1; sum += $(NF < 4 ? NF : 2) } END { exit !(seen && sum > 99 && sum < 101) }' "$work/out"
refused "unknown" "$bin/xlstm-speed" --models gru
refused "unknown" "$bin/xlstm-speed" --measure rain
refused "is empty" "$bin/xlstm-speed" --shapes ,
refused "whole number" "$bin/xlstm-speed" --repeats 0
refused "^xlstm-speed: .*heads" "$bin/xlstm-speed" --width 16 --blocks 2 --shapes d256 --models mlstm --measure train --heads 3 --repeats 1 --seconds 0.001
refused "not an option" "$bin/xlstm-speed" word
[ ! -s "$work/out.refused" ] # before anything is measured
refused "cannot write" "$bin/xlstm-speed" --json "$work/no/such/folder.json"
refused "cannot write" "$bin/xlstm-speed" --csv "$work/no/such/folder.csv"
refused "is a directory" "$bin/xlstm-speed" --json "$work"
refused "cannot be started" "$bin/xlstm-speed" --peers "$work/no/python"
refused "cannot be started" "$bin/xlstm-speed" --peers no-such-python
refused "cannot be read" "$bin/xlstm-speed" --peers sh --peers-script "$work/no/script"
ln -s speed.json "$work/speed.link"
refused "are the same file" "$bin/xlstm-speed" --json "$work/new" --csv "$work/./new"
refused "no file of --csv" "$bin/xlstm-speed" --json "$work/speed.json" --csv "$work/speed.link"
refused "one of them" "$bin/xlstm-speed" --lengths 4 --peers python3
refused "one of them" "$bin/xlstm-speed" --scaling 1,2 --peers python3
refused "one of them" "$bin/xlstm-speed" --lengths 4 --scaling 1,2
refused "leave --threads" "$bin/xlstm-speed" --scaling 1,2 --threads 2
refused "whole number" "$bin/xlstm-speed" --scaling 1,none
refused "real weights only" "$bin/xlstm-speed" --scaling 1,2 --weights bf16
refused "real weights only" "$bin/xlstm-speed" --lengths 4 --weights real,int8
refused "leave --batch" "$bin/xlstm-speed" --lengths 4 --time 8

"$bin/xlstm-lm" --help | grep -q Examples
"$bin/xlstm-speed" --help | grep -q Examples
refused "unknown" "$bin/xlstm-lm" --data "$corpus" --preset huge
refused "unknown" "$bin/xlstm-nns" --models gru
refused "mix" "$bin/xlstm-nns" --mix seven
refused "option" "$bin/xlstm-nns" --nonsense
for option in --data=x --save=x --task=mqar --window=8 --no-carry --last; do # each has a program that takes it
    takes=0
    for program in xlstm-lm xlstm-nns xlstm-tasks; do
        if "$bin/$program" --help | grep -q -e " ${option%%=*}\\b"; then
            takes=$((takes + 1))
        else
            refused "is for xlstm-" "$bin/$program" "$option"
        fi
    done
    [ "$takes" = 1 ]
done
refused "whole number" "$bin/xlstm-nns" --steps -3
refused "whole number" "$bin/xlstm-nns" --steps 10x
refused "cannot be made" "$bin/xlstm-nns" --out "$work/no/such/folder"
refused "cannot be made" "$bin/xlstm-nns" --out "$work/fresh.results" --checkpoint "$work/no/such/folder"
refused "is no folder" "$bin/xlstm-nns" --out "$work/fresh.results" --checkpoint "$corpus/test.txt"
refused "cannot be made" "$bin/xlstm-nns" --export "$work/no/such/folder"
refused "cannot be made" "$bin/xlstm-lm" --data "$corpus" --save "$work/no/such/folder"
[ ! -e "$work/fresh.results" ]
mkdir "$work/taken"
: >"$work/taken/lstm"
refused "taken/lstm cannot hold files" "$bin/xlstm-lm" --data "$corpus" --preset smoke --models lstm --save "$work/taken"
mkdir "$work/weights" "$work/weights/lstm"
echo mine >"$work/weights/lstm/model.safetensors"
refused "holds a model already" "$bin/xlstm-lm" --data "$corpus" --preset smoke --models lstm --save "$work/weights"
# What makes no model is refused before the data are read.
refused "names lstm twice" "$bin/xlstm-lm" --data "$work/none" --models lstm,lstm
refused "gru" "$bin/xlstm-lm" --data "$work/none" --models lstm,gru
refused "mix" "$bin/xlstm-lm" --data "$work/none" --models lstm --mix seven
refused "seven" "$bin/xlstm-lm" --data "$work/none" --models xlstm@seven
refused "divide" "$bin/xlstm-lm" --data "$work/none" --heads 3
refused "is no folder" "$bin/xlstm-nns" --out "$corpus/test.txt"
refused "is empty" "$bin/xlstm-nns" --out ""
refused "is there already" "$bin/xlstm-nns" --preset smoke --out "$work/nns"
refused "has no sLSTM block; use 3:1" "$bin/xlstm-lm" --data "$corpus" --blocks 4 --mix 7:1
refused "names lstm twice" "$bin/xlstm-nns" --models lstm,lstm
refused "has 0.001 twice" "$bin/xlstm-nns" --lr-grid 1e-3,0.001
refused "need --out" "$bin/xlstm-nns" --checkpoint "$work/none"
refused "no task" "$bin/xlstm-tasks"
refused "unknown" "$bin/xlstm-tasks" --task sorting
refused "no such task" "$bin/xlstm-tasks" --task mqar --preset thesis
refused "need --out" "$bin/xlstm-nns" --resume
refused "both given" "$bin/xlstm-nns" --lr 1e-3 --lr-grid 1e-3,1e-2
refused "one rate" "$bin/xlstm-nns" --lr 1e-3,1e-2
refused "nothing to search" "$bin/xlstm-nns" --search-steps 10
refused "both given" "$bin/xlstm-lm" --data "$corpus" --save "$work/a" --export "$work/b"
refused "holds a model already" "$bin/xlstm-lm" --data "$corpus" --preset smoke --models xlstm --save "$work/saved"
refused "give a number" "$bin/xlstm-nns" --lr-grid 1e-3,fast
refused "not an option" "$bin/xlstm-nns" word
refused "divide" "$bin/xlstm-nns" --preset smoke --width 17 --heads 4
refused "no corpus" env -u XLSTM_DATA "$bin/xlstm-lm"
refused "cannot be read" "$bin/xlstm-lm" --data "$work/none"
refused "is empty" "$bin/xlstm-lm" --data "$work/empty"
refused "vocabulary" "$bin/xlstm-lm" --data "$work/one"
refused "zero bytes" "$bin/xlstm-lm" --data "$work/binary"
refused "latin/train.txt.*not UTF-8" "$bin/xlstm-lm" --data "$work/latin"
