/* MeanVarianceNormalization (ONNX 9, 13): y = (x - m) / (s + 1e-9), m and s the mean and the
 * standard deviation over `axes`.
 *
 * Relevance, with s taken as a constant as in LayerNormalization: g = R / stab(y),
 * R_x = x (g - mean g) / (s + 1e-9). */
#include "op/check.h"
#include "op/loop.h"
#include "op/own.h"
#include <math.h>

typedef struct {
  xai__ints axes;
} mvn_attr;
static const xai__field fields[] = {
    {.name = "axes", .type = XAI__INTS, .offset = offsetof(mvn_attr, axes)}, {0}};

/* Statistics of one group of elements that are normalised together. */
typedef struct stats {
  double mean, inverse;   /* m, 1 / (s + 1e-9) */
  double g_mean, g_along; /* of what comes back: mean g, mean g n with n the normalised x */
} stats;

typedef struct mvn {
  xai__loop l; /* streams: the group, the element, the group again */
  stats *of;
  double count; /* elements of a group */
  const float *x, *g;
  float *y;
  bool relevance;
} mvn;

static int groups_of(const xai__call *c, xai__shape *s) {
  static const int64_t preset[] = {0, 2, 3};
  xai__ints axes = ((const mvn_attr *)c->node->attr)->axes;
  bool marked[XAI__MAX_RANK];
  if (!axes.n) axes = (xai__ints){3, preset};
  *s = c->in[0].shape;
  XAI__TRY(xai__axes_mark(c, axes, s->rank, marked));
  for (int i = 0; i < s->rank; i++)
    if (marked[i]) s->d[i] = 1;
  return XAI_OK;
}

static int infer(xai__call *c) {
  xai__shape groups;
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(groups_of(c, &groups));
  if (xai__count(&groups) > 0 && xai__count(&c->in[0].shape) == 0)
    return XAI__MALFORMED(c, "MeanVarianceNormalization of %s",
                          xai__shape_text(&c->in[0].shape).text);
  c->out[0].dtype = XAI_F32;
  c->out[0].shape = c->in[0].shape;
  return XAI_OK;
}

/* ---- statistics ---- */

#define STATISTIC(name, term, result)                                                              \
  static void take_##name(void *ctx, xai__acc *acc, int64_t acc_step, const xai__run *r) {         \
    const mvn *m = ctx;                                                                            \
    const stats *of = m->of + r->at[2];                                                            \
    const float *v = (m->g ? m->g : m->x) + r->at[1], *x = m->x + r->at[1];                        \
    int64_t step = r->step[1], next = r->step[2];                                                  \
    (void)of, (void)v, (void)x, (void)next;                                                        \
    XAI__TAKE_SUM(term);                                                                           \
  }                                                                                                \
  static void give_##name(void *ctx, const xai__acc *acc, int64_t n, int64_t at, int64_t step) {   \
    const mvn *m = ctx;                                                                            \
    for (int64_t i = 0; i < n; i++) {                                                              \
      stats *s = &m->of[at + i * step];                                                            \
      double mean = acc[i].f / m->count;                                                           \
      result;                                                                                      \
    }                                                                                              \
  }                                                                                                \
  static const xai__fold name = {{0}, take_##name, give_##name};
#define CENTRED ((double)x[i * step] - of[i * next].mean)
STATISTIC(mean_of_x, v[i * step], s->mean = mean)
STATISTIC(deviation_of_x, CENTRED * CENTRED, s->inverse = 1 / (sqrt(mean) + 1e-9))
STATISTIC(mean_of_g, v[i * step], s->g_mean = mean)
STATISTIC(g_along_n, (double)v[i * step] * CENTRED * of[i * next].inverse, s->g_along = mean)

/* To be released by the caller. */
static int prepare(xai__call *c, mvn *m) {
  const xai__shape *x = &c->in[0].shape;
  xai__shape groups;
  XAI__TRY(groups_of(c, &groups));
  *m = (mvn){.l = xai__loop_over(x), .x = xai__f(&c->in[0]),
             .count = (double)(xai__count(x) / (xai__count(&groups) ? xai__count(&groups) : 1))};
  m->of = xai__scratch(c->engine, (size_t)xai__count(&groups), sizeof *m->of, c->err);
  if (!m->of) return c->err->status;
  xai__loop_add(&m->l, &groups);
  xai__loop_add(&m->l, x);
  xai__loop_add(&m->l, &groups);
  xai__loop_fold(c->engine, &m->l, &mean_of_x, m);
  xai__loop_fold(c->engine, &m->l, &deviation_of_x, m);
  return XAI_OK;
}

/* ---- the operator ---- */

static void normalise(void *ctx, const xai__run *r) {
  const mvn *m = ctx;
  for (int64_t i = 0; i < r->n; i++) {
    const stats *s = &m->of[r->at[2] + i * r->step[2]];
    int64_t at = r->at[1] + i * r->step[1];
    m->y[at] = (float)(((double)m->x[at] - s->mean) * s->inverse);
  }
}

/* y += (g - mean g - n mean(g n)) / s, or x (g - mean g) / s */
static void hand_back(void *ctx, const xai__run *r) {
  const mvn *m = ctx;
  for (int64_t i = 0; i < r->n; i++) {
    const stats *s = &m->of[r->at[2] + i * r->step[2]];
    int64_t at = r->at[1] + i * r->step[1];
    double x = (double)m->x[at], g = (double)m->g[at] - s->g_mean;
    double back = m->relevance ? x * g : g - (x - s->mean) * s->inverse * s->g_along;
    m->y[at] += (float)(back * s->inverse);
  }
}

static int forward(xai__call *c) {
  mvn m;
  size_t mark = xai__scratch_mark(c->engine);
  int status = prepare(c, &m);
  if (!status) {
    m.y = xai__f(&c->out[0]);
    xai__loop_each(c->engine, &m.l, normalise, &m);
  }
  xai__scratch_release(c->engine, mark);
  return status;
}

static int back(xai__call *c, const float *g, float *gx, bool relevance) {
  mvn m;
  XAI__TRY(prepare(c, &m));
  m.g = g, m.y = gx, m.relevance = relevance;
  xai__loop_fold(c->engine, &m.l, &mean_of_g, &m);
  if (!relevance) xai__loop_fold(c->engine, &m.l, &g_along_n, &m);
  xai__loop_each(c->engine, &m.l, hand_back, &m);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  size_t mark = xai__scratch_mark(c->engine);
  int status = back(c, xai__f(&gout[0]), xai__f(&gin[0]), false);
  xai__scratch_release(c->engine, mark);
  return status;
}

static int relevance(xai__call *c, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  int64_t n = xai__count(&c->out[0].shape);
  size_t mark = xai__scratch_mark(c->engine);
  float *s = xai__scratch(c->engine, (size_t)n, sizeof *s, c->err);
  int status = s ? XAI_OK : c->err->status;
  if (s) {
    xai__own_divide(c->engine, xai__f(&gout[0]), xai__f(&c->out[0]), 1, n, o->stabilizer, s,
                    o->ledger);
    status = back(c, s, xai__f(&gin[0]), true);
  }
  xai__scratch_release(c->engine, mark);
  return status;
}

const xai__op xai__op_MeanVarianceNormalization = {
    .type = "MeanVarianceNormalization", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
    .since = 9, .fields = fields, .attr_size = sizeof(mvn_attr), .infer = infer,
    .forward = forward, .vjp = vjp, .cross = XAI__CROSS_OWN, .relevance = relevance,
    .pass_option = "layernorm"};
