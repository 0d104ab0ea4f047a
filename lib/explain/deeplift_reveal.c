/* The RevealCancel rule, at a nonlinearity y = f(z) whose z is a sum that nothing else reads
 * [Shrikumar et al. 2017, sections 3.5.1 and 3.5.3]. Its terms w (x - x0) above 0 add up to dz+,
 * those below to dz-:
 *
 *   dy+ = 1/2 [f(z0 + dz+) - f(z0)] + 1/2 [f(z) - f(z0 + dz-)],   m+ = m_y dy+ / dz+
 *   dy- = 1/2 [f(z0 + dz-) - f(z0)] + 1/2 [f(z) - f(z0 + dz+)],   m- = m_y dy- / dz-
 *   m_x = W+' m+ + W-' m-  where x > x0,  W-' m+ + W+' m-  where x < x0,  the mean of both between
 *
 * The sum is a linear layer, or an operator that adds activations or averages one. Between it and f
 * may stand scales and shifts, z = d u + ...: where d < 0 they swap the two parts. Elsewhere the
 * rule is rescale, as it is here for a sum of one term. */
#include "explain/deeplift.h"

#include <string.h>

#include "graph/pattern.h"

/* ---- which steps ---- */

static bool type_in(const xai__node *node, const char *const *types) {
  for (; *types; types++)
    if (xai__type_is(node, *types)) return true;
  return false;
}

/* A sum of terms with known signs. */
static bool is_sum(const xai__deeplift *d, int i) {
  static const char *const types[] = {"Add", "Sub", "Sum", "Mean", "AveragePool",
                                      "GlobalAveragePool", "ReduceSum", "ReduceMean", NULL};
  const xai__step *s = &d->plan->steps.v[i];
  return s->cross == XAI__CROSS_LINEAR || (s->cross == XAI__CROSS_NORM && type_in(&s->node, types));
}

/* A scale and shift of each element by constants. */
static bool is_diagonal(const xai__deeplift *d, int i) {
  static const char *const types[] = {"Add", "Sub", "Mul", "Div", "BatchNormalization", NULL};
  const xai__node *node = &d->plan->steps.v[i].node;
  int k = d->step[i].activation;
  return d->step[i].how == XAI__AFFINE && k >= 0 && type_in(node, types) &&
         xai__deeplift_alike(d->plan, node, k);
}

/* The step that alone reads the result of step i, or -1. */
static int next_step(const xai__deeplift *d, int i) {
  int v = d->plan->steps.v[i].node.out[0];
  return v == d->plan->source ? -1 : d->user[v];
}

void xai__deeplift_pair(xai__deeplift *d) {
  const xai__plan *p = d->plan;
  for (int j = 0; j < p->n_steps; j++) {
    int i = p->step[j], tail;
    if (!is_sum(d, i) || is_diagonal(d, i)) continue;
    for (tail = next_step(d, i); tail >= 0 && is_diagonal(d, tail);) tail = next_step(d, tail);
    if (tail < 0 || d->step[tail].how != XAI__POINTWISE ||
        xai__only_operand(p->graph, &p->steps.v[tail].node) < 0)
      continue;
    d->step[i].tail = tail;
    do d->step[i = next_step(d, i)].deferred = true;
    while (i != tail);
  }
}

/* ---- the sum ---- */

typedef struct sum {
  xai__call *base;
  bool is_layer;
  xai__product layer;
  int x;         /* its input */
  xai__view *dx; /* per operand: x - x0; constants 0, axes as they are */
} sum;

static const xai__edit above = {XAI__LINEAR, 1, 0}, below = {XAI__LINEAR, 0, 1};

typedef struct difference {
  const float *x0, *x;
  float *d;
} difference;

static void subtract(void *ctx, int64_t begin, int64_t end) {
  const difference *c = ctx;
  for (int64_t i = begin; i < end; i++) c->d[i] = c->x[i] == c->x0[i] ? 0 : c->x[i] - c->x0[i];
}

