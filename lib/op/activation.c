/* Pointwise functions of one tensor: y = f(x), x' += f'(x) y'. Relevance passes unchanged.
 *
 * A row of activation_list.h is an operator: its value and its slope as expressions in x, y (the
 * value, in slopes) and p (its parameters). Loops are generated per row and instruction set
 * (simd.h), so that the compiler sees them. f' at a kink is that of the side where f is flat:
 * relu'(0) = abs'(0) = 0. */
#include "op/blocked.h"
#include "op/check.h"
#include "op/simd.h"
#include <float.h>
#include <math.h>
#include <string.h>

typedef struct params {
  float alpha, beta; /* of the row's attributes; Clip: low, high */
  const char *approximate;
} params;

#define SELU_ALPHA 1.67326319217681884765625
#define SELU_GAMMA 1.05070102214813232421875

static bool gelu_by_tanh(const params *p) {
  return p->approximate && !strcmp(p->approximate, "tanh");
}

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
  if (!p->approximate || gelu_by_tanh(p) || !strcmp(p->approximate, "none")) return XAI_OK;
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

/* Slopes are added to what is there: zeros, where nothing is yet. */
typedef struct fresh_slope {
  xai__range_fn f;
  xai__pointwise *ctx;
} fresh_slope;

static void begin_slope(void *ctx, int64_t begin, int64_t end) {
  enum { PIECE = 4096 };
  const fresh_slope *j = ctx;
  for (int64_t n; begin < end; begin += n) {
    n = end - begin < PIECE ? end - begin : PIECE;
    memset(j->ctx->out + begin, 0, (size_t)n * sizeof(float));
    j->f(j->ctx, begin, begin + n);
  }
}

/* Slopes read what they do not look at, too: an array that is gone is stood in for. */
static int run(xai__call *c, xai__range_fn f, const float *g, float *out, bool fresh) {
  const params p = params_of(c);
  xai__pointwise ctx = {p.alpha, p.beta, xai__f(&c->in[0]), xai__f(&c->out[0]), g, out};
  if (!ctx.x) ctx.x = ctx.y ? ctx.y : g;
  if (!ctx.y) ctx.y = ctx.x;
  fresh_slope first = {f, &ctx};
  xai__parallel(c->engine, xai__count(&c->in[0].shape), XAI__GRAIN, fresh ? begin_slope : f,
                fresh ? (void *)&first : &ctx);
  return XAI_OK;
}

static const xai__simd_pointwise *loops_of(const xai__call *c, int row) {
  if (row == XAI__ROW_Gelu && gelu_by_tanh(c->node->attr)) row = XAI__ROW_GeluByTanh;
  return &xai__simd_of(c->engine)->activation[row];
}

/* What a product's results go through on their way to memory: the piecewise linear ones in registers,
 * the others as they do on their own. */
static bool finish(const xai__call *c, int row, xai__finish *f) {
  const params p = params_of(c);
  const bool relu = row == XAI__ROW_Relu, clip = row == XAI__ROW_Clip && p.alpha <= p.beta;
  f->form = relu || clip ? XAI__CLIP : row == XAI__ROW_LeakyRelu ? XAI__BEND : XAI__APPLY;
  f->low = relu ? 0 : p.alpha;
  f->high = relu ? INFINITY : p.beta;
  f->edit = (xai__edit){XAI__LINEAR, 1, p.alpha};
  f->apply = loops_of(c, row)->apply;
  return c->in[0].dtype == XAI_F32;
}

static int run_forward(xai__call *c, int row) {
  if (c->in[0].dtype != XAI_F32) return run_integers(c);
  return run(c, loops_of(c, row)->value, NULL, xai__f(&c->out[0]), false);
}

static int run_vjp(xai__call *c, int row, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data || c->in[0].dtype != XAI_F32) return XAI_OK;
  XAI__TRY(xai__vjp_only(c, gin, 1));
  if (!gin[0].data) return XAI_OK;
  return run(c, loops_of(c, row)->slope, xai__f(&gout[0]), xai__f(&gin[0]), gin[0].fresh);
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

#define LOOP(...)
#define ROW(name, operands, attributes, shapes, value, slope, ...)                       \
  static int forward_##name(xai__call *c) { return run_forward(c, XAI__ROW_##name); }       \
  static int vjp_##name(xai__call *c, const xai__view *gout, const xai__view *gin) {     \
    return run_vjp(c, XAI__ROW_##name, gout, gin);                                          \
  }                                                                                      \
  static bool finish_##name(const xai__call *c, xai__finish *f) {                        \
    return finish(c, XAI__ROW_##name, f);                                                \
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
                                  .begins = true,                                        \
                                  .in_place = true,                                      \
                                  .blocked = &xai__blocked_alike,                        \
                                  .finish = finish_##name,                               \
                                  __VA_ARGS__};
#include "op/activation_list.h"
