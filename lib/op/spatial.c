#include "op/spatial.h"
#include <string.h>

int64_t xai__spatial_extent(const xai__spatial *w, int axis) {
  return (w->kernel[axis] - 1) * w->dilation[axis] + 1;
}

static int bad(const xai__call *c, const char *what, int64_t v, int64_t low) {
  return xai__fail(c->err, XAI_E_MODEL, c->node->name, "%s is %lld, must be between %lld and 2^30",
                   what, (long long)v, (long long)low);
}

/* list -> dst[3 - axes ...], or `preset` where the list is absent; every value at least low. */
static int read_list(const xai__call *c, const char *what, xai__ints list, int axes, int64_t preset,
                     int64_t low, int64_t *dst) {
  if (list.n != 0 && list.n != axes)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "%s has %d values for %d spatial axes",
                     what, list.n, axes);
  for (int i = 0; i < axes; i++) {
    int64_t v = list.n ? list.v[i] : preset;
    if (v < low || v > XAI__SPATIAL_MAX) return bad(c, what, v, low);
    dst[3 - axes + i] = v;
  }
  return XAI_OK;
}

static bool explicit_pads(const xai__spatial_attr *a) {
  return !a->auto_pad || !*a->auto_pad || !strcmp(a->auto_pad, "NOTSET");
}

static int read_pads(const xai__call *c, const xai__spatial_attr *a, xai__spatial *w) {
  static const char *const known[] = {"SAME_UPPER", "SAME_LOWER", "VALID"};
  if (!explicit_pads(a)) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
      if (!strcmp(a->auto_pad, known[i])) return XAI_OK;
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "auto_pad '%s' is unknown", a->auto_pad);
  }
  xai__ints begin = {a->pads.n ? w->axes : 0, a->pads.v}, end = begin;
  if (a->pads.n && a->pads.n != 2 * w->axes)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "pads has %d values for %d spatial axes",
                     a->pads.n, w->axes);
  if (a->pads.n) end.v += w->axes;
  XAI__TRY(read_list(c, "pads", begin, w->axes, 0, 0, w->pad));
  return read_list(c, "pads", end, w->axes, 0, 0, w->pad_end);
}

int xai__spatial_read(const xai__call *c, const xai__spatial_attr *a, const int64_t *kernel,
                     xai__spatial *w) {
  XAI__TRY(xai__need_rank(c, 0, 3, 5));
  const xai__shape *x = &c->in[0].shape;
  *w = (xai__spatial){.axes = x->rank - 2};
  for (int i = 0; i < 3; i++)
    w->in[i] = w->out[i] = w->kernel[i] = w->stride[i] = w->dilation[i] = 1;
  if (x->d[0] < 1) return bad(c, "the batch axis", x->d[0], 1);
  xai__ints sizes = {w->axes, x->d + 2}, weight = {w->axes, kernel};
  XAI__TRY(read_list(c, "a spatial axis of the input", sizes, w->axes, 1, 1, w->in));
  XAI__TRY(read_list(c, "kernel_shape", kernel ? weight : a->kernel_shape, w->axes, 1, 1,
                     w->kernel));
  for (int i = 0; kernel && a->kernel_shape.n && i < w->axes; i++)
    if (a->kernel_shape.n != w->axes || a->kernel_shape.v[i] != kernel[i])
      return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                       "kernel_shape disagrees with the weight's shape");
  XAI__TRY(read_list(c, "strides", a->strides, w->axes, 1, 1, w->stride));
  XAI__TRY(read_list(c, "dilations", a->dilations, w->axes, 1, 1, w->dilation));
  return read_pads(c, a, w);
}

void xai__spatial_split(const xai__spatial_attr *a, int64_t total, int64_t *begin, int64_t *end) {
  int64_t small = total / 2;
  bool upper = a->auto_pad && !strcmp(a->auto_pad, "SAME_UPPER");
  *begin = upper ? small : total - small;
  *end = total - *begin;
}

/* Number of windows. In ceil mode the last one may reach over the end, but must not start there. */
static int64_t windows(const xai__spatial *w, int i, bool ceil_mode) {
  int64_t room = w->in[i] + w->pad[i] + w->pad_end[i] - xai__spatial_extent(w, i);
  if (room < 0) return 0;
  int64_t n = (ceil_mode ? room + w->stride[i] - 1 : room) / w->stride[i] + 1;
  if (ceil_mode && (n - 1) * w->stride[i] >= w->in[i] + w->pad[i]) n--;
  return n;
}

int xai__spatial_resolve(const xai__call *c, const xai__spatial_attr *a, const int64_t *kernel,
                        bool ceil_mode, xai__spatial *w) {
  XAI__TRY(xai__spatial_read(c, a, kernel, w));
  bool same = !explicit_pads(a) && a->auto_pad[0] == 'S';
  for (int i = 3 - w->axes; i < 3; i++) {
    if (same) {
      w->out[i] = (w->in[i] + w->stride[i] - 1) / w->stride[i];
      int64_t total = (w->out[i] - 1) * w->stride[i] + xai__spatial_extent(w, i) - w->in[i];
      xai__spatial_split(a, total > 0 ? total : 0, &w->pad[i], &w->pad_end[i]);
    } else {
      w->out[i] = windows(w, i, ceil_mode && explicit_pads(a));
    }
    if (w->out[i] <= 0)
      return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                       "a window of %lld does not fit into %lld elements",
                       (long long)xai__spatial_extent(w, i),
                       (long long)(w->in[i] + w->pad[i] + w->pad_end[i]));
  }
  return XAI_OK;
}

void xai__spatial_product(const xai__spatial *w, xai__product *p) {
  for (int i = 0; i < 3; i++) {
    p->in[i] = w->in[i];
    p->out[i] = w->out[i];
    p->kernel[i] = w->kernel[i];
    p->stride[i] = w->stride[i];
    p->dilation[i] = w->dilation[i];
    p->pad[i] = w->pad[i];
  }
}

void xai__spatial_shape(const xai__spatial *w, int64_t n, int64_t channels, xai__shape *out) {
  *out = (xai__shape){w->axes + 2, {n, channels}};
  for (int i = 0; i < w->axes; i++) out->d[2 + i] = w->out[3 - w->axes + i];
}
