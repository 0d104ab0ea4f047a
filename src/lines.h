/* A text cut into its lines: class names, names of tokens. */
#ifndef XAI_TOOL_LINES_H
#define XAI_TOOL_LINES_H
#include <stddef.h>

struct lines {
  char **v; /* into text */
  size_t n;
  char *text;
};

/* Of a file that must hold at least one; \r\n counts as \n. Exit code. */
int lines_read(const char *path, struct lines *out);
int lines_copy(const char *text, struct lines *out);
void lines_free(struct lines *l);
#endif
