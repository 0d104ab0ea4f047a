#!/usr/bin/env bash
# Every docs/examples/c/*.c compiles without a warning as users build it, and runs on a demo model.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$XAI_SOURCE/docs/examples/models/fashion-lrp.onnx
library=$XAI_BUILD/libxai.so
[ -e "$library" ] || library="$XAI_BUILD/libxai.a -lopenblas"

for example in "$XAI_SOURCE"/docs/examples/c/*.c; do
  name=$(basename "$example" .c)
  echo "$name"
  ${CC:-cc} -std=c11 -Wall -Wextra -Werror -I"$XAI_SOURCE/include" "$example" $library -lm -lpthread \
    -Wl,-rpath,"$XAI_BUILD" -o "$work/$name"
  "$work/$name" "$model" </dev/null >"$work/$name.out"
  if "$work/$name" /no/such/model </dev/null >/dev/null 2>"$work/err"; then
    echo "a missing model is no error"
    exit 1
  fi
  grep -q 'cannot open' "$work/err" || { cat "$work/err"; exit 1; }
done

expect() { # NAME PATTERN
  grep -qE "$2" "$work/$1.out" || { echo "$1 does not say '$2':"; cat "$work/$1.out"; exit 1; }
}
expect tasks '^item 0, place 3: class [0-9], f '
expect tasks '^node/15: Gemm.fc2.logits.1,10.linear.epsilon epsilon='
expect embedding '^stopped: cancelled$'
expect embedding '^held at the end: 0 bytes$'
