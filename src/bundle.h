/* A list of named arrays and texts: what an .npz holds, what a library result holds.
 *
 * Prototypes and density experts travel as bundles between the library, files and pictures. */
#ifndef XAI_TOOL_BUNDLE_H
#define XAI_TOOL_BUNDLE_H
#include <xai/xai.h>
#include "npy.h"

struct bundle {
  char **names;
  struct npy_array *v; /* owned; a text is an array of NPY_TEXT */
  size_t n;
};

int bundle_read(const char *path, struct bundle *out);
/* Copies all that the result has. */
int bundle_of_result(const xai_result *r, struct bundle *out);
int bundle_add_text(struct bundle *b, const char *name, const char *text);
void bundle_free(struct bundle *b);

const struct npy_array *bundle_find(const struct bundle *b, const char *name); /* NULL: none */
const char *bundle_text(const struct bundle *b, const char *name);             /* NULL: none */

int bundle_write(const struct bundle *b, const char *path);
#endif
