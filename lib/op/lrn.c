/* LRN (ONNX 1, 13): local response normalisation across channels.
 *
 *   y_c = x_c D_c^-beta,  D_c = bias + alpha / size sum_{j = c - before}^{c + after} x_j^2
 *   before = floor((size - 1) / 2), after = ceil((size - 1) / 2)
 *
 * x (N,C,...). Relevance passes: it only scales. */
#include "op/op.h"
#include <math.h>

typedef struct lrn_attr {
  float alpha, beta, bias;
  int64_t size;
} lrn_attr;

static const xai__field fields[] = {
    {"alpha", XAI__FLOAT, offsetof(lrn_attr, alpha), 1e-4, false},
    {"beta", XAI__FLOAT, offsetof(lrn_attr, beta), 0.75, false},
    {"bias", XAI__FLOAT, offsetof(lrn_attr, bias), 1, false},
    {"size", XAI__INT, offsetof(lrn_attr, size), 0, true},
    {0}};

static int infer(xai__call *c) {
  const lrn_attr *a = c->node->attr;
  XAI__TRY(xai__need_rank(c, 0, 2, XAI__MAX_RANK));
  XAI__TRY(xai__need_float(c, 0));
  if (a->size < 1 || a->size > INT32_MAX)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "LRN: size is %lld", (long long)a->size);
  c->out[0].dtype = XAI_F32;
  c->out[0].shape = c->in[0].shape;
  return XAI_OK;
}

typedef struct lrn_ctx {
  lrn_attr a;
  int64_t channels, plane;
  const float *x, *g;
  float *t, *y;
} lrn_ctx;

enum { CHUNK = 256 };

/* sum[i]: v at position i, or its square, over the channels from c - before to c + after. */
static void window_sum(const lrn_ctx *c, const float *v, bool square, int64_t plane, int64_t before,
                       int64_t after, int64_t at, int64_t n, double *sum) {
  int64_t channel = plane % c->channels, item = plane - channel;
  int64_t from = channel > before ? channel - before : 0;
  int64_t to = after < c->channels - 1 - channel ? channel + after : c->channels - 1;
  for (int64_t i = 0; i < n; i++) sum[i] = 0;
  for (int64_t j = from; j <= to; j++) {
    const float *p = v + (item + j) * c->plane + at;
    for (int64_t i = 0; i < n; i++) sum[i] += (double)p[i] * (square ? (double)p[i] : 1);
  }
}

/* y = x D^-beta; or, with g: y += g D^-beta and t = x g D^(-beta - 1) */
static void lrn_plane(const lrn_ctx *c, int64_t plane, int64_t at, int64_t n) {
  double sum[CHUNK];
  int64_t before = (c->a.size - 1) / 2, after = c->a.size - 1 - before;
  int64_t first = plane * c->plane + at;
  window_sum(c, c->x, true, plane, before, after, at, n, sum);
  for (int64_t i = 0; i < n; i++) {
    int64_t k = first + i;
    double d = (double)c->a.bias + (double)c->a.alpha / (double)c->a.size * sum[i];
    float scale = (float)pow(d, -(double)c->a.beta);
    if (!c->g) {
      c->y[k] = c->x[k] * scale;
    } else {
      c->y[k] += c->g[k] * scale;
      c->t[k] = (float)((double)c->x[k] * (double)c->g[k] * (double)scale / d);
    }
  }
}

/* y_c -= 2 alpha beta / size x_c sum of t over the channels whose window has c in it */
static void lrn_back_plane(const lrn_ctx *c, int64_t plane, int64_t at, int64_t n) {
  double sum[CHUNK], k = 2 * (double)c->a.alpha * (double)c->a.beta / (double)c->a.size;
  int64_t after = (c->a.size - 1) / 2, before = c->a.size - 1 - after;
  int64_t first = plane * c->plane + at;
  window_sum(c, c->t, false, plane, before, after, at, n, sum);
  for (int64_t i = 0; i < n; i++) c->y[first + i] -= (float)(k * (double)c->x[first + i] * sum[i]);
}

static void in_chunks(const lrn_ctx *c, int64_t begin, int64_t end,
                      void (*f)(const lrn_ctx *, int64_t, int64_t, int64_t)) {
  for (int64_t plane = begin; plane < end; plane++)
    for (int64_t at = 0; at < c->plane; at += CHUNK)
      f(c, plane, at, c->plane - at < CHUNK ? c->plane - at : CHUNK);
}
static void lrn_range(void *ctx, int64_t begin, int64_t end) {
  in_chunks(ctx, begin, end, lrn_plane);
}
static void lrn_back_range(void *ctx, int64_t begin, int64_t end) {
  in_chunks(ctx, begin, end, lrn_back_plane);
}

static lrn_ctx lrn_context(const xai__call *c) {
  const xai__shape *s = &c->in[0].shape;
  return (lrn_ctx){.a = *(const lrn_attr *)c->node->attr,
                   .channels = s->d[1],
                   .plane = xai__span(s, 2, s->rank),
                   .x = xai__f(&c->in[0]),
                   .y = xai__f(&c->out[0])};
}

static void lrn_run(xai__call *c, lrn_ctx *ctx, xai__range_fn f) {
  int64_t planes = c->in[0].shape.d[0] * ctx->channels;
  xai__parallel(c->engine, planes, xai__grain(16 * ctx->plane), f, ctx);
}

static int forward(xai__call *c) {
  lrn_ctx ctx = lrn_context(c);
  lrn_run(c, &ctx, lrn_range);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  lrn_ctx ctx = lrn_context(c);
  size_t mark = xai__scratch_mark(c->engine);
  ctx.t = xai__scratch(c->engine, (size_t)xai__count(&gin[0].shape), sizeof *ctx.t, c->err);
  ctx.g = xai__f(&gout[0]);
  ctx.y = xai__f(&gin[0]);
  if (ctx.t) {
    lrn_run(c, &ctx, lrn_range);
    lrn_run(c, &ctx, lrn_back_range);
  }
  xai__scratch_release(c->engine, mark);
  return ctx.t ? XAI_OK : XAI_E_MEMORY;
}

const xai__op xai__op_LRN = {
    .type = "LRN",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .since = 1,
    .fields = fields,
    .attr_size = sizeof(lrn_attr),
    .infer = infer,
    .forward = forward,
    .vjp = vjp,
    .cross = XAI__CROSS_PASS,
};
