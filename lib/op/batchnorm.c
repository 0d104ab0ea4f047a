/* BatchNormalization (ONNX 6, 7, 9, 14, 15).
 *
 *   y = scale (x - mean) / sqrt(var + epsilon) + b, all per channel
 *
 * x (N,C,...), scale, b, mean, var (C). For relevance it is a diagonal linear map whose shift is a
 * bias; where it stands next to a linear layer the graph folds the two.
 *
 * In training mode (14, 15) mean and var are the batch's own, population ones; results 1 and 2 are
 * momentum times the given ones and 1 - momentum times those. No relevance is defined: an item's
 * result depends on the others. */
#include "op/blocked.h"
#include "op/loop.h"
#include <math.h>

typedef struct batchnorm_attr {
  float epsilon, momentum;
  int64_t training_mode, spatial, is_test;
} batchnorm_attr;

static const xai__field fields[] = {
    {"epsilon", XAI__FLOAT, offsetof(batchnorm_attr, epsilon), 1e-5, false},
    {"momentum", XAI__FLOAT, offsetof(batchnorm_attr, momentum), 0.9, false},
    {"training_mode", XAI__INT, offsetof(batchnorm_attr, training_mode), 0, false},
    {"is_test", XAI__INT, offsetof(batchnorm_attr, is_test), 0, false},
    {"spatial", XAI__INT, offsetof(batchnorm_attr, spatial), 1, false},
    {0}};

static int check(const xai__node *node, void *attr, xai_error *err) {
  const batchnorm_attr *a = attr;
  if (node->n_out > (a->training_mode ? 3 : 1) || (node->opset < 7 && !a->is_test))
    return xai__fail(err, XAI_E_UNSUPPORTED, node->name,
                     "BatchNormalization in training mode: export the model for inference");
  if (!a->spatial)
    return xai__fail(err, XAI_E_UNSUPPORTED, node->name, "BatchNormalization with spatial = 0");
  return XAI_OK;
}

static int infer(xai__call *c) {
  static const char *const what[] = {"x", "scale", "bias", "mean", "variance"};
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__need_rank(c, 0, 2, XAI__MAX_RANK));
  for (int i = 1; i < 5; i++) {
    if (!xai__has(c, i))
      return xai__fail(c->err, XAI_E_MODEL, c->node->name, "operand %d (%s) is missing", i,
                       what[i]);
    XAI__TRY(xai__need_vector(c, i, c->in[0].shape.d[1], what[i]));
  }
  c->out[0].dtype = XAI_F32;
  c->out[0].shape = c->in[0].shape;
  for (int k = 1; k < c->n_out; k++)
    c->out[k] = (xai__view){.dtype = XAI_F32, .shape = c->in[k].shape};
  return XAI_OK;
}

typedef struct batchnorm_ctx {
  const float *scale, *bias, *mean, *variance, *x;
  float epsilon, *y;
  int64_t channels, plane;
} batchnorm_ctx;

static batchnorm_ctx context(const xai__call *c, const float *x, float *y) {
  const xai__shape *s = &c->in[0].shape;
  return (batchnorm_ctx){.scale = xai__f(&c->in[1]),
                         .bias = xai__f(&c->in[2]),
                         .mean = xai__f(&c->in[3]),
                         .variance = xai__f(&c->in[4]),
                         .x = x,
                         .epsilon = ((const batchnorm_attr *)c->node->attr)->epsilon,
                         .y = y,
                         .channels = s->d[1],
                         .plane = xai__span(s, 2, s->rank)};
}

static float slope(const batchnorm_ctx *b, int64_t channel) {
  return b->scale[channel] / sqrtf(b->variance[channel] + b->epsilon);
}

static void forward_planes(void *ctx, int64_t begin, int64_t end) {
  const batchnorm_ctx *b = ctx;
  for (int64_t p = begin; p < end; p++) {
    int64_t k = p % b->channels;
    float w = slope(b, k), mean = b->mean[k], bias = b->bias[k];
    const float *x = b->x + p * b->plane;
    float *y = b->y + p * b->plane;
    for (int64_t i = 0; i < b->plane; i++) y[i] = (x[i] - mean) * w + bias;
  }
}

