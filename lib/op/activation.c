/* Pointwise functions of one tensor: y = f(x), x' += f'(x) y'. Relevance passes unchanged.
 *
 * A row of activation_list.h is an operator: its value and its slope as expressions in x, y (the
 * value, in slopes) and p (its parameters). Loops are generated per row, so that the compiler sees
 * them. f' at a kink is that of the side where f is flat: relu'(0) = abs'(0) = 0. */
#include "op/check.h"
#include <float.h>
#include <math.h>
#include <string.h>

typedef struct params {
  float alpha, beta; /* of the row's attributes; Clip: low, high */
  const char *approximate;
} params;

/* ---- functions too long for a table ---- */

#define SQRT_2_PI 0.79788456080286536f /* sqrt(2 / pi) */
#define TWO_SQRT_PI 1.12837916709551257f /* 2 / sqrt(pi) */
#define SQRT_HALF 0.70710678118654752f
#define GELU_CUBE 0.044715f
#define SELU_ALPHA 1.67326319217681884765625
#define SELU_GAMMA 1.05070102214813232421875

static inline float sigmoid(float x) {
  float e = expf(-fabsf(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}
static inline float softplus(float x) { return (x > 0 ? x : 0) + log1pf(expf(-fabsf(x))); }
static inline float sign(float x) { return (float)((x > 0) - (x < 0)); }
static inline float clamp(float x, float low, float high) {
  x = x < low ? low : x; /* low first: with low > high the result is high */
  return x > high ? high : x;
}

static inline bool gelu_tanh(const params *p) {
  return p->approximate && !strcmp(p->approximate, "tanh");
}
static inline float gelu(float x, const params *p) {
  if (gelu_tanh(p)) return 0.5f * x * (1 + tanhf(SQRT_2_PI * (x + GELU_CUBE * x * x * x)));
  return 0.5f * x * (1 + erff(x * SQRT_HALF));
}
static inline float gelu_slope(float x, const params *p) {
  if (!gelu_tanh(p))
    return 0.5f * (1 + erff(x * SQRT_HALF)) + 0.5f * SQRT_2_PI * x * expf(-0.5f * x * x);
  float t = tanhf(SQRT_2_PI * (x + GELU_CUBE * x * x * x));
  return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * SQRT_2_PI * (1 + 3 * GELU_CUBE * x * x);
}
static inline float mish_slope(float x) {
  float t = tanhf(softplus(x));
  return t + x * (1 - t * t) * sigmoid(x);
}
static inline float swish_slope(float x, float alpha) {
  float s = sigmoid(alpha * x);
  return s + alpha * x * s * (1 - s);
}
static inline float shrink(float x, const params *p) {
  if (x < -p->alpha) return x + p->beta;
  return x > p->alpha ? x - p->beta : 0;
}
static inline float hard_swish_slope(float x) {
  return x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6;
}

/* ---- loops ---- */

typedef struct pointwise {
  params p;
  const float *x, *y, *g;
  float *out;
} pointwise;

/* Slopes may be infinite (Sqrt at 0): what has no gradient stays without. */
#define ROW(name, operands, attributes, shapes, value, slope, ...)                       \
  static void value_##name(void *ctx, int64_t begin, int64_t end) {                      \
    const pointwise *c = ctx;                                                            \
    const params *p = &c->p;                                                             \
    (void)p;                                                                             \
    for (int64_t i = begin; i < end; i++) {                                              \
      float x = c->x[i];                                                                 \
      c->out[i] = value;                                                                 \
    }                                                                                    \
  }                                                                                      \
  static void slope_##name(void *ctx, int64_t begin, int64_t end) {                      \
    const pointwise *c = ctx;                                                            \
    const params *p = &c->p;                                                             \
    (void)p;                                                                             \
    for (int64_t i = begin; i < end; i++) {                                              \
      float x = c->x[i], y = c->y[i], g = c->g[i];                                       \
      (void)x;                                                                           \
      (void)y;                                                                           \
      c->out[i] += g != 0 ? g * (slope) : 0;                                             \
    }                                                                                    \
  }
#include "op/activation_list.h"
#undef ROW

/* ---- integers: the few that shape arithmetic and masks use ---- */

typedef struct integers {
  const int64_t *x;
  int64_t low, high, *y;
} integers;

static inline int64_t negated(int64_t x) { return (int64_t)(0 - (uint64_t)x); }

#define INT_ROWS(ROW)                                              \
  ROW(Neg, negated(x))                                             \
  ROW(Abs, x < 0 ? negated(x) : x)                                 \
  ROW(Sign, (x > 0) - (x < 0))                                     \
  ROW(Relu, x > 0 ? x : 0)                                         \
  ROW(Clip, (x = x < c->low ? c->low : x) > c->high ? c->high : x)

#define INT_LOOP(name, value)                                           \
  static void integer_##name(void *ctx, int64_t begin, int64_t end) {   \
    const integers *c = ctx;                                            \
    for (int64_t i = begin; i < end; i++) {                             \
      int64_t x = c->x[i];                                              \
      c->y[i] = value;                                                  \
    }                                                                   \
  }
INT_ROWS(INT_LOOP)

static xai__range_fn integer_loop(const xai__op *op) {
  static const struct {
    const char *type;
    xai__range_fn f;
  } loops[] = {
#define INT_ENTRY(name, value) {#name, integer_##name},
      INT_ROWS(INT_ENTRY)};
  for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
    if (!strcmp(loops[i].type, op->type)) return loops[i].f;
  return NULL;
}

