/* ReduceMax, ReduceMin, ArgMax, ArgMin: one element of each group wins, the first on ties.
 *
 * Relevance: the winner takes all; maxpool=proportional: R_x = x R / stab(sum x), average: R / n. */
#include "op/own.h"
#include "op/reduce.h"
#include <math.h>
#include <string.h>

typedef struct {
  const void *x;
  void *y; /* ReduceMax: values, ArgMax: positions, vjp: the operand's gradient */
  const float *g;
  int64_t stride, size; /* of ArgMax's axis */
} contest;

/* acc.i: where in x the best element so far is; -1: none yet. */
#define TAKE(name, T, better)                                                                      \
  static void name(void *ctx, xai__acc *acc, int64_t acc_step, const xai__run *r) {                \
    const T *xs = ((const contest *)ctx)->x;                                                       \
    for (int64_t i = 0; i < r->n; i++) {                                                           \
      int64_t at = r->at[1] + i * r->step[1], *best = &acc[i * acc_step].i;                        \
      if (*best < 0 || xs[at] better xs[*best]) *best = at;                                        \
    }                                                                                              \
  }
TAKE(take_max_f32, float, >)
TAKE(take_min_f32, float, <)
TAKE(take_max_i64, int64_t, >)
TAKE(take_min_i64, int64_t, <)
TAKE(take_last_max_f32, float, >=)
TAKE(take_last_min_f32, float, <=)
TAKE(take_last_max_i64, int64_t, >=)
TAKE(take_last_min_i64, int64_t, <=)

typedef void (*take_fn)(void *, xai__acc *, int64_t, const xai__run *);
/* [min][int][last] */
static const take_fn takes[2][2][2] = {
    {{take_max_f32, take_last_max_f32}, {take_max_i64, take_last_max_i64}},
    {{take_min_f32, take_last_min_f32}, {take_min_i64, take_last_min_i64}},
};

#define GIVE(name, T, expr)                                                                        \
  static void name(void *ctx, const xai__acc *acc, int64_t n, int64_t at, int64_t step) {          \
    const contest *c = ctx;                                                                        \
    for (int64_t i = 0; i < n; i++) {                                                              \
      int64_t to = at + i * step, best = acc[i].i;                                                 \
      ((T *)c->y)[to] = (expr);                                                                    \
    }                                                                                              \
  }
GIVE(give_max_f32, float, best < 0 ? -INFINITY : ((const float *)c->x)[best])
GIVE(give_min_f32, float, best < 0 ? INFINITY : ((const float *)c->x)[best])
GIVE(give_max_i64, int64_t, best < 0 ? INT64_MIN : ((const int64_t *)c->x)[best])
GIVE(give_min_i64, int64_t, best < 0 ? INT64_MAX : ((const int64_t *)c->x)[best])
GIVE(give_position, int64_t, best < 0 ? 0 : best / c->stride % c->size)

static void give_back(void *ctx, const xai__acc *acc, int64_t n, int64_t at, int64_t step) {
  const contest *c = ctx;
  for (int64_t i = 0; i < n; i++)
    if (acc[i].i >= 0) ((float *)c->y)[acc[i].i] += c->g[at + i * step];
}

static void hold(const xai__call *c, const xai__shape *kept, const xai__fold *fold, contest *k) {
  xai__loop l = xai__reduce_loop(c, kept);
  xai__loop_add(&l, &c->in[0].shape);
  xai__loop_fold(c->engine, &l, fold, k);
}

/* ---- ReduceMax, ReduceMin ---- */

static int forward(xai__call *c, bool min) {
  bool ints = c->in[0].dtype == XAI_I64;
  xai__shape kept;
  int64_t group;
  XAI__TRY(xai__reduce_plan(c, &kept, &group));
  xai__fold fold = {{.i = -1}, takes[min][ints][0],
                    min ? ints ? give_min_i64 : give_min_f32 : ints ? give_max_i64 : give_max_f32};
  hold(c, &kept, &fold, &(contest){.x = c->in[0].data, .y = c->out[0].data});
  return XAI_OK;
}

static int vjp(xai__call *c, bool min, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  xai__shape kept;
  int64_t group;
  XAI__TRY(xai__reduce_plan(c, &kept, &group));
  xai__fold fold = {{.i = -1}, takes[min][0][0], give_back};
  hold(c, &kept, &fold, &(contest){c->in[0].data, gin[0].data, xai__f(&gout[0]), 1, 1});
  return XAI_OK;
}

static float itself(float x, float y) { return (void)y, x; }

