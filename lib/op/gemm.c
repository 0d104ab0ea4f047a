/* Gemm (ONNX 1, 7, 9, 11, 13): Y = alpha A B + beta C.
 *
 * A (M,K) or transA (K,M), B (K,N) or transB (N,K), C optional and broadcast to Y (M,N), whether or
 * not `broadcast` (before opset 7) asks for it. A linear layer where one of A and B is a constant
 * and the other is not transposed. */
#include <string.h>

#include "op/broadcast.h"
#include "op/linear.h"

typedef struct gemm_attr {
  float alpha, beta;
  int64_t trans_a, trans_b, broadcast;
} gemm_attr;

static const xai__field fields[] = {
    {"alpha", XAI__FLOAT, offsetof(gemm_attr, alpha), 1, false},
    {"beta", XAI__FLOAT, offsetof(gemm_attr, beta), 1, false},
    {"transA", XAI__INT, offsetof(gemm_attr, trans_a), 0, false},
    {"transB", XAI__INT, offsetof(gemm_attr, trans_b), 0, false},
    {"broadcast", XAI__INT, offsetof(gemm_attr, broadcast), 0, false},
    {0}};

/* Y = op(A) op(B) without alpha and C. */
static xai__gemm shape_of(const xai__call *c) {
  const gemm_attr *a = c->node->attr;
  const int64_t *x = c->in[0].shape.d, *y = c->in[1].shape.d;
  return (xai__gemm){.batch = 1,
                     .m = x[a->trans_a ? 1 : 0],
                     .k = x[a->trans_a ? 0 : 1],
                     .n = y[a->trans_b ? 0 : 1],
                     .a_transposed = a->trans_a != 0,
                     .b_transposed = a->trans_b != 0};
}

static int infer(xai__call *c) {
  const gemm_attr *a = c->node->attr;
  for (int i = 0; i < 3; i++) XAI__TRY(xai__need_float(c, i));
  for (int i = 0; i < 2; i++) XAI__TRY(xai__need_rank(c, i, 2, 2));
  xai__gemm g = shape_of(c);
  int64_t k = c->in[1].shape.d[a->trans_b ? 1 : 0];
  if (g.k != k || k < 1)
    return XAI__MALFORMED(c, "Gemm of %s and %s: the inner sizes are %lld and %lld",
                          xai__shape_text(&c->in[0].shape).text,
                          xai__shape_text(&c->in[1].shape).text, (long long)g.k, (long long)k);
  xai__shape *s = &c->out[0].shape, both;
  *s = (xai__shape){2, {g.m, g.n}};
  c->out[0].dtype = XAI_F32;
  if (xai__has(c, 2) &&
      (!xai__shape_broadcast(s, &c->in[2].shape, &both) || !xai__shape_equal(s, &both)))
    return XAI__MALFORMED(c, "Gemm: C has shape %s, the result %s",
                          xai__shape_text(&c->in[2].shape).text, xai__shape_text(s).text);
  return xai__need_countable(c, s);
}

/* y += alpha a b */
static int accumulate(xai__call *c, xai__gemm g, const float *a, const float *b, float *y) {
  float alpha = ((const gemm_attr *)c->node->attr)->alpha;
  xai__epilogue ep = xai__add_to;
  if (alpha != 1) ep = (xai__epilogue){XAI__MULTIPLY_ADD, alpha, y, {XAI__ONES, 0, 0}, NULL};
  return xai__gemm_run(c->engine, &g, a, b, y, ep, c->err);
}

/* factor * in[i] in scratch; in[i] itself where the factor is 1. */
static int scaled(const xai__call *c, int i, float factor, const float **out) {
  *out = c->in[i].data;
  if (factor == 1 || !*out) return XAI_OK;
  int64_t n = xai__count(&c->in[i].shape);
  float *y = xai__scratch(c->engine, (size_t)n, sizeof *y, c->err);
  if (!y) return XAI_E_MEMORY;
  memcpy(y, c->in[i].data, (size_t)n * sizeof *y); /* weights may be loose */
  for (int64_t k = 0; k < n; k++) y[k] *= factor;
  *out = y;
  return XAI_OK;
}

static int start_with_c(xai__call *c) {
  const gemm_attr *a = c->node->attr;
  if (!xai__has(c, 2)) {
    xai__fill(c->engine, xai__f(&c->out[0]), xai__count(&c->out[0].shape), 0);
    return XAI_OK;
  }
  size_t mark = xai__scratch_mark(c->engine);
  xai__view from = c->in[2];
  const float *data;
  int status = scaled(c, 2, a->beta, &data);
  from.data = (float *)(uintptr_t)data;
  if (!status) xai__broadcast_copy(c->engine, &c->out[0], &from);
  xai__scratch_release(c->engine, mark);
  return status;
}

