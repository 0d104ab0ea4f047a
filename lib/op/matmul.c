/* MatMul (ONNX 1, 9, 13): numpy's matmul.
 *
 *   O[..., i, j] = sum_k A[..., i, k] B[..., k, j]
 *
 * A (...,M,K) or (K), B (...,K,N) or (K), O (...,M,N) without the axes of 1-D operands; the leading
 * axes are broadcast. With a constant on one side it is a linear layer. Two activations share the
 * relevance [Achtibat et al. 2024, eq. 15]: s = R / stab(2 O), R_A = A (s B'), R_B = B (A' s). */
#include "op/broadcast.h"
#include "op/own.h"
#include <string.h>

/* A stack of matrices: leading axes, and elements of one matrix. */
typedef struct stack {
  xai__shape lead;
  int64_t size;
  float *data;
} stack;

typedef struct dims {
  int64_t m, k, n;
  stack a, b, o;
} dims;

static xai__shape lead_of(const xai__shape *s) {
  xai__shape lead = *s;
  lead.rank = s->rank > 2 ? s->rank - 2 : 0;
  return lead;
}

static int read_dims(const xai__call *c, dims *d) {
  const xai__shape *a = &c->in[0].shape, *b = &c->in[1].shape;
  for (int i = 0; i < 2; i++) {
    XAI__TRY(xai__need_float(c, i));
    XAI__TRY(xai__need_countable(c, &c->in[i].shape));
    XAI__TRY(xai__need_rank(c, i, 1, XAI__MAX_RANK));
  }
  int64_t k = b->rank > 1 ? b->d[b->rank - 2] : b->d[0];
  d->m = a->rank > 1 ? a->d[a->rank - 2] : 1;
  d->n = b->rank > 1 ? b->d[b->rank - 1] : 1;
  d->k = a->d[a->rank - 1];
  if (d->k != k || k < 1)
    return XAI__MALFORMED(c, "MatMul of %s and %s: the inner sizes are %lld and %lld",
                          xai__shape_text(a).text, xai__shape_text(b).text, (long long)d->k,
                          (long long)k);
  d->a = (stack){lead_of(a), d->m * d->k, c->in[0].data};
  d->b = (stack){lead_of(b), d->k * d->n, c->in[1].data};
  d->o = (stack){.data = c->out[0].data};
  if (!xai__mul(d->m, d->n, &d->o.size))
    return XAI__MALFORMED(c, "MatMul: a result of %lld x %lld is too large", (long long)d->m,
                          (long long)d->n);
  if (xai__shape_broadcast(&d->a.lead, &d->b.lead, &d->o.lead)) return XAI_OK;
  return XAI__MALFORMED(c, "MatMul of %s and %s: the leading axes do not fit together",
                        xai__shape_text(a).text, xai__shape_text(b).text);
}

static int infer(xai__call *c) {
  dims d;
  XAI__TRY(read_dims(c, &d));
  xai__shape *s = &c->out[0].shape;
  *s = d.o.lead;
  if (c->in[0].shape.rank > 1) s->d[s->rank++] = d.m;
  if (c->in[1].shape.rank > 1) s->d[s->rank++] = d.n;
  c->out[0].dtype = XAI_F32;
  return xai__need_countable(c, s);
}

/* ---- z = a b over stacks ---- */

typedef struct multiply_ctx {
  xai__call *c;
  xai__gemm g; /* one matrix */
  const float *a, *b;
  float *z;
  xai__epilogue ep;
  int status;
} multiply_ctx;

static void multiply_run(void *ctx, const xai__run *r) {
  multiply_ctx *m = ctx;
  xai__gemm g = m->g;
  g.batch = r->n;
  g.z_stride = r->step[0];
  g.a_stride = r->step[1];
  g.b_stride = r->step[2];
  if (g.b_stride == 0 && !g.a_transposed && g.a_stride == g.m * g.k && g.z_stride == g.m * g.n) {
    g.m *= g.batch; /* all rows share b */
    g.batch = 1;
  } else if (g.z_stride == 0 && g.a_transposed && !g.b_transposed && g.a_stride == g.m * g.k &&
             g.b_stride == g.k * g.n) {
    g.k *= g.batch; /* one long sum */
    g.batch = 1;
  }
  xai__epilogue ep = m->ep;
  if (ep.x) ep.x += r->at[0];
  if (!m->status)
    m->status = xai__gemm_run(m->c->engine, &g, m->a + r->at[1], m->b + r->at[2], m->z + r->at[0],
                              ep, m->c->err);
}

static void add_stack(xai__loop *l, const stack *s) {
  xai__loop_add(l, &s->lead);
  for (int i = 0; i < l->rank; i++) l->stride[l->streams - 1][i] *= s->size;
}

/* over: the leading axes that z, a and b are broadcast to. */
static int multiply(xai__call *c, const xai__shape *over, stack z, stack a, bool a_transposed,
                    stack b, bool b_transposed, int64_t m, int64_t k, int64_t n,
                    xai__epilogue ep) {
  xai__loop l = xai__loop_over(over);
  add_stack(&l, &z);
  add_stack(&l, &a);
  add_stack(&l, &b);
  multiply_ctx ctx = {c, {.m = m, .n = n, .k = k}, a.data, b.data, z.data, ep, XAI_OK};
  ctx.g.a_transposed = a_transposed;
  ctx.g.b_transposed = b_transposed;
  xai__loop_each(NULL, &l, multiply_run, &ctx); /* no engine: the products are parallel inside */
  return ctx.status;
}

static int forward(xai__call *c) {
  dims d;
  XAI__TRY(read_dims(c, &d));
  return multiply(c, &d.o.lead, d.o, d.a, false, d.b, false, d.m, d.k, d.n, xai__set);
}