static int proportional(xai__call *c, const xai__own_options *o, const float *R,
                        const xai__view *gin) {
  int64_t group, n = xai__count(&c->out[0].shape);
  xai__shape kept;
  XAI__TRY(xai__reduce_plan(c, &kept, &group));
  float *sum = xai__scratch(c->engine, (size_t)n, sizeof *sum, c->err);
  float *s = sum ? xai__scratch(c->engine, (size_t)n, sizeof *s, c->err) : NULL;
  if (!s) return c->err->status;
  xai__fill(c->engine, sum, n, 0);
  xai__loop l = xai__reduce_loop(c, &kept);
  xai__loop_add(&l, &c->in[0].shape);
  xai__add_sums(c->engine, &l, sum, xai__f(&c->in[0]), 1);
  xai__own_divide(c->engine, R, sum, 1, n, o->stabilizer, s, o->ledger);
  return xai__reduce_spread(c, itself, false, s, gin);
}

static int relevance(xai__call *c, bool min, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  if (!strcmp(o->maxpool, "winner")) return vjp(c, min, gout, gin);
  if (!strcmp(o->maxpool, "average"))
    return xai__reduce_spread(c, NULL, true, xai__f(&gout[0]), &gin[0]);
  size_t mark = xai__scratch_mark(c->engine);
  int status = proportional(c, o, xai__f(&gout[0]), &gin[0]);
  xai__scratch_release(c->engine, mark);
  return status;
}

#define EXTREMUM(Type, min)                                                                        \
  static int forward_##Type(xai__call *c) { return forward(c, min); }                              \
  static int vjp_##Type(xai__call *c, const xai__view *gout, const xai__view *gin) {               \
    return vjp(c, min, gout, gin);                                                                 \
  }                                                                                                \
  static int relevance_##Type(xai__call *c, const xai__own_options *o, const xai__view *gout,      \
                              const xai__view *gin) {                                              \
    return relevance(c, min, o, gout, gin);                                                        \
  }                                                                                                \
  const xai__op xai__op_##Type = {.type = #Type, .min_in = 1, .max_in = 2, .min_out = 1,           \
                                  .max_out = 1, .since = 1, .fields = xai__reduce_fields,          \
                                  .attr_size = sizeof(xai__reduce_attr),                           \
                                  .infer = xai__reduce_infer, .forward = forward_##Type,           \
                                  .vjp = vjp_##Type, .cross = XAI__CROSS_ROUTE,                    \
                                  .relevance = relevance_##Type};
EXTREMUM(ReduceMax, false)
EXTREMUM(ReduceMin, true)

/* ---- ArgMax, ArgMin ---- */

typedef struct {
  int64_t axis, keepdims, select_last_index;
} arg_attr;
static const xai__field arg_fields[] = {
    {.name = "axis", .type = XAI__INT, .offset = offsetof(arg_attr, axis)},
    {.name = "keepdims", .type = XAI__INT, .offset = offsetof(arg_attr, keepdims), .preset = 1},
    {.name = "select_last_index", .type = XAI__INT,
     .offset = offsetof(arg_attr, select_last_index)},
    {0}};

static int arg_infer(xai__call *c) {
  const arg_attr *a = c->node->attr;
  const xai__shape *in = &c->in[0].shape;
  int axis;
  XAI__TRY(xai__axis(a->axis, in->rank, c, &axis));
  if (!in->d[axis])
    return XAI__MALFORMED(c, "%s: axis %d of %s is empty", c->node->op->type, axis,
                          xai__shape_text(in).text);
  xai__shape *s = &c->out[0].shape;
  s->rank = 0;
  for (int i = 0; i < in->rank; i++)
    if (i != axis || a->keepdims) s->d[s->rank++] = i == axis ? 1 : in->d[i];
  c->out[0].dtype = XAI_I64;
  return XAI_OK;
}

static int arg_forward(xai__call *c, bool min) {
  const arg_attr *a = c->node->attr;
  xai__shape kept = c->in[0].shape;
  int axis;
  XAI__TRY(xai__axis(a->axis, kept.rank, c, &axis));
  contest k = {.x = c->in[0].data, .y = c->out[0].data, .size = kept.d[axis],
               .stride = xai__span(&kept, axis + 1, kept.rank)};
  kept.d[axis] = 1;
  xai__fold fold = {{.i = -1}, takes[min][c->in[0].dtype == XAI_I64][a->select_last_index != 0],
                    give_position};
  hold(c, &kept, &fold, &k);
  return XAI_OK;
}

static int argmax_forward(xai__call *c) { return arg_forward(c, false); }
static int argmin_forward(xai__call *c) { return arg_forward(c, true); }

static int arg_dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)node, (void)in_dtype, (void)k;
  return XAI_I64;
}

#define ARG(Type, f)                                                                               \
  const xai__op xai__op_##Type = {.type = #Type, .min_in = 1, .max_in = 1, .min_out = 1,           \
                                  .max_out = 1, .since = 1, .fields = arg_fields,                  \
                                  .attr_size = sizeof(arg_attr), .dtype = arg_dtype,               \
                                  .infer = arg_infer, .forward = f, .cross = XAI__CROSS_NONE};
ARG(ArgMax, argmax_forward)
ARG(ArgMin, argmin_forward)
