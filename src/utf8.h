/* UTF-8, one character at a time. */
#ifndef XAI_TOOL_UTF8_H
#define XAI_TOOL_UTF8_H
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at s, at least 1; *code is U+FFFD where s is malformed. Never reads past
 * the NUL. At the NUL itself: 0 and *code = 0. */
size_t utf8_next(const char *s, uint32_t *code);

/* Writes 1 to 4 bytes, no NUL; surrogates and codes past U+10FFFF are written as U+FFFD. */
size_t utf8_put(uint32_t code, char out[4]);
#endif
