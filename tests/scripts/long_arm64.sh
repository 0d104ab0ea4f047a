#!/usr/bin/env bash
# The library cross-built for arm64 (NEON kernels) explains as the native one does, under qemu.
set -euo pipefail
if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
  echo "no arm64 cross compiler or no qemu-aarch64: skipped"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$XAI_SOURCE"
flags="-std=c11 -O2 -ffp-contract=off -DXAI_BUILDING -DXAI_STATIC -DXAI_LRP=1 -DXAI_BLAS=0 -Wall -Wextra -Wconversion -Wshadow
-Werror -Ilib -Iinclude"
for source in lib/*/*.c; do
  case $source in *_avx2.c | *_avx512.c) continue ;; esac
  aarch64-linux-gnu-gcc $flags -c "$source" -o "$work/$(echo "$source" | tr / _).o"
done
aarch64-linux-gnu-gcc $flags -static docs/examples/c/explain.c "$work"/*.o -lm -lpthread -o "$work/arm64"
library=$XAI_BUILD/libxai.so
[ -e "$library" ] || library="$XAI_BUILD/libxai.a -lopenblas"
${CC:-cc} -std=c11 -Iinclude docs/examples/c/explain.c $library -lm -lpthread -Wl,-rpath,"$XAI_BUILD" \
  -o "$work/native"
for model in docs/examples/models/fashion-{lrp,resnet}.onnx; do
  head -c 784 README.md >"$work/picture"
  qemu-aarch64 "$work/arm64" "$model" <"$work/picture" | tr -s ' ' '\n' | grep . >"$work/a"
  "$work/native" "$model" <"$work/picture" | tr -s ' ' '\n' | grep . >"$work/b"
  paste "$work/a" "$work/b" | awk -v model="$model" '
    { d = $1 - $2; if (d < 0) d = -d; if (d > most) most = d }
    END { if (NR != 784 || most > 5e-5) { print model ": " NR " numbers, " most " apart"; exit 1 } }'
done
