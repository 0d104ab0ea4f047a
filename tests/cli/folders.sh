# xai test on folders made here: one case that passes, one that fails, one that is refused.
. "${0%/*}/common.inc"

# A picture of 0.5 as TensorProto; what the model says of it is the expected output.
grey() {
  printf '\010\001\010\001\010\034\010\034\020\001\112\300\030'
  for _ in $(seq 784); do printf '\000\000\000\077'; done
}
scores() { # of the file's last 40 bytes
  printf '\010\001\010\012\020\001\112\050'
  tail -c 40 "$1"
}
grey >grey.pb
expect 0 run "$model" grey.pb -o grey.npy

mkdir -p cases/good/test_data_set_0 cases/deep/er/bad/test_data_set_0 cases/refused
for c in cases/good cases/deep/er/bad; do
  cp "$model" $c/model.onnx
  cp grey.pb $c/test_data_set_0/input_0.pb
done
scores grey.npy >cases/good/test_data_set_0/output_0.pb
expect 0 run "$model" "$boot" -o boot.npy
scores boot.npy >cases/deep/er/bad/test_data_set_0/output_0.pb

expect 0 test cases/good
count out 1 '^pass +cases/good$'
holds out "1 passed, 0 failed, 0 refused"
expect 0 test cases/good --explain
holds out "1 passed, 0 failed, 0 refused"
expect 0 test cases/good/ --quiet
count out 1 .

expect 1 test cases/deep
count out 1 "^fail +cases/deep/er/bad: output 'logits': element [0-9] is .*, expected .*differ"
holds out "0 passed, 1 failed, 0 refused"

# A second data set is looked at too.
mkdir cases/good/test_data_set_1
cp grey.pb cases/good/test_data_set_1/input_0.pb
expect 1 test cases/good
holds out output_0.pb
cp cases/good/test_data_set_0/output_0.pb cases/good/test_data_set_1
expect 0 test cases/good

# A model of an operator that nobody has (ModelProto: ir 8, opset 13, graph of one node).
{
  printf '\010\010\072\041\012\014\012\001x\022\001y\042\004Nope\022\001g'
  printf '\132\005\012\001x\022\000\142\005\012\001y\022\000\102\002\020\015'
} >cases/refused/model.onnx
expect 1 test cases/refused
grep -qE '^(unsupported|fail) +cases/refused: .' out || fail "$last: $(cat out)"

expect 1 test cases
count out 3 '^(pass|fail|unsupported) '
expect 1 test cases --json
json out
holds out '"passed": 1'
holds out '"failed": 2'
mv out one
expect 1 test cases --json --threads 1
cmp out one || fail "$last: not the same as side by side"
holds out '"case": "cases/good"'
expect 0 test cases/good cases/good

refuse 4 "nowhere" test nowhere
mkdir hollow
refuse 4 "no model.onnx" test hollow

finish
