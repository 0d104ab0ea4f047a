# xai info and the catalogues.
. "${0%/*}/common.inc"

expect 0 info "$model"
[ ! -s err ] || fail "$last: says $(cat err)"
count out 1 '^input +image +float32 \[N,1,28,28\]$'
count out 1 '^output +logits +float32 \[N,10\]$'
count out 1 '^parameters +[0-9]+$'
count out 1 '^operators .*Conv 5'
count out 1 '^preprocess +zero-one$'
count out 1 '^labels +10:'
expect 0 info "$resnet"
count out 1 '^output +probabilities .*explained at logits'

expect 0 info "$resnet" --json
json out
holds out '{"name": "image", "type": "float32", "shape": [null, 1, 28, 28]}'
holds out '"logit": "logits"'
holds out '"Conv": 9'
holds out "\"model_sha256\": \"$(sha256sum "$resnet" | cut -d' ' -f1)\""
lacks out '"nodes"'
expect 0 info "$resnet" --json --graph
json out
count out 40 '"index": '
lacks out '"rule"'

expect 0 info "$model" --graph
count out 1 '^node +op +name +shape +crossing$'
expect 0 info "$model" --method gradient --graph --json
json out
holds out '"method": "gradient"'
holds out '"rule": "'
refuse 2 "did you mean 'gradient'" info "$model" --method gradeint
refuse 2 "one MODEL" info "$model" "$resnet"
refuse 2 "one --method" info "$model" -m gradient -m saliency

# With rules: what is folded, what the method says, what is left to defaults.
expect 0 methods
if grep -q '^epsilon-plus ' out; then
  expect 0 info "$resnet" --method epsilon-plus
  count out 1 '^composite +Conv: z-plus 9,'
  count out 1 '^folded +BatchNormalization 9'
  count out 1 '^default +'
fi

# The bill: more for an explanation than for a run, both positive.
expect 0 info "$model" --memory --json
json out
run=$(sed -n 's/.*"run": \([0-9]*\),.*/\1/p' out)
explain=$(sed -n 's/.*"explain": \([0-9]*\).*/\1/p' out)
[ "${run:-0}" -gt 0 ] && [ "${explain:-0}" -ge "${run:-0}" ] ||
  fail "$last: run $run, explain $explain"

# The catalogues: a name a line, then its parameters; the same names in JSON.
for c in methods rules ops; do
  expect 0 $c
  names=$(awk '{ print $1 }' out)
  [ "$(echo "$names" | sort | uniq -d)" = "" ] || fail "xai $c lists a name twice"
  expect 0 $c --json
  json out
  holds out "\"$c\": ["
  for n in $names; do holds out "\"name\": \"$n\""; done
done
expect 0 methods
holds out gradient-x-input
expect 0 ops
holds out Conv

# Catalogues with nothing in them are no commands yet.
for c in priors metrics; do
  expect 0 --help
  if grep -q "^  $c " out; then
    expect 0 $c
    [ -s out ] || fail "xai $c is empty"
  else
    refuse 2 "no $c" $c
  fi
done

# An operator that is missing is named; what else there is, is listed.
"$XAI_BUILD/tests/write_model" "opset 20; input x 1,3; a = Relu(x); b = Telepathy(a); y = Relu(b); output y" missing.onnx
refuse 3 "operator 'Telepathy' (domain 'ai.onnx', opset 20)" info missing.onnx
count out 1 '^operators +Relu 2, Telepathy \(not supported\) 1$'
refuse 3 "'Telepathy'" info missing.onnx --json
json out
holds out '"Relu": 2'
refuse 3 "'Telepathy'" run missing.onnx "$boot"
[ ! -s out ] || fail "$last: $(cat out)"

finish
