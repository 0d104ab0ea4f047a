/* A JSON writer [RFC 8259] into memory: UTF-8, indented, the locale does not matter.
 *
 * Inside an object every value has a key, inside an array key is NULL. Text that is not UTF-8 is
 * mended with U+FFFD; a number that is not finite becomes null. Failure (memory) is sticky and
 * shows in json_finish. */
#ifndef XAI_TOOL_JSON_H
#define XAI_TOOL_JSON_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
  char *text;
  size_t size, capacity;
  int depth;
  int flat;    /* > 0: inside an array or object written on one line */
  bool filled; /* the innermost has an element already */
  bool failed;
};

void json_begin(struct json *j);
void json_open_object(struct json *j, const char *key);
void json_close_object(struct json *j);
void json_open_array(struct json *j, const char *key);
void json_close_array(struct json *j);
/* What is opened next, up to its close, stands on one line. */
void json_open_line(struct json *j, const char *key, char bracket);
void json_close_line(struct json *j, char bracket);
void json_text(struct json *j, const char *key, const char *value); /* NULL: null */
void json_number(struct json *j, const char *key, double value);    /* 9 digits: float32 exact */
void json_integer(struct json *j, const char *key, int64_t value);
void json_boolean(struct json *j, const char *key, bool value);
void json_shape(struct json *j, const char *key, int rank, const int64_t *shape);
/* The text with a final newline, freed with free(); NULL when memory ran out. */
char *json_finish(struct json *j);
/* Prints such a text on standard output and frees it. Exit code. */
int json_print(char *text);
void json_discard(struct json *j);
#endif
