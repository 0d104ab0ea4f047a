# Completeness on the shipped networks: integrated gradients and DeepLIFT add up to f(x) - f(x0), and
# without biases so does relevance to f(x).
. "${0%/*}/common.inc"

# gaps METHOD MODEL LIMIT KEY: |KEY| (or |f - sum|) over |f| of every picture.
gaps() {
  expect 0 explain "$2" "$images" -m "$1" -q --json
  awk -v method="$1 ${2##*/}" -v limit="$3" -v key="\"$4\":" '
    $1 == "\"f\":" { f = $2 + 0 }
    $1 == "\"sum\":" && key == "\"sum\":" && f { d = f - $2; n++; if (d / f > limit || -d / f > limit) bad++ }
    $1 == key && key != "\"sum\":" { n++; if ($2 / f > limit || -$2 / f > limit) bad++ }
    END { if (n < 20 || bad) { print method ": " n " pictures, " bad + 0 " beyond " limit; exit 1 } }' out ||
    fail "$1 of ${2##*/} does not add up"
}

for m in "$model" "$resnet"; do
  gaps integrated-gradients "$m" 1e-3 gap
  gaps deeplift-rescale "$m" 1e-4 gap
  gaps deeplift-revealcancel "$m" 1e-4 gap
done
if "$XAI" methods | grep -q '^lrp-0 '; then
  for method in gradient-x-input lrp-0 lrp-z-plus lrp-gamma epsilon-plus deep-taylor,low=0,high=1; do
    gaps "$method" "$model" 1e-4 sum
  done
fi
finish