static int run_integers(xai__call *c) {
  integers ctx = {xai__i(&c->in[0]), INT64_MIN, INT64_MAX, xai__i(&c->out[0])};
  if (xai__has(c, 1)) ctx.low = *xai__i(&c->in[1]);
  if (xai__has(c, 2)) ctx.high = *xai__i(&c->in[2]);
  int64_t n = xai__count(&c->in[0].shape);
  xai__parallel(c->engine, n, XAI__GRAIN, integer_loop(c->node->op), &ctx);
  return XAI_OK;
}

/* ---- operators ---- */

static int infer(xai__call *c) {
  XAI__TRY(xai__need_rank(c, 0, 0, XAI__MAX_RANK));
  int dtype = c->in[0].dtype;
  if (dtype != XAI_I64 || !integer_loop(c->node->op)) XAI__TRY(xai__need_float(c, 0));
  for (int i = 1; i < c->n_in; i++)
    if (xai__has(c, i) && c->in[i].dtype != dtype)
      return XAI__MALFORMED(c, "%s: operands 0 and %d have different types", c->node->op->type, i);
  c->out[0].dtype = dtype;
  c->out[0].shape = c->in[0].shape;
  return XAI_OK;
}

static int check_gelu(const xai__node *node, void *attr, xai_error *err) {
  const params *p = attr;
  if (!p->approximate || gelu_tanh(p) || !strcmp(p->approximate, "none")) return XAI_OK;
  return xai__fail(err, XAI_E_MODEL, node->name, "Gelu: approximate '%s' is unknown",
                   p->approximate);
}

/* Clip's bounds are attributes before opset 11 and scalar operands from then on. */
static int infer_clip(xai__call *c) {
  for (int i = 1; i < c->n_in; i++)
    if (xai__has(c, i) && xai__count(&c->in[i].shape) != 1)
      return xai__fail(c->err, XAI_E_MODEL, c->node->name, "Clip: operand %d is not a scalar", i);
  return infer(c);
}

static params params_of(const xai__call *c) {
  params p = *(const params *)c->node->attr;
  if (!strcmp(c->node->op->type, "Clip")) {
    if (xai__has(c, 1) && c->in[1].data) p.alpha = *xai__f(&c->in[1]);
    if (xai__has(c, 2) && c->in[2].data) p.beta = *xai__f(&c->in[2]);
  }
  return p;
}

static bool clip_is_relu(const xai__call *c) {
  return c->in[0].dtype == XAI_F32 && params_of(c).alpha == 0;
}

/* Slopes read what they do not look at, too: an array that is gone is stood in for. */
static int run(xai__call *c, xai__range_fn f, const float *g, float *out) {
  pointwise ctx = {params_of(c), xai__f(&c->in[0]), xai__f(&c->out[0]), g, out};
  if (!ctx.x) ctx.x = ctx.y ? ctx.y : g;
  if (!ctx.y) ctx.y = ctx.x;
  xai__parallel(c->engine, xai__count(&c->in[0].shape), XAI__GRAIN, f, &ctx);
  return XAI_OK;
}

static int run_forward(xai__call *c, xai__range_fn f) {
  return c->in[0].dtype == XAI_F32 ? run(c, f, NULL, xai__f(&c->out[0])) : run_integers(c);
}

static int run_vjp(xai__call *c, xai__range_fn f, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data || c->in[0].dtype != XAI_F32) return XAI_OK;
  XAI__TRY(xai__vjp_only(c, gin, 1));
  return gin[0].data ? run(c, f, xai__f(&gout[0]), xai__f(&gin[0])) : XAI_OK;
}

/* Attribute lists of the rows. */
#define NUMBER(name, member, preset) {name, XAI__FLOAT, offsetof(params, member), preset, false}
#define LIST(name, ...) static const xai__field name[] = {__VA_ARGS__, {0}};
static const xai__field NONE[] = {{0}};
LIST(LEAKY, NUMBER("alpha", alpha, 0.01))
LIST(ALPHA_1, NUMBER("alpha", alpha, 1))
LIST(SELU, NUMBER("alpha", alpha, SELU_ALPHA), NUMBER("gamma", beta, SELU_GAMMA))
LIST(HARD, NUMBER("alpha", alpha, 0.2), NUMBER("beta", beta, 0.5))
LIST(SHRINK, NUMBER("lambd", alpha, 0.5), NUMBER("bias", beta, 0))
LIST(BOUNDS, NUMBER("min", alpha, -FLT_MAX), NUMBER("max", beta, FLT_MAX))
LIST(APPROXIMATE, {"approximate", XAI__TEXT, offsetof(params, approximate), 0, false})
#define PLAIN .gate = XAI__NO_GATE
#define BY_RESULT .vjp_needs = XAI__NEEDS_OUT /* the slope does not look at x */
#define WITHOUT .vjp_needs = XAI__NEEDS_NONE

#define ROW(name, operands, attributes, shapes, value, slope, ...)                       \
  static int forward_##name(xai__call *c) { return run_forward(c, value_##name); }       \
  static int vjp_##name(xai__call *c, const xai__view *gout, const xai__view *gin) {     \
    return run_vjp(c, slope_##name, gout, gin);                                          \
  }                                                                                      \
  const xai__op xai__op_##name = {.type = #name,                                         \
                                  .min_in = 1,                                           \
                                  .max_in = operands,                                    \
                                  .min_out = 1,                                          \
                                  .max_out = 1,                                          \
                                  .since = 1,                                            \
                                  .fields = attributes,                                  \
                                  .attr_size = sizeof(params),                           \
                                  .infer = shapes,                                       \
                                  .forward = forward_##name,                             \
                                  .vjp = vjp_##name,                                     \
                                  .cross = XAI__CROSS_PASS,                              \
                                  .in_place = true,                                      \
                                  __VA_ARGS__};
#include "op/activation_list.h"
