/* Cast, CastLike: between numbers, integers and booleans.
 *
 * Storage is float32 or int64. Narrow integers wrap as their type does; half and double are
 * computed as float32. Floating point to integer goes towards zero. */
#include "op/check.h"
#include "op/loop.h"

typedef struct {
  int64_t to, saturate;
} cast_attr;
static const xai__field fields[] = {
    {.name = "to", .type = XAI__INT, .offset = offsetof(cast_attr, to), .required = true},
    {.name = "saturate", .type = XAI__INT, .offset = offsetof(cast_attr, saturate)},
    {0}};

static int check(const xai__node *node, void *attr, xai_error *err) {
  const cast_attr *a = attr;
  if (a->to >= 0 && a->to <= INT32_MAX && xai__dtype_storage((int)a->to)) return XAI_OK;
  return xai__fail(err, XAI_E_UNSUPPORTED, node->name, "Cast to data type %lld",
                   (long long)a->to);
}

/* 0: CastLike of an operand whose type is not known; then its storage counts. */
static int wanted(const xai__node *node) {
  int to = (int)((const cast_attr *)node->attr)->to;
  return to || !node->declared ? to : node->declared[1];
}

static int dtype(const xai__node *node, const int *in_dtype, int k) {
  int to = (int)((const cast_attr *)node->attr)->to;
  (void)k;
  return to ? to : in_dtype[1];
}

static int infer(xai__call *c) {
  int to = wanted(c->node);
  c->out[0].shape = c->in[0].shape;
  c->out[0].dtype = to ? xai__dtype_storage(to) : c->in[1].dtype;
  return XAI_OK;
}

/* The low bits of v, as the type has them. */
static int64_t narrowed(int dtype, int64_t v) {
  switch (dtype) {
  case XAI_BOOL: return v != 0;
  case XAI_U8: return (uint8_t)v;
  case XAI_I8: return (int8_t)(uint8_t)v;
  case XAI_U16: return (uint16_t)v;
  case XAI_I16: return (int16_t)(uint16_t)v;
  case XAI_I32: return (int32_t)(uint32_t)v;
  case XAI_U32: return (uint32_t)v;
  default: return v;
  }
}

static void to_ints(void *ctx, int64_t begin, int64_t end) {
  const xai__call *c = ctx;
  int64_t *y = xai__i(&c->out[0]);
  int to = wanted(c->node);
  if (c->in[0].dtype == XAI_I64) {
    const int64_t *x = xai__i(&c->in[0]);
    for (int64_t i = begin; i < end; i++) y[i] = narrowed(to, x[i]);
    return;
  }
  const float *x = xai__f(&c->in[0]);
  for (int64_t i = begin; i < end; i++)
    y[i] = to == XAI_BOOL ? x[i] != 0 : narrowed(to, xai__truncated((double)x[i]));
}

static void to_floats(void *ctx, int64_t begin, int64_t end) {
  const xai__call *c = ctx;
  float *y = xai__f(&c->out[0]);
  if (c->in[0].dtype == XAI_F32) {
    const float *x = xai__f(&c->in[0]);
    for (int64_t i = begin; i < end; i++) y[i] = x[i];
    return;
  }
  const int64_t *x = xai__i(&c->in[0]);
  for (int64_t i = begin; i < end; i++) y[i] = (float)x[i];
}

static int forward(xai__call *c) {
  xai__split(c->engine, xai__count(&c->in[0].shape), XAI__GRAIN,
             c->out[0].dtype == XAI_F32 ? to_floats : to_ints, c);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data || c->in[0].dtype != XAI_F32 || c->out[0].dtype != XAI_F32)
    return XAI_OK;
  xai__add_scaled(c->engine, xai__f(&gin[0]), xai__f(&gout[0]), xai__count(&gin[0].shape), 1);
  return XAI_OK;
}

static xai__crossing crossing(const xai__node *node, const bool *in_static) {
  (void)in_static;
  int to = wanted(node);
  return !to || xai__dtype_storage(to) == XAI_F32 ? XAI__CROSS_ROUTE : XAI__CROSS_NONE;
}

const xai__op xai__op_Cast = {
    .type = "Cast", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .since = 6,
    .fields = fields, .attr_size = sizeof(cast_attr), .check = check, .dtype = dtype,
    .infer = infer, .forward = forward, .vjp = vjp, .crossing = crossing};

static const xai__field like_fields[] = {
    {.name = "saturate", .type = XAI__INT, .offset = offsetof(cast_attr, saturate)}, {0}};
const xai__op xai__op_CastLike = {
    .type = "CastLike", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 15,
    .fields = like_fields, .attr_size = sizeof(cast_attr), .dtype = dtype, .infer = infer,
    .forward = forward, .vjp = vjp, .crossing = crossing};
