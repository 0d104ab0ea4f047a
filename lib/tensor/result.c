/* The public result. */
#include "tensor/result.h"

#include <stdio.h>
#include <string.h>

typedef struct entry {
  const char *name, *text;
  xai_tensor *tensor;
} entry;

struct xai_result {
  xai__memory *memory; /* a borrowed allocator: blocks outlive its owner */
  xai__arena arena;
  entry *entries;
  size_t n, room;
};

int xai__result_create(xai__memory *m, xai_result **out, xai_error *err) {
  xai_result *r = xai__new(m, 1, sizeof *r, err);
  if (!r) return err->status;
  r->memory = r->arena.memory = m;
  *out = r;
  return XAI_OK;
}

static int add(xai_result *r, const char *prefix, const char *name, entry e, xai_error *err) {
  if (r->n == r->room) {
    size_t room = r->room ? 2 * r->room : 16;
    entry *bigger = xai__new(r->memory, room, sizeof *bigger, err);
    if (!bigger) return err->status;
    if (r->n) memcpy(bigger, r->entries, r->n * sizeof *bigger);
    xai__free(r->entries);
    r->entries = bigger;
    r->room = room;
  }
  size_t size = strlen(prefix) + (name ? strlen(name) + 1 : 0) + 1;
  char *full = xai__arena_new(&r->arena, size, 1, err);
  if (!full) return err->status;
  snprintf(full, size, "%s%s%s", prefix, name ? "/" : "", name ? name : "");
  e.name = full;
  r->entries[r->n++] = e;
  return XAI_OK;
}

int xai__result_tensor(xai_result *r, const char *prefix, const char *name, int dtype,
                       const xai__shape *shape, xai_tensor **t, xai_error *err) {
  XAI__TRY(xai__tensor_new(r->memory, dtype, shape, t, err));
  int status = add(r, prefix, name, (entry){NULL, NULL, *t}, err);
  if (status) xai_tensor_free(*t);
  return status;
}

int xai__result_text(xai_result *r, const char *prefix, const char *name, const char *text,
                     xai_error *err) {
  const char *copy = xai__arena_text(&r->arena, text, strlen(text), err);
  return copy ? add(r, prefix, name, (entry){NULL, copy, NULL}, err) : err->status;
}

int xai_result_get(const xai_result *r, size_t i, const char **name, const xai_tensor **t,
                   const char **text) {
  if (name) *name = NULL;
  if (t) *t = NULL;
  if (text) *text = NULL;
  if (!r) return XAI_E_ARGUMENT;
  if (i >= r->n) return 1;
  if (name) *name = r->entries[i].name;
  if (t) *t = r->entries[i].tensor;
  if (text) *text = r->entries[i].text;
  return XAI_OK;
}

const xai_tensor *xai_result_find(const xai_result *r, const char *name) {
  for (size_t i = 0; r && name && i < r->n; i++)
    if (r->entries[i].tensor && !strcmp(r->entries[i].name, name)) return r->entries[i].tensor;
  return NULL;
}

void xai_result_free(xai_result *r) {
  if (!r) return;
  for (size_t i = 0; i < r->n; i++) xai_tensor_free(r->entries[i].tensor);
  xai__free(r->entries);
  xai__arena_free(&r->arena);
  xai__free(r);
}
