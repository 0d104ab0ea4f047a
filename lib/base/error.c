/* Errors, statuses and their texts. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(xai_error) == 512, "xai_error is frozen at 512 bytes");

/* Copies text, ending at a UTF-8 boundary; bytes that are no UTF-8 and control bytes become '?'. */
static void copy_text(char *to, size_t size, const char *from) {
  const unsigned char *s = (const unsigned char *)from;
  size_t n = 0;
  while (*s) {
    size_t length = *s < 0x80 ? 1 : *s >= 0xC2 && *s < 0xE0 ? 2 : (*s & 0xF0) == 0xE0 ? 3
                    : *s >= 0xF0 && *s < 0xF5 ? 4 : 0;
    for (size_t i = 1; i < length; i++)
      if ((s[i] & 0xC0) != 0x80) length = 0;
    bool plain = length > 1 || (length == 1 && *s >= 0x20 && *s != 0x7F);
    if (n + (plain ? length : 1) >= size) break;
    if (plain) {
      memcpy(to + n, s, length);
      n += length;
      s += length;
    } else {
      to[n++] = '?';
      s++;
    }
  }
  to[n] = 0;
}

int xai__fail(xai_error *err, int status, const char *where, const char *format, ...) {
  if (!err) return status;
  memset(err, 0, sizeof *err);
  err->status = status;
  err->node = -1;
  copy_text(err->where, sizeof err->where, where ? where : "");
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  copy_text(err->text, sizeof err->text, text);
  return status;
}

void xai__fail_at_node(xai_error *err, int node, const char *where) {
  if (!err || err->node >= 0) return;
  err->node = node;
  if (!err->where[0] && where) copy_text(err->where, sizeof err->where, where);
}
