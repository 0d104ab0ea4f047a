/* How multipliers cross a step, by the rescale rule. Values at the baseline have a 0.
 *
 *   affine      m_x = J' m_y
 *   pointwise   m_x = m_y (y - y0) / (x - x0)
 *   max         where y > y0, m_y (y - y0) is the share of the winner at x, else of that at x0;
 *               m_x = a winner's share / (x - x0). min the other way round.
 *   others      m_x = mean of J' m_y along the straight line from x0 to x: for a product of two the
 *               mean of the other factor; else by Gauss-Legendre, until the shares make up
 *               m_y (y - y0)
 *
 * J' is the operator's vjp; where x = x0 it stands in for the quotients. A Where whose condition
 * changes is taken as at x, so what jumps there is lost (and is part of the gap). */
#include "explain/deeplift.h"

#include <string.h>

#include "base/number.h"
#include "graph/pattern.h"

/* ---- what kind of step ---- */

static int activation_of(const xai__plan *p, const xai__node *node) {
  int only = -1;
  for (int k = 0; k < node->n_in; k++) {
    int v = node->in[k];
    if (v < 0 || p->graph->values[v].is_static || p->value[v].dtype != XAI_F32) continue;
    if (only >= 0) return -1;
    only = k;
  }
  return only;
}

bool xai__deeplift_alike(const xai__plan *p, const xai__node *node, int k) {
  return xai__shape_equal(&p->value[node->in[k]].shape, &p->value[node->out[0]].shape);
}

static xai__dependence dependence(const xai__plan *p, const xai__step *s, int activation) {
  static const struct {
    const char *type;
    xai__dependence how;
  } by_type[] = {{"Min", XAI__SMALLEST},         {"ReduceMin", XAI__SMALLEST},
                 {"MatMul", XAI__PRODUCT},       {"Gemm", XAI__PRODUCT},
                 {"ReduceL1", XAI__SMOOTH},      {"ReduceL2", XAI__SMOOTH},
                 {"ReduceLogSumExp", XAI__SMOOTH}, {"LRN", XAI__SMOOTH},
                 {"LpNormalization", XAI__SMOOTH}, {"RMSNormalization", XAI__SMOOTH}};
  const xai__node *node = &s->node;
  if (s->cross == XAI__CROSS_NONE) return XAI__APART;
  if (s->cross == XAI__CROSS_LINEAR) return XAI__AFFINE;
  if (activation >= 0 && xai__type_is(node, "Mul")) return XAI__AFFINE;
  if (activation == 0 && xai__type_is(node, "Div")) return XAI__AFFINE;
  for (size_t i = 0; i < sizeof by_type / sizeof *by_type; i++)
    if (xai__type_is(node, by_type[i].type)) return by_type[i].how;
  bool is_where = xai__type_is(node, "Where");
  if (s->cross == XAI__CROSS_PASS || is_where) {
    bool alike = activation >= 0 && xai__deeplift_alike(p, node, activation);
    return alike ? XAI__POINTWISE : is_where ? XAI__PRODUCT : XAI__SMOOTH;
  }
  if (s->cross == XAI__CROSS_NORM) return XAI__AFFINE;
  if (s->cross == XAI__CROSS_ROUTE) return node->op->relevance ? XAI__LARGEST : XAI__AFFINE;
  return s->cross == XAI__CROSS_GATE ? XAI__PRODUCT : XAI__SMOOTH;
}

xai__deeplift_step xai__deeplift_classify(const xai__plan *p, const xai__step *step) {
  int activation = activation_of(p, &step->node);
  return (xai__deeplift_step){dependence(p, step, activation), activation, -1, false};
}

/* ---- shared ---- */

int xai__deeplift_at_input(const xai__deeplift *d, const xai__call *c, xai__call *input) {
  const xai__node *node = c->node;
  size_t n = (size_t)c->n_in, n_out = (size_t)c->n_out;
  xai__view *v = xai__scratch(c->engine, n + n_out, sizeof *v, c->err);
  if (!v) return c->err->status;
  memcpy(v, c->in, n * sizeof *v);
  memcpy(v + n, c->out, n_out * sizeof *v);
  for (size_t k = 0; k < n; k++)
    if (node->in[k] >= 0) v[k].data = d->x[node->in[k]];
  for (size_t k = 0; k < n_out; k++)
    if (node->out[k] >= 0) v[n + k].data = d->x[node->out[k]];
  *input = *c;
  input->in = v;
  input->out = v + n;
  return XAI_OK;
}

