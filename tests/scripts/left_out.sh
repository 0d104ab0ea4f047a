#!/usr/bin/env bash
# XAI_LRP=OFF, XAI_BLAS=OFF: the rules and LAPACK are left out, the tool says so, and the rest works.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$XAI_SOURCE/docs/examples/models/fashion-lrp.onnx
images=("$XAI_SOURCE"/docs/examples/images/*.png)

cmake -S "$XAI_SOURCE" -B "$work" -DXAI_LRP=OFF -DXAI_BLAS=OFF -DXAI_TESTS=OFF -DCMAKE_BUILD_TYPE=Debug >/dev/null
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

! readelf -d "$work/libxai.so" | grep -i blas || { echo "OpenBLAS is linked nevertheless" >&2; exit 1; }
"$xai" fit rbm "$work/gradient.npy" hidden=2 epochs=1 -o "$work/rbm.npz"
if "$xai" fit gaussian "$work/gradient.npy" -o "$work/gaussian.npz" 2>"$work/error"; then
  echo "a covariance was fitted without LAPACK" >&2
  exit 1
fi
cat "$work/error"
grep -q 'XAI_BLAS' "$work/error"
