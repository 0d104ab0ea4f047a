/* Add, Sub, Mul, Div, Pow, Mod of two operands and Sum, Mean of any number, with broadcasting.
 *
 *   z = x + y   x - y   x y   x / y   x^y   x mod y      (float32, int64)
 *
 * Relevance: sums are split in proportion to their terms (norm). A product or quotient with a
 * static operand passes to the other; a product of two activations is a gate, a quotient of two
 * gives the numerator all. Where METHODS is silent: static / activation passes to the activation; a
 * power passes to its base, or to its exponent if that alone is an activation. */
#include "op/blocked.h"
#include "op/broadcast.h"
#include "op/strided.h"
#include <math.h>

/* Integers wrap; a division by zero gives zero: no operand can trap. */
static int64_t wrap_add(int64_t x, int64_t y) { return (int64_t)((uint64_t)x + (uint64_t)y); }
static int64_t wrap_sub(int64_t x, int64_t y) { return (int64_t)((uint64_t)x - (uint64_t)y); }
static int64_t wrap_mul(int64_t x, int64_t y) { return (int64_t)((uint64_t)x * (uint64_t)y); }
static int64_t safe_div(int64_t x, int64_t y) {
  return y == 0 ? 0 : y == -1 ? wrap_sub(0, x) : x / y;
}
static int64_t truncated_mod(int64_t x, int64_t y) { return y == 0 || y == -1 ? 0 : x % y; }
static int64_t floored_mod(int64_t x, int64_t y) {
  int64_t r = truncated_mod(x, y);
  return r && (r < 0) != (y < 0) ? r + y : r;
}
static float floored_mod_f32(float x, float y) {
  float r = fmodf(x, y);
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}
static float power(float x, float y) { return y == 2 ? x * x : powf(x, y); }
static int64_t power_i64(int64_t x, int64_t y) {
  if (y < 0) return x == 1 ? 1 : x == -1 ? (y % 2 ? -1 : 1) : 0;
  int64_t z = 1;
  for (; y; y >>= 1, x = wrap_mul(x, x))
    if (y & 1) z = wrap_mul(z, x);
  return z;
}
static float power_dx(float x, float y) { return y == 0 ? 0 : y * (y == 2 ? x : powf(x, y - 1)); }
static float power_dy(float x, float y) { return x > 0 ? logf(x) * powf(x, y) : 0; }

XAI__ELEMENTWISE(add_f32, float, float, float, x + y)
XAI__ELEMENTWISE(sub_f32, float, float, float, x - y)
XAI__ELEMENTWISE(mul_f32, float, float, float, x *y)
XAI__ELEMENTWISE(div_f32, float, float, float, x / y)
XAI__ELEMENTWISE(pow_f32, float, float, float, power(x, y))
XAI__ELEMENTWISE(pow_f32_i64, float, float, int64_t, power(x, (float)y))
XAI__ELEMENTWISE(mod_f32, float, float, float, floored_mod_f32(x, y))
XAI__ELEMENTWISE(fmod_f32, float, float, float, fmodf(x, y))
XAI__ELEMENTWISE(add_i64, int64_t, int64_t, int64_t, wrap_add(x, y))
XAI__ELEMENTWISE(sub_i64, int64_t, int64_t, int64_t, wrap_sub(x, y))
XAI__ELEMENTWISE(mul_i64, int64_t, int64_t, int64_t, wrap_mul(x, y))
XAI__ELEMENTWISE(div_i64, int64_t, int64_t, int64_t, safe_div(x, y))
XAI__ELEMENTWISE(pow_i64, int64_t, int64_t, int64_t, power_i64(x, y))
XAI__ELEMENTWISE(pow_i64_f32, int64_t, int64_t, float, xai__truncated(pow((double)x, (double)y)))
XAI__ELEMENTWISE(mod_i64, int64_t, int64_t, int64_t, floored_mod(x, y))
XAI__ELEMENTWISE(fmod_i64, int64_t, int64_t, int64_t, truncated_mod(x, y))

/* Derivatives, summed over the broadcast axes of the operand they belong to. */
typedef struct {
  const float *g; /* dL/dz */
  const void *x, *y;
  float *gin;
} slopes;

