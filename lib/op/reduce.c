/* ReduceSum, Mean, Max, Min, Prod, L1, L2, SumSquare, LogSum, LogSumExp over given or all axes.
 *
 * Relevance: Sum and Mean in proportion to their terms (norm), and so L1 and L2, which are equally
 * the sum of x_i dy/dx_i. LogSumExp routes along its softmax weights, which sum to 1. SumSquare: in
 * proportion to x_i^2. For Prod and LogSum none is defined. Max, Min: reduce_extremum.c. */
#include "op/reduce.h"
#include "op/own.h"
#include <math.h>

const xai__field xai__reduce_fields[] = {
    {.name = "axes", .type = XAI__INTS, .offset = offsetof(xai__reduce_attr, axes)},
    {.name = "keepdims", .type = XAI__INT, .offset = offsetof(xai__reduce_attr, keepdims),
     .preset = 1},
    {.name = "noop_with_empty_axes", .type = XAI__INT,
     .offset = offsetof(xai__reduce_attr, noop_with_empty_axes)},
    {0}};

static int marked_axes(xai__call *c, bool *reduced) {
  const xai__reduce_attr *a = c->node->attr;
  int rank = c->in[0].shape.rank;
  xai__ints axes;
  XAI__TRY(xai__axes_given(c, a->axes, 1, &axes));
  XAI__TRY(xai__axes_mark(c, axes, rank, reduced));
  if (!axes.n && !a->noop_with_empty_axes)
    for (int i = 0; i < rank; i++) reduced[i] = true;
  return XAI_OK;
}

int xai__reduce_plan(xai__call *c, xai__shape *kept, int64_t *group) {
  bool reduced[XAI__MAX_RANK];
  XAI__TRY(marked_axes(c, reduced));
  *kept = c->in[0].shape;
  *group = 1;
  for (int i = 0; i < kept->rank; i++) {
    if (!reduced[i]) continue;
    *group *= kept->d[i];
    kept->d[i] = 1;
  }
  return XAI_OK;
}

int xai__reduce_infer(xai__call *c) {
  bool reduced[XAI__MAX_RANK];
  XAI__TRY(marked_axes(c, reduced));
  const xai__shape *in = &c->in[0].shape;
  xai__shape *s = &c->out[0].shape;
  bool keep = ((const xai__reduce_attr *)c->node->attr)->keepdims;
  s->rank = 0;
  for (int i = 0; i < in->rank; i++)
    if (keep || !reduced[i]) s->d[s->rank++] = reduced[i] ? 1 : in->d[i];
  c->out[0].dtype = c->in[0].dtype;
  return XAI_OK;
}

xai__loop xai__reduce_loop(const xai__call *c, const xai__shape *kept) {
  xai__loop l = xai__loop_over(&c->in[0].shape);
  xai__loop_add(&l, kept);
  return l;
}

/* ---- forward: a fold; z is per group ---- */

typedef struct {
  const void *x;
  void *y;
  const float *z;
  double scale;
} folding;