static int make_sum(const xai__deeplift *d, const xai__step *step, xai__call *c, sum *s) {
  *s = (sum){.base = c, .is_layer = step->cross == XAI__CROSS_LINEAR};
  xai__call input;
  xai__view *like = xai__scratch(c->engine, (size_t)c->n_in, sizeof *like, c->err);
  if (!like) return c->err->status;
  if (s->is_layer) XAI__TRY(c->node->op->product(c, &s->layer, &s->x));
  for (int k = 0; k < c->n_in; k++) {
    like[k] = c->in[k];
    if (s->is_layer && k != s->x) like[k].data = NULL;
  }
  XAI__TRY(xai__deeplift_at_input(d, c, &input));
  XAI__TRY(xai__deeplift_zeros(c, like, c->n_in, &s->dx));
  for (int k = 0; k < c->n_in; k++) {
    if (c->in_static[k] || c->in[k].dtype != XAI_F32) continue;
    difference job = {xai__f(&c->in[k]), xai__f(&input.in[k]), xai__f(&s->dx[k])};
    xai__parallel(c->engine, xai__count(&c->in[k].shape), XAI__GRAIN, subtract, &job);
  }
  return XAI_OK;
}

/* Whether operand k is subtracted. */
static bool is_negative(const sum *s, int k) {
  return k == 1 && xai__type_is(s->base->node, "Sub");
}

typedef struct clamp_job {
  const float *from;
  xai__edit edit;
  float *to;
} clamp_job;

static void clamp(void *ctx, int64_t begin, int64_t end) {
  const clamp_job *c = ctx;
  for (int64_t i = begin; i < end; i++) c->to[i] = xai__edited(c->edit, c->from[i]);
}

/* The terms above 0, added up. */
static int add_rising(const sum *s, float *rising) {
  xai__call c = *s->base;
  if (s->is_layer) {
    const float *dx = xai__f(&s->dx[s->x]);
    xai__product p = s->layer;
    p.b = NULL;
    XAI__TRY(xai__product_forward(c.engine, &p, dx, above, above, above, rising, xai__set, c.err));
    return xai__product_forward(c.engine, &p, dx, below, below, below, rising, xai__add_to, c.err);
  }
  xai__view *part, out = c.out[0];
  XAI__TRY(xai__deeplift_zeros(&c, s->dx, c.n_in, &part));
  for (int k = 0; k < c.n_in; k++) {
    if (!part[k].data || part[k].dtype != XAI_F32) continue;
    clamp_job job = {xai__f(&s->dx[k]), is_negative(s, k) ? below : above, xai__f(&part[k])};
    xai__parallel(c.engine, xai__count(&part[k].shape), XAI__GRAIN, clamp, &job);
  }
  out.data = rising;
  c.in = part;
  c.out = &out;
  return xai__node_forward(&c);
}

/* W+' up + W-' down, which multiplies the operands' rises, or with `up` and `down` exchanged their
 * falls. */
static int add_back(const sum *s, const xai__view *up, const xai__view *down, const xai__view *gin,
                    xai__view **to) {
  xai__call *c = s->base;
  XAI__TRY(xai__deeplift_zeros(c, gin, c->n_in, to));
  if (s->is_layer) {
    float *x = xai__f(&(*to)[s->x]);
    XAI__TRY(xai__product_adjoint(c->engine, &s->layer, xai__f(up), above, x, xai__set, c->err));
    return xai__product_adjoint(c->engine, &s->layer, xai__f(down), below, x, xai__add_to, c->err);
  }
  return xai__node_vjp(c, up, *to);
}

typedef struct choice {
  const float *dx, *rise, *fall;
  float *m;
} choice;

static void choose(void *ctx, int64_t begin, int64_t end) {
  const choice *c = ctx;
  for (int64_t i = begin; i < end; i++)
    c->m[i] += c->dx[i] > 0   ? c->rise[i]
               : c->dx[i] < 0 ? c->fall[i]
                              : 0.5f * (c->rise[i] + c->fall[i]);
}

