# xai explain: methods, parameters, targets, rules and the ledger.
. "${0%/*}/common.inc"

# A table: input, target, label, f, sum R, most relevant.
expect 0 explain "$model" "$boot"
[ ! -s err ] || fail "$last: says $(cat err)"
count out 2 .
count out 1 '^00-ankle-boot.png +9 +Ankle boot +[0-9.]+ +[0-9.]+ +0:[0-9]+:[0-9]+ [-+][0-9.]'
lacks out "$(printf '\033')"
expect 0 explain "$model" "$boot" "$pullover"
count out 3 .

# What is printed of f and sum R, by JSON.
number() {
  sed -n "s/.*\"$1\": \\(-\\{0,1\\}[0-9.e+-]*\\),*\$/\\1/p" out | head -1
}
close() {
  awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { d = a - b; exit !((d < 0 ? -d : d) <= t) }' ||
    fail "$last: $1 is not $2 within $3"
}

# Every method of the catalogue explains both networks.
expect 0 methods
methods=$(awk '{ print $1 }' out)
for m in $methods; do
  for n in "$model" "$resnet"; do
    "$XAI" explain "$n" "$boot" --method "$m" --json >out 2>err
    case $? in
    0)
      last="xai explain --method $m"
      json out
      holds out "\"method\": \"$m\""
      holds out '"relevance": ['
      ;;
    2) grep -q '^xai: ' err || fail "--method $m: $(cat err)" ;; # asks for a parameter
    1) grep -q 'no root' err || fail "--method $m: $(cat err)" ;; # taylor may find none
    *) fail "--method $m: $(cat err)" ;;
    esac
  done
done

lrp=true
expect 0 methods
grep -q '^lrp-0' out || lrp=false
if ! $lrp; then
  refuse 2 "unknown method 'lrp-0'" explain "$model" "$boot" -m lrp-0
  holds err "no relevance propagation"
  finish
fi

# Two identities: LRP-0 is gradient x input; bias=zero conserves.
expect 0 explain "$model" "$boot" -m lrp-0 --json
a=$(number sum)
expect 0 explain "$model" "$boot" -m gradient-x-input --json
close "$(number sum)" "$a" 1e-3
expect 0 explain "$model" "$boot" -m lrp-z-plus,bias=zero,stabilizer=0 --json
close "$(number sum)" "$(number f)" 1e-3

# Parameters and their shorthands.
expect 0 explain "$model" "$boot" -m lrp-gamma,gamma=0.5 --json
holds out 'gamma=0.5'
expect 0 explain "$model" "$boot" -m lrp-gamma --bias zero --seed one --output logit --json
holds out 'bias=zero'
holds out 'seed=one'
expect 0 explain "$model" "$boot" -m lrp-gamma,bias=zero --bias zero
refuse 2 "'bias' is given twice" explain "$model" "$boot" -m lrp-gamma,bias=absorb --bias zero
refuse 2 "did you mean 'gradient'" explain "$model" "$boot" -m gradeint
refuse 2 "nope" explain "$model" "$boot" -m gradient,nope=1
refuse 2 "not name=value" explain "$model" "$boot" -m lrp-gamma,gamma
refuse 2 "gamma" explain "$model" "$boot" -m lrp-gamma,gamma=-1
refuse 2 "gamma" explain "$model" "$boot" -m lrp-gamma,gamma=much
refuse 2 "alpha" explain "$model" "$boot" -m lrp-alpha-beta,alpha=3,beta=1
refuse 2 "seed" explain "$model" "$boot" -m gradient --seed value
expect 0 explain "$model" "$boot" -m epsilon-gamma-box,low=0,high=1
refuse 2 "low" explain "$model" "$boot" -m epsilon-gamma-box,low=0:0,high=1
expect 0 explain "$model" "$boot" -m gradient -o root.npy
expect 0 explain "$model" "$boot" -m gradient-x-input,root=@root.npy
refuse 4 "none.npy" explain "$model" "$boot" -m gradient-x-input,root=@none.npy

