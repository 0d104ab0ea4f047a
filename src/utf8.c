/* UTF-8, one character at a time. */
#include "utf8.h"

size_t utf8_next(const char *s, uint32_t *code) {
  static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
  unsigned char c = (unsigned char)s[0];
  if (c < 0x80) {
    *code = c;
    return c != 0;
  }
  size_t n = c >= 0xf0 && c < 0xf8 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc0 && c < 0xe0 ? 2 : 0;
  *code = 0xfffd;
  if (n == 0) return 1;
  uint32_t value = c & (0x7fu >> n);
  for (size_t i = 1; i < n; i++) {
    unsigned char d = (unsigned char)s[i];
    if ((d & 0xc0) != 0x80) return i;
    value = value << 6 | (d & 0x3fu);
  }
  if (value >= least[n] && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff)) *code = value;
  return n;
}

size_t utf8_put(uint32_t code, char out[4]) {
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) code = 0xfffd;
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = n - 1; i > 0; i--) {
    out[i] = (char)(0x80 | (code & 0x3f));
    code >>= 6;
  }
  out[0] = (char)((0xf00u >> n & 0xf0u) | code);
  return n;
}