/* z (epilogue)= g B' and A' g: what reaches A and B from g of the result's shape. */
static int to_a(xai__call *c, const dims *d, stack g, float *z, xai__epilogue ep) {
  stack a = {d->a.lead, d->a.size, z};
  return z ? multiply(c, &d->o.lead, a, g, false, d->b, true, d->m, d->n, d->k, ep) : XAI_OK;
}
static int to_b(xai__call *c, const dims *d, stack g, float *z, xai__epilogue ep) {
  stack b = {d->b.lead, d->b.size, z};
  return z ? multiply(c, &d->o.lead, b, d->a, true, g, false, d->k, d->m, d->n, ep) : XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  dims d;
  if (!gout[0].data) return XAI_OK;
  XAI__TRY(read_dims(c, &d));
  stack g = {d.o.lead, d.o.size, gout[0].data};
  XAI__TRY(to_a(c, &d, g, gin[0].data, xai__add_to));
  return to_b(c, &d, g, gin[1].data, xai__add_to);
}

static xai__crossing crossing(const xai__node *node, const bool *in_static) {
  (void)node;
  if (in_static[0] && in_static[1]) return XAI__CROSS_NONE;
  return in_static[0] || in_static[1] ? XAI__CROSS_LINEAR : XAI__CROSS_OWN;
}

/* Which operand takes all: the one that is no constant; under matmul=value the one that does not come
 * from a softmax where the other does; -1: shared. */
static int value_operand(const xai__call *c, const xai__own_options *o) {
  if (c->in_static[0] != c->in_static[1]) return c->in_static[0] ? 1 : 0;
  if (strcmp(o->matmul, "value") || o->from_softmax[0] == o->from_softmax[1]) return -1;
  return o->from_softmax[0] ? 1 : 0;
}

static int relevance(xai__call *c, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  dims d;
  XAI__TRY(read_dims(c, &d));
  int64_t n = xai__count(&c->out[0].shape);
  size_t mark = xai__scratch_mark(c->engine);
  float *s = xai__scratch(c->engine, (size_t)n, sizeof *s, c->err);
  if (!s) return XAI_E_MEMORY;
  int value = value_operand(c, o);
  xai__own_divide(c->engine, xai__f(&gout[0]), d.o.data, value < 0 ? 2 : 1, n, o->stabilizer, s,
                  o->ledger);
  for (int i = 0; i < 2; i++) /* a share nobody wants */
    if (o->ledger && !gin[i].data && value != 1 - i)
      o->ledger[XAI__CONSTANT] += xai__dot(c->engine, s, d.o.data, n);
  stack g = {d.o.lead, d.o.size, s};
  xai__epilogue times = {XAI__MULTIPLY_ADD, 1, d.a.data, xai__identity, NULL};
  int status = value == 1 ? XAI_OK : to_a(c, &d, g, gin[0].data, times);
  times.x = d.b.data;
  if (!status && value != 0) status = to_b(c, &d, g, gin[1].data, times);
  xai__scratch_release(c->engine, mark);
  return status;
}

/* ---- one constant operand: a linear layer ---- */

/* The weight, repeated in scratch where it is broadcast over the leading axes `lead`. */
static int weight(const xai__call *c, const stack *w, const xai__shape *lead, int64_t batch,
                  const float **out) {
  *out = w->data;
  if (!w->data || xai__count(&w->lead) == 1 || xai__count(&w->lead) == batch) return XAI_OK;
  float *all = xai__scratch(c->engine, (size_t)(batch * w->size), sizeof *all, c->err);
  if (!all) return XAI_E_MEMORY;
  xai__view to = {.dtype = XAI_F32, .shape = *lead, .data = all}, from = {.dtype = XAI_F32, .shape = w->lead, .data = w->data};
  to.shape.d[to.shape.rank++] = from.shape.d[from.shape.rank++] = w->size;
  xai__broadcast_copy(c->engine, &to, &from);
  *out = all;
  return XAI_OK;
}

static int product(const xai__call *c, xai__product *p, int *x_operand) {
  dims d;
  XAI__TRY(read_dims(c, &d));
  bool left = c->in_static[0];
  const stack *w = left ? &d.a : &d.b, *x = left ? &d.b : &d.a;
  const xai__shape *out = &c->out[0].shape;
  int64_t batch = xai__count(&d.o.lead), w_batches = xai__count(&w->lead) == 1 ? 1 : batch;
  if (xai__count(&x->lead) != batch)
    return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                     "MatMul: no rule for an activation of %s that repeats over the constant's %s",
                     xai__shape_text(&x->lead).text, xai__shape_text(&w->lead).text);
  bool fold = !left && w_batches == 1; /* leading axes are rows like others */
  *p = (xai__product){.kind = XAI__MATMUL,
                      .n = 1,
                      .groups = 1,
                      .c = d.k,
                      .m = left ? d.m : d.n,
                      .batch = fold ? 1 : batch,
                      .rows = left ? d.n : fold ? batch * d.m : d.m,
                      .w_batches = w_batches,
                      .w_left = left};
  bool items = d.o.lead.rank > 0 || (!left && c->in[0].shape.rank > 1);
  if (items) p->n = out->d[0];
  *x_operand = left ? 1 : 0;
  return weight(c, w, &d.o.lead, batch, &p->w);
}

const xai__op xai__op_MatMul = {
    .type = "MatMul",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .since = 1,
    .infer = infer,
    .forward = forward,
    .vjp = vjp,
    .crossing = crossing,
    .product = product,
    .relevance = relevance,
};
