/* Lines of text. */
#include "lines.h"
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "say.h"

/* Cuts out->text, which may be NULL for want of memory. */
static int cut(struct lines *out) {
  size_t most = 1;
  for (const char *p = out->text; p && *p; p++)
    most += *p == '\n';
  out->v = out->text ? malloc(most * sizeof *out->v) : NULL;
  if (!out->v)
    return say_no_memory();
  for (char *p = out->text; *p;) {
    size_t n = strcspn(p, "\n");
    char *next = p + n + (p[n] == '\n');
    p[n] = 0;
    if (n && p[n - 1] == '\r')
      p[n - 1] = 0;
    out->v[out->n++] = p;
    p = next;
  }
  return EXIT_FINE;
}

int lines_copy(const char *text, struct lines *out) {
  *out = (struct lines){.text = strdup(text)};
  return cut(out);
}

int lines_read(const char *path, struct lines *out) {
  char err[256];
  size_t size;
  unsigned char *bytes;
  memset(out, 0, sizeof *out);
  if (file_read(path, 0, &bytes, &size, err))
    return say(EXIT_INPUT, "%s", err);
  out->text = realloc(bytes, size + 1);
  if (!out->text)
    free(bytes);
  else
    out->text[size] = 0;
  if (out->text && strlen(out->text) != size)
    return say(EXIT_INPUT, "%s: labels are text", path);
  int code = cut(out);
  return code || out->n ? code : say(EXIT_INPUT, "%s: holds no label", path);
}

void lines_free(struct lines *l) {
  free(l->v);
  free(l->text);
  memset(l, 0, sizeof *l);
}