#define SUM(name, expr)                                                                            \
  static inline double name##_of(double x) { return expr; }                                        \
  static void name(void *ctx, xai__acc *acc, int64_t acc_step, const xai__run *r) {                \
    const float *x = (const float *)((const folding *)ctx)->x + r->at[1];                          \
    if (r->step[1] == 1)                                                                           \
      XAI__TAKE_SUM(name##_of((double)x[i]));                                                      \
    else                                                                                           \
      XAI__TAKE_SUM(name##_of((double)x[i * r->step[1]]));                                         \
  }
SUM(take_sum, x)
SUM(take_abs, fabs(x))
SUM(take_square, x *x)
SUM(take_zeros, x == 0)

#define TAKE(name, T, A, member, expr)                                                             \
  static void name(void *ctx, xai__acc *acc, int64_t acc_step, const xai__run *r) {                \
    const T *xs = (const T *)((const folding *)ctx)->x + r->at[1];                                 \
    for (int64_t i = 0; i < r->n; i++) {                                                           \
      A x = (A)xs[i * r->step[1]], a = (A)acc[i * acc_step].member;                                \
      acc[i * acc_step].member = (expr);                                                           \
    }                                                                                              \
  }
TAKE(take_prod, float, double, f, a *x)
TAKE(take_max, float, double, f, x > a ? x : a)
TAKE(take_nonzero, float, double, f, x != 0 ? a * x : a)
TAKE(take_sum_i64, int64_t, uint64_t, i, (int64_t)(a + x))
TAKE(take_prod_i64, int64_t, uint64_t, i, (int64_t)(a * x))

static void take_exp(void *ctx, xai__acc *acc, int64_t acc_step, const xai__run *r) {
  const folding *f = ctx;
  const float *x = (const float *)f->x + r->at[1], *max = f->z + r->at[2];
  XAI__TAKE_SUM(expf(x[i * r->step[1]] - max[i * r->step[2]]));
}

#define GIVE(name, T, expr)                                                                        \
  static void name(void *ctx, const xai__acc *acc, int64_t n, int64_t at, int64_t step) {          \
    const folding *f = ctx;                                                                        \
    T *ys = (T *)f->y + at;                                                                        \
    for (int64_t i = 0; i < n; i++) {                                                              \
      T *y = &ys[i * step];                                                                        \
      xai__acc a = acc[i];                                                                         \
      *y = (T)(expr);                                                                              \
    }                                                                                              \
  }
GIVE(give, float, a.f *f->scale)
GIVE(give_i64, int64_t, a.i / (int64_t)f->scale)
GIVE(give_root, float, sqrt(a.f) * f->scale)
GIVE(give_log, float, log(a.f) * f->scale)
GIVE(give_finite, float, isfinite(a.f) ? a.f * f->scale : 0)
GIVE(give_shifted_log, float, (double)*y + log(a.f) * f->scale)

typedef struct {
  xai__fold f32, i64; /* i64.take NULL: floats only */
  bool mean;
  float (*slope)(float x, float y); /* dy/dx of a sum, not of a mean; NULL: 1 */
} reduction;

static int infer(xai__call *c, const reduction *d) {
  xai__shape kept;
  int64_t group;
  if (!d->i64.take) XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__reduce_plan(c, &kept, &group));
  if (c->in[0].dtype == XAI_I64 && d->mean && !group)
    return XAI__MALFORMED(c, "%s: the mean of no integers", c->node->op->type);
  return xai__reduce_infer(c);
}

static int forward(xai__call *c, const reduction *d) {
  xai__shape kept;
  int64_t group;
  XAI__TRY(xai__reduce_plan(c, &kept, &group));
  xai__loop l = xai__reduce_loop(c, &kept);
  xai__loop_add(&l, &c->in[0].shape);
  bool ints = c->in[0].dtype == XAI_I64;
  folding f = {.x = c->in[0].data, .y = c->out[0].data, .scale = 1};
  if (d->mean) f.scale = ints ? (double)group : 1 / (double)group;
  xai__loop_fold(c->engine, &l, ints ? &d->i64 : &d->f32, &f);
  return XAI_OK;
}

/* ---- vjp, relevance: gin[i] += g x slope(x[i], y), with g and y per group; no slope: 1 ---- */

typedef struct {
  const float *x, *y, *g;
  float *gin, scale;
  float (*slope)(float, float);
} sloping;

static void add_slopes(void *ctx, const xai__run *r) {
  const sloping *s = ctx;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t group = r->at[0] + i * r->step[0], at = r->at[1] + i * r->step[1];
    s->gin[at] += s->scale * s->g[group] * s->slope(s->x[at], s->y[group]);
  }
}

