# docs/examples/prototypes: all ten classes are reached under every prior, and an expert who saw other
# pictures finds the prototypes of experts and of the code space likelier than those of l2.
. "${0%/*}/common.inc"
export XAI

if ! bash "$examples/prototypes/figures.sh" figures priors >log 2>&1; then
  grep -q 'without BLAS' log && echo "no BLAS: no low-rank Gaussian" && exit 77
  fail "figures.sh: $(tail -3 log)"
fi
for row in l2 mean gaussian rbm conv-rbm code; do
  count "figures/priors/$row.json" 10 '"probability": (0\.99|1)'
  eval "judge_$(echo $row | tr -d -)=$(sed -n 's/.*"judge", "logp": \([-0-9.e+]*\).*/\1/p' "figures/priors/$row.json" |
    awk '{ s += $1 } END { print s / NR }')"
done
likelier() { # ROW: than l2
  awk -v a="$1" -v b="$judge_l2" 'BEGIN { exit !(a > b) }' || fail "the judge gives $2 $1, l2 $judge_l2"
}
likelier "$judge_gaussian" gaussian
likelier "$judge_rbm" rbm
likelier "$judge_convrbm" conv-rbm
likelier "$judge_code" code

# 200 steps of one ascent take less than 2 s on two threads.
start=$(date +%s%N)
expect 0 prototype "$model" -t 3 --threads 2 --steps 200 -o one.npy
took=$((($(date +%s%N) - start) / 1000000))
[ $took -lt 2000 ] || fail "$last: took $took ms"
[ -s figures/priors.png ] || fail "no priors.png"
finish
