# xai run: every kind of input, labels, the table, JSON, .npy and .npz.
. "${0%/*}/common.inc"

# The model's own labels and preprocessing.
expect 0 run "$model" "$boot"
[ ! -s err ] || fail "$last: says $(cat err)"
count out 6 .
sed -n 1p out | grep -qE '^index +label +value$' || fail "$last: $(sed -n 1p out)"
sed -n 2p out | grep -qE '^ +9 +Ankle boot +[0-9.]+$' || fail "$last: $(sed -n 2p out)"
expect 0 run "$model" "$boot" --top 2
count out 3 .
expect 0 run "$model" "$boot" --top 999
count out 11 .

# Another label file.
seq 100 109 >labels.txt
expect 0 run "$model" "$boot" --labels labels.txt --top 1
holds out 109
printf 'only one\r\n' >labels.txt
expect 0 run "$model" "$boot" --labels labels.txt --top 1
lacks out "Ankle"

# JSON.
expect 0 run "$model" "$boot" --json --top 3
json out
holds out '"input": "00-ankle-boot.png"'
holds out '{"index": 9, "label": "Ankle boot", "value": '
holds out "\"model_sha256\": \"$(sha256sum "$model" | cut -d' ' -f1)\""
holds out '"preprocess": "zero-one"'
cp "$model" 'a "strange" name	.onnx'
expect 0 run 'a "strange" name	.onnx' "$boot" --json
json out

# Logits and probabilities.
expect 0 run "$resnet" "$boot" --top 10 -o final.npy --json
json out
npy final.npy "'descr': '<f4'"
npy final.npy "'shape': (1, 10)"
expect 0 run "$resnet" "$boot" --output logit -o logit.npy
cmp -s final.npy logit.npy && fail "logits are probabilities"
expect 0 run "$resnet" "$boot" --output final -o again.npy
cmp final.npy again.npy || fail "the default is not final"
refuse 2 "log-prob" run "$resnet" "$boot" --output log-prob

# Arrays. A result is an input again: 784 numbers of a picture by way of an explanation.
expect 0 explain "$model" "$boot" -m gradient -o x.npy
npy x.npy "'shape': (1, 1, 28, 28)"
expect 0 run "$model" x.npy -o a.npy
expect 0 run "$model" image=x.npy -o b.npy
cmp a.npy b.npy || fail "NAME=FILE is another input"
"$XAI" run "$model" - -o c.npy <x.npy || fail "standard input"
cmp a.npy c.npy || fail "standard input is another input"
expect 0 explain "$model" "$boot" -m gradient -o x.npz
refuse 4 "x.npz:KEY" run "$model" x.npz
expect 0 run "$model" x.npz:relevance/image -o d.npy
cmp a.npy d.npy || fail ".npz:KEY is another input"
refuse 4 "nope" run "$model" x.npz:nope
refuse 4 "no .npz" run "$model" x.npy:key

# The same numbers as TensorProto (dims 1,1,28,28; float; raw data).
{
  printf '\010\001\010\001\010\034\010\034\020\001\112\300\030'
  tail -c 3136 x.npy
} >x.pb
expect 0 run "$model" x.pb -o e.npy
cmp a.npy e.npy || fail ".pb is another input"

# IDX, plain and gzipped: two black pictures; they are pixels, as pictures are.
{
  printf '\0\0\010\003\0\0\0\002\0\0\0\034\0\0\0\034'
  head -c 1568 /dev/zero
} >black-images-idx3-ubyte
expect 0 run "$model" black-images-idx3-ubyte -o f.npy
npy f.npy "'shape': (2, 10)"
gzip -c black-images-idx3-ubyte >g.idx.gz
expect 0 run "$model" g.idx.gz -o g.npy
cmp f.npy g.npy || fail "gzip changes the input"
expect 0 run "$model" g.idx.gz
holds out 'g.idx.gz[1]'

# Batches: files, a folder, a glob; one after the other or together is the same to the last bit.
mkdir folder
cp "$boot" "$pullover" folder
expect 0 run "$model" folder -o h.npy
npy h.npy "'shape': (2, 10)"
expect 0 run "$model" "$boot" "$pullover" -o i.npy
cmp h.npy i.npy || fail "a folder is not its files"
expect 0 run "$model" 'folder/*.png' -o j.npy
cmp h.npy j.npy || fail "a glob is not its files"
expect 0 run "$model" folder -o 'one-%i.npy'
{
  tail -c 40 one-0.npy
  tail -c 40 one-1.npy
} | cmp - <(tail -c 80 h.npy) || fail "items one by one are not the batch"
expect 0 run "$model" folder -o res/
[ "$(ls res | tr '\n' ' ')" = "00-ankle-boot.npy 01-pullover.npy report.json " ] ||
  fail "$last: $(ls res)"
json res/report.json
expect 0 run "$model" folder --top 1
count out 2 'Ankle boot|Pullover'
expect 0 run "$model" folder -o k.npz
holds k.npz output/logits.npy
holds k.npz provenance.npy

# Preprocessing by hand is the preprocessing by name.
expect 0 run "$model" "$boot" -o p.npy
expect 0 run "$model" "$boot" -o q.npy --preprocess scale=1/255
cmp p.npy q.npy || fail "scale=1/255 is not zero-one"
expect 0 run "$model" "$boot" -o q.npy --preprocess bytes
cmp -s p.npy q.npy && fail "bytes is zero-one"
expect 0 run "$model" "$boot" -o q.npy --preprocess scale=1,mean=0:0:0,std=255
lacks err guessed

# Inner tensors.
expect 0 info "$model" --graph --json
inner=$(sed -n 's/.*"op": "Flatten".*"outputs": "\([^"]*\)".*/\1/p' out)
expect 0 run "$model" "$boot" --at "$inner" -o inner.npz
holds inner.npz "output/$inner.npy"
refuse 2 nope run "$model" "$boot" --at nope

# Files that are none of these.
echo "some text" >note.txt
refuse 4 "note.txt: is no .npy" run "$model" note.txt
head -c 1000 x.npy >cut.npy
refuse 4 "cut.npy" run "$model" cut.npy
head -c 1000 x.npz >cut.npz
refuse 4 "cut.npz" run "$model" cut.npz
head -c 1000 x.pb >cut.pb
refuse 4 "cut.pb" run "$model" cut.pb

# Shapes that do not fit, with both numbers.
expect 0 run "$model" "$boot" -o scores.npy
refuse 4 "[1,10]" run "$model" scores.npy
holds err "[N,1,28,28]"
{
  printf '\0\0\015\003\0\0\0\001\0\0\0\034\0\0\0\033'
  head -c 3024 /dev/zero
} >narrow.idx
refuse 4 "axis 3 is 27, not 28" run "$model" narrow.idx

finish