static int hand_back(const sum *s, const xai__view *up, const xai__view *down,
                     const xai__view *gin) {
  xai__view *rise, *fall;
  XAI__TRY(add_back(s, up, down, gin, &rise));
  XAI__TRY(add_back(s, down, up, gin, &fall));
  for (int k = 0; k < s->base->n_in; k++) {
    if (!gin[k].data) continue;
    choice job = {xai__f(&s->dx[k]), xai__f(&rise[k]), xai__f(&fall[k]), xai__f(&gin[k])};
    if (is_negative(s, k)) {
      job.rise = xai__f(&fall[k]);
      job.fall = xai__f(&rise[k]);
    }
    xai__parallel(s->base->engine, xai__count(&gin[k].shape), XAI__GRAIN, choose, &job);
  }
  return XAI_OK;
}

/* ---- the nonlinearity ---- */

/* Everything of one crossing: arrays of as many elements as z. */
typedef struct bend {
  const xai__deeplift *d;
  xai__call base, input; /* of the nonlinearity */
  int operand;
  const float *m, *u0, *u, *z0, *z, *y0, *y;
  float *scale;          /* dz/du, or NULL: 1 */
  float *rise;           /* u+, then dz+ */
  float *high, *low;     /* z0 + dz+ and z0 + dz-, then f there, then multipliers of u+ and u- */
  float *slope;          /* m_y times the mean of f'(z0) and f'(z): the limit of m+ for dz+ = 0 */
} bend;

static float *numbers(const xai__call *c, int64_t n) {
  return xai__scratch(c->engine, (size_t)n, sizeof(float), c->err);
}

/* The call of step i at the baseline. */
static int call_of(const xai__deeplift *d, int i, const xai__call *like, xai__call *c) {
  const xai__plan *p = d->plan;
  const xai__node *node = &p->steps.v[i].node;
  int n = node->n_in, n_out = node->n_out;
  xai__view *v = xai__scratch(like->engine, (size_t)(n + n_out), sizeof *v, like->err);
  bool *fixed = xai__scratch(like->engine, (size_t)n, 1, like->err);
  if (!v || !fixed) return like->err->status;
  for (int k = 0; k < n + n_out; k++) {
    int value = k < n ? node->in[k] : node->out[k - n];
    v[k] = value < 0 ? xai__absent : p->value[value];
    if (k < n) fixed[k] = value < 0 || p->graph->values[value].is_static;
  }
  *c = (xai__call){node, n, n_out, v, v + n, fixed, like->engine, like->err};
  return XAI_OK;
}

/* to += J' m of a step with one result, for its operand k. */
static int vjp_of(xai__call *c, int k, float *m, float *to) {
  xai__view *gin = xai__scratch(c->engine, (size_t)c->n_in, sizeof *gin, c->err), gout = c->out[0];
  if (!gin) return c->err->status;
  for (int i = 0; i < c->n_in; i++) {
    gin[i] = c->in[i];
    gin[i].data = i == k ? to : NULL;
  }
  gout.data = m;
  return xai__node_vjp(c, &gout, gin);
}

/* dz/du: the product of the scales between step i and the tail. */
static int scale_between(bend *b, int i, int tail, int64_t n) {
  xai__engine *e = b->base.engine;
  for (int k = next_step(b->d, i); k != tail; k = next_step(b->d, k)) {
    xai__call c;
    float *before = b->scale ? b->scale : numbers(&b->base, n), *after = numbers(&b->base, n);
    if (!before || !after) return b->base.err->status;
    if (!b->scale) xai__fill(e, before, n, 1);
    xai__fill(e, after, n, 0);
    XAI__TRY(call_of(b->d, k, &b->base, &c));
    XAI__TRY(vjp_of(&c, b->d->step[k].activation, before, after));
    b->scale = after;
  }
  return XAI_OK;
}

static float change(float to, float from) { return to == from ? 0 : to - from; }

/* dz- */
static float fall_of(const bend *b, int64_t i) { return change(b->z[i], b->z0[i]) - b->rise[i]; }

static void split(void *ctx, int64_t begin, int64_t end) {
  const bend *b = ctx;
  for (int64_t i = begin; i < end; i++) {
    float rise = b->rise[i], scale = b->scale ? b->scale[i] : 1, dz = change(b->z[i], b->z0[i]);
    rise = scale * (scale < 0 ? change(b->u[i], b->u0[i]) - rise : rise);
    b->rise[i] = fmaxf(rise, fmaxf(dz, 0)); /* what rounding left of rise = dz - fall */
    b->high[i] = b->z0[i] + b->rise[i];
    b->low[i] = b->z0[i] + fall_of(b, i);
  }
}

