/* Pad: constant, reflect, edge or wrap; negative pads crop. Pads, value and axes are attributes
 * before opset 11, operands since.
 *
 *   y[o] = x[o - before] inside; outside: the value, or x at the index mirrored (the edge not
 *   repeated), clamped or wrapped around */
#include "op/check.h"
#include "op/loop.h"
#include <string.h>

typedef enum { CONSTANT, REFLECT, EDGE, WRAP } pad_mode;
typedef struct {
  const char *mode_name;
  xai__ints pads;
  float value;
  pad_mode mode; /* from mode_name */
} pad_attr;
static const xai__field fields[] = {
    {.name = "mode", .type = XAI__TEXT, .offset = offsetof(pad_attr, mode_name)},
    {.name = "pads", .type = XAI__INTS, .offset = offsetof(pad_attr, pads)},
    {.name = "value", .type = XAI__FLOAT, .offset = offsetof(pad_attr, value)},
    {0}};

static int check(const xai__node *node, void *attr, xai_error *err) {
  static const char *const name[] = {"constant", "reflect", "edge", "wrap"};
  pad_attr *a = attr;
  if (!a->mode_name) return XAI_OK;
  for (int k = 0; k < 4; k++) {
    a->mode = (pad_mode)k;
    if (!strcmp(a->mode_name, name[k])) return XAI_OK;
  }
  return xai__fail(err, XAI_E_MODEL, node->name, "Pad: unknown mode '%s'", a->mode_name);
}

static int get_pads(xai__call *c, int64_t *before, int64_t *after) {
  xai__ints pads = ((const pad_attr *)c->node->attr)->pads, axes = {0, NULL};
  int rank = c->in[0].shape.rank;
  bool named[XAI__MAX_RANK];
  if (c->node->opset >= 11) {
    int64_t n, n_axes;
    XAI__TRY(xai__known_ints(c, 1, "pads", &pads.v, &n));
    XAI__TRY(xai__optional_ints(c, 3, "axes", &axes.v, &n_axes));
    pads.n = n > 2 * XAI__MAX_RANK ? -1 : (int)n;
    axes.n = n_axes > rank ? -1 : (int)n_axes;
  }
  int count = axes.n ? axes.n : rank;
  if (axes.n < 0 || pads.n != 2 * count)
    return XAI__MALFORMED(c, "Pad: the number of pads is not twice that of the axes (rank %d)",
                          rank);
  XAI__TRY(xai__axes_mark(c, axes, rank, named));
  for (int i = 0; i < rank; i++) before[i] = after[i] = 0;
  for (int i = 0; i < count; i++) {
    int axis = i;
    if (axes.n) XAI__TRY(xai__axis(axes.v[i], rank, c, &axis));
    before[axis] = pads.v[i];
    after[axis] = pads.v[count + i];
  }
  return XAI_OK;
}

static bool lengthen(int64_t d, int64_t by, int64_t *out) {
  if (by >= 0) return xai__add(d, by, out);
  *out = by >= -d ? d + by : -1;
  return *out >= 0;
}

static int infer(xai__call *c) {
  const pad_attr *a = c->node->attr;
  const xai__shape *in = &c->in[0].shape;
  int64_t before[XAI__MAX_RANK], after[XAI__MAX_RANK];
  XAI__TRY(get_pads(c, before, after));
  xai__shape *s = &c->out[0].shape;
  s->rank = in->rank;
  for (int i = 0; i < in->rank; i++) {
    bool fits = lengthen(in->d[i], before[i], &s->d[i]) && after[i] >= -in->d[i] &&
                lengthen(s->d[i], after[i], &s->d[i]);
    if (!fits || (a->mode != CONSTANT && s->d[i] && !in->d[i]))
      return XAI__MALFORMED(c, "Pad: axis %d of size %lld cannot be padded by %lld and %lld", i,
                            (long long)in->d[i], (long long)before[i], (long long)after[i]);
  }
  c->out[0].dtype = c->in[0].dtype;
  if (xai__has(c, 2) && (c->in[2].dtype != c->in[0].dtype || xai__count(&c->in[2].shape) != 1))
    return XAI__MALFORMED(c, "Pad: the value must be one element of the operand's type");
  return xai__need_countable(c, s);
}

/* ---- constant: the part of x that is seen, inside a filled y ---- */

static void fill(const xai__call *c) {
  const pad_attr *a = c->node->attr;
  static const int64_t zero = 0;
  const void *value = xai__has(c, 2)             ? c->in[2].data
                      : c->in[0].dtype == XAI_F32 ? (const void *)&a->value
                                                  : (const void *)&zero;
  xai__loop l = xai__loop_over(&c->out[0].shape);
  xai__loop_add(&l, &c->out[0].shape);
  xai__loop_add(&l, &(xai__shape){0});
  xai__copy(c->engine, &l, c->out[0].dtype, c->out[0].data, value);
}

/* Streams y, x (or x, y for the adjoint) over the part of x that is seen, which begins at at_y and
 * at_x. */
