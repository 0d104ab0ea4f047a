/* LpNormalization (ONNX 1, 22): rows along one axis, scaled to norm 1.
 *
 *   y = x / (sum |x|^p)^(1/p), p = 1 or 2; 0 where the norm is 0
 *
 * Relevance passes: it only scales. */
#include "op/op.h"
#include <math.h>

typedef struct lp_attr {
  int64_t axis, p;
} lp_attr;

static const xai__field fields[] = {{"axis", XAI__INT, offsetof(lp_attr, axis), -1, false},
                                       {"p", XAI__INT, offsetof(lp_attr, p), 2, false},
                                       {0}};

static int infer(xai__call *c) {
  const lp_attr *a = c->node->attr;
  int axis;
  XAI__TRY(xai__need_rank(c, 0, 1, XAI__MAX_RANK));
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__axis(a->axis, c->in[0].shape.rank, c, &axis));
  if (a->p != 1 && a->p != 2)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "p is %lld, must be 1 or 2",
                     (long long)a->p);
  c->out[0].dtype = XAI_F32;
  c->out[0].shape = c->in[0].shape;
  return XAI_OK;
}

typedef struct lp_ctx {
  int64_t len, inner;
  bool squares;
  const float *x, *y, *g;
  float *out;
} lp_ctx;

/* out = x / norm; or, with g: out += (g - n sum g y) / norm, n the norm's slope: y or sign x */
static void lp_row(const lp_ctx *c, int64_t first) {
  int64_t end = first + c->len * c->inner;
  double norm = 0, along = 0;
  for (int64_t i = first; i < end; i += c->inner) {
    norm += c->squares ? (double)c->x[i] * (double)c->x[i] : fabs((double)c->x[i]);
    if (c->g) along += (double)c->g[i] * (double)c->y[i];
  }
  double scale = norm > 0 ? 1 / (c->squares ? sqrt(norm) : norm) : 0;
  for (int64_t i = first; i < end; i += c->inner) {
    if (!c->g) {
      c->out[i] = (float)((double)c->x[i] * scale);
      continue;
    }
    double n = c->squares ? (double)c->y[i] : (double)((c->x[i] > 0) - (c->x[i] < 0));
    c->out[i] += (float)(((double)c->g[i] - n * along) * scale);
  }
}

static void lp_range(void *ctx, int64_t begin, int64_t end) {
  const lp_ctx *c = ctx;
  for (int64_t row = begin; row < end; row++)
    lp_row(c, row / c->inner * c->len * c->inner + row % c->inner);
}

static void lp_run(xai__call *c, const float *g, float *out) {
  const lp_attr *a = c->node->attr;
  const xai__shape *s = &c->in[0].shape;
  int axis = (int)(a->axis < 0 ? a->axis + s->rank : a->axis);
  lp_ctx ctx = {s->d[axis], xai__span(s, axis + 1, s->rank), a->p == 2, xai__f(&c->in[0]),
                xai__f(&c->out[0]), g, out};
  xai__parallel(c->engine, xai__span(s, 0, axis) * ctx.inner, xai__grain(ctx.len), lp_range, &ctx);
}

static int forward(xai__call *c) {
  lp_run(c, NULL, xai__f(&c->out[0]));
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (gout[0].data && gin[0].data) lp_run(c, xai__f(&gout[0]), xai__f(&gin[0]));
  return XAI_OK;
}

const xai__op xai__op_LpNormalization = {
    .type = "LpNormalization",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .since = 1,
    .fields = fields,
    .attr_size = sizeof(lp_attr),
    .infer = infer,
    .forward = forward,
    .vjp = vjp,
    .cross = XAI__CROSS_PASS,
};