static void multiply(void *ctx, int64_t begin, int64_t end) {
  const bend *b = ctx;
  for (int64_t i = begin; i < end; i++) {
    float m = b->m[i], y0 = b->y0[i], y = b->y[i], high = b->high[i], low = b->low[i];
    float of_y = fabsf(m) * (fabsf(y0) + fabsf(y) + fabsf(high) + fabsf(low));
    float of_z = fabsf(b->slope[i]) * (fabsf(b->z0[i]) + fabsf(b->z[i]));
    float noise = XAI__ROUNDING * (of_y + of_z);
    float up = 0.5f * m * (change(high, y0) + change(y, low));
    float down = 0.5f * m * (change(low, y0) + change(y, high));
    up = xai__deeplift_ratio(up, b->rise[i], b->slope[i], noise);
    down = xai__deeplift_ratio(down, fall_of(b, i), b->slope[i], noise);
    float scale = b->scale ? b->scale[i] : 1;
    b->high[i] = scale * (scale < 0 ? down : up);
    b->low[i] = scale * (scale < 0 ? up : down);
  }
}

/* values = f(values) */
static int apply(const bend *b, float *values, float *room, int64_t n) {
  xai__call c = b->base;
  xai__view *in = xai__scratch(c.engine, (size_t)c.n_in, sizeof *in, c.err), out = c.out[0];
  if (!in) return c.err->status;
  memcpy(in, c.in, (size_t)c.n_in * sizeof *in);
  memcpy(room, values, (size_t)n * sizeof *room);
  in[b->operand].data = room;
  out.data = values;
  c.in = in;
  c.out = &out;
  return xai__node_forward(&c);
}

static int make_bend(bend *b, int i, int tail, const xai__call *c, const float *m, int64_t n) {
  XAI__TRY(call_of(b->d, tail, c, &b->base));
  XAI__TRY(xai__deeplift_at_input(b->d, &b->base, &b->input));
  b->operand = b->d->step[tail].activation;
  b->m = m;
  b->u0 = xai__f(&c->out[0]);
  b->u = b->d->x[c->node->out[0]];
  b->z0 = xai__f(&b->base.in[b->operand]);
  b->z = xai__f(&b->input.in[b->operand]);
  b->y0 = xai__f(&b->base.out[0]);
  b->y = xai__f(&b->input.out[0]);
  b->rise = numbers(c, n);
  b->high = numbers(c, n);
  b->low = numbers(c, n);
  b->slope = numbers(c, n);
  if (!b->rise || !b->high || !b->low || !b->slope) return c->err->status;
  return scale_between(b, i, tail, n);
}

int xai__deeplift_reveal(const xai__deeplift *d, const xai__step *step, xai__call *c,
                         const xai__view *gout, const xai__view *gin) {
  int i = (int)(step - d->plan->steps.v);
  int64_t n = xai__count(&c->out[0].shape);
  xai__engine *e = c->engine;
  sum s;
  bend b = {.d = d};
  XAI__TRY(make_bend(&b, i, d->step[i].tail, c, xai__f(&gout[0]), n));
  XAI__TRY(make_sum(d, step, c, &s));
  XAI__TRY(add_rising(&s, b.rise));
  xai__parallel(e, n, XAI__GRAIN, split, &b);
  XAI__TRY(apply(&b, b.high, b.slope, n));
  XAI__TRY(apply(&b, b.low, b.slope, n));
  float *half = numbers(c, n);
  if (!half) return c->err->status;
  xai__fill(e, half, n, 0);
  xai__fill(e, b.slope, n, 0);
  xai__add_scaled(e, half, b.m, n, 0.5f);
  XAI__TRY(vjp_of(&b.base, b.operand, half, b.slope));
  XAI__TRY(vjp_of(&b.input, b.operand, half, b.slope));
  xai__parallel(e, n, XAI__GRAIN, multiply, &b);
  xai__view up = c->out[0], down = c->out[0];
  up.data = b.high;
  down.data = b.low;
  return hand_back(&s, &up, &down, gin);
}
