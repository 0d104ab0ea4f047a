/* Equal, Less, Greater, ... , And, Or, Xor, Not, IsNaN, IsInf: results are 0 or 1 and carry neither
 * gradient nor relevance. Where: z = condition ? x : y, which hands back along the choice. */
#include "op/broadcast.h"
#include <math.h>

static int bool_dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)node, (void)in_dtype, (void)k;
  return XAI_BOOL;
}

/* ---- two operands ---- */

static int compare_infer(xai__call *c) {
  xai__view in[2];
  xai__call aligned;
  XAI__TRY(xai__legacy_align(c, in, &aligned));
  XAI__TRY(xai__infer_broadcast(&aligned, 0));
  c->out[0].dtype = XAI_I64;
  return xai__need_same(c, 0);
}

static int logic_infer(xai__call *c) {
  XAI__TRY(xai__need_int(c, 0));
  return compare_infer(c);
}

static int compare(xai__call *c, xai__run_fn f32, xai__run_fn i64) {
  xai__view in[2];
  xai__call aligned;
  XAI__TRY(xai__legacy_align(c, in, &aligned));
  xai__broadcast_each(c, &c->out[0], &in[0], &in[1], in[0].dtype == XAI_F32 ? f32 : i64);
  return XAI_OK;
}

#define PAIR(Type, since_, infer_, f32, i64)                                                       \
  static int forward_##Type(xai__call *c) { return compare(c, f32, i64); }                         \
  const xai__op xai__op_##Type = {.type = #Type, .min_in = 2, .max_in = 2, .min_out = 1,           \
                                  .max_out = 1, .since = since_, .dtype = bool_dtype,              \
                                  .fields = xai__legacy_fields,                                    \
                                  .attr_size = sizeof(xai__legacy_attr),                           \
                                  .infer = infer_, .forward = forward_##Type,                      \
                                  .cross = XAI__CROSS_NONE};