int xai__deeplift_zeros(const xai__call *c, const xai__view *like, int n, xai__view **out) {
  xai__view *v = xai__scratch(c->engine, (size_t)n, sizeof *v, c->err);
  if (!v) return c->err->status;
  for (int k = 0; k < n; k++) {
    v[k] = like[k];
    if (!v[k].data || v[k].dtype != XAI_F32) continue;
    int64_t size = xai__count(&v[k].shape);
    v[k].data = xai__scratch(c->engine, (size_t)size, sizeof(float), c->err);
    if (!v[k].data) return c->err->status;
    xai__fill(c->engine, xai__f(&v[k]), size, 0);
  }
  *out = v;
  return XAI_OK;
}

typedef struct line_job {
  const float *x0, *x;
  double part;
  float *to;
} line_job;

static void between(void *ctx, int64_t begin, int64_t end) {
  const line_job *l = ctx;
  float part = (float)l->part;
  for (int64_t i = begin; i < end; i++) /* equal ones may be infinite: masks */
    l->to[i] = l->x[i] == l->x0[i] ? l->x[i] : l->x0[i] + part * (l->x[i] - l->x0[i]);
}

void xai__deeplift_between(xai__engine *e, const float *x0, const float *x, double part, int64_t n,
                           float *to) {
  line_job l = {x0, x, part, to};
  xai__parallel(e, n, XAI__GRAIN, between, &l);
}

/* ---- means along a line ---- */

typedef struct line {
  const xai__view *gout;
  xai__call *base, input, at;   /* at: a point between them */
  xai__view *in, *out, *scaled; /* of that point; scaled: gout times its weight */
  xai__view *mean;              /* per operand that is a float activation */
} line;

static int make_line(const xai__deeplift *d, xai__call *base, const xai__view *gout, line *l) {
  *l = (line){.gout = gout, .base = base};
  XAI__TRY(xai__deeplift_at_input(d, base, &l->input));
  xai__view *moved = xai__scratch(base->engine, (size_t)base->n_in, sizeof *moved, base->err);
  if (!moved) return base->err->status;
  for (int k = 0; k < base->n_in; k++) {
    moved[k] = base->in[k];
    if (base->in_static[k] || base->in[k].dtype != XAI_F32) moved[k].data = NULL;
  }
  XAI__TRY(xai__deeplift_zeros(base, moved, base->n_in, &l->mean));
  XAI__TRY(xai__deeplift_zeros(base, moved, base->n_in, &l->in));
  XAI__TRY(xai__deeplift_zeros(base, base->out, base->n_out, &l->out));
  XAI__TRY(xai__deeplift_zeros(base, gout, base->n_out, &l->scaled));
  for (int k = 0; k < base->n_in; k++)
    if (!moved[k].data) l->in[k].data = base->in[k].data;
  l->at = *base;
  l->at.in = l->in;
  l->at.out = l->out;
  return XAI_OK;
}

/* mean = sum over n points of their weight times J' gout. From half-way on, integers are those at
 * the input. */
static int average(line *l, int n, double *part, double *weight) {
  xai__call *c = l->base;
  xai__engine *e = c->engine;
  xai__gauss_legendre(n, part, weight);
  for (int k = 0; k < c->n_in; k++)
    if (l->mean[k].data) xai__fill(e, xai__f(&l->mean[k]), xai__count(&l->mean[k].shape), 0);
  for (int i = 0; i < n; i++) {
    for (int k = 0; k < c->n_in; k++) {
      if (l->mean[k].data)
        xai__deeplift_between(e, xai__f(&c->in[k]), xai__f(&l->input.in[k]), part[i],
                              xai__count(&c->in[k].shape), xai__f(&l->in[k]));
      else if (!c->in_static[k])
        l->in[k].data = part[i] < 0.5 ? c->in[k].data : l->input.in[k].data;
    }
    XAI__TRY(xai__node_forward(&l->at));
    for (int k = 0; k < c->n_out; k++) {
      if (!l->scaled[k].data) continue;
      int64_t size = xai__count(&l->scaled[k].shape);
      xai__fill(e, xai__f(&l->scaled[k]), size, 0);
      xai__add_scaled(e, xai__f(&l->scaled[k]), xai__f(&l->gout[k]), size, (float)weight[i]);
    }
    XAI__TRY(xai__node_vjp(&l->at, l->scaled, l->mean));
  }
  return XAI_OK;
}