static void vjp_planes(void *ctx, int64_t begin, int64_t end) {
  const batchnorm_ctx *b = ctx;
  for (int64_t p = begin; p < end; p++) {
    float w = slope(b, p % b->channels);
    const float *x = b->x + p * b->plane;
    float *y = b->y + p * b->plane;
    for (int64_t i = 0; i < b->plane; i++) y[i] += x[i] * w;
  }
}

static void planes(xai__call *c, xai__range_fn f, batchnorm_ctx b) {
  xai__parallel(c->engine, c->in[0].shape.d[0] * b.channels, xai__grain(b.plane), f, &b);
}

/* ---- training mode: channels ---- */

typedef struct training {
  const xai__call *c;
  const xai__view *gout, *gin;
  int64_t items, channels, plane;
} training;

static bool is_training(const xai__node *node) {
  return ((const batchnorm_attr *)node->attr)->training_mode != 0;
}

static float result_share(const xai__call *c) {
  return 1 - ((const batchnorm_attr *)c->node->attr)->momentum;
}

/* Mean and 1 / sqrt(var + epsilon) of a channel; *var too. */
static double moments(const training *t, int64_t k, double *mean, double *var) {
  const float *x = xai__f(&t->c->in[0]);
  double sum = 0, squares = 0, n = (double)(t->items * t->plane);
  for (int pass = 0; pass < 2; pass++) {
    for (int64_t p = k; p < t->items * t->channels; p += t->channels)
      for (int64_t i = 0; i < t->plane; i++) {
        double v = (double)x[p * t->plane + i];
        if (pass) squares += (v - sum) * (v - sum);
        else sum += v / n;
      }
  }
  *mean = sum;
  *var = squares / n;
  return 1 / sqrt(*var + (double)((const batchnorm_attr *)t->c->node->attr)->epsilon);
}

static void forward_channels(void *ctx, int64_t begin, int64_t end) {
  const training *t = ctx;
  const xai__call *c = t->c;
  for (int64_t k = begin; k < end; k++) {
    double mean, var, inverse = moments(t, k, &mean, &var), of[] = {mean, var};
    double w = inverse * (double)xai__f(&c->in[1])[k], b = (double)xai__f(&c->in[2])[k];
    for (int64_t p = k; p < t->items * t->channels; p += t->channels)
      for (int64_t i = p * t->plane; i < (p + 1) * t->plane; i++)
        xai__f(&c->out[0])[i] = (float)(((double)xai__f(&c->in[0])[i] - mean) * w + b);
    for (int j = 0; j < 2 && j + 1 < c->n_out; j++)
      if (c->out[1 + j].data) {
        float share = result_share(c), given = xai__f(&c->in[3 + j])[k];
        xai__f(&c->out[1 + j])[k] = (1 - share) * given + share * (float)of[j];
      }
  }
}

static void vjp_channels(void *ctx, int64_t begin, int64_t end) {
  const training *t = ctx;
  const xai__call *c = t->c;
  const float *x = xai__f(&c->in[0]), *g = xai__f(&t->gout[0]);
  const float *g_mean = c->n_out > 1 ? xai__f(&t->gout[1]) : NULL;
  const float *g_var = c->n_out > 2 ? xai__f(&t->gout[2]) : NULL;
  for (int64_t k = begin; k < end; k++) {
    double mean, var, inverse = moments(t, k, &mean, &var), n = (double)(t->items * t->plane);
    double w = inverse * (double)xai__f(&c->in[1])[k], sum = 0, product = 0;
    double share = (double)result_share(c) / n, to_mean = 0, to_var = 0;
    if (g_mean) to_mean = share * (double)g_mean[k];
    if (g_var) to_var = 2 * share * (double)g_var[k];
    for (int64_t p = k; g && p < t->items * t->channels; p += t->channels)
      for (int64_t i = p * t->plane; i < (p + 1) * t->plane; i++) {
        sum += (double)g[i];
        product += (double)g[i] * ((double)x[i] - mean) * inverse;
      }
    for (int64_t p = k; p < t->items * t->channels; p += t->channels)
      for (int64_t i = p * t->plane; i < (p + 1) * t->plane; i++) {
        double d = (double)x[i] - mean, own = g ? (double)g[i] : 0;
        xai__f(&t->gin[0])[i] += (float)(w * (own - (sum + d * inverse * product) / n) +
                                         to_mean + to_var * d);
      }
  }
}

