/* CausalConvWithState (ONNX 27): a depthwise convolution along the last axis that looks back only.
 *
 *   z_t = sum_j w_j x_(t - K + 1 + j) + b,   y = z, or with activation silu (swish) z sigmoid z
 *
 * x (N,C,L), w (C,1,K), b (C); what comes before x is the past state (N,C,K - 1), or zeros; result
 * 1, the present state, is the last K - 1 of both. Relevance by the rule epsilon, through the
 * activation unchanged: s = R / stab(z), x (W' s); b keeps its share (bias=zero: z without b). */
#include "op/loop.h"
#include "op/own.h"
#include <math.h>
#include <string.h>

enum { X, W, B, PAST };

typedef struct causal_attr {
  const char *activation;
} causal_attr;
static const xai__field fields[] = {
    {"activation", XAI__TEXT, offsetof(causal_attr, activation), 0, false}, {0}};

static int check(const xai__node *node, void *attr, xai_error *err) {
  const char *name = ((const causal_attr *)attr)->activation;
  if (!name || !strcmp(name, "none") || !strcmp(name, "silu") || !strcmp(name, "swish"))
    return XAI_OK;
  return xai__fail(err, XAI_E_MODEL, node->name, "CausalConvWithState: unknown activation '%s'",
                   name);
}

static int need_shape(const xai__call *c, int i, xai__shape want) {
  if (!xai__has(c, i)) return XAI_OK;
  XAI__TRY(xai__need_float(c, i));
  if (xai__shape_equal(&c->in[i].shape, &want)) return XAI_OK;
  return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                   "CausalConvWithState: operand %d has shape %s, must have %s", i,
                   xai__shape_text(&c->in[i].shape).text, xai__shape_text(&want).text);
}

static int infer(xai__call *c) {
  const xai__shape *x = &c->in[X].shape, *w = &c->in[W].shape;
  XAI__TRY(xai__need_float(c, X));
  XAI__TRY(xai__need_rank(c, X, 3, 3));
  XAI__TRY(xai__need_rank(c, W, 3, 3));
  if (w->d[2] < 1)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "CausalConvWithState: weights of shape %s",
                     xai__shape_text(w).text);
  xai__shape state = {3, {x->d[0], x->d[1], w->d[2] - 1}};
  XAI__TRY(need_shape(c, W, (xai__shape){3, {x->d[1], 1, w->d[2]}}));
  XAI__TRY(need_shape(c, B, (xai__shape){1, {x->d[1]}}));
  XAI__TRY(need_shape(c, PAST, state));
  c->out[0] = (xai__view){.dtype = XAI_F32, .shape = *x};
  if (c->n_out > 1) c->out[1] = (xai__view){.dtype = XAI_F32, .shape = state};
  return XAI_OK;
}

/* ---- rows: a channel of an item ---- */

typedef struct rows {
  const xai__call *c;
  int64_t n, channels, length, kernel; /* N, C, L, K */
  bool silu;
  const xai__own_options *o; /* of relevance */
  const xai__view *gout, *gin;
} rows;

static rows rows_of(const xai__call *c) {
  const xai__shape *x = &c->in[X].shape;
  const char *activation = ((const causal_attr *)c->node->attr)->activation;
  return (rows){.c = c, .n = x->d[0], .channels = x->d[1], .length = x->d[2],
                .kernel = c->in[W].shape.d[2], .silu = activation && strcmp(activation, "none")};
}

/* Element i of past and present of a row, in what holds the two (NULL: 0 or not wanted). */
static float *element(const rows *a, float *past, float *x, int64_t row, int64_t i) {
  int64_t before = a->kernel - 1;
  if (i < before) return past ? past + row * before + i : NULL;
  return x ? x + row * a->length + i - before : NULL;
}
static float operand(const rows *a, int64_t row, int64_t i) {
  float *past = xai__has(a->c, PAST) ? xai__f(&a->c->in[PAST]) : NULL;
  const float *x = element(a, past, xai__f(&a->c->in[X]), row, i);
  return x ? *x : 0;
}

static float weighted(const rows *a, int64_t row, int64_t t, bool biased) {
  const float *w = xai__f(&a->c->in[W]) + row % a->channels * a->kernel;
  double z = biased && xai__has(a->c, B) ? (double)xai__f(&a->c->in[B])[row % a->channels] : 0;
  for (int64_t j = 0; j < a->kernel; j++) z += (double)w[j] * (double)operand(a, row, t + j);
  return (float)z;
}

