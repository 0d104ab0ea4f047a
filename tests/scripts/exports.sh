#!/usr/bin/env bash
# What libxai.so shows to the linker and what it asks of it.
set -euo pipefail
library=$XAI_BUILD/libxai.so
failed=0
refuse() { # WHAT NAMES
  [ -z "$2" ] || { echo "$1:" $2 >&2; failed=1; }
}

exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub("@.*", "", $3); print $3 }')
[ -n "$exported" ] || { echo "nothing is exported" >&2; exit 1; }
refuse "exported, but not xai_noun_verb" "$(grep -v '^xai_[a-z]' <<<"$exported" || true)"
refuse "exported without a version" "$(nm -D --defined-only "$library" | grep -v 'XAI_0' || true)"

# It neither ends the process nor talks nor reads the environment nor depends on the locale, and
# keeps nothing per thread.
wanted=$(nm -D --undefined-only "$library" | awk '{ sub("@.*", "", $NF); print $NF }')
never='_?exit|quick_exit|_Exit|abort|__assert.*|raise|kill|signal|sigaction'
never+='|(__)?(v|f|vf|d|vd)?printf(_chk)?|f?put[cs]|putchar|_IO_putc|fwrite|perror|stdout|stderr'
never+='|(secure_)?getenv|setenv|setlocale|strto(d|f|ld)|atof|__isoc99_sscanf|sscanf|__tls_get_addr'
refuse "used, but never to be" "$(grep -xE "$never" <<<"$wanted" || true)"

refuse "used, but in no library" \
  "$(nm -D --undefined-only "$library" | awk '$1 == "U" && !/@| d(syrk|potrf|syev)_$/ { print $NF }')"

needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
refuse "linked, but neither libc, libm, libpthread nor OpenBLAS" \
  "$(grep -vE '^(libc|libm|libpthread|ld-linux.*|libopenblas)\.so' <<<"$needed" || true)"
soname=$(readelf -d "$library" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
[ "$soname" = libxai.so.0 ] || refuse "SONAME" "$soname"
exit $failed
