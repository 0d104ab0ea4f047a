/* If, as it is between branches that are written out (onnx/scope.c): y = cond ? a : b, all of the one or
 * all of the other. With cond known, the other may have any shape, or none that is possible. */
#include <string.h>

#include "op/check.h"

/* 1 or 2, the operand chosen; 0: not known (asked also before infer has checked the condition). */
static int chosen(const xai__call *c) {
  if (!c->in[0].data || c->in[0].dtype != XAI_I64 || xai__count(&c->in[0].shape) != 1) return 0;
  return *xai__i(&c->in[0]) ? 1 : 2;
}

static int infer(xai__call *c) {
  XAI__TRY(xai__need_int(c, 0));
  if (xai__count(&c->in[0].shape) != 1)
    return XAI__MALFORMED(c, "If: a condition of shape %s", xai__shape_text(&c->in[0].shape).text);
  int k = chosen(c);
  if (!k && (c->in[1].dtype != c->in[2].dtype || !xai__shape_equal(&c->in[1].shape, &c->in[2].shape)))
    return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                     "If: its branches give shapes %s and %s, and which it takes is computed from the input",
                     xai__shape_text(&c->in[1].shape).text, xai__shape_text(&c->in[2].shape).text);
  c->out[0].dtype = c->in[k ? k : 1].dtype;
  c->out[0].shape = c->in[k ? k : 1].shape;
  return XAI_OK;
}

static int forward(xai__call *c) {
  const xai__view *x = &c->in[chosen(c)];
  size_t bytes = (size_t)xai__count(&x->shape) * xai__dtype_size(x->dtype);
  if (bytes) memcpy(c->out[0].data, x->data, bytes);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  int k = chosen(c);
  if (gin[k].data && gout[0].data)
    xai__add_scaled(c->engine, xai__f(&gin[k]), xai__f(&gout[0]), xai__count(&gout[0].shape), 1);
  return XAI_OK;
}

static int dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)node, (void)k;
  return in_dtype[1];
}

const xai__op xai__op_If = {
    .type = "If", .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1, .since = 1, .dtype = dtype,
    .infer = infer, .forward = forward, .vjp = vjp,
    .chosen = chosen, .cross = XAI__CROSS_ROUTE};
