/* Operators whose result is no function of activations: Constant, ConstantOfShape, Shape, Size,
 * Range, OneHot. None carries relevance. */
#include "base/number.h"
#include "op/check.h"
#include "op/loop.h"
#include <math.h>
#include <string.h>

static void repeat(const xai__call *c, const void *element) {
  xai__loop l = xai__loop_over(&c->out[0].shape);
  xai__loop_add(&l, &c->out[0].shape);
  xai__loop_add(&l, &(xai__shape){0});
  xai__copy(c->engine, &l, c->out[0].dtype, c->out[0].data, element);
}

/* ---- Constant: one of five attributes ---- */

typedef struct {
  xai__attr value;
  float value_float; /* NaN: absent */
  xai__floats value_floats;
  int64_t value_int; /* INT64_MIN: absent */
  xai__ints value_ints;
} constant_attr;
static const xai__field constant_fields[] = {
    {.name = "value", .type = XAI__TENSOR, .offset = offsetof(constant_attr, value)},
    {.name = "value_float", .type = XAI__FLOAT, .offset = offsetof(constant_attr, value_float),
     .preset = NAN},
    {.name = "value_floats", .type = XAI__FLOATS, .offset = offsetof(constant_attr, value_floats)},
    {.name = "value_int", .type = XAI__INT, .offset = offsetof(constant_attr, value_int),
     .preset = -0x1p63},
    {.name = "value_ints", .type = XAI__INTS, .offset = offsetof(constant_attr, value_ints)},
    {0}};

/* The constant as a tensor, its declared type in *dtype; false if no attribute gives one. */
static bool constant_view(const constant_attr *a, xai__view *v, int *dtype) {
  *v = (xai__view){0};
  *dtype = 0;
  if (a->value.name) {
    *v = a->value.tensor;
    *dtype = a->value.tensor_dtype;
    return true;
  }
  bool floats = !isnan(a->value_float) || a->value_floats.v;
  const void *list = floats ? (const void *)a->value_floats.v : (const void *)a->value_ints.v;
  if (list) v->shape = (xai__shape){1, {floats ? a->value_floats.n : a->value_ints.n}};
  v->data = (void *)(uintptr_t)(list     ? list
                                : floats ? (const void *)&a->value_float
                                         : (const void *)&a->value_int);
  v->dtype = *dtype = floats ? XAI_F32 : XAI_I64;
  return floats || list || a->value_int != INT64_MIN;
}

static int constant_check(const xai__node *node, void *attr, xai_error *err) {
  xai__view v;
  int dtype;
  if (constant_view(attr, &v, &dtype)) return XAI_OK;
  return xai__fail(err, XAI_E_MODEL, node->name, "Constant without a value");
}

static int constant_dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)in_dtype, (void)k;
  xai__view v;
  int dtype;
  constant_view(node->attr, &v, &dtype);
  return dtype;
}

static int constant_infer(xai__call *c) {
  xai__view v;
  int dtype;
  constant_view(c->node->attr, &v, &dtype);
  c->out[0].dtype = v.dtype;
  c->out[0].shape = v.shape;
  return XAI_OK;
}

static int constant_forward(xai__call *c) {
  xai__view v;
  int dtype;
  constant_view(c->node->attr, &v, &dtype);
  size_t n = (size_t)xai__count(&v.shape);
  if (n) memcpy(c->out[0].data, v.data, n * (v.dtype == XAI_F32 ? 4 : 8));
  return XAI_OK;
}

#define SOURCE(Type)                                                                               \
  .type = #Type, .min_out = 1, .max_out = 1, .cross = XAI__CROSS_NONE

const xai__op xai__op_Constant = {
    SOURCE(Constant), .since = 1, .fields = constant_fields, .attr_size = sizeof(constant_attr),
    .check = constant_check, .dtype = constant_dtype, .infer = constant_infer,
    .forward = constant_forward};

/* ---- ConstantOfShape: one element repeated ---- */

typedef struct {
  xai__attr value; /* absent: a float 0 */
} fill_attr;
static const xai__field fill_fields[] = {
    {.name = "value", .type = XAI__TENSOR, .offset = offsetof(fill_attr, value)}, {0}};

static int fill_check(const xai__node *node, void *attr, xai_error *err) {
  const fill_attr *a = attr;
  if (!a->value.name || xai__count(&a->value.tensor.shape) == 1) return XAI_OK;
  return xai__fail(err, XAI_E_MODEL, node->name, "ConstantOfShape: the value has shape %s",
                   xai__shape_text(&a->value.tensor.shape).text);
}