static xai__crossing crossing(const xai__node *node, const bool *in_static) {
  const gemm_attr *a = node->attr;
  bool c_static = node->n_in < 3 || node->in[2] < 0 || in_static[2];
  if (in_static[0] && in_static[1] && c_static) return XAI__CROSS_NONE;
  if (!c_static || in_static[0] == in_static[1]) return XAI__CROSS_REFUSED;
  return (in_static[0] ? a->trans_b : a->trans_a) ? XAI__CROSS_REFUSED : XAI__CROSS_LINEAR;
}

static int forward(xai__call *c) {
  const float *a = xai__f(&c->in[0]), *b = xai__f(&c->in[1]);
  float *y = xai__f(&c->out[0]);
  xai__gemm g = shape_of(c);
  if (crossing(c->node, c->in_static) == XAI__CROSS_LINEAR) return xai__linear_forward(c);
  if (!xai__has(c, 2) && ((const gemm_attr *)c->node->attr)->alpha == 1)
    return xai__gemm_run(c->engine, &g, a, b, y, xai__set, c->err);
  XAI__TRY(start_with_c(c));
  return accumulate(c, g, a, b, y);
}

/* A += G op(B)', or A += op(B) G' where A is stored transposed; B alike. */
static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  xai__gemm y = shape_of(c);
  const float *G = xai__f(&gout[0]), *A = xai__f(&c->in[0]), *B = xai__f(&c->in[1]);
  if (!G) return XAI_OK;
  if (gin[0].data) {
    xai__gemm g = {.batch = 1, .m = y.m, .n = y.k, .k = y.n, .b_transposed = !y.b_transposed};
    if (y.a_transposed)
      g = (xai__gemm){.batch = 1, .m = y.k, .n = y.m, .k = y.n, .b_transposed = true,
                      .a_transposed = y.b_transposed};
    XAI__TRY(y.a_transposed ? accumulate(c, g, B, G, xai__f(&gin[0]))
                            : accumulate(c, g, G, B, xai__f(&gin[0])));
  }
  if (gin[1].data) {
    xai__gemm g = {.batch = 1, .m = y.k, .n = y.n, .k = y.m, .a_transposed = !y.a_transposed};
    if (y.b_transposed)
      g = (xai__gemm){.batch = 1, .m = y.n, .n = y.k, .k = y.m, .a_transposed = true,
                      .b_transposed = y.a_transposed};
    XAI__TRY(y.b_transposed ? accumulate(c, g, G, A, xai__f(&gin[1]))
                            : accumulate(c, g, A, G, xai__f(&gin[1])));
  }
  if (c->n_in > 2 && gin[2].data)
    xai__sum_to(c->engine, &gin[2], &gout[0], ((const gemm_attr *)c->node->attr)->beta);
  return XAI_OK;
}

/* beta C as the product's bias: one per output channel, or else one per element of Y. */
static int bias(const xai__call *c, float beta, xai__product *p) {
  if (!xai__has(c, 2)) return XAI_OK;
  const xai__shape *y = &c->out[0].shape, *s = &c->in[2].shape;
  int64_t n = xai__count(s), all = xai__count(y);
  bool per_channel = !p->w_left && n == y->d[1] && s->rank > 0 && s->d[s->rank - 1] == n;
  p->n_bias = per_channel ? n : all;
  XAI__TRY(scaled(c, 2, beta, &p->b));
  if (!p->b || n == p->n_bias) return XAI_OK;
  float *b = xai__scratch(c->engine, (size_t)all, sizeof *b, c->err);
  if (!b) return XAI_E_MEMORY;
  xai__view from = {.dtype = XAI_F32, .shape = *s, .data = (float *)(uintptr_t)p->b}, to = {.dtype = XAI_F32, .shape = *y, .data = b};
  xai__broadcast_copy(c->engine, &to, &from);
  p->b = b;
  return XAI_OK;
}

static int product(const xai__call *c, xai__product *p, int *x_operand) {
  const gemm_attr *a = c->node->attr;
  xai__gemm g = shape_of(c);
  bool left = c->in_static[0];
  *p = (xai__product){.kind = XAI__MATMUL,
                      .n = left ? 1 : g.m,
                      .groups = 1,
                      .c = g.k,
                      .m = left ? g.m : g.n,
                      .batch = 1,
                      .rows = left ? g.n : g.m,
                      .w_batches = 1,
                      .w_transposed = left ? g.a_transposed : g.b_transposed,
                      .w_left = left};
  *x_operand = left ? 1 : 0;
  XAI__TRY(scaled(c, left ? 0 : 1, a->alpha, &p->w));
  return bias(c, a->beta, p);
}

const xai__op xai__op_Gemm = {
    .type = "Gemm",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .since = 1,
    .fields = fields,
    .attr_size = sizeof(gemm_attr),
    .infer = infer,
    .forward = forward,
    .vjp = vjp,
    .crossing = crossing,
    .product = product,
};