#define COMPARE(Type, since_, expr)                                                                \
  XAI__ELEMENTWISE(Type##_f32, int64_t, float, float, expr)                                        \
  XAI__ELEMENTWISE(Type##_i64, int64_t, int64_t, int64_t, expr)                                    \
  PAIR(Type, since_, compare_infer, Type##_f32, Type##_i64)
#define LOGIC(Type, expr)                                                                          \
  XAI__ELEMENTWISE(Type##_i64, int64_t, int64_t, int64_t, expr)                                    \
  PAIR(Type, 1, logic_infer, NULL, Type##_i64)

COMPARE(Equal, 1, x == y)
COMPARE(Less, 1, x < y)
COMPARE(LessOrEqual, 12, x <= y)
COMPARE(Greater, 1, x > y)
COMPARE(GreaterOrEqual, 12, x >= y)
LOGIC(And, x && y)
LOGIC(Or, x || y)
LOGIC(Xor, !x != !y)

/* ---- one operand ---- */

typedef struct {
  int64_t detect_negative, detect_positive;
} infinite_attr;
static const xai__field infinite_fields[] = {
    {.name = "detect_negative", .type = XAI__INT,
     .offset = offsetof(infinite_attr, detect_negative), .preset = 1},
    {.name = "detect_positive", .type = XAI__INT,
     .offset = offsetof(infinite_attr, detect_positive), .preset = 1},
    {0}};

static int not_infer(xai__call *c) {
  c->out[0] = (xai__view){.dtype = XAI_I64, .shape = c->in[0].shape, .data = c->out[0].data};
  return xai__need_int(c, 0);
}

static int test_infer(xai__call *c) {
  c->out[0] = (xai__view){.dtype = XAI_I64, .shape = c->in[0].shape, .data = c->out[0].data};
  return xai__need_float(c, 0);
}

static void not_range(void *ctx, int64_t begin, int64_t end) {
  const xai__call *c = ctx;
  for (int64_t i = begin; i < end; i++) xai__i(&c->out[0])[i] = !xai__i(&c->in[0])[i];
}

static void nan_range(void *ctx, int64_t begin, int64_t end) {
  const xai__call *c = ctx;
  for (int64_t i = begin; i < end; i++) xai__i(&c->out[0])[i] = isnan(xai__f(&c->in[0])[i]) != 0;
}

static void infinite_range(void *ctx, int64_t begin, int64_t end) {
  const xai__call *c = ctx;
  const infinite_attr *a = c->node->attr;
  for (int64_t i = begin; i < end; i++) {
    float x = xai__f(&c->in[0])[i];
    xai__i(&c->out[0])[i] = isinf(x) && (x < 0 ? a->detect_negative : a->detect_positive);
  }
}

#define TEST(Type, since_, infer_, range, ...)                                                     \
  static int forward_##Type(xai__call *c) {                                                        \
    xai__split(c->engine, xai__count(&c->in[0].shape), XAI__GRAIN, range, c);                      \
    return XAI_OK;                                                                                 \
  }                                                                                                \
  const xai__op xai__op_##Type = {.type = #Type, .min_in = 1, .max_in = 1, .min_out = 1,           \
                                  .max_out = 1, .since = since_, .dtype = bool_dtype,              \
                                  .infer = infer_, .forward = forward_##Type,                      \
                                  .cross = XAI__CROSS_NONE, __VA_ARGS__};
TEST(Not, 1, not_infer, not_range, .fields = NULL)
TEST(IsNaN, 9, test_infer, nan_range, .fields = NULL)
TEST(IsInf, 10, test_infer, infinite_range, .fields = infinite_fields,
     .attr_size = sizeof(infinite_attr))

/* ---- Where ---- */

static int where_dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)node, (void)k;
  return in_dtype[1];
}

static int where_infer(xai__call *c) {
  XAI__TRY(xai__infer_broadcast(c, 0));
  XAI__TRY(xai__need_int(c, 0));
  c->out[0].dtype = c->in[1].dtype;
  return xai__need_same(c, 1);
}

/* Streams: z, condition, x, y. */
#define CHOOSE(name, T)                                                                            \
  static void name(void *ctx, const xai__run *r) {                                                 \
    const xai__call *c = ctx;                                                                      \
    T *z = (T *)c->out[0].data + r->at[0];                                                         \
    const int64_t *take_x = xai__i(&c->in[0]) + r->at[1];                                          \
    const T *x = (const T *)c->in[1].data + r->at[2], *y = (const T *)c->in[2].data + r->at[3];    \
    for (int64_t i = 0; i < r->n; i++)                                                             \
      z[i * r->step[0]] =                                                                          \
          take_x[i * r->step[1]] ? x[i * r->step[2]] : y[i * r->step[3]];                          \
  }
CHOOSE(choose_f32, float)
CHOOSE(choose_i64, int64_t)

static int where_forward(xai__call *c) {
  xai__loop l = xai__loop_over(&c->out[0].shape);
  xai__loop_add(&l, &c->out[0].shape);
  for (int k = 0; k < 3; k++) xai__loop_add(&l, &c->in[k].shape);
  xai__loop_each(c->engine, &l, c->out[0].dtype == XAI_F32 ? choose_f32 : choose_i64, c);
  return XAI_OK;
}

typedef struct {
  const int64_t *condition;
  const float *g;
  float *gin;
  bool x; /* gin is that of x: taken where the condition holds */
} choice;

static void take_chosen(void *ctx, xai__acc *acc, int64_t acc_step, const xai__run *r) {
  const choice *c = ctx;
  const float *g = c->g + r->at[1];
  const int64_t *condition = c->condition + r->at[2];
  XAI__TAKE_SUM((condition[i * r->step[2]] != 0) == c->x ? g[i * r->step[1]] : 0);
}

static void give_chosen(void *ctx, const xai__acc *acc, int64_t n, int64_t at, int64_t step) {
  xai__give_sums(acc, n, step, 1, ((const choice *)ctx)->gin + at);
}

static int where_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  static const xai__fold fold = {{0}, take_chosen, give_chosen};
  for (int k = 1; k < 3 && gout[0].data; k++) {
    if (!gin[k].data) continue;
    xai__loop l = xai__loop_over(&gout[0].shape);
    xai__loop_add(&l, &gin[k].shape);
    xai__loop_add(&l, &gout[0].shape);
    xai__loop_add(&l, &c->in[0].shape);
    choice ctx = {xai__i(&c->in[0]), xai__f(&gout[0]), xai__f(&gin[k]), k == 1};
    xai__loop_fold(c->engine, &l, &fold, &ctx);
  }
  return XAI_OK;
}

const xai__op xai__op_Where = {
    .type = "Where", .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1, .since = 9,
    .dtype = where_dtype, .infer = where_infer, .forward = where_forward, .vjp = where_vjp,
    .cross = XAI__CROSS_ROUTE};
