/* External tensor data: files below one folder, each mapped once and as long as the graph lives. */
#include <string.h>

#include "onnx/message.h"

enum { MOST_FILES = 1024 };

static int find_file(xai_graph *g, const char *name, const xai__file **out, xai_error *err) {
  int n = 0;
  for (xai__external *e = g->external; e; e = e->next, n++)
    if (!strcmp(e->name, name)) {
      *out = &e->file;
      return XAI_OK;
    }
  if (n >= MOST_FILES)
    return xai__fail(err, XAI_E_LIMIT, name, "tensor data in more than %d files", MOST_FILES);
  xai__external *e = xai__arena_new(&g->arena, 1, sizeof *e, err);
  char *kept = e ? xai__arena_text(&g->arena, name, strlen(name), err) : NULL;
  if (!kept) return err->status;
  XAI__TRY(xai__file_map_beneath(g->folder, name, &e->file, err));
  e->name = kept;
  e->next = g->external;
  g->external = e;
  *out = &e->file;
  return XAI_OK;
}

int xai__onnx_external(xai_graph *g, xai__onnx_data *d, xai_error *err) {
  const xai__file *f = NULL;
  uint64_t bytes = (uint64_t)xai__onnx_data_bytes(d);
  if (!g->folder)
    return xai__fail(err, XAI_E_MODEL, d->name,
                     "tensor '%s' is in file '%s': external_dir must say in which folder", d->name,
                     d->location);
  if (d->length != UINT64_MAX && d->length != bytes)
    return xai__fail(err, XAI_E_MODEL, d->name, "tensor '%s' of shape %s takes %llu bytes, its length is %llu",
                     d->name, xai__shape_text(&d->shape).text, (unsigned long long)bytes,
                     (unsigned long long)d->length);
  static const unsigned char nothing = 0;
  d->raw = &nothing;
  if (!bytes) return XAI_OK;
  XAI__TRY(find_file(g, d->location, &f, err));
  if (d->offset > f->size || bytes > f->size - d->offset)
    return xai__fail(err, XAI_E_MODEL, d->name,
                     "tensor '%s' is at bytes %llu to %llu of file '%s', which has %zu", d->name,
                     (unsigned long long)d->offset, (unsigned long long)(d->offset + bytes),
                     d->location, f->size);
  d->raw = f->data + d->offset;
  return XAI_OK;
}