static int fill_dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)in_dtype, (void)k;
  const fill_attr *a = node->attr;
  return a->value.name ? a->value.tensor_dtype : XAI_F32;
}

static int fill_infer(xai__call *c) {
  const fill_attr *a = c->node->attr;
  const int64_t *v;
  int64_t n;
  XAI__TRY(xai__known_ints(c, 0, "shape", &v, &n));
  xai__shape *s = &c->out[0].shape;
  if (n > XAI__MAX_RANK)
    return XAI__MALFORMED(c, "ConstantOfShape: rank %lld, at most %d is supported", (long long)n,
                          XAI__MAX_RANK);
  s->rank = (int)n;
  for (int i = 0; i < s->rank; i++) {
    if (v[i] < 0)
      return XAI__MALFORMED(c, "ConstantOfShape: size %lld of axis %d", (long long)v[i], i);
    s->d[i] = v[i];
  }
  c->out[0].dtype = a->value.name ? a->value.tensor.dtype : XAI_F32;
  return xai__need_countable(c, s);
}

static int fill_forward(xai__call *c) {
  static const float zero = 0;
  const fill_attr *a = c->node->attr;
  repeat(c, a->value.name ? a->value.tensor.data : &zero);
  return XAI_OK;
}

const xai__op xai__op_ConstantOfShape = {
    SOURCE(ConstantOfShape), .min_in = 1, .max_in = 1, .since = 9, .fields = fill_fields,
    .attr_size = sizeof(fill_attr), .check = fill_check, .dtype = fill_dtype, .infer = fill_infer,
    .forward = fill_forward};

/* ---- Shape, Size ---- */

static int int64_dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)node, (void)in_dtype, (void)k;
  return XAI_I64;
}

typedef struct {
  int64_t start, end;
} shape_attr;
static const xai__field shape_fields[] = {
    {.name = "start", .type = XAI__INT, .offset = offsetof(shape_attr, start)},
    {.name = "end", .type = XAI__INT, .offset = offsetof(shape_attr, end), .preset = 0x1p62},
    {0}};

static int bounded(int64_t v, int rank) {
  v = v < 0 ? v + rank : v;
  return v < 0 ? 0 : v > rank ? rank : (int)v;
}

static int shape_infer(xai__call *c) {
  const shape_attr *a = c->node->attr;
  int rank = c->in[0].shape.rank, n = bounded(a->end, rank) - bounded(a->start, rank);
  c->out[0].dtype = XAI_I64;
  c->out[0].shape = (xai__shape){1, {n > 0 ? n : 0}};
  return XAI_OK;
}

static int shape_forward(xai__call *c) {
  const shape_attr *a = c->node->attr;
  int start = bounded(a->start, c->in[0].shape.rank);
  for (int i = 0; i < c->out[0].shape.d[0]; i++)
    xai__i(&c->out[0])[i] = c->in[0].shape.d[start + i];
  return XAI_OK;
}

const xai__op xai__op_Shape = {
    SOURCE(Shape), .min_in = 1, .max_in = 1, .since = 1, .fields = shape_fields,
    .attr_size = sizeof(shape_attr), .shape_only = true, .dtype = int64_dtype,
    .infer = shape_infer, .forward = shape_forward};

static int size_infer(xai__call *c) {
  c->out[0].dtype = XAI_I64;
  c->out[0].shape = (xai__shape){0};
  return XAI_OK;
}

static int size_forward(xai__call *c) {
  *xai__i(&c->out[0]) = xai__count(&c->in[0].shape);
  return XAI_OK;
}

const xai__op xai__op_Size = {
    SOURCE(Size), .min_in = 1, .max_in = 1, .since = 1, .shape_only = true, .dtype = int64_dtype,
    .infer = size_infer, .forward = size_forward};

/* ---- Range: start, start + delta, ... before limit ---- */

static int range_infer(xai__call *c) {
  double v[3];
  XAI__TRY(xai__need_same(c, 0));
  for (int i = 0; i < 3; i++) {
    if (xai__count(&c->in[i].shape) != 1)
      return XAI__MALFORMED(c, "Range: operand %d has shape %s, must be one element", i,
                            xai__shape_text(&c->in[i].shape).text);
    if (!c->in[i].data)
      return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                       "Range: operand %d depends on the network's input", i);
    v[i] = c->in[i].dtype == XAI_F32 ? (double)*xai__f(&c->in[i]) : (double)*xai__i(&c->in[i]);
  }
  double n = ceil((v[1] - v[0]) / v[2]);
  if (v[2] == 0 || !(n < 0x1p53))
    return XAI__MALFORMED(c, "Range: from %s to %s by %s", xai__number_text(v[0]).text,
                          xai__number_text(v[1]).text, xai__number_text(v[2]).text);
  c->out[0].dtype = c->in[0].dtype;
  c->out[0].shape = (xai__shape){1, {n > 0 ? (int64_t)n : 0}};
  return XAI_OK;
}

