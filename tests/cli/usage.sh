# What a user types wrong: exit codes and one-line errors. Help and versions.
. "${0%/*}/common.inc"

refuse 2 "--help"
expect 0 --help
holds out "usage: xai COMMAND"
expect 0 help explain
holds out "--target"
for c in info run explain test methods rules ops; do
  expect 0 $c --help
  holds out "usage: xai $c"
  holds out "--threads"
  expect 0 $c --version
  grep -qE '^xai [0-9]+\.[0-9]+\.[0-9]+ \(libxai [0-9]+\.[0-9]+\.[0-9]+\)$' out ||
    fail "$last: $(cat out)"
done
expect 0 --version
expect 0 run --version --json
json out

refuse 2 "unknown command 'foo'" foo
refuse 2 "did you mean 'explain'" explian
refuse 2 "unknown option '--foo'" --foo
refuse 2 "unknown option '--foo'" run --foo
refuse 2 "did you mean '--target'" explain "$model" "$boot" --targte 3
refuse 2 "--target is no option of 'xai run'" run "$model" "$boot" --target 3
refuse 2 "--target takes a value" explain "$model" "$boot" --target
refuse 2 "unknown option '-z'" run "$model" "$boot" -z
refuse 2 "whole number" run "$model" "$boot" --threads x
refuse 2 "whole number" run "$model" "$boot" --threads -1
refuse 2 "whole number" run "$model" "$boot" --max-memory 5X
refuse 2 "a number" run "$model" "$boot" --timeout soon
refuse 2 "logit|final|log-prob" run "$model" "$boot" --output foo
refuse 2 "absorb|zero" explain "$model" "$boot" --bias none
refuse 2 "stretch|crop|pad" run "$model" "$boot" --fit squeeze
refuse 2 "MODEL" run
refuse 2 "INPUT" run "$model"
refuse 2 "MODEL" info
refuse 2 "DIR" test
refuse 2 "no arguments" methods "$model"
refuse 2 "--sheet" explain "$model" "$boot" -m gradient -m saliency
refuse 2 ".npy" run "$model" "$boot" -o x.html
refuse 2 "must end in" explain "$model" "$boot" -o x.txt
refuse 2 "must end in" run "$model" "$boot" -o x.png
refuse 2 "must end in .png" explain "$model" "$boot" --sheet x.npy
refuse 2 "must end in .json" explain "$model" "$boot" --ledger x.txt
refuse 2 "--zoom" explain "$model" "$boot" --zoom 1000000000
refuse 2 "--clip" explain "$model" "$boot" --clip 101
refuse 2 "given twice" explain "$model" "$boot" -o x.npy -o x.npy
refuse 2 "--preprocess" run "$model" "$boot" --preprocess foo
refuse 2 "--preprocess" run "$model" "$boot" --preprocess mean=1:2
refuse 2 "std is 0" run "$model" "$boot" --preprocess std=0
[ -z "$(ls | grep -v -e '^out$' -e '^err$')" ] || fail "a refused command left files: $(ls)"

# Options and arguments may be mixed; -- ends the options; values may be joined.
expect 0 run --top=1 "$model" --quiet -- "$boot"
expect 0 run -l "$examples/models/fashion-labels.txt" "$model" "$boot"

# The model.
refuse 3 "none.onnx" info none.onnx
refuse 3 "none.onnx" run none.onnx "$boot"
refuse 3 "none.onnx" explain none.onnx none.png
refuse 3 "" info "$work"
: >empty.onnx
echo "this is no model" >text.onnx
head -c 5000 "$model" >cut.onnx
for m in empty text cut; do
  refuse 3 "$m.onnx" info $m.onnx
  refuse 3 "$m.onnx" explain $m.onnx "$boot"
done

# The inputs.
refuse 4 "none.png" run "$model" none.png
refuse 4 "none.npy" explain "$model" none.npy
refuse 4 "no file matches" run "$model" 'none*.png'
refuse 4 "no input 'nope'" run "$model" nope=x.npy
mkdir hollow
refuse 4 "no picture" run "$model" hollow
refuse 4 "labels.txt" run "$model" "$boot" --labels labels.txt
: >labels.txt
refuse 4 "no label" run "$model" "$boot" --labels labels.txt
head -c 100 "$boot" >cut.png
refuse 4 "cut.png" run "$model" cut.png
refuse 4 "mask.npy" explain "$model" "$boot" --target @mask.npy
expect 0 run "$model" "$boot" -o scores.npy
refuse 4 "scores.npy" run "$model" scores.npy

# Limits, time and outputs.
refuse 5 "" run "$model" "$boot" --max-memory 1
refuse 5 "" explain "$model" "$boot" --max-memory 100K
refuse 5 "--timeout" explain "$model" "$boot" --timeout 0.000001
refuse 1 "/nonexistent/x.npy" run "$model" "$boot" -o /nonexistent/x.npy
refuse 1 "/nonexistent/a/" explain "$model" "$boot" -o /nonexistent/a/
refuse 1 "x.json" explain "$model" "$boot" --ledger /nonexistent/x.json
refuse 1 "x.png" explain "$model" "$boot" --sheet /nonexistent/x.png

# A full disk is a failure, a reader that leaves is none.
if [ -e /dev/full ]; then
  "$XAI" methods >/dev/full 2>err
  [ $? -eq 1 ] || fail "a full standard output is not exit 1"
  holds err "standard output"
fi
# shellcheck disable=SC2216
("$XAI" methods --json; echo $? >code) 2>err | true
[ "$(cat code)" -eq 0 ] && [ ! -s err ] || fail "a closed pipe: exit $(cat code), $(cat err)"

# Interrupted while it reads standard input: more than a pipe holds has gone through by then.
mkfifo pipe
"$XAI" run "$model" - <pipe >/dev/null 2>&1 &
process=$!
exec 3>pipe
head -c 300000 /dev/zero >&3
kill -TERM $process
wait $process
[ $? -eq 130 ] || fail "an interrupted run is not exit 130"
exec 3>&-

finish
