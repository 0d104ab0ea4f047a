# Texts: ids, names of tokens, relevance a token; targets of outputs whose sizes are open.
. "$(dirname "$0")/common.inc"
write=$XAI_BUILD/tests/write_model
"$write" "opset 17; input ids i64 N,S; const t 20,3 ~1; e = Gather(t, ids);
  y = ReduceMean(e) axes=[1] keepdims=0; output y" bag.onnx
"$write" "opset 17; input ids i64 N,S; input mask N,S; const t 20,3 ~1; const w 3,2 ~2; const two i64 1 = 2;
  e = Gather(t, ids); m = Unsqueeze(mask, two); f = Mul(e, m); p = ReduceMean(f) axes=[1] keepdims=0;
  y = MatMul(p, w); output y" text.onnx

# values FILE: the relevance of its tokens, one a line.
values() {
  sed -n 's/.*{"token": "\([^"]*\)", "value": \([^}]*\)}.*/\1 \2/p' "$1"
}

# The same id has the same relevance; their sum is f, as nothing adds to the embedding.
expect 0 explain bag.onnx --tokens 7,3,7,19 -m lrp-0 --target 1 --json
json out
values out >ids
[ "$(cut -d' ' -f1 ids | tr '\n' ,)" = 7,3,7,19, ] || fail "the tokens are $(tr '\n' , <ids)"
[ "$(sed -n 1p ids)" = "$(sed -n 3p ids)" ] || fail "one id has two relevances"
f=$(sed -n 's/.*"f": \(.*\),/\1/p' out)
awk -v f="$f" '{ s += $2 } END { exit !(NR == 4 && s - f < 1e-5 && f - s < 1e-5) }' ids ||
  fail "the tokens' relevance does not sum to f = $f"

# Names, one with markup; items of any length; a second input of its own.
printf 'not\r\n<b>a</b>\nnot\n"good"\n' >names.txt
expect 0 explain bag.onnx --tokens 7,3,7,19 -m lrp-0 --target 1 --token-labels names.txt --json -o page.html
cut -d' ' -f2 ids | cmp - <(sed -n 's/.*"token".*"value": \([^}]*\)}.*/\1/p' out) || fail "names change values"
holds out '{"token": "<b>a</b>", '
holds page.html '>&lt;b&gt;a&lt;/b&gt;</span>'
holds page.html '>&quot;good&quot;</span>'
lacks page.html '<b>a</b>'
lacks page.html '<img'
expect 0 explain bag.onnx --tokens 7,3,7,19 -m lrp-0 --token-labels names.txt
holds out "not "
expect 0 explain bag.onnx --tokens 7,3,7,19 --tokens 5 --json
count out 5 '"token": '
expect 0 run bag.onnx --tokens 7,3,7 -o mask.npy
expect 0 explain text.onnx --tokens ids=1,2,3 mask=mask.npy --json
count out 3 '"token": '

refuse 4 "4 labels for the 2 tokens" explain bag.onnx --tokens 1,2 --token-labels names.txt
refuse 4 "nope" explain bag.onnx --tokens 1,2 --token-labels nope
refuse 2 "no input of the model is a list" explain "$model" "$boot" --token-labels names.txt
refuse 4 "is outside" explain bag.onnx --tokens 1,20
refuse 4 "no input 'nope'" explain bag.onnx --tokens nope=1,2
refuse 4 "'mask' is missing" explain text.onnx --tokens 1,2
refuse 4 "of int64" explain "$model" --tokens 1,2
refuse 2 "--tokens is no option" test . --tokens 1
for wrong in '' , 1, ,1 1,,2 1.5 a '1;2' '1, 2' 99999999999999999999; do
  refuse 2 "--tokens" explain bag.onnx --tokens "$wrong"
done

# A tuple where the file leaves the sizes open: 2:1:2 of [3,2,3] is 17; and a weight an element.
"$write" "opset 17; input ids i64 N,S; const t 20,3 ~1; const s i64 4 = -1 2 2 3; e = Gather(t, ids);
  y = Reshape(e, s); output y" field.onnx
"$write" "opset 17; input x N,2,H,W; const w 3,2,3,3 ~1; y = Conv(x, w) pads=[1,1,1,1]; z = Relu(y); output y;
  output z" conv.onnx
expect 0 run field.onnx --tokens 1,2,3,4 -o x.npy
npy x.npy "'shape': (1, 2, 2, 3)"
expect 0 explain conv.onnx x.npy --target 2:1:2,0:0:1 -o tuple.npy
expect 0 explain conv.onnx x.npy --target 17,1 -o flat.npy
cmp tuple.npy flat.npy || fail "a tuple is not its flat index"
expect 0 explain conv.onnx x.npy --target z/2:1:2 --json
holds out '"target": 17,'
holds out '"source": "z"'
expect 0 run conv.onnx x.npy -o w.npz
expect 0 explain conv.onnx x.npy --target "z/@$work/w.npz:output/z" --json
holds out '"target": "mask"'
holds out '"source": "z"'
expect 0 explain conv.onnx x.npy x.npy --target 2:1:2 --json
count out 2 '"target": 17,'
refuse 2 "index 2 of axis 1 is out of range 0..1" explain conv.onnx x.npy --target 2:2:2
refuse 2 "2 indices for an item of 3 axes" explain conv.onnx x.npy --target 2:2
refuse 2 "17 stands twice" explain conv.onnx x.npy --target 2:1:2,17
refuse 2 "--target" explain conv.onnx x.npy --target 2:1:
finish