static int range_forward(xai__call *c) {
  int64_t n = c->out[0].shape.d[0];
  if (c->out[0].dtype == XAI_F32) {
    float start = *xai__f(&c->in[0]), delta = *xai__f(&c->in[2]);
    for (int64_t i = 0; i < n; i++) xai__f(&c->out[0])[i] = start + (float)i * delta;
    return XAI_OK;
  }
  uint64_t start = (uint64_t)*xai__i(&c->in[0]), delta = (uint64_t)*xai__i(&c->in[2]);
  for (int64_t i = 0; i < n; i++) xai__i(&c->out[0])[i] = (int64_t)(start + (uint64_t)i * delta);
  return XAI_OK;
}

const xai__op xai__op_Range = {
    SOURCE(Range), .min_in = 3, .max_in = 3, .since = 11, .infer = range_infer,
    .forward = range_forward};

/* ---- OneHot: values[1] at the index along a new axis of size depth, values[0] elsewhere ---- */

typedef struct {
  int64_t axis;
} one_hot_attr;
static const xai__field one_hot_fields[] = {
    {.name = "axis", .type = XAI__INT, .offset = offsetof(one_hot_attr, axis), .preset = -1}, {0}};

static int one_hot_dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)node, (void)k;
  return in_dtype[2];
}

static int one_hot_infer(xai__call *c) {
  const xai__shape *in = &c->in[0].shape;
  int axis;
  if (!xai__has(c, 1) || !c->in[1].data || xai__count(&c->in[1].shape) != 1)
    return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                     "OneHot: the depth must be one known element");
  if (!xai__has(c, 2) || xai__count(&c->in[2].shape) != 2)
    return XAI__MALFORMED(c, "OneHot: the values must be two elements");
  if (in->rank == XAI__MAX_RANK)
    return XAI__MALFORMED(c, "OneHot: rank %d, at most %d is supported", in->rank + 1,
                          XAI__MAX_RANK);
  XAI__TRY(xai__axis(((const one_hot_attr *)c->node->attr)->axis, in->rank + 1, c, &axis));
  int64_t depth = c->in[1].dtype == XAI_F32 ? xai__truncated((double)*xai__f(&c->in[1]))
                                            : *xai__i(&c->in[1]);
  if (depth < 0) return XAI__MALFORMED(c, "OneHot: depth %lld", (long long)depth);
  xai__shape *s = &c->out[0].shape;
  s->rank = in->rank + 1;
  for (int i = 0; i < s->rank; i++)
    s->d[i] = i == axis ? depth : in->d[i - (i > axis)];
  c->out[0].dtype = c->in[2].dtype;
  return xai__need_countable(c, s);
}

static int one_hot_forward(xai__call *c) {
  int axis;
  XAI__TRY(xai__axis(((const one_hot_attr *)c->node->attr)->axis, c->out[0].shape.rank, c, &axis));
  int64_t depth = c->out[0].shape.d[axis];
  int64_t inner = xai__span(&c->out[0].shape, axis + 1, c->out[0].shape.rank);
  size_t bytes = c->out[0].dtype == XAI_F32 ? 4 : 8;
  const char *off = c->in[2].data, *on = off + bytes;
  repeat(c, off);
  for (int64_t k = 0; k < xai__count(&c->in[0].shape); k++) {
    int64_t i = c->in[0].dtype == XAI_F32 ? xai__truncated((double)xai__f(&c->in[0])[k])
                                          : xai__i(&c->in[0])[k];
    if (i < -depth || i >= depth) continue; /* all off, as the standard has it */
    int64_t at = (k / inner * depth + (i < 0 ? i + depth : i)) * inner + k % inner;
    memcpy((char *)c->out[0].data + (size_t)at * bytes, on, bytes);
  }
  return XAI_OK;
}

const xai__op xai__op_OneHot = {
    SOURCE(OneHot), .min_in = 3, .max_in = 3, .since = 9, .fields = one_hot_fields,
    .attr_size = sizeof(one_hot_attr), .dtype = one_hot_dtype, .infer = one_hot_infer,
    .forward = one_hot_forward};
