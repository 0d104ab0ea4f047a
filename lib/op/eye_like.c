/* EyeLike (ONNX 9): a matrix of the operand's shape with ones on diagonal k, zeros elsewhere. */
#include "op/check.h"
#include <string.h>

typedef struct eye_attr {
  int64_t dtype, k;
} eye_attr;
static const xai__field fields[] = {
    {"dtype", XAI__INT, offsetof(eye_attr, dtype), 0, false},
    {"k", XAI__INT, offsetof(eye_attr, k), 0, false},
    {0}};

static int check(const xai__node *node, void *attr, xai_error *err) {
  int64_t type = ((const eye_attr *)attr)->dtype;
  if (!type || (type > 0 && type <= INT32_MAX && xai__dtype_storage((int)type))) return XAI_OK;
  return xai__fail(err, XAI_E_UNSUPPORTED, node->name, "EyeLike of data type %lld",
                   (long long)type);
}

static int dtype(const xai__node *node, const int *in_dtype, int k) {
  int type = (int)((const eye_attr *)node->attr)->dtype;
  (void)k;
  return type ? type : in_dtype[0];
}

static int infer(xai__call *c) {
  int type = (int)((const eye_attr *)c->node->attr)->dtype;
  XAI__TRY(xai__need_rank(c, 0, 2, 2));
  c->out[0].dtype = type ? xai__dtype_storage(type) : c->in[0].dtype;
  c->out[0].shape = c->in[0].shape;
  return XAI_OK;
}

static int forward(xai__call *c) {
  const xai__view *y = &c->out[0];
  int64_t rows = y->shape.d[0], columns = y->shape.d[1], k = ((const eye_attr *)c->node->attr)->k;
  memset(y->data, 0, (size_t)(rows * columns) * xai__dtype_size(y->dtype));
  if (k <= -rows || k >= columns) return XAI_OK;
  for (int64_t i = k < 0 ? -k : 0; i < rows && i + k < columns; i++) {
    if (y->dtype == XAI_F32) xai__f(y)[i * columns + i + k] = 1;
    else xai__i(y)[i * columns + i + k] = 1;
  }
  return XAI_OK;
}

const xai__op xai__op_EyeLike = {
    .type = "EyeLike", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .since = 9,
    .fields = fields, .attr_size = sizeof(eye_attr), .shape_only = true, .check = check,
    .dtype = dtype, .infer = infer, .forward = forward, .cross = XAI__CROSS_NONE};
