#!/usr/bin/env bash
# Other people's projects: installs the build, moves it, and builds and runs what links with it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$XAI_SOURCE/docs/examples/models/fashion-lrp.onnx

run_all() { # FOLDER
  local program
  for program in c-shared c-static cpp-shared cpp-static; do
    "$1/$program" "$model" >"$work/said"
    grep -q '^libxai .*: .*gradient' "$work/said"
    ! "$1/$program" "$work/no-such-file" >/dev/null 2>&1 || exit 1
  done
}

cmake --install "$XAI_BUILD" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix"
"$work/prefix/bin/xai" --version
cp -R "$XAI_SOURCE/tests/consumers" "$work/consumers"

echo "find_package"
cmake -S "$work/consumers/find-package" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build" >/dev/null
run_all "$work/build"

echo "pkg-config"
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name xai.pc)")
export PKG_CONFIG_PATH
make -s -C "$work/consumers/pkg-config"
run_all "$work/consumers/pkg-config"
