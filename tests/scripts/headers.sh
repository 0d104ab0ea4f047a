#!/usr/bin/env bash
# Each public header compiles by itself, as C and as C++, without a warning.
set -euo pipefail
cd "$XAI_SOURCE/include"
warnings="-pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -fsyntax-only -I."
for header in xai/*.h; do
  program="#include <$header>
int main(void) { return 0; }"
  ${CC:-cc} -std=c11 $warnings -Wstrict-prototypes -x c - <<<"$program"
  for standard in c++11 c++17; do
    ${CXX:-c++} -std=$standard $warnings -x c++ - <<<"$program"
  done
done
