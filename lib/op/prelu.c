/* PRelu (ONNX 1, 6, 7, 9, 16): y = x where x > 0, else slope x; slope broadcast to x.
 *
 * Before opset 7 a slope of one element a channel is aligned with axis 1 of x (N,C,...). Relevance
 * passes to x. */
#include "op/broadcast.h"

/* The slope with its axes where broadcasting wants them. */
static xai__view slope_of(const xai__call *c) {
  xai__view slope = c->in[1];
  const xai__shape *x = &c->in[0].shape;
  if (c->node->opset < 7 && slope.shape.rank == 1 && x->rank > 2 && slope.shape.d[0] == x->d[1]) {
    slope.shape.rank = x->rank - 1;
    for (int i = 1; i < slope.shape.rank; i++) slope.shape.d[i] = 1;
  }
  return slope;
}

static int infer(xai__call *c) {
  xai__shape both;
  for (int i = 0; i < 2; i++) {
    XAI__TRY(xai__need_rank(c, i, 0, XAI__MAX_RANK));
    XAI__TRY(xai__need_float(c, i));
  }
  const xai__shape *x = &c->in[0].shape;
  xai__shape slope = slope_of(c).shape;
  if (!xai__shape_broadcast(x, &slope, &both) || !xai__shape_equal(x, &both))
    return XAI__MALFORMED(c, "PRelu: a slope of %s does not fit %s", xai__shape_text(&slope).text,
                          xai__shape_text(x).text);
  c->out[0].dtype = XAI_F32;
  c->out[0].shape = *x;
  return XAI_OK;
}

typedef struct prelu_ctx {
  const float *x, *slope, *g;
  float *y;
} prelu_ctx;

static void forward_run(void *ctx, const xai__run *r) {
  const prelu_ctx *c = ctx;
  for (int64_t i = 0; i < r->n; i++) {
    float x = c->x[r->at[0] + i * r->step[0]], slope = c->slope[r->at[1] + i * r->step[1]];
    c->y[r->at[0] + i * r->step[0]] = x > 0 ? x : slope * x;
  }
}

/* y += f'(x) g */
static void to_x_run(void *ctx, const xai__run *r) {
  const prelu_ctx *c = ctx;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t k = r->at[0] + i * r->step[0];
    c->y[k] += c->g[k] * (c->x[k] > 0 ? 1 : c->slope[r->at[1] + i * r->step[1]]);
  }
}

/* y = x g where x <= 0, else 0: the slope's gradient before it is summed to the slope's shape */
static void to_slope_run(void *ctx, const xai__run *r) {
  const prelu_ctx *c = ctx;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t k = r->at[0] + i * r->step[0];
    c->y[k] = c->x[k] > 0 ? 0 : c->g[k] * c->x[k];
  }
}

static void run(xai__call *c, xai__run_fn f, const float *g, float *y) {
  xai__view slope = slope_of(c);
  xai__loop l = xai__loop_over(&c->in[0].shape);
  xai__loop_add(&l, &c->in[0].shape);
  xai__loop_add(&l, &slope.shape);
  prelu_ctx ctx = {xai__f(&c->in[0]), xai__f(&slope), g, y};
  xai__loop_each(c->engine, &l, f, &ctx);
}

static int forward(xai__call *c) {
  run(c, forward_run, NULL, xai__f(&c->out[0]));
  return XAI_OK;
}

static int vjp_slope(xai__call *c, const xai__view *gout, const xai__view *gin) {
  size_t mark = xai__scratch_mark(c->engine);
  xai__view each = {.dtype = XAI_F32, .shape = c->in[0].shape}, slope = slope_of(c);
  each.data = xai__scratch(c->engine, (size_t)xai__count(&each.shape), sizeof(float), c->err);
  slope.data = gin->data;
  if (each.data) {
    run(c, to_slope_run, xai__f(gout), xai__f(&each));
    xai__sum_to(c->engine, &slope, &each, 1);
  }
  xai__scratch_release(c->engine, mark);
  return each.data ? XAI_OK : XAI_E_MEMORY;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data) return XAI_OK;
  if (gin[0].data) run(c, to_x_run, xai__f(&gout[0]), xai__f(&gin[0]));
  return gin[1].data ? vjp_slope(c, &gout[0], &gin[1]) : XAI_OK;
}

const xai__op xai__op_PRelu = {
    .type = "PRelu",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .since = 1,
    .infer = infer,
    .forward = forward,
    .vjp = vjp,
    .cross = XAI__CROSS_PASS,
};