static int run_training(xai__call *c, xai__range_fn f, const xai__view *gout,
                        const xai__view *gin) {
  const xai__shape *s = &c->in[0].shape;
  training t = {c, gout, gin, s->d[0], s->d[1], xai__span(s, 2, s->rank)};
  if (t.items * t.plane > 0) xai__split(c->engine, t.channels, xai__grain(t.items * t.plane), f, &t);
  return XAI_OK;
}

/* ---- the operator ---- */

static int forward(xai__call *c) {
  if (is_training(c->node)) return run_training(c, forward_channels, NULL, NULL);
  planes(c, forward_planes, context(c, xai__f(&c->in[0]), xai__f(&c->out[0])));
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  XAI__TRY(xai__vjp_only(c, gin, 1));
  if (!gin[0].data) return XAI_OK;
  if (is_training(c->node)) return run_training(c, vjp_channels, gout, gin);
  if (gout[0].data) planes(c, vjp_planes, context(c, xai__f(&gout[0]), xai__f(&gin[0])));
  return XAI_OK;
}

/* ---- blocked: a task is some (item, block) planes ---- */

typedef struct block_ctx {
  batchnorm_ctx of;
  xai__blocked x, y;
  bool back; /* y += slope x; else y = slope (x - mean) + bias */
} block_ctx;

static void block_planes(void *ctx, int64_t begin, int64_t end) {
  const block_ctx *b = ctx;
  const int64_t blocks = (b->x.c + XAI__BLOCK - 1) / XAI__BLOCK;
  for (int64_t plane = begin; plane < end; plane++) {
    float w[XAI__BLOCK] = {0}, mean[XAI__BLOCK] = {0}, bias[XAI__BLOCK] = {0};
    for (int64_t l = 0, k = plane % blocks * XAI__BLOCK; l < XAI__BLOCK && k < b->x.c; l++, k++) {
      w[l] = slope(&b->of, k);
      mean[l] = b->of.mean[k];
      bias[l] = b->of.bias[k];
    }
    for (int64_t row = 0; row < b->x.h; row++) {
      const float *x = xai__blocked_row(&b->x, plane, row);
      float *y = xai__blocked_row(&b->y, plane, row);
      for (int64_t i = 0; i < b->x.w * XAI__BLOCK; i += XAI__BLOCK)
        for (int l = 0; l < XAI__BLOCK; l++)
          y[i + l] = b->back ? y[i + l] + x[i + l] * w[l] : (x[i + l] - mean[l]) * w[l] + bias[l];
    }
  }
}

static void block_all(xai__call *c, const xai__view *x, const xai__view *y, bool back) {
  block_ctx b = {context(c, NULL, NULL), xai__blocked_of(x), xai__blocked_of(y), back};
  if (!back) xai__blocked_clear(c->engine, &b.y);
  xai__parallel(c->engine, xai__blocked_planes(&b.x), xai__grain(b.x.h * b.x.w * XAI__BLOCK),
                block_planes, &b);
}

static bool blocked_serves(const xai__call *c) {
  return c->in[0].blocked != 0 && !is_training(c->node);
}

static int blocked_forward(xai__call *c) {
  block_all(c, &c->in[0], &c->out[0], false);
  return XAI_OK;
}

static int blocked_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data) return XAI_OK;
  XAI__TRY(xai__vjp_only(c, gin, 1));
  if (gin[0].data) block_all(c, &gout[0], &gin[0], true);
  return XAI_OK;
}

static const xai__op_blocked blocked = {blocked_serves, XAI__ANEW, blocked_forward, blocked_vjp};

static xai__crossing crossing(const xai__node *node, const bool *in_static) {
  return xai__cross_first(node, in_static,
                          is_training(node) ? XAI__CROSS_REFUSED : XAI__CROSS_NORM);
}

const xai__op xai__op_BatchNormalization = {
    .type = "BatchNormalization",
    .pass_option = "batchnorm",
    .min_in = 5,
    .max_in = 5,
    .min_out = 1,
    .max_out = 5,
    .since = 6,
    .fields = fields,
    .attr_size = sizeof(batchnorm_attr),
    .check = check,
    .infer = infer,
    .forward = forward,
    .vjp = vjp,
    .vjp_needs = XAI__NEEDS_IN, /* in training mode */
    .crossing = crossing,
    .blocked = &blocked,
};
