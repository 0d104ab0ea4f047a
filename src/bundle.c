/* Bundles. */
#include "bundle.h"
#include <stdlib.h>
#include <string.h>
#include "array.h"
#include "npz.h"
#include "say.h"

/* Takes the array, whatever it returns. */
static int take(struct bundle *b, const char *name, struct npy_array *a) {
  char **names = realloc(b->names, (b->n + 1) * sizeof *names);
  if (names)
    b->names = names;
  struct npy_array *v = names ? realloc(b->v, (b->n + 1) * sizeof *v) : NULL;
  if (v)
    b->v = v;
  char *copy = v ? strdup(name) : NULL;
  if (!copy) {
    npy_free(a);
    return say_no_memory();
  }
  b->names[b->n] = copy;
  b->v[b->n++] = *a;
  return EXIT_FINE;
}

int bundle_read(const char *path, struct bundle *out) {
  char err[256];
  struct npz *z;
  memset(out, 0, sizeof *out);
  if (npz_open(path, &z, err))
    return say(EXIT_INPUT, "%s", err);
  int code = EXIT_FINE;
  for (size_t i = 0; i < npz_count(z) && !code; i++) {
    struct npy_array a;
    if (npz_get_at(z, i, &a, err))
      code = say(EXIT_INPUT, "%s", err);
    else
      code = take(out, npz_name(z, i), &a);
  }
  npz_close(z);
  return code;
}

int bundle_add_text(struct bundle *b, const char *name, const char *text) {
  struct npy_array a;
  memset(&a, 0, sizeof a);
  a.type = NPY_TEXT;
  a.count = 1;
  a.bytes = strlen(text);
  a.data = strdup(text);
  return a.data ? take(b, name, &a) : say_no_memory();
}

static int add_tensor(struct bundle *b, const char *name, const xai_tensor *t) {
  struct npy_array from, copy;
  char err[256];
  int owned, code = array_of_tensor(t, &from, &owned);
  if (code)
    return code;
  if (npy_alloc(from.type, from.rank, from.shape, name, &copy, err)) {
    code = say(EXIT_LIMIT, "%s", err);
  } else {
    if (from.bytes)
      memcpy(copy.data, from.data, from.bytes);
    code = take(b, name, &copy);
  }
  if (owned)
    npy_free(&from);
  return code;
}

int bundle_of_result(const xai_result *r, struct bundle *out) {
  const char *name, *text;
  const xai_tensor *t;
  int code = EXIT_FINE;
  memset(out, 0, sizeof *out);
  for (size_t i = 0; !code && !xai_result_get(r, i, &name, &t, &text); i++)
    code = t ? add_tensor(out, name, t) : bundle_add_text(out, name, text);
  return code;
}

void bundle_free(struct bundle *b) {
  for (size_t i = 0; i < b->n; i++) {
    free(b->names[i]);
    npy_free(&b->v[i]);
  }
  free(b->names);
  free(b->v);
  memset(b, 0, sizeof *b);
}

const struct npy_array *bundle_find(const struct bundle *b, const char *name) {
  for (size_t i = 0; i < b->n; i++) {
    if (!strcmp(b->names[i], name))
      return &b->v[i];
  }
  return NULL;
}

const char *bundle_text(const struct bundle *b, const char *name) {
  const struct npy_array *a = bundle_find(b, name);
  return a && a->type == NPY_TEXT ? a->data : NULL;
}

int bundle_write(const struct bundle *b, const char *path) {
  char err[256];
  struct npz_writer *w;
  if (npz_create(path, 1, &w, err))
    return say(EXIT_LATER, "%s", err);
  for (size_t i = 0; i < b->n; i++) {
    if (npz_add(w, b->names[i], &b->v[i], err)) {
      npz_abandon(w);
      return say(EXIT_LATER, "%s", err);
    }
  }
  return npz_finish(w, err) ? say(EXIT_LATER, "%s", err) : EXIT_FINE;
}