int xai__reduce_spread(xai__call *c, float (*slope)(float, float), bool mean, const float *g,
                       const xai__view *gin) {
  xai__shape kept;
  int64_t group;
  XAI__TRY(xai__reduce_plan(c, &kept, &group));
  float scale = mean ? 1 / (float)group : 1;
  xai__loop l = slope ? xai__reduce_loop(c, &kept) : xai__loop_over(&c->in[0].shape);
  xai__loop_add(&l, &c->in[0].shape);
  if (!slope) {
    xai__loop_add(&l, &kept);
    xai__add_copy(c->engine, &l, xai__f(gin), g, scale);
    return XAI_OK;
  }
  sloping s = {xai__f(&c->in[0]), xai__f(&c->out[0]), g, xai__f(gin), scale, slope};
  xai__loop_each(c->engine, &l, add_slopes, &s);
  return XAI_OK;
}

static int vjp(xai__call *c, const reduction *d, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  return xai__reduce_spread(c, d->slope, d->mean, xai__f(&gout[0]), &gin[0]);
}

static float slope_abs(float x, float y) { return (void)y, (float)((x > 0) - (x < 0)); }
static float slope_root(float x, float y) { return xai__ratio(x, y); }
static float slope_square(float x, float y) { return (void)y, 2 * x; }
static float slope_log(float x, float y) { return (void)x, expf(-y); }
static float slope_log_exp(float x, float y) { return expf(x - y); }
static float square(float x, float y) { return (void)y, x * x; }

/* ---- rows ---- */

#define REDUCTION(Type, ...)                                                                       \
  static const reduction reduction_##Type = __VA_ARGS__;                                           \
  static int infer_##Type(xai__call *c) { return infer(c, &reduction_##Type); }
#define FORWARD(Type)                                                                              \
  static int forward_##Type(xai__call *c) { return forward(c, &reduction_##Type); }
#define VJP(Type)                                                                                  \
  static int vjp_##Type(xai__call *c, const xai__view *gout, const xai__view *gin) {               \
    return vjp(c, &reduction_##Type, gout, gin);                                                   \
  }
#define OPERATOR(Type)                                                                             \
  .type = #Type, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 1, .since = 1,                 \
  .fields = xai__reduce_fields, .attr_size = sizeof(xai__reduce_attr), .infer = infer_##Type,      \
  .forward = forward_##Type, .vjp = vjp_##Type
#define INTS(take) {{.i = 0}, take, give_i64}

REDUCTION(ReduceSum, {{{0}, take_sum, give}, INTS(take_sum_i64), false, NULL})
REDUCTION(ReduceMean, {{{0}, take_sum, give}, INTS(take_sum_i64), true, NULL})
REDUCTION(ReduceL1, {{{0}, take_abs, give}, {{0}, NULL, NULL}, false, slope_abs})
REDUCTION(ReduceL2, {{{0}, take_square, give_root}, {{0}, NULL, NULL}, false, slope_root})
REDUCTION(ReduceSumSquare, {{{0}, take_square, give}, {{0}, NULL, NULL}, false, slope_square})
REDUCTION(ReduceLogSum, {{{0}, take_sum, give_log}, {{0}, NULL, NULL}, false, slope_log})
REDUCTION(ReduceLogSumExp,
          {{{-HUGE_VAL}, take_max, give_finite}, {{0}, NULL, NULL}, false, slope_log_exp})
REDUCTION(ReduceProd, {{{1}, take_prod, give}, {{.i = 1}, take_prod_i64, give_i64}, false, NULL})
FORWARD(ReduceSum) FORWARD(ReduceMean) FORWARD(ReduceL1) FORWARD(ReduceL2)
FORWARD(ReduceSumSquare) FORWARD(ReduceLogSum) FORWARD(ReduceProd)
VJP(ReduceSum) VJP(ReduceMean) VJP(ReduceL1) VJP(ReduceL2)
VJP(ReduceSumSquare) VJP(ReduceLogSum) VJP(ReduceLogSumExp)

const xai__op xai__op_ReduceSum = {OPERATOR(ReduceSum), .cross = XAI__CROSS_NORM};
const xai__op xai__op_ReduceMean = {OPERATOR(ReduceMean), .cross = XAI__CROSS_NORM};
const xai__op xai__op_ReduceL1 = {OPERATOR(ReduceL1), .cross = XAI__CROSS_NORM};
const xai__op xai__op_ReduceL2 = {OPERATOR(ReduceL2), .cross = XAI__CROSS_NORM};
const xai__op xai__op_ReduceLogSum = {OPERATOR(ReduceLogSum), .cross = XAI__CROSS_REFUSED};

