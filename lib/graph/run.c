/* One node: shapes, then values. */
#include <math.h>
#include <string.h>

#include "graph/graph.h"
#include "op/blocked.h"

static int fail_here(xai__call *c, int status) {
  xai__fail_at_node(c->err, -1, c->node->name);
  return status;
}

int xai__node_infer(xai__call *c, int64_t max_tensor) {
  const xai__node *node = c->node;
  for (int k = 0; k < c->n_out; k++) c->out[k] = xai__absent;
  if (!node->op->infer) {
    c->out[0].dtype = c->in[0].dtype;
    c->out[0].shape = c->in[0].shape;
  } else {
    int status = node->op->infer(c);
    if (status) return fail_here(c, status);
  }
  for (int k = 0; k < c->n_out; k++) {
    int64_t n;
    if (node->out[k] < 0) continue;
    if (c->out[k].shape.rank < 0)
      return xai__fail(c->err, XAI_E_UNSUPPORTED, node->name, "result %d of node '%s' (%s) is not supported",
                       k, node->name, node->op->type);
    if (!xai__shape_checked_count(&c->out[k].shape, &n) || n > max_tensor)
      return xai__fail(c->err, XAI_E_LIMIT, node->name,
                       "node '%s' (%s) makes a tensor of shape %s, max_tensor is %lld elements",
                       node->name, node->op->type, xai__shape_text(&c->out[k].shape).text,
                       (long long)max_tensor);
  }
  return XAI_OK;
}

bool xai__node_is_quick(const xai__call *c, double *budget) {
  if (!c->node->op->product) return true;
  /* |A| |B| |C| of a matrix product is the square of its multiplications. */
  double work = (double)xai__count(&c->out[0].shape);
  for (int k = 0; k < 2; k++) work *= (double)xai__count(&c->in[k].shape);
  work = sqrt(work);
  if (work > *budget) return false;
  *budget -= work;
  return true;
}

static bool has_blocked(const xai__call *c) {
  for (int k = 0; k < c->n_in; k++)
    if (c->in[k].blocked) return true;
  return c->n_out && c->out[0].blocked;
}

int xai__node_forward(xai__call *c) {
  const xai__op *op = c->node->op;
  if (has_blocked(c)) return op->blocked->forward(c);
  if (op->alias) {
    if (c->out[0].data && c->out[0].data != c->in[0].data)
      memcpy(c->out[0].data, c->in[0].data,
             (size_t)xai__count(&c->in[0].shape) * xai__dtype_size(c->in[0].dtype));
    if (!op->forward) return XAI_OK; /* no further results */
  }
  int status = op->forward(c);
  return status ? fail_here(c, status) : XAI_OK;
}

int xai__node_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  const xai__op *op = c->node->op;
  if (has_blocked(c)) return op->blocked->vjp(c, gout, gin);
  if (op->alias) {
    if (gin[0].data && gout[0].data)
      xai__add_scaled(c->engine, xai__f(&gin[0]), xai__f(&gout[0]), xai__count(&gout[0].shape), 1);
    return XAI_OK;
  }
  int status = op->vjp ? op->vjp(c, gout, gin) : XAI_OK;
  return status ? fail_here(c, status) : XAI_OK;
}