#define SLOPE(name, TY, expr)                                                                      \
  static inline float name##_at(float g, float x, TY y) { return (void)x, (void)y, (expr); }       \
  static void name(void *ctx, xai__acc *acc, int64_t acc_step, const xai__run *r) {                \
    const slopes *s = ctx;                                                                         \
    const float *g = s->g + r->at[1], *x = (const float *)s->x + r->at[2];                         \
    const TY *y = (const TY *)s->y + r->at[3];                                                     \
    int64_t sx = r->step[2], sy = r->step[3];                                                      \
    if (r->step[1] == 1 && sx == 1 && sy == 1)                                                     \
      XAI__TAKE_SUM(name##_at(g[i], x[i], y[i]));                                                  \
    else if (r->step[1] == 1 && sx == 1 && sy == 0)                                                \
      XAI__TAKE_SUM(name##_at(g[i], x[i], *y));                                                    \
    else                                                                                           \
      XAI__TAKE_SUM(name##_at(g[i * r->step[1]], x[i * sx], y[i * sy]));                           \
  }                                                                                                \
  static void name##_each(void *ctx, const xai__run *r) {                                          \
    const slopes *s = ctx;                                                                         \
    const float *g = s->g + r->at[1], *x = (const float *)s->x + r->at[2];                         \
    const TY *y = (const TY *)s->y + r->at[3];                                                     \
    float *gin = s->gin + r->at[0];                                                                \
    int64_t sx = r->step[2], sy = r->step[3];                                                      \
    if (sx == 1 && sy == 1)                                                                        \
      for (int64_t i = 0; i < r->n; i++) gin[i] += name##_at(g[i], x[i], y[i]);                    \
    else                                                                                           \
      for (int64_t i = 0; i < r->n; i++) gin[i] += name##_at(g[i], x[i * sx], y[i * sy]);          \
  }
SLOPE(mul_dx, float, g *y)
SLOPE(mul_dy, float, g *x)
SLOPE(div_dx, float, g / y)
SLOPE(div_dy, float, -g * x / (y * y))
SLOPE(pow_dx, float, g *power_dx(x, y))
SLOPE(pow_dx_i64, int64_t, g *power_dx(x, (float)y))
SLOPE(pow_dy, float, g *power_dy(x, y))
SLOPE(mod_dy, float, -g * floorf(x / y))
SLOPE(fmod_dy, float, -g * truncf(x / y))

static void store(void *ctx, const xai__acc *acc, int64_t n, int64_t at, int64_t step) {
  xai__give_sums(acc, n, step, 1, ((const slopes *)ctx)->gin + at);
}

/* A derivative: summed over repeats or elementwise, or (both NULL) the constant `coef`. */
typedef struct {
  float coef;
  void (*take)(void *, xai__acc *, int64_t, const xai__run *);
  xai__run_fn each;
} slope;
#define SLOPE_OF(name) {0, name, name##_each}
typedef struct {
  xai__run_fn f32, i64;
  slope dx, dy;
} function;

static int infer(xai__call *c) {
  XAI__TRY(xai__need_same(c, 0));
  c->out[0].dtype = c->in[0].dtype;
  return xai__infer_broadcast(c, 0);
}

static int legacy_infer(xai__call *c) {
  xai__view in[2];
  xai__call aligned;
  XAI__TRY(xai__legacy_align(c, in, &aligned));
  return infer(&aligned);
}

static int forward(xai__call *c, const function *f) {
  xai__run_fn run = c->in[0].dtype == XAI_F32 ? f->f32 : f->i64;
  xai__view in[2];
  xai__call aligned;
  XAI__TRY(xai__legacy_align(c, in, &aligned));
  xai__broadcast_each(c, &c->out[0], &in[0], &in[1], run);
  return XAI_OK;
}

static int vjp(xai__call *call, const function *f, const xai__view *gout,
               const xai__view *wanted) {
  xai__view in[2];
  xai__call aligned, *c = &aligned;
  if (!gout[0].data) return XAI_OK;
  XAI__TRY(xai__legacy_align(call, in, c));
  for (int i = 0; i < 2; i++) {
    xai__view gin[] = {wanted[0], wanted[1]};
    gin[i].shape = in[i].shape;
    if (!gin[i].data) continue;
    const slope *d = i ? &f->dy : &f->dx;
    if (!d->take) {
      xai__sum_to(c->engine, &gin[i], &gout[0], d->coef);
      continue;
    }
    xai__loop l = xai__loop_over(&gout[0].shape);
    xai__loop_add(&l, &gin[i].shape);
    xai__loop_add(&l, &gout[0].shape);
    xai__loop_add(&l, &c->in[0].shape);
    xai__loop_add(&l, &c->in[1].shape);
    xai__fold fold = {{0}, d->take, store};
    slopes s = {xai__f(&gout[0]), c->in[0].data, c->in[1].data, xai__f(&gin[i])};
    if (xai__count(&gin[i].shape) == xai__count(&gout[0].shape))
      xai__loop_each(c->engine, &l, d->each, &s);
    else
      xai__loop_fold(c->engine, &l, &fold, &s);
  }
  return XAI_OK;
}

static xai__crossing product_crossing(const xai__node *node, const bool *in_static) {
  (void)node;
  return in_static[0] || in_static[1] ? XAI__CROSS_PASS : XAI__CROSS_GATE;
}

static xai__crossing power_crossing(const xai__node *node, const bool *in_static) {
  (void)node;
  return in_static[0] || in_static[1] ? XAI__CROSS_PASS : XAI__CROSS_REFUSED;
}

/* Times one constant, once. */
static bool scaled_view(const xai__call *c, xai__strided *v) {
  const xai__view *by = &c->in[c->in_static[0] ? 0 : 1];
  if (!by->data || xai__count(&by->shape) != 1 || by->dtype != XAI_F32 || v->scale != 1) return false;
  v->scale = *xai__f(by);
  return xai__shape_equal(&v->shape, &c->out[0].shape);
}

#define BINARY(Type, ...)                                                                          \
  static const function function_##Type = __VA_ARGS__;                                             \
  static int forward_##Type(xai__call *c) { return forward(c, &function_##Type); }                 \
  static int vjp_##Type(xai__call *c, const xai__view *gout, const xai__view *gin) {               \
    return vjp(c, &function_##Type, gout, gin);                                                    \
  }
#define BINARY_OP(Type)                                                                            \
  .type = #Type, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 1,                 \
  .fields = xai__legacy_fields, .attr_size = sizeof(xai__legacy_attr), .infer = legacy_infer,      \
  .forward = forward_##Type, .vjp = vjp_##Type

BINARY(Add, {add_f32, add_i64, {1, NULL, NULL}, {1, NULL, NULL}})
BINARY(Sub, {sub_f32, sub_i64, {1, NULL, NULL}, {-1, NULL, NULL}})
BINARY(Mul, {mul_f32, mul_i64, SLOPE_OF(mul_dx), SLOPE_OF(mul_dy)})
BINARY(Div, {div_f32, div_i64, SLOPE_OF(div_dx), SLOPE_OF(div_dy)})
const xai__op xai__op_Add = {BINARY_OP(Add), .sum = true, .blocked = &xai__blocked_channels, .vjp_needs = XAI__NEEDS_NONE, .cross = XAI__CROSS_NORM};
const xai__op xai__op_Sub = {BINARY_OP(Sub), .blocked = &xai__blocked_alike, .vjp_needs = XAI__NEEDS_NONE, .cross = XAI__CROSS_NORM};
const xai__op xai__op_Mul = {BINARY_OP(Mul), .blocked = &xai__blocked_channels, .vjp_needs = XAI__NEEDS_IN, .crossing = product_crossing, .view = scaled_view};
const xai__op xai__op_Div = {BINARY_OP(Div), .cross = XAI__CROSS_PASS};

/* The exponent may be of another type than the base, whose type the result has. */
static const function power_of[2] = {
    {pow_f32, pow_i64_f32, SLOPE_OF(pow_dx), SLOPE_OF(pow_dy)},
    {pow_f32_i64, pow_i64, SLOPE_OF(pow_dx_i64), {0, NULL, NULL}},
};

static int pow_infer(xai__call *c) {
  xai__view in[2];
  xai__call aligned;
  XAI__TRY(xai__legacy_align(c, in, &aligned));
  c->out[0].dtype = c->in[0].dtype;
  return xai__infer_broadcast(&aligned, 0);
}

static int pow_forward(xai__call *c) { return forward(c, &power_of[c->in[1].dtype == XAI_I64]); }

static int pow_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  return vjp(c, &power_of[c->in[1].dtype == XAI_I64], gout, gin);
}

const xai__op xai__op_Pow = {
    .type = "Pow", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 1,
    .fields = xai__legacy_fields, .attr_size = sizeof(xai__legacy_attr),
    .infer = pow_infer, .forward = pow_forward, .vjp = pow_vjp, .crossing = power_crossing};

typedef struct {
  int64_t fmod;
} mod_attr;
static const xai__field mod_fields[] = {
    {.name = "fmod", .type = XAI__INT, .offset = offsetof(mod_attr, fmod)}, {0}};

/* fmod: the sign of the dividend, as in C; otherwise that of the divisor. */
static const function modulo[2] = {
    {mod_f32, mod_i64, {1, NULL, NULL}, SLOPE_OF(mod_dy)},
    {fmod_f32, fmod_i64, {1, NULL, NULL}, SLOPE_OF(fmod_dy)},
};

static int mod_forward(xai__call *c) {
  return forward(c, &modulo[((const mod_attr *)c->node->attr)->fmod != 0]);
}

static int mod_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  return vjp(c, &modulo[((const mod_attr *)c->node->attr)->fmod != 0], gout, gin);
}