static xai__loop inside(const xai__call *c, const int64_t *before, const int64_t *after,
                        bool adjoint, int64_t *at_y, int64_t *at_x) {
  xai__shape seen = c->in[0].shape;
  int64_t x[XAI__MAX_RANK], y[XAI__MAX_RANK];
  xai__strides(&c->in[0].shape, x);
  xai__strides(&c->out[0].shape, y);
  *at_x = *at_y = 0;
  for (int i = 0; i < seen.rank; i++) {
    seen.d[i] += (before[i] < 0 ? before[i] : 0) + (after[i] < 0 ? after[i] : 0);
    if (seen.d[i] < 0) seen.d[i] = 0;
    *(before[i] < 0 ? at_x : at_y) += before[i] < 0 ? -before[i] * x[i] : before[i] * y[i];
  }
  if (!xai__count(&seen)) *at_x = *at_y = 0;
  xai__loop l = xai__loop_over(&seen);
  xai__loop_add_strides(&l, adjoint ? x : y);
  xai__loop_add_strides(&l, adjoint ? y : x);
  return l;
}

/* ---- the other modes: every y is an x, found through an index per axis ---- */

typedef struct {
  const xai__call *c;
  const int64_t *before;
  int lead; /* leading axes that are not padded: they are worked on in parallel */
  const float *gout;
  float *gin; /* NULL: forward */
} mapping;

static int64_t floor_mod(int64_t v, int64_t n) { return v % n < 0 ? v % n + n : v % n; }

static int64_t mapped(pad_mode mode, int64_t i, int64_t n) {
  if (mode == EDGE) return i < 0 ? 0 : i >= n ? n - 1 : i;
  if (mode == WRAP) return floor_mod(i, n);
  if (n == 1) return 0;
  i = floor_mod(i, 2 * (n - 1));
  return i < n ? i : 2 * (n - 1) - i;
}

static void map_row(const mapping *m, int64_t y, int64_t x) {
  const xai__call *c = m->c;
  int last = c->in[0].shape.rank - 1;
  int64_t n = c->in[0].shape.d[last], width = c->out[0].shape.d[last];
  pad_mode mode = ((const pad_attr *)c->node->attr)->mode;
  for (int64_t j = 0; j < width; j++) {
    int64_t i = x + mapped(mode, j - m->before[last], n);
    if (m->gin)
      m->gin[i] += m->gout[y + j];
    else if (c->in[0].dtype == XAI_F32)
      xai__f(&c->out[0])[y + j] = xai__f(&c->in[0])[i];
    else
      xai__i(&c->out[0])[y + j] = xai__i(&c->in[0])[i];
  }
}

static void map_planes(void *ctx, int64_t begin, int64_t end) {
  const mapping *m = ctx;
  const xai__shape *in = &m->c->in[0].shape, *out = &m->c->out[0].shape;
  pad_mode mode = ((const pad_attr *)m->c->node->attr)->mode;
  int last = in->rank - 1;
  int64_t rows = xai__span(out, m->lead, last);
  for (int64_t row = begin * rows; row < end * rows; row++) {
    int64_t left = row, x = 0, stride = in->d[last];
    for (int i = last - 1; i >= 0; i--) {
      x += mapped(mode, left % out->d[i] - m->before[i], in->d[i]) * stride;
      left /= out->d[i];
      stride *= in->d[i];
    }
    map_row(m, row * out->d[last], x);
  }
}

static void map_all(xai__call *c, const int64_t *before, const float *gout, float *gin) {
  const xai__shape *in = &c->in[0].shape, *out = &c->out[0].shape;
  mapping m = {c, before, 0, gout, gin};
  if (!xai__count(out)) return;
  while (m.lead < in->rank - 1 && !before[m.lead] && in->d[m.lead] == out->d[m.lead]) m.lead++;
  xai__split(c->engine, xai__span(out, 0, m.lead), xai__grain(xai__span(out, m.lead, in->rank)),
             map_planes, &m);
}

static int forward(xai__call *c) {
  int64_t before[XAI__MAX_RANK], after[XAI__MAX_RANK], y, x;
  XAI__TRY(get_pads(c, before, after));
  if (((const pad_attr *)c->node->attr)->mode != CONSTANT && c->in[0].shape.rank) {
    map_all(c, before, NULL, NULL);
    return XAI_OK;
  }
  xai__loop l = inside(c, before, after, false, &y, &x);
  int64_t size = c->in[0].dtype == XAI_F32 ? 4 : 8;
  fill(c);
  xai__copy(c->engine, &l, c->in[0].dtype, (char *)c->out[0].data + y * size,
            (const char *)c->in[0].data + x * size);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  int64_t before[XAI__MAX_RANK], after[XAI__MAX_RANK], y, x;
  XAI__TRY(xai__vjp_only(c, gin, 1));
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  XAI__TRY(get_pads(c, before, after));
  if (((const pad_attr *)c->node->attr)->mode != CONSTANT && c->in[0].shape.rank) {
    map_all(c, before, xai__f(&gout[0]), xai__f(&gin[0]));
    return XAI_OK;
  }
  xai__loop l = inside(c, before, after, true, &y, &x);
  xai__add_copy(c->engine, &l, xai__f(&gin[0]) + x, xai__f(&gout[0]) + y, 1);
  return XAI_OK;
}

const xai__op xai__op_Pad = {
    .type = "Pad", .min_in = 1, .max_in = 4, .min_out = 1, .max_out = 1, .since = 2,
    .fields = fields, .attr_size = sizeof(pad_attr), .check = check, .infer = infer,
    .forward = forward, .vjp = vjp, .cross = XAI__CROSS_ROUTE};