typedef struct pointwise {
  const float *m, *x0, *x, *y0, *y, *slope;
  float *m_x;
} pointwise;

static void divide(void *ctx, int64_t begin, int64_t end) {
  const pointwise *p = ctx;
  for (int64_t i = begin; i < end; i++) {
    float m = p->m[i], y0 = p->y0[i], y = p->y[i];
    float noise = XAI__ROUNDING * fabsf(m) * (fabsf(y0) + fabsf(y));
    float share = y == y0 ? 0 : m * (y - y0); /* equal ones may be infinite */
    p->m_x[i] += xai__deeplift_ratio(share, p->x[i] - p->x0[i], p->slope[i], noise);
  }
}

static int cross_pointwise(const xai__deeplift *d, const xai__deeplift_step *s, xai__call *base,
                           const xai__view *gout, const xai__view *gin) {
  int k = s->activation;
  double part, weight;
  line l;
  XAI__TRY(make_line(d, base, gout, &l));
  XAI__TRY(average(&l, 1, &part, &weight));
  pointwise p = {.m = xai__f(&gout[0]), .slope = xai__f(&l.mean[k]), .m_x = xai__f(&gin[k]),
                 .x0 = xai__f(&base->in[k]), .x = xai__f(&l.input.in[k]),
                 .y0 = xai__f(&base->out[0]), .y = xai__f(&l.input.out[0])};
  xai__parallel(base->engine, xai__count(&gin[k].shape), XAI__GRAIN, divide, &p);
  return XAI_OK;
}

/* sum of m (x - x0) over part `item` of `items` of a tensor; *scale += sum of |m| (|x| + |x0|). */
static double change_of(const xai__view *m, const xai__view *x0, const xai__view *x, int64_t item,
                        int64_t items, double *scale) {
  int64_t n = xai__count(&m->shape) / items;
  const float *f = xai__f(m) + item * n, *a = xai__f(x0) + item * n, *b = xai__f(x) + item * n;
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    if (b[i] == a[i]) continue;
    sum += (double)f[i] * ((double)b[i] - (double)a[i]);
    *scale += fabs((double)f[i]) * (fabs((double)b[i]) + fabs((double)a[i]));
  }
  return sum;
}

/* Whether the means make up the change of the results. */
static bool is_complete(const line *l, int64_t item, int64_t items) {
  const xai__call *c = l->base;
  double rest = 0, scale = 0, ignored = 0;
  for (int k = 0; k < c->n_out; k++)
    if (l->gout[k].data)
      rest += change_of(&l->gout[k], &c->out[k], &l->input.out[k], item, items, &scale);
  for (int k = 0; k < c->n_in; k++)
    if (l->mean[k].data)
      rest -= change_of(&l->mean[k], &c->in[k], &l->input.in[k], item, items, &ignored);
  return !(fabs(rest) > 1e-6 * scale);
}

/* The items along axis 0 of all tensors, else 1: each item settles for its own number of points,
 * whatever batch it comes in. */
static int64_t items_of(const line *l, int64_t items) {
  for (int k = 0; k < l->base->n_in + l->base->n_out; k++) {
    const xai__view *v = k < l->base->n_in ? &l->mean[k] : &l->gout[k - l->base->n_in];
    if (v->data && (v->shape.rank < 1 || v->shape.d[0] % items)) return 1;
  }
  return items;
}

static void add_item(const line *l, const xai__view *gin, int64_t item, int64_t items) {
  for (int k = 0; k < l->base->n_in; k++) {
    if (!gin[k].data) continue;
    int64_t n = xai__count(&gin[k].shape) / items;
    const float *mean = xai__f(&l->mean[k]) + item * n;
    xai__add_scaled(l->base->engine, xai__f(&gin[k]) + item * n, mean, n, 1);
  }
}

static int cross_line(const xai__deeplift *d, int fewest, int most, xai__call *base,
                      const xai__view *gout, const xai__view *gin) {
  line l;
  XAI__TRY(make_line(d, base, gout, &l));
  int64_t items = items_of(&l, d->items), left = items;
  double *part = xai__scratch(base->engine, 2 * (size_t)most, sizeof *part, base->err);
  bool *settled = xai__scratch(base->engine, (size_t)items, 1, base->err);
  if (!part || !settled) return base->err->status;
  memset(settled, 0, (size_t)items);
  for (int n = fewest; left > 0; n *= 2) {
    XAI__TRY(average(&l, n, part, part + most));
    for (int64_t item = 0; item < items; item++) {
      if (settled[item] || (n < most && !is_complete(&l, item, items))) continue;
      settled[item] = true;
      left--;
      add_item(&l, gin, item, items);
    }
  }
  return XAI_OK;
}