static void forward_rows(void *ctx, int64_t begin, int64_t end) {
  const rows *a = ctx;
  float *present = a->c->n_out > 1 ? xai__f(&a->c->out[1]) : NULL;
  for (int64_t row = begin; row < end; row++) {
    for (int64_t t = 0; t < a->length; t++) {
      float z = weighted(a, row, t, true);
      xai__f(&a->c->out[0])[row * a->length + t] = a->silu ? z / (1 + expf(-z)) : z;
    }
    for (int64_t i = 0; present && i < a->kernel - 1; i++)
      present[row * (a->kernel - 1) + i] = operand(a, row, a->length + i);
  }
}

static int forward(xai__call *c) {
  rows a = rows_of(c);
  xai__split(c->engine, a.n * a.channels, xai__grain(a.length * a.kernel), forward_rows, &a);
  return XAI_OK;
}

/* What comes back to z at t. */
static float back_at(const rows *a, int64_t row, int64_t t) {
  if (!a->gout[0].data) return 0;
  float g = xai__f(&a->gout[0])[row * a->length + t];
  float z = weighted(a, row, t, !a->o || !a->o->bias_zero);
  if (a->o) return xai__ratio(g, xai__stab(z, a->o->stabilizer));
  float s = 1 / (1 + expf(-z));
  return a->silu ? g * s * (1 + z * (1 - s)) : g;
}

/* Channels: all items of one add to its weights. */
static void back_channels(void *ctx, int64_t begin, int64_t end) {
  const rows *a = ctx;
  float *gx = xai__f(&a->gin[X]), *gw = xai__f(&a->gin[W]);
  float *gb = xai__has(a->c, B) ? xai__f(&a->gin[B]) : NULL;
  float *past = xai__has(a->c, PAST) ? xai__f(&a->gin[PAST]) : NULL;
  const float *present = a->c->n_out > 1 && !a->o ? xai__f(&a->gout[1]) : NULL;
  for (int64_t k = begin; k < end; k++)
    for (int64_t row = k; row < a->n * a->channels; row += a->channels) {
      const float *w = xai__f(&a->c->in[W]) + k * a->kernel;
      for (int64_t t = 0; t < a->length; t++) {
        float g = back_at(a, row, t);
        for (int64_t j = 0; j < a->kernel; j++) {
          float *to = element(a, past, gx, row, t + j), x = operand(a, row, t + j);
          if (to) *to += g * w[j] * (a->o ? x : 1);
          if (gw) gw[k * a->kernel + j] += g * x;
        }
        if (gb) gb[k] += g;
      }
      for (int64_t i = 0; present && i < a->kernel - 1; i++) {
        float *to = element(a, past, gx, row, a->length + i);
        if (to) *to += present[row * (a->kernel - 1) + i];
      }
    }
}

static int back(xai__call *c, rows a) {
  xai__split(c->engine, a.channels, xai__grain(a.n * a.length * a.kernel), back_channels, &a);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  rows a = rows_of(c);
  a.gout = gout;
  a.gin = gin;
  return back(c, a);
}

static int relevance(xai__call *c, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  rows a = rows_of(c);
  a.o = o;
  a.gout = gout;
  a.gin = gin;
  double before = o->ledger ? xai__own_total(c, gin, c->n_in) : 0;
  XAI__TRY(back(c, a));
  xai__own_lose_rest(c, o, gout, gin, before);
  return XAI_OK;
}

static xai__crossing crossing(const xai__node *node, const bool *in_static) {
  if (node->n_in > W && !in_static[W]) return XAI__CROSS_REFUSED;
  if (node->n_in > B && !in_static[B]) return XAI__CROSS_REFUSED;
  return in_static[X] && (node->n_in <= PAST || in_static[PAST]) ? XAI__CROSS_NONE
                                                                 : XAI__CROSS_OWN;
}

const xai__op xai__op_CausalConvWithState = {
    .type = "CausalConvWithState", .min_in = 2, .max_in = 4, .min_out = 1, .max_out = 2,
    .since = 27, .fields = fields, .attr_size = sizeof(causal_attr), .check = check,
    .infer = infer, .forward = forward, .vjp = vjp, .vjp_needs = XAI__NEEDS_IN,
    .crossing = crossing, .relevance = relevance};
