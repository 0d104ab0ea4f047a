#!/usr/bin/env bash
# The ONNX backend cases of Debian's libonnx-testdata: each passes, or is listed in
# tests/onnx_skipped.txt with the reason; a listed case that passes is a failure too.
. "$(dirname "$0")/common.inc"
cases=${XAI_ONNX_CASES:-/usr/share/libonnx-testdata/data}
if [ ! -d "$cases" ]; then
  echo "libonnx-testdata is not installed: skipped"
  exit 77
fi

"$XAI" test "$cases" >all 2>err # fails as long as one case is skipped
[ -s err ] && fail "messages: $(head -1 err)"
sed -n "s,^pass  *$cases/,,p" all | sort >passed
sed -n "s,^[a-z]*  *$cases/\([^ :]*\):* .*,\1,p" all | grep -vxFf passed | sort >not_passed
sed -n '/^[^#]/s/ .*//p' "$XAI_SOURCE/tests/onnx_skipped.txt" | sort >listed

[ "$(wc -l <passed)" -ge 750 ] || fail "only $(wc -l <passed) cases passed"
for case in $(comm -23 not_passed listed); do
  fail "$(grep -F "/$case" all | head -1)"
done
for case in $(comm -13 not_passed listed); do
  fail "$case is listed in tests/onnx_skipped.txt, and passes or is gone"
done
echo "$(wc -l <passed) pass, $(wc -l <not_passed) are skipped with a reason"
finish