/* ---- extrema ---- */

typedef struct extremum {
  bool largest;
  const float *m, *y0, *y;
  float *at_x, *at_x0; /* m (y - y0): the share of the winner there */
} extremum;

static void part_shares(void *ctx, int64_t begin, int64_t end) {
  const extremum *c = ctx;
  for (int64_t i = begin; i < end; i++) {
    if (c->y[i] == c->y0[i]) continue;
    float *to = (c->y[i] > c->y0[i]) == c->largest ? c->at_x : c->at_x0;
    to[i] = c->m[i] * (c->y[i] - c->y0[i]);
  }
}

typedef struct shares {
  const float *x0, *x, *share, *slope;
  float *m;
} shares;

static void divide_shares(void *ctx, int64_t begin, int64_t end) {
  const shares *s = ctx;
  for (int64_t i = begin; i < end; i++)
    s->m[i] += xai__deeplift_ratio(s->share[i], s->x[i] - s->x0[i], s->slope[i], 0);
}

static int cross_extremum(const xai__deeplift *d, bool largest, xai__call *base,
                          const xai__view *gout, const xai__view *gin) {
  xai__call input;
  xai__view *share, *slope, *at_x, *at_x0;
  XAI__TRY(xai__deeplift_at_input(d, base, &input));
  XAI__TRY(xai__deeplift_zeros(base, gin, base->n_in, &share));
  XAI__TRY(xai__deeplift_zeros(base, gin, base->n_in, &slope));
  XAI__TRY(xai__deeplift_zeros(base, gout, base->n_out, &at_x));
  XAI__TRY(xai__deeplift_zeros(base, gout, base->n_out, &at_x0));
  extremum c = {largest, xai__f(&gout[0]), xai__f(&base->out[0]), xai__f(&input.out[0]),
                xai__f(&at_x[0]), xai__f(&at_x0[0])};
  xai__parallel(base->engine, xai__count(&base->out[0].shape), XAI__GRAIN, part_shares, &c);
  XAI__TRY(xai__node_vjp(&input, at_x, share));
  XAI__TRY(xai__node_vjp(base, at_x0, share));
  XAI__TRY(xai__node_vjp(base, gout, slope));
  for (int k = 0; k < base->n_in; k++) {
    if (!gin[k].data) continue;
    shares s = {xai__f(&base->in[k]), xai__f(&input.in[k]), xai__f(&share[k]), xai__f(&slope[k]),
                xai__f(&gin[k])};
    xai__parallel(base->engine, xai__count(&gin[k].shape), XAI__GRAIN, divide_shares, &s);
  }
  return XAI_OK;
}

/* ---- all ---- */

int xai__deeplift_cross(void *deeplift, const xai__step *step, xai__call *c, const xai__view *gout,
                        const xai__view *gin) {
  enum { FEWEST = 8, MOST = 128 };
  const xai__deeplift *d = deeplift;
  const xai__deeplift_step *s = &d->step[step - d->plan->steps.v];
  if (s->deferred) {
    const xai__view *to = &gin[s->activation];
    xai__add_scaled(c->engine, xai__f(to), xai__f(&gout[0]), xai__count(&to->shape), 1);
    return XAI_OK;
  }
  if (s->tail >= 0) return xai__deeplift_reveal(d, step, c, gout, gin);
  switch (s->how) {
    case XAI__APART: return XAI_OK;
    case XAI__AFFINE: return xai__node_vjp(c, gout, gin);
    case XAI__POINTWISE: return cross_pointwise(d, s, c, gout, gin);
    case XAI__LARGEST: return cross_extremum(d, true, c, gout, gin);
    case XAI__SMALLEST: return cross_extremum(d, false, c, gout, gin);
    case XAI__PRODUCT: return cross_line(d, 1, 1, c, gout, gin);
    case XAI__SMOOTH: return cross_line(d, FEWEST, MOST, c, gout, gin);
  }
  return XAI_OK;
}