static int relevance_square(xai__call *c, const xai__own_options *o, const xai__view *gout,
                            const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  int64_t n = xai__count(&c->out[0].shape);
  size_t mark = xai__scratch_mark(c->engine);
  float *s = xai__scratch(c->engine, (size_t)n, sizeof *s, c->err);
  int status = s ? XAI_OK : c->err->status;
  if (s) {
    xai__own_divide(c->engine, xai__f(&gout[0]), xai__f(&c->out[0]), 1, n, o->stabilizer, s,
                    o->ledger);
    status = xai__reduce_spread(c, square, false, s, &gin[0]);
  }
  xai__scratch_release(c->engine, mark);
  return status;
}

const xai__op xai__op_ReduceSumSquare = {
    OPERATOR(ReduceSumSquare), .cross = XAI__CROSS_OWN, .relevance = relevance_square};

/* y = max + log sum exp(x - max), the maximum being 0 where it is infinite. */
static int forward_ReduceLogSumExp(xai__call *c) {
  static const xai__fold sum = {{0}, take_exp, give_shifted_log};
  xai__shape kept;
  int64_t group;
  XAI__TRY(forward(c, &reduction_ReduceLogSumExp));
  XAI__TRY(xai__reduce_plan(c, &kept, &group));
  xai__loop l = xai__reduce_loop(c, &kept);
  xai__loop_add(&l, &c->in[0].shape);
  xai__loop_add(&l, &kept);
  folding f = {c->in[0].data, c->out[0].data, xai__f(&c->out[0]), 1};
  xai__loop_fold(c->engine, &l, &sum, &f);
  return XAI_OK;
}

const xai__op xai__op_ReduceLogSumExp = {OPERATOR(ReduceLogSumExp), .cross = XAI__CROSS_ROUTE};

/* dy/dx = product of the others: from the nonzero factors and the number of zeros of each group. */
typedef struct {
  const float *x, *g, *nonzero, *zeros;
  float *gin;
} factors;

static void add_others(void *ctx, const xai__run *r) {
  const factors *f = ctx;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t group = r->at[0] + i * r->step[0], at = r->at[1] + i * r->step[1];
    float x = f->x[at], p = f->nonzero[group];
    float others = x == 0 ? (f->zeros[group] == 1 ? p : 0) : f->zeros[group] == 0 ? p / x : 0;
    f->gin[at] += f->g[group] * others;
  }
}

static int vjp_ReduceProd(xai__call *c, const xai__view *gout, const xai__view *gin) {
  static const xai__fold nonzero = {{1}, take_nonzero, give}, zeros = {{0}, take_zeros, give};
  xai__shape kept;
  int64_t group;
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  XAI__TRY(xai__reduce_plan(c, &kept, &group));
  size_t mark = xai__scratch_mark(c->engine), n = (size_t)xai__count(&kept);
  float *p = xai__scratch(c->engine, 2 * n, sizeof *p, c->err);
  if (!p) return c->err->status;
  xai__loop l = xai__reduce_loop(c, &kept);
  xai__loop_add(&l, &c->in[0].shape);
  xai__loop_fold(c->engine, &l, &nonzero, &(folding){c->in[0].data, p, NULL, 1});
  xai__loop_fold(c->engine, &l, &zeros, &(folding){c->in[0].data, p + n, NULL, 1});
  factors f = {xai__f(&c->in[0]), xai__f(&gout[0]), p, p + n, xai__f(&gin[0])};
  xai__loop_each(c->engine, &l, add_others, &f);
  xai__scratch_release(c->engine, mark);
  return XAI_OK;
}

const xai__op xai__op_ReduceProd = {OPERATOR(ReduceProd), .cross = XAI__CROSS_REFUSED};
