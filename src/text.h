/* A text that grows. Failure (memory) is sticky and shows in text_finish. Zeroed, it is empty. */
#ifndef XAI_TOOL_TEXT_H
#define XAI_TOOL_TEXT_H
#include <stdbool.h>
#include <stddef.h>

struct text {
  char *bytes;
  size_t size, capacity;
  bool failed;
};

void text_put(struct text *t, const char *bytes, size_t n);
void text_add(struct text *t, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
/* UTF-8 of a file: what is malformed becomes U+FFFD, control characters become blanks. */
void text_plain(struct text *t, const char *utf8);
/* The same for HTML, in text and in quotes: & < > " ' are escaped. */
void text_html(struct text *t, const char *utf8);
/* RFC 4648, in one line. */
void text_base64(struct text *t, const unsigned char *bytes, size_t n);
/* Ended by NUL, freed with free(); NULL when memory ran out. t is empty again. */
char *text_finish(struct text *t);
#endif
