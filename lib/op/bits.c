/* BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot (ONNX 18), BitShift (11, 28): integers, without
 * gradient or relevance. Results are 64 bits wide inside; narrow ones wrap when they leave the
 * library. BitShift is of unsigned integers before opset 28; from then on a right shift keeps the
 * sign. */
#include "op/broadcast.h"
#include <string.h>

static int infer(xai__call *c) {
  for (int i = 0; i < c->n_in; i++) XAI__TRY(xai__need_int(c, i));
  c->out[0].dtype = XAI_I64;
  return xai__infer_broadcast(c, 0);
}

#define BITWISE(Type, expr)                                                                        \
  XAI__ELEMENTWISE(each_##Type, int64_t, int64_t, int64_t, expr)                                   \
  static int forward_##Type(xai__call *c) {                                                        \
    xai__broadcast_each(c, &c->out[0], &c->in[0], &c->in[1], each_##Type);                         \
    return XAI_OK;                                                                                 \
  }                                                                                                \
  const xai__op xai__op_##Type = {.type = #Type, .min_in = 2, .max_in = 2, .min_out = 1,           \
                                  .max_out = 1, .since = 18, .infer = infer,                       \
                                  .forward = forward_##Type, .cross = XAI__CROSS_NONE};
BITWISE(BitwiseAnd, x & y)
BITWISE(BitwiseOr, x | y)
BITWISE(BitwiseXor, x ^ y)

static void not_range(void *ctx, int64_t begin, int64_t end) {
  const xai__call *c = ctx;
  for (int64_t i = begin; i < end; i++) xai__i(&c->out[0])[i] = ~xai__i(&c->in[0])[i];
}

static int not_forward(xai__call *c) {
  xai__split(c->engine, xai__count(&c->in[0].shape), XAI__GRAIN, not_range, c);
  return XAI_OK;
}

const xai__op xai__op_BitwiseNot = {
    .type = "BitwiseNot", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .since = 18,
    .infer = infer, .forward = not_forward, .cross = XAI__CROSS_NONE};

/* ---- BitShift ---- */

typedef struct shift_attr {
  const char *direction;
} shift_attr;
static const xai__field shift_fields[] = {
    {"direction", XAI__TEXT, offsetof(shift_attr, direction), 0, true}, {0}};

static int shift_check(const xai__node *node, void *attr, xai_error *err) {
  const char *direction = ((const shift_attr *)attr)->direction;
  if (!strcmp(direction, "LEFT") || !strcmp(direction, "RIGHT")) return XAI_OK;
  return xai__fail(err, XAI_E_MODEL, node->name, "BitShift: unknown direction '%s'", direction);
}

/* A shift by what is not in [0, 64) leaves nothing but the sign. */
static int64_t left(int64_t x, int64_t y) {
  return y < 0 || y > 63 ? 0 : (int64_t)((uint64_t)x << y);
}
static int64_t right(int64_t x, int64_t y) {
  return y < 0 || y > 63 ? 0 : (int64_t)((uint64_t)x >> y);
}
static int64_t right_signed(int64_t x, int64_t y) {
  return x < 0 ? ~right(~x, y) : right(x, y);
}
XAI__ELEMENTWISE(each_left, int64_t, int64_t, int64_t, left(x, y))
XAI__ELEMENTWISE(each_right, int64_t, int64_t, int64_t, right(x, y))
XAI__ELEMENTWISE(each_right_signed, int64_t, int64_t, int64_t, right_signed(x, y))

static int shift_forward(xai__call *c) {
  bool to_left = ((const shift_attr *)c->node->attr)->direction[0] == 'L';
  xai__broadcast_each(c, &c->out[0], &c->in[0], &c->in[1],
                      to_left ? each_left : c->node->opset < 28 ? each_right : each_right_signed);
  return XAI_OK;
}

const xai__op xai__op_BitShift = {
    .type = "BitShift", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 11,
    .fields = shift_fields, .attr_size = sizeof(shift_attr), .check = shift_check, .infer = infer,
    .forward = shift_forward, .cross = XAI__CROSS_NONE};
