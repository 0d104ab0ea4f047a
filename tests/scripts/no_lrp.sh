#!/usr/bin/env bash
# XAI_LRP=OFF: the rules are left out, the tool says so, and the gradient methods still work.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$XAI_SOURCE/docs/examples/models/fashion-lrp.onnx
images=("$XAI_SOURCE"/docs/examples/images/*.png)

cmake -S "$XAI_SOURCE" -B "$work" -DXAI_LRP=OFF -DXAI_TESTS=OFF -DCMAKE_BUILD_TYPE=Debug >/dev/null
cmake --build "$work" --parallel 2 >/dev/null
xai=$work/xai

"$xai" explain "$model" "${images[0]}" --method gradient -o "$work/gradient.npy"
[ -s "$work/gradient.npy" ]
if "$xai" explain "$model" "${images[0]}" --method lrp-epsilon -o "$work/lrp.npy" 2>"$work/error"; then
  echo "lrp-epsilon works without the rules" >&2
  exit 1
fi
cat "$work/error"
grep -qiE 'this build .*(LRP|relevance propagation)' "$work/error"
