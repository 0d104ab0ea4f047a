# xai fit: data in, an expert out, and an ascent with it.
. "${0%/*}/common.inc"

expect 0 run "$model" "$images" --at image -o data.npy
expect 0 fit gmm data.npy components=2 floor=0.1 --held-out data.npy -o gmm.npz
count out 1 '^kind +gmm$'
count out 1 '^fit/logp +-?[0-9.]+$'
count out 1 '^fit/logp-held-out +-?[0-9.]+$'
expect 0 fit gmm data.npy components=2,floor=0.1 -o same.npz --threads 1 --json
json out
holds out '"fit/logp": '
holds out '"kind": "gmm"'
expect 0 prototype "$model" -t 1,2 --steps 20 --prior gmm.npz,weight=0.01 --init zeros -o p.npz --json
json out
holds out '"name": "gmm"'
expect 0 fit gmm data.npy components=2 --random-seed 5 -o other.npz
"$XAI" fit gaussian data.npy rank=3 -o gaussian.npz >out 2>err
if grep -q 'without BLAS' err; then
  echo "no BLAS: no Gaussian"
else
  expect 0 prototype "$model" -t 1 --steps 20 --prior gaussian.npz,weight=0.01 --init mean
  expect 0 prototype "$model" -t 1 --steps 20 --prior mean,mean=@gaussian.npz:mean,weight=0.01
  refuse 4 'is over 784 elements' prototype "$model" -t 1 --generator "$examples/models/fashion-decoder.onnx" --prior gaussian.npz,on=code
fi

# Bytes are pictures, prepared as asked.
if [ -e /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz ]; then
  expect 0 fit gmm /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz components=1 steps=1 -o idx.npz
  holds err "prepared as 'zero-one'"
  expect 0 prototype "$model" -t 1 --steps 5 --prior idx.npz,weight=0.001
fi

refuse 2 'which KIND and DATA?' fit
refuse 2 'which DATA?' fit gmm
refuse 2 'written to one --out FILE.npz' fit gmm data.npy
refuse 2 'written to one --out FILE.npz' fit gmm data.npy -o x.npy
refuse 2 'no prior that can be fitted' fit l2 data.npy -o x.npz
refuse 2 "has no parameter 'units'" fit gmm data.npy units=3 -o x.npz
refuse 2 'is not name=value' fit gmm data.npy more -o x.npz
refuse 4 'No such file' fit gmm no.npy -o x.npz
refuse 4 "an item of 'held-out' has" fit gmm data.npy --held-out p.npz:score -o x.npz
refuse 1 'cannot write there' fit gmm data.npy -o no/where.npz
[ ! -e x.npz ] || fail "a refused fit wrote its file"
finish