# Targets.
target() {
  count out "$2" "\"target\": $1,"
}
expect 0 explain "$model" "$boot" --target max --json
target 9 1
f9=$(number f)
expect 0 explain "$model" "$boot" --target 3 --json
target 3 1
expect 0 explain "$model" "$boot" --target 3,9 --json
target 3 1
target 9 1
json out
expect 0 explain "$model" "$boot" --target top:3 --json
target '[0-9]' 3
target 9 1
expect 0 explain "$model" "$boot" --target all --json
target '[0-9]' 10
expect 0 explain "$model" "$boot" --target logits/9 --json
target 9 1
close "$(number f)" "$f9" 0
expect 0 explain "$resnet" "$boot" --target probabilities/9 --json
holds out '"source": "logits"'
expect 0 explain "$resnet" "$boot" --target probabilities/9 --output final -m gradient --json
holds out '"source": "probabilities"'
expect 0 explain "$resnet" "$boot" --output log-prob --json
holds out 'output=log-prob'
refuse 2 "10" explain "$model" "$boot" --target 10
refuse 2 "20" explain "$model" "$boot" --target top:20
refuse 2 "--target" explain "$model" "$boot" --target -1
refuse 2 "--target" explain "$model" "$boot" --target 3.5
refuse 2 "--target" explain "$model" "$boot" --target most
refuse 2 "--target" explain "$model" "$boot" --target 3,
refuse 2 "twice" explain "$model" "$boot" --target 3,3
refuse 2 "no output 'nope'" explain "$model" "$boot" --target nope/3
refuse 2 "indices" explain "$model" "$boot" --target 1:2

# A weight for each class: the one that is 1 of the mask is that target.
{
  printf '\223NUMPY\001\000\166\000'
  printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (10,), }"
  head -c 36 /dev/zero
  printf '\000\000\200\077'
} >mask.npy
expect 0 explain "$model" "$boot" --target @mask.npy -m gradient -o mask-r.npy
expect 0 explain "$model" "$boot" --target 9 -m gradient -o nine-r.npy
cmp mask-r.npy nine-r.npy || fail "a mask of one class is not that class"

# Inner tensors: from one, at others. A tuple picks one of its elements.
expect 0 info "$model" --graph --json
conv=$(sed -n 's/.*"op": "Conv".*"outputs": "\([^"]*\)".*/\1/p' out | tail -1)
expect 0 explain "$model" "$boot" --from "$conv:5" --json
holds out "\"source\": \"$conv\""
target 5 1
expect 0 explain "$model" "$boot" --from "$conv" --target 1:0:0 --json
expect 0 explain "$model" "$boot" --at "$conv" --json
holds out "\"name\": \"$conv\""
expect 0 explain "$model" "$boot" --at "$conv" --at image -o at.npz
holds at.npz "relevance/$conv.npy"
holds at.npz "relevance/image.npy"
refuse 2 "no tensor 'nope'" explain "$model" "$boot" --from nope
refuse 2 "no tensor ''" explain "$model" "$boot" --from ''
refuse 4 "[1,1,28,28] does not fit items of [10]" explain "$model" "$boot" --target @mask-r.npy
refuse 2 "nope" explain "$model" "$boot" --at nope

# The user's own rules come first.
expect 0 explain "$model" "$boot" -m lrp-0 -o plain.npy
expect 0 explain "$model" "$boot" -m lrp-0 --rule op:Conv=gamma,gamma=0.5 -o ruled.npy --json
cmp -s plain.npy ruled.npy && fail "--rule changes nothing"
holds out '"rules": "op:Conv=gamma,gamma=0.5"'
expect 0 explain "$model" "$boot" -m lrp-gamma,gamma=0.5 --rule op:Gemm=epsilon,epsilon=0 \
  --bias absorb -o other.npy
expect 0 explain "$model" "$boot" --rule depth:0=z-box,low=0,high=1 --rule 'name:*=epsilon'
refuse 2 "did you mean 'z-plus'" explain "$model" "$boot" --rule op:Conv=zplus
refuse 2 "GLOB=RULE" explain "$model" "$boot" --rule Conv
refuse 2 "nope" explain "$model" "$boot" --rule op:Conv=gamma,nope=1

# The ledger, and its warning: with alpha-beta, empty groups are lost.
expect 0 explain "$model" "$boot" -m lrp-epsilon --ledger ledger.json
json ledger.json
holds ledger.json '"stabiliser": '
holds ledger.json '"begun": '
holds ledger.json '"model_sha256": '
lacks err vanished
expect 0 explain "$model" "$boot" -m lrp-flat,stabilizer=100 --ledger lossy.json
json lossy.json
holds err "of the relevance vanished"
expect 0 explain "$model" "$boot" -m lrp-flat,stabilizer=100 --ledger lossy.json --quiet
[ ! -s err ] || fail "$last: --quiet says $(cat err)"

# The same numbers for any number of threads.
expect 0 explain "$resnet" "$boot" --threads 1 -o t1.npy
expect 0 explain "$resnet" "$boot" --threads 3 -o t3.npy
cmp t1.npy t3.npy || fail "the number of threads changes the result"

finish
