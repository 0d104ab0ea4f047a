/* JSON out. printf's numbers have a '.' because the tool never calls setlocale. */
#include "json.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "say.h"
#include "utf8.h"

static void put(struct json *j, const char *bytes, size_t n) {
  if (j->failed)
    return;
  if (n >= j->capacity - j->size) {
    size_t capacity = (j->size + n + 256) * 2;
    char *text = realloc(j->text, capacity);
    if (!text) {
      j->failed = true;
      return;
    }
    j->text = text;
    j->capacity = capacity;
  }
  memcpy(j->text + j->size, bytes, n);
  j->size += n;
}

static void puts_(struct json *j, const char *s) { put(j, s, strlen(s)); }

static void quoted(struct json *j, const char *text) {
  put(j, "\"", 1);
  while (*text) {
    uint32_t code;
    char bytes[8];
    size_t read = utf8_next(text, &code), n;
    if (code == '"' || code == '\\') {
      bytes[0] = '\\';
      bytes[1] = (char)code;
      n = 2;
    } else if (code < 0x20 || code == 0x7f) {
      n = (size_t)snprintf(bytes, sizeof bytes, "\\u%04x", (unsigned)code);
    } else {
      n = utf8_put(code, bytes);
    }
    put(j, bytes, n);
    text += read;
  }
  put(j, "\"", 1);
}

/* Everything before a value: comma, line, key. */
static void lead(struct json *j, const char *key) {
  if (j->filled)
    put(j, ",", 1);
  if (j->flat) {
    if (j->filled)
      put(j, " ", 1);
  } else if (j->depth) {
    put(j, "\n", 1);
    for (int i = 0; i < j->depth; i++)
      put(j, "  ", 2);
  }
  if (key) {
    quoted(j, key);
    put(j, ": ", 2);
  }
  j->filled = true;
}

static void open_(struct json *j, const char *key, const char *bracket, bool flat) {
  lead(j, key);
  puts_(j, bracket);
  j->depth++;
  if (flat || j->flat)
    j->flat++;
  j->filled = false;
}

static void close_(struct json *j, const char *bracket) {
  j->depth--;
  if (j->flat) {
    j->flat--;
  } else if (j->filled) {
    put(j, "\n", 1);
    for (int i = 0; i < j->depth; i++)
      put(j, "  ", 2);
  }
  puts_(j, bracket);
  j->filled = true;
}

void json_begin(struct json *j) { memset(j, 0, sizeof *j); }
void json_open_object(struct json *j, const char *key) { open_(j, key, "{", false); }
void json_close_object(struct json *j) { close_(j, "}"); }
void json_open_array(struct json *j, const char *key) { open_(j, key, "[", false); }
void json_close_array(struct json *j) { close_(j, "]"); }

void json_open_line(struct json *j, const char *key, char bracket) {
  open_(j, key, bracket == '{' ? "{" : "[", true);
}

void json_close_line(struct json *j, char bracket) { close_(j, bracket == '}' ? "}" : "]"); }

void json_text(struct json *j, const char *key, const char *value) {
  lead(j, key);
  if (value)
    quoted(j, value);
  else
    puts_(j, "null");
}

void json_number(struct json *j, const char *key, double value) {
  char text[40];
  snprintf(text, sizeof text, "%.9g", value);
  lead(j, key);
  puts_(j, isfinite(value) ? text : "null");
}

void json_integer(struct json *j, const char *key, int64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%" PRId64, value);
  lead(j, key);
  puts_(j, text);
}

void json_boolean(struct json *j, const char *key, bool value) {
  lead(j, key);
  puts_(j, value ? "true" : "false");
}

void json_shape(struct json *j, const char *key, int rank, const int64_t *shape) {
  json_open_line(j, key, '[');
  for (int i = 0; i < rank; i++) {
    if (shape[i] < 0)
      json_text(j, NULL, NULL);
    else
      json_integer(j, NULL, shape[i]);
  }
  json_close_line(j, ']');
}

char *json_finish(struct json *j) {
  put(j, "\n", 2); /* and the NUL */
  if (j->failed) {
    json_discard(j);
    return NULL;
  }
  char *text = j->text;
  json_begin(j);
  return text;
}

int json_print(char *text) {
  if (!text)
    return say_no_memory();
  fputs(text, stdout);
  free(text);
  return EXIT_FINE;
}

void json_discard(struct json *j) {
  free(j->text);
  json_begin(j);
}
