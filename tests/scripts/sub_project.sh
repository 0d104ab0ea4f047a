#!/usr/bin/env bash
# libxai inside another build: it links, and says, tests and installs nothing of its own.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$XAI_SOURCE/docs/examples/models/fashion-lrp.onnx

cmake -S "$XAI_SOURCE/tests/consumers/sub-project" -B "$work" -DXAI_SOURCE="$XAI_SOURCE" \
  -DCMAKE_BUILD_TYPE=Debug >"$work/said"
cmake --build "$work" --parallel 2 >/dev/null
"$work/c-static" "$model"

fail() { echo "as a sub-project, libxai $1" >&2; exit 1; }
! grep -v '^-- \(The C compiler\|Detecting C\|Check for working C\|Configuring\|Generating\|Build files\)' "$work/said" ||
  fail "prints messages"
[ ! -e "$work/CTestTestfile.cmake" ] || fail "adds tests"
[ -z "$(cmake --install "$work" --prefix "$work/prefix" | grep -v '^-- Install configuration')" ] ||
  fail "installs files"
! grep -q '^BUILD_SHARED_LIBS' "$work/CMakeCache.txt" || fail "sets BUILD_SHARED_LIBS for its parent"
