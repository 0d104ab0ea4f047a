#!/usr/bin/env bash
# The README's example is docs/examples/c/explain.c; it compiles as users build it, and runs.
set -euo pipefail
example=$XAI_SOURCE/docs/examples/c/explain.c
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n '/^```c$/,/^```$/{/^```/d;p}' "$XAI_SOURCE/README.md" | diff - "$example" || {
  echo "the README's example is not docs/examples/c/explain.c"
  exit 1
}
library=$XAI_BUILD/libxai.so
[ -e "$library" ] || library="$XAI_BUILD/libxai.a -lopenblas"
${CC:-cc} -std=c11 -Wall -Wextra -Werror -I"$XAI_SOURCE/include" "$example" $library -lm -lpthread \
  -Wl,-rpath,"$XAI_BUILD" -o "$work/explain"
head -c 784 "$example" | "$work/explain" "$XAI_SOURCE/docs/examples/models/fashion-lrp.onnx" >"$work/out"
[ "$(wc -l <"$work/out")" = 28 ] || { echo "the example printed no 28 rows"; exit 1; }
! "$work/explain" /no/such/model 2>"$work/err" </dev/null || { echo "a missing model is no error"; exit 1; }
grep -q '^/no/such/model: cannot open' "$work/err" || { cat "$work/err"; exit 1; }
