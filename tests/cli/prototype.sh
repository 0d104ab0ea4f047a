# xai prototype and xai sheet: classes, experts, generators, outputs, bad input.
. "${0%/*}/common.inc"
few="--steps 20"

# A table: target, label, restart, score, probability, log p of each expert.
expect 0 prototype "$model" -t 9,1 $few --prior l2,weight=0.01 --restarts 2
count out 5 .
count out 2 '^ +9 +Ankle boot +[01] +-[0-9.e-]+ +0\.[0-9]{4} +-[0-9.]+$'
expect 0 prototype "$resnet" -t 3 --json $few
json out
holds out '"label": "Dress"'
holds out "optimizer=adam"
holds out '"preprocess": "zero-one"'

# The files of one call; the sheet of two.
expect 0 prototype "$model" -t all $few --prior l2,weight=0.02 -o a.npz -o a.npy -o a.png -o a.json
[ ! -s out ] || fail "$last: prints $(cat out)"
npy a.npy "'shape': (10, 1, 28, 28)"
json a.json
count a.json 10 '"restart": 0'
holds a.png 'steps=20'
expect 0 prototype "$model" -t all $few -o b.npz --trace 10 --random-seed 3
expect 0 sheet a.npz b.npz -o sheet.png --zoom 2
holds sheet.png 'l2,weight=0.02'
expect 0 run "$model" a.npy --output logit -o logits.npy
npy logits.npy "'shape': (10, 10)"

# The same whatever the threads; another seed is another start; a start from a file.
expect 0 prototype "$model" -t 2 $few -o one.npy --threads 1
expect 0 prototype "$model" -t 2 $few -o two.npy --threads 2
cmp -s one.npy two.npy || fail "$last: threads change the prototype"
expect 0 prototype "$model" -t 2 $few -o other.npy --random-seed 1
! cmp -s one.npy other.npy || fail "$last: the seed changes nothing"
expect 0 run "$model" "$boot" --at image -o boot.npy
expect 0 prototype "$model" -t 2 --steps 1 --rate 0 --init boot.npy -o same.npy
cmp -s boot.npy same.npy || fail "$last: does not start at the file"

# Experts by name with tensors of files; hidden units; a box of one's own.
expect 0 prototype "$model" -t 2 $few --prior near,x0=@boot.npy,weight=10 --init mean -o near.npz
expect 0 prototype "$model" -t 2 $few --prior mean,mean=0.5,weight=3 --jitter 2 --blur 1 --frequency 1
expect 0 prototype "$model" --from conv3 -t 100 $few --low -1 --high 1
holds out ' score'
lacks out 'probability'

expect 0 prototype "$model" --from conv3 -t channel:5 $few
count out 1 '^ +mask +0 +[0-9.]+$'
expect 0 explain "$model" "$boot" --from conv3 -t channel:5 -m gradient -o channel.npy
refuse 2 "'conv3' has 32 channels" prototype "$model" --from conv3 -t channel:32
refuse 2 'channel:K takes a number' prototype "$model" --from conv3 -t channel:one

refuse 2 'which MODEL?' prototype
refuse 2 'a prototype needs a --target' prototype "$model"
refuse 2 'a prototype needs a --target' prototype "$model" -t top:3
refuse 2 'the explained tensor has 10 elements' prototype "$model" -t 10
refuse 2 "unknown prior 'l3', did you mean 'l2'?" prototype "$model" -t 1 --prior l3
refuse 2 'weight is a number' prototype "$model" -t 1 --prior l2,weight=heavy
refuse 2 'on is input or code' prototype "$model" -t 1 --prior l2,on=pixels
refuse 2 'on=code needs a decoder' prototype "$model" -t 1 --prior l2,on=code
refuse 2 "has no parameter 'size'" prototype "$model" -t 1 --prior l2,size=3
refuse 4 "needs the tensor 'x0'" prototype "$model" -t 1 --prior near
refuse 4 'is over 10 elements' prototype "$model" -t 1 --prior near,x0=1:2:3:4:5:6:7:8:9:10
refuse 4 'no.npz' prototype "$model" -t 1 --prior no.npz
refuse 2 'unknown prior' prototype "$model" -t 1 --prior a.npz
refuse 2 "parameter 'steps'" prototype "$model" -t 1 --steps none
refuse 2 'takes adam|momentum|gradient' prototype "$model" -t 1 --optimizer newton
refuse 2 'must end in .npz' prototype "$model" -t 1 -o x.jpg
refuse 1 'cannot write there' prototype "$model" -t 1 -o no/where.png
refuse 2 'a prototype has no INPUT' prototype "$model" "$boot" -t 1
refuse 4 "the model has no input 'picture'" prototype "$model" picture=boot.npy -t 1
refuse 4 'which does not fit input' prototype "$model" -t 1 --generator "$resnet"
refuse 3 'cannot open' prototype "$model" -t 1 --generator no.onnx
refuse 1 'diverged at step' prototype "$model" -t 1 --prior l2 --optimizer gradient --rate 1e4 --low=-1e30 --high=1e30
refuse 2 'a prototype explains no input' explain "$model" "$boot" -m prototype
refuse 2 'which FILE.npz?' sheet -o x.png
refuse 2 'one --out FILE.png' sheet a.npz
expect 0 run "$model" "$boot" -o run.npz
refuse 4 'holds no prototypes' sheet run.npz -o x.png

# Out of time: the best so far is written, and says so.
expect 5 prototype "$model" -t all --steps 1000000 --timeout 2 -o late.json
holds late.json '"partial": true'

finish
