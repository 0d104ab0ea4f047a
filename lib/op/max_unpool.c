/* MaxUnpool: the inverse of MaxPool with its second result: y is 0 but for y[i_k] = x_k, i_k counted
 * over the whole of y. An output_shape larger than what the kernel gives is filled with zeros
 * behind it. */
#include <string.h>

#include "op/check.h"
#include "op/loop.h"

typedef struct {
  xai__ints kernel_shape, pads, strides;
} unpool_attr;
static const xai__field fields[] = {
    {.name = "kernel_shape", .type = XAI__INTS, .offset = offsetof(unpool_attr, kernel_shape), .required = true},
    {.name = "pads", .type = XAI__INTS, .offset = offsetof(unpool_attr, pads)},
    {.name = "strides", .type = XAI__INTS, .offset = offsetof(unpool_attr, strides)},
    {0}};

/* The shape that the indices count in. */
static int counted(xai__call *c, xai__shape *s) {
  const unpool_attr *a = c->node->attr;
  int axes = c->in[0].shape.rank - 2;
  *s = c->in[0].shape;
  if (a->kernel_shape.n != axes || (a->strides.n && a->strides.n != axes) ||
      (a->pads.n && a->pads.n != 2 * axes))
    return XAI__MALFORMED(c, "MaxUnpool: lists of %d, %d and %d numbers for %d axes",
                          a->kernel_shape.n, a->strides.n, a->pads.n, axes);
  for (int i = 0; i < axes; i++) {
    int64_t stride = a->strides.n ? a->strides.v[i] : 1, kernel = a->kernel_shape.v[i], d = s->d[i + 2];
    int64_t pads = 0;
    if (a->pads.n && !xai__add(a->pads.v[i], a->pads.v[axes + i], &pads)) pads = INT64_MAX;
    if (stride < 1 || kernel < 1 || d < 1 || stride > INT32_MAX || kernel > INT32_MAX ||
        d > INT32_MAX || pads < 0 || pads > INT32_MAX || (d - 1) * stride + kernel - pads < 1)
      return XAI__MALFORMED(c, "MaxUnpool: axis %d: size %lld, kernel %lld, stride %lld", i,
                            (long long)d, (long long)kernel, (long long)stride);
    s->d[i + 2] = (d - 1) * stride + kernel - pads;
  }
  return xai__need_countable(c, s);
}

static int infer(xai__call *c) {
  xai__shape *s = &c->out[0].shape, inner;
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__need_int(c, 1));
  XAI__TRY(xai__need_rank(c, 0, 3, XAI__MAX_RANK));
  if (!xai__shape_equal(&c->in[0].shape, &c->in[1].shape))
    return XAI__MALFORMED(c, "MaxUnpool: indices of shape %s for %s",
                          xai__shape_text(&c->in[1].shape).text, xai__shape_text(&c->in[0].shape).text);
  XAI__TRY(counted(c, &inner));
  *s = inner;
  if (xai__has(c, 2)) {
    const int64_t *d;
    int64_t n;
    XAI__TRY(xai__known_ints(c, 2, "output_shape", &d, &n));
    if (n != s->rank) return XAI__MALFORMED(c, "MaxUnpool: output_shape has %lld numbers", (long long)n);
    for (int i = 0; i < n; i++) {
      if (d[i] < inner.d[i])
        return XAI__MALFORMED(c, "MaxUnpool: output_shape is %lld along axis %d, at least %lld",
                              (long long)d[i], i, (long long)inner.d[i]);
      s->d[i] = d[i];
    }
  }
  return xai__need_countable(c, s);
}

/* Where element k goes in y, or -1 where the index is outside. */
static int64_t target(const xai__call *c, const xai__shape *inner, int64_t k) {
  int64_t i = xai__i(&c->in[1])[k], at = 0, step = 1;
  if (i < 0 || i >= xai__count(inner)) return -1;
  for (int a = inner->rank - 1; a >= 0; a--) {
    at += i % inner->d[a] * step;
    i /= inner->d[a];
    step *= c->out[0].shape.d[a];
  }
  return at;
}

static int forward(xai__call *c) {
  xai__shape inner;
  float *y = xai__f(&c->out[0]);
  XAI__TRY(counted(c, &inner));
  xai__fill(c->engine, y, xai__count(&c->out[0].shape), 0);
  for (int64_t k = 0; k < xai__count(&c->in[0].shape); k++) {
    int64_t at = target(c, &inner, k);
    if (at < 0)
      return xai__fail(c->err, XAI_E_INPUT, c->node->name,
                       "MaxUnpool: index %lld at position %lld is outside %lld elements",
                       (long long)xai__i(&c->in[1])[k], (long long)k, (long long)xai__count(&inner));
    y[at] = xai__f(&c->in[0])[k];
  }
  return XAI_OK;
}

/* Of several that went to one place the last stayed. */
static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  xai__shape inner;
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  XAI__TRY(counted(c, &inner));
  int64_t n = xai__count(&c->out[0].shape);
  int64_t *last = xai__scratch(c->engine, (size_t)n + 1, sizeof *last, c->err);
  if (!last) return c->err->status;
  for (int64_t k = 0; k < xai__count(&c->in[0].shape); k++) {
    int64_t at = target(c, &inner, k);
    if (at >= 0) last[at] = k;
  }
  for (int64_t k = 0; k < xai__count(&c->in[0].shape); k++) {
    int64_t at = target(c, &inner, k);
    if (at >= 0 && last[at] == k) xai__f(&gin[0])[k] += xai__f(&gout[0])[at];
  }
  return XAI_OK;
}

const xai__op xai__op_MaxUnpool = {
    .type = "MaxUnpool", .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1, .since = 9,
    .fields = fields, .attr_size = sizeof(unpool_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .cross = XAI__CROSS_ROUTE};
