/* CenterCropPad: the middle of x along some axes, or x in the middle of zeros: the first element is
 * floor of half the difference away. */
#include <string.h>

#include "op/check.h"
#include "op/loop.h"

typedef struct {
  xai__ints axes;
} crop_attr;
static const xai__field fields[] = {
    {.name = "axes", .type = XAI__INTS, .offset = offsetof(crop_attr, axes)}, {0}};

static int infer(xai__call *c) {
  xai__ints axes = ((const crop_attr *)c->node->attr)->axes;
  xai__shape *s = &c->out[0].shape;
  const int64_t *size;
  int64_t n;
  bool marked[XAI__MAX_RANK] = {false};
  *s = c->in[0].shape;
  c->out[0].dtype = c->in[0].dtype;
  XAI__TRY(xai__known_ints(c, 1, "shape", &size, &n));
  XAI__TRY(xai__axes_mark(c, axes, s->rank, marked));
  if (n != (axes.n ? axes.n : s->rank))
    return XAI__MALFORMED(c, "CenterCropPad: %lld sizes for %d axes", (long long)n,
                          axes.n ? axes.n : s->rank);
  for (int i = 0; i < n; i++) {
    int axis = i;
    if (axes.n) XAI__TRY(xai__axis(axes.v[i], s->rank, c, &axis));
    if (size[i] < 0) return XAI__MALFORMED(c, "CenterCropPad: size %lld", (long long)size[i]);
    s->d[axis] = size[i];
  }
  return xai__need_countable(c, s);
}

/* The box that x and y share: where it begins in each. */
static xai__shape shared(const xai__call *c, int64_t *in_x, int64_t *in_y) {
  xai__shape box = c->in[0].shape;
  for (int i = 0; i < box.rank; i++) {
    int64_t x = box.d[i], y = c->out[0].shape.d[i];
    in_x[i] = x > y ? (x - y) / 2 : 0;
    in_y[i] = y > x ? (y - x) / 2 : 0;
    box.d[i] = x < y ? x : y;
  }
  return box;
}

/* A loop over the box, walking `to` and `from`, moved to its first elements. */
static xai__loop boxes(const xai__shape *box, const xai__view *to, const int64_t *to_at,
                       const xai__view *from, const int64_t *from_at, int64_t *to_first,
                       int64_t *from_first) {
  int64_t stride[XAI__MAX_RANK];
  xai__loop l = xai__loop_over(box);
  *to_first = *from_first = 0;
  xai__strides(&to->shape, stride);
  xai__loop_add_strides(&l, stride);
  for (int i = 0; i < box->rank; i++) *to_first += to_at[i] * stride[i];
  xai__strides(&from->shape, stride);
  xai__loop_add_strides(&l, stride);
  for (int i = 0; i < box->rank; i++) *from_first += from_at[i] * stride[i];
  return l;
}

static int forward(xai__call *c) {
  int64_t in_x[XAI__MAX_RANK], in_y[XAI__MAX_RANK], to, from;
  xai__shape box = shared(c, in_x, in_y);
  size_t size = xai__dtype_size(c->out[0].dtype);
  xai__loop l = boxes(&box, &c->out[0], in_y, &c->in[0], in_x, &to, &from);
  memset(c->out[0].data, 0, (size_t)xai__count(&c->out[0].shape) * size);
  if (!xai__count(&box)) return XAI_OK;
  xai__copy(c->engine, &l, c->out[0].dtype, (char *)c->out[0].data + (size_t)to * size,
            (const char *)c->in[0].data + (size_t)from * size);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  int64_t in_x[XAI__MAX_RANK], in_y[XAI__MAX_RANK], to, from;
  xai__shape box = shared(c, in_x, in_y);
  if (!gin[0].data || !gout[0].data || !xai__count(&box)) return XAI_OK;
  xai__loop l = boxes(&box, &gin[0], in_x, &gout[0], in_y, &to, &from);
  xai__add_copy(c->engine, &l, xai__f(&gin[0]) + to, xai__f(&gout[0]) + from, 1);
  return XAI_OK;
}

const xai__op xai__op_CenterCropPad = {
    .type = "CenterCropPad", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 18,
    .fields = fields, .attr_size = sizeof(crop_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .cross = XAI__CROSS_ROUTE};
