#include "op/linear.h"

int xai__linear_forward(xai__call *c) {
  size_t mark = xai__scratch_mark(c->engine);
  xai__product p;
  int x, status = c->node->op->product(c, &p, &x);
  if (!status)
    status = xai__product_forward(c->engine, &p, xai__f(&c->in[x]), xai__identity, xai__identity,
                                  xai__identity, xai__f(&c->out[0]), xai__set, c->err);
  xai__scratch_release(c->engine, mark);
  return status;
}

int xai__linear_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data) return XAI_OK;
  XAI__TRY(xai__vjp_only(c, gin, 1));
  if (!gin[0].data) return XAI_OK;
  xai__product p;
  int x;
  XAI__TRY(c->node->op->product(c, &p, &x));
  return xai__product_adjoint(c->engine, &p, xai__f(&gout[0]), xai__identity, xai__f(&gin[0]),
                              xai__add_to, c->err);
}

xai__crossing xai__linear_crossing(const xai__node *node, const bool *in_static) {
  return xai__cross_first(node, in_static, XAI__CROSS_LINEAR);
}

void xai__linear_bias(const xai__call *c, int i, int64_t n, xai__product *p) {
  if (!xai__has(c, i)) return;
  p->n_bias = n;
  p->b = xai__f(&c->in[i]);
}