const xai__op xai__op_Mod = {
    .type = "Mod", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 10,
    .fields = mod_fields, .attr_size = sizeof(mod_attr), .infer = infer, .forward = mod_forward,
    .vjp = mod_vjp, .crossing = power_crossing};

static void scale(void *ctx, const xai__run *r) {
  const xai__operands *o = ctx;
  float *z = (float *)o->z + r->at[0], s = *(const float *)o->x;
  for (int64_t i = 0; i < r->n; i++) z[i] *= s;
}

static float share(const xai__call *c) { return 1.0f / (float)c->n_in; }

static int sum_forward(xai__call *c) {
  const xai__view *z = &c->out[0];
  xai__run_fn add = z->dtype == XAI_F32 ? add_f32 : add_i64;
  if (c->n_in == 1) xai__broadcast_copy(c->engine, z, &c->in[0]);
  for (int i = 1; i < c->n_in; i++)
    xai__broadcast_each(c, z, i == 1 ? &c->in[0] : z, &c->in[i], add);
  return XAI_OK;
}

static int mean_infer(xai__call *c) {
  XAI__TRY(xai__need_float(c, 0));
  return infer(c);
}

static int mean_forward(xai__call *c) {
  XAI__TRY(sum_forward(c));
  xai__loop l = xai__loop_over(&c->out[0].shape);
  xai__loop_add(&l, &c->out[0].shape);
  float s = share(c);
  xai__loop_each(c->engine, &l, scale, &(xai__operands){c->out[0].data, &s, NULL});
  return XAI_OK;
}

static int hand_out(xai__call *c, const xai__view *gout, const xai__view *gin, float coef) {
  for (int i = 0; i < c->n_in && gout[0].data; i++)
    if (gin[i].data) xai__sum_to(c->engine, &gin[i], &gout[0], coef);
  return XAI_OK;
}

static int sum_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  return hand_out(c, gout, gin, 1);
}

static int mean_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  return hand_out(c, gout, gin, share(c));
}

const xai__op xai__op_Sum = {
    .type = "Sum", .min_in = 1, .max_in = -1, .min_out = 1, .max_out = 1, .since = 6,
    .infer = infer, .forward = sum_forward, .vjp = sum_vjp, .sum = true,
    .blocked = &xai__blocked_alike,
    .vjp_needs = XAI__NEEDS_NONE, .cross = XAI__CROSS_NORM};
const xai__op xai__op_Mean = {
    .type = "Mean", .min_in = 1, .max_in = -1, .min_out = 1, .max_out = 1, .since = 6,
    .infer = mean_infer, .forward = mean_forward, .vjp = mean_vjp,
    .vjp_needs = XAI__NEEDS_NONE, .cross = XAI__CROSS_NORM};
