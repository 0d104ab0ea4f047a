#!/usr/bin/env bash
# The documentation names what there is: links lead somewhere, the manual has every option, METHODS
# every method, rule and parameter.
set -euo pipefail
cd "$XAI_SOURCE"
failed=0
complain() { echo "$*" >&2; failed=1; }

headings() { # as anchors: small letters, dashes for blanks, no punctuation
  sed -n 's/^##* //p' "$1" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-'
}
while IFS=: read -r page link; do
  link=${link#](} file=${link%%#*} anchor=
  case $link in http*) continue ;; *'#'*) anchor=${link#*#} ;; esac
  target=$page
  [ -z "$file" ] || target=$(dirname "$page")/$file
  if [ ! -e "$target" ]; then
    complain "$page: no $file"
  elif [ -n "$anchor" ] && ! grep -qxF -- "$anchor" <<<"$(headings "$target")"; then
    complain "$page: no heading for $link"
  fi
done < <(grep -oE ']\([^) ]+' README.md CONTRIBUTING.md docs/*.md)

for page in docs/man/*.1; do
  said=$(! command -v groff >/dev/null || groff -ww -man -Tutf8 "$page" 2>&1 >/dev/null)
  [ -z "$said" ] || complain "$page: $said"
done

[ -x "$XAI" ] || exit $failed
for command in info run explain prototype fit sheet test; do
  manual=$(cat docs/man/xai.1 docs/man/xai-$command.1 | tr -d '\\')
  help=$("$XAI" $command --help)
  for option in $(grep -oE '^ +(-., )?--[a-z-]+' <<<"$help" | grep -oE -- '--[a-z-]+'); do
    grep -q -- "$option" <<<"$manual" || complain "xai-$command(1) lacks $option"
  done
done
catalog=$("$XAI" methods && "$XAI" rules)
for name in $(tr -s ' ' '\n' <<<"$catalog" | sed 's/=.*//' | sort -u); do
  grep -q "\`$name[\`=]" docs/METHODS.md || complain "METHODS.md lacks $name"
done
exit $failed
