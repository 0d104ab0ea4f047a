#!/usr/bin/env bash
# A file of lib/ includes its own room and lower floors only (docs/DESIGN.md).
set -euo pipefail
cd "$XAI_SOURCE/lib"
declare -A floor=([base]=0 [tensor]=1 [engine]=2 [op]=3 [graph]=4 [onnx]=5 [exec]=5 [rule]=6
                  [prior]=6 [explain]=7 [evaluate]=7 [api]=8)
failed=0
while IFS='":' read -r file line _ header _; do
  from=${file%%/*} to=${header%%/*}
  [ "$to" != "$header" ] || to=$from # a neighbour, without its room
  if [ "$from" != "$to" ] && ! ((${floor[$to]:-99} < ${floor[$from]:--1})); then
    echo "lib/$file:$line: $from may not include $header" >&2
    failed=1
  fi
done < <(grep -rn '^ *# *include *"' .  | sed 's|^\./||')
exit $failed
