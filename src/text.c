/* Growing texts. */
#include "text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "utf8.h"

void text_put(struct text *t, const char *bytes, size_t n) {
  if (!t->failed && n >= t->capacity - t->size) {
    size_t capacity = (t->size + n + 256) * 2;
    char *bigger = realloc(t->bytes, capacity);
    t->failed = !bigger;
    if (bigger) {
      t->bytes = bigger;
      t->capacity = capacity;
    }
  }
  if (t->failed)
    return;
  memcpy(t->bytes + t->size, bytes, n);
  t->size += n;
}

void text_add(struct text *t, const char *format, ...) {
  char bytes[1024];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(bytes, sizeof bytes, format, args);
  va_end(args);
  if (n < 0 || (size_t)n >= sizeof bytes)
    t->failed = true; /* longer texts go through the others */
  else
    text_put(t, bytes, (size_t)n);
}

static const char *entity(uint32_t code) {
  static const struct {
    char code;
    const char *name;
  } entities[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
  for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
    if (code == (unsigned char)entities[i].code)
      return entities[i].name;
  return NULL;
}

static void put_characters(struct text *t, const char *s, bool html) {
  while (*s) {
    uint32_t code;
    char bytes[4];
    s += utf8_next(s, &code);
    const char *name = html ? entity(code) : NULL;
    if (name)
      text_put(t, name, strlen(name));
    else if (code < 0x20 || (code >= 0x7f && code < 0xa0))
      text_put(t, " ", 1);
    else
      text_put(t, bytes, utf8_put(code, bytes));
  }
}

void text_plain(struct text *t, const char *utf8) { put_characters(t, utf8, false); }
void text_html(struct text *t, const char *utf8) { put_characters(t, utf8, true); }

void text_base64(struct text *t, const unsigned char *bytes, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    unsigned word = 0;
    char four[4] = {'=', '=', '=', '='};
    for (size_t k = 0; k < 3; k++)
      word = word << 8 | (i + k < n ? bytes[i + k] : 0u);
    for (size_t k = 0; k < 4 && i + k < n + 1; k++)
      four[k] = digits[word >> (18 - 6 * k) & 63];
    text_put(t, four, 4);
  }
}

char *text_finish(struct text *t) {
  text_put(t, "", 1);
  char *bytes = t->bytes;
  if (t->failed) {
    free(bytes);
    bytes = NULL;
  }
  memset(t, 0, sizeof *t);
  return bytes;
}
