/* Compress (ONNX 9, 11): the slices along `axis` (elements of the flattened tensor where there is
 * none) whose condition holds; a condition shorter than the axis drops the rest. */
#include "op/check.h"
#include "op/loop.h"
#include <string.h>

typedef struct compress_attr {
  int64_t axis;
} compress_attr;
#define FLAT INT32_MIN
static const xai__field fields[] = {
    {"axis", XAI__INT, offsetof(compress_attr, axis), (double)FLAT, false}, {0}};

typedef struct slices {
  int64_t outer, size, inner, kept, bytes;
  const int64_t *condition;
  int64_t n; /* conditions */
} slices;

static int read_slices(xai__call *c, int *axis, slices *s) {
  const xai__shape *x = &c->in[0].shape;
  int64_t wanted = ((const compress_attr *)c->node->attr)->axis;
  *s = (slices){1, xai__count(x), 1, 0, (int64_t)xai__dtype_size(c->in[0].dtype), NULL, 0};
  *axis = -1;
  if (wanted != FLAT) {
    XAI__TRY(xai__axis(wanted, x->rank, c, axis));
    s->outer = xai__span(x, 0, *axis);
    s->size = x->d[*axis];
    s->inner = xai__span(x, *axis + 1, x->rank);
  }
  XAI__TRY(xai__known_ints(c, 1, "condition", &s->condition, &s->n));
  for (int64_t i = 0; i < s->n; i++) {
    if (s->condition[i] && i >= s->size)
      return XAI__MALFORMED(c, "Compress: condition %lld holds, there are %lld slices",
                            (long long)i, (long long)s->size);
    s->kept += s->condition[i] != 0;
  }
  return XAI_OK;
}

static int infer(xai__call *c) {
  slices s;
  int axis;
  XAI__TRY(xai__need_countable(c, &c->in[0].shape));
  XAI__TRY(read_slices(c, &axis, &s));
  c->out[0] = (xai__view){.dtype = c->in[0].dtype, .shape = c->in[0].shape};
  if (axis < 0) c->out[0].shape = (xai__shape){1, {s.kept}};
  else c->out[0].shape.d[axis] = s.kept;
  return XAI_OK;
}

/* Slice i of x is slice `to` of y. */
static int forward(xai__call *c) {
  slices s;
  int axis;
  XAI__TRY(read_slices(c, &axis, &s));
  size_t bytes = (size_t)(s.inner * s.bytes);
  char *y = c->out[0].data;
  for (int64_t o = 0; o < s.outer; o++)
    for (int64_t i = 0; i < s.n; i++) {
      if (!s.condition[i]) continue;
      memcpy(y, (const char *)c->in[0].data + (size_t)(o * s.size + i) * bytes, bytes);
      y += bytes;
    }
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  slices s;
  int axis;
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  XAI__TRY(read_slices(c, &axis, &s));
  const float *g = xai__f(&gout[0]);
  for (int64_t o = 0; o < s.outer; o++)
    for (int64_t i = 0; i < s.n; i++) {
      if (!s.condition[i]) continue;
      xai__add_scaled(c->engine, xai__f(&gin[0]) + (o * s.size + i) * s.inner, g, s.inner, 1);
      g += s.inner;
    }
  return XAI_OK;
}

const xai__op xai__op_Compress = {
    .type = "Compress", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 9,
    .fields = fields, .attr_size = sizeof(compress_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .vjp_needs = XAI__NEEDS_IN, .cross = XAI__CROSS_ROUTE};
