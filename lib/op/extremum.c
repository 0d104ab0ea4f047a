/* Max, Min of any number of operands, with broadcasting.
 *
 * The first operand that holds the extremum takes the gradient and the relevance;
 * maxpool=proportional: R_k = x_k R / stab(sum_k x_k), average: R / number of operands. */
#include "op/broadcast.h"
#include "op/own.h"
#include <string.h>

XAI__ELEMENTWISE(max_f32, float, float, float, y > x ? y : x)
XAI__ELEMENTWISE(min_f32, float, float, float, y < x ? y : x)
XAI__ELEMENTWISE(max_i64, int64_t, int64_t, int64_t, y > x ? y : x)
XAI__ELEMENTWISE(min_i64, int64_t, int64_t, int64_t, y < x ? y : x)
XAI__ELEMENTWISE(sum_f32, float, float, float, x + y)

static int infer(xai__call *c) {
  XAI__TRY(xai__infer_broadcast(c, 0));
  c->out[0].dtype = c->in[0].dtype;
  return xai__need_same(c, 0);
}

static void combine(xai__call *c, const xai__view *z, xai__run_fn f) {
  xai__broadcast_copy(c->engine, z, &c->in[0]);
  for (int k = 1; k < c->n_in; k++) xai__broadcast_each(c, z, z, &c->in[k], f);
}

static int max_forward(xai__call *c) {
  combine(c, &c->out[0], c->out[0].dtype == XAI_F32 ? max_f32 : max_i64);
  return XAI_OK;
}

static int min_forward(xai__call *c) {
  combine(c, &c->out[0], c->out[0].dtype == XAI_F32 ? min_f32 : min_i64);
  return XAI_OK;
}

/* ---- per operand k: x_k as stream 2, what has the result's shape as stream 1 ---- */

typedef struct {
  const float *x, *y, *g;
  bool *claimed; /* an earlier operand, or this one, has taken the element */
  float *gin;
} claims;

static void take_claimed(void *ctx, xai__acc *acc, int64_t acc_step, const xai__run *r) {
  const claims *c = ctx;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t at = r->at[1] + i * r->step[1];
    if (c->claimed[at] || c->x[r->at[2] + i * r->step[2]] != c->y[at]) continue;
    c->claimed[at] = true;
    acc[i * acc_step].f += (double)c->g[at];
  }
}

static void take_product(void *ctx, xai__acc *acc, int64_t acc_step, const xai__run *r) {
  const claims *c = ctx;
  const float *g = c->g + r->at[1], *x = c->x + r->at[2];
  XAI__TAKE_SUM(g[i * r->step[1]] * x[i * r->step[2]]);
}

static void give(void *ctx, const xai__acc *acc, int64_t n, int64_t at, int64_t step) {
  float *gin = ((const claims *)ctx)->gin;
  if (gin) xai__give_sums(acc, n, step, 1, gin + at);
}

static void hand_back(xai__call *c, const xai__fold *fold, claims *k, const xai__view *gin) {
  for (int i = 0; i < c->n_in; i++) {
    xai__loop l = xai__loop_over(&c->out[0].shape);
    xai__loop_add(&l, &c->in[i].shape);
    xai__loop_add(&l, &c->out[0].shape);
    xai__loop_add(&l, &c->in[i].shape);
    k->x = xai__f(&c->in[i]);
    k->gin = gin[i].data;
    if (k->claimed || k->gin) xai__loop_fold(c->engine, &l, fold, k);
  }
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  static const xai__fold fold = {{0}, take_claimed, give};
  if (!gout[0].data) return XAI_OK;
  size_t mark = xai__scratch_mark(c->engine), n = (size_t)xai__count(&c->out[0].shape);
  bool *claimed = xai__scratch(c->engine, n, 1, c->err);
  if (!claimed) return c->err->status;
  memset(claimed, 0, n);
  claims k = {NULL, xai__f(&c->out[0]), xai__f(&gout[0]), claimed, NULL};
  hand_back(c, &fold, &k, gin);
  xai__scratch_release(c->engine, mark);
  return XAI_OK;
}

static int proportional(xai__call *c, const xai__own_options *o, const float *R,
                        const xai__view *gin) {
  static const xai__fold fold = {{0}, take_product, give};
  int64_t n = xai__count(&c->out[0].shape);
  xai__view sum = c->out[0];
  sum.data = xai__scratch(c->engine, (size_t)n, sizeof(float), c->err);
  float *s = sum.data ? xai__scratch(c->engine, (size_t)n, sizeof *s, c->err) : NULL;
  if (!s) return c->err->status;
  combine(c, &sum, sum_f32);
  xai__own_divide(c->engine, R, xai__f(&sum), 1, n, o->stabilizer, s, o->ledger);
  hand_back(c, &fold, &(claims){.g = s}, gin);
  return XAI_OK;
}

static int share_out(xai__call *c, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  if (!strcmp(o->maxpool, "winner")) return vjp(c, gout, gin);
  if (strcmp(o->maxpool, "average")) return proportional(c, o, xai__f(&gout[0]), gin);
  for (int i = 0; i < c->n_in; i++)
    if (gin[i].data) xai__sum_to(c->engine, &gin[i], &gout[0], 1.0f / (float)c->n_in);
  return XAI_OK;
}

/* With a ledger, what goes to an operand nobody asks for goes to its constants. */
static int with_ledger(xai__call *c, const xai__own_options *o, const xai__view *gout,
                       const xai__view *gin) {
  xai__view *to = xai__scratch(c->engine, (size_t)c->n_in, sizeof *to, c->err);
  if (!to) return c->err->status;
  for (int i = 0; i < c->n_in; i++) {
    int64_t n = xai__count(&c->in[i].shape);
    to[i] = gin[i];
    if (gin[i].data) continue;
    to[i] = (xai__view){.dtype = XAI_F32, .shape = c->in[i].shape, .data = xai__scratch(c->engine, (size_t)n, sizeof(float), c->err)};
    if (!to[i].data) return c->err->status;
    xai__fill(c->engine, xai__f(&to[i]), n, 0);
  }
  XAI__TRY(share_out(c, o, gout, to));
  for (int i = 0; i < c->n_in; i++)
    if (!gin[i].data)
      o->ledger[XAI__CONSTANT] += xai__sum(c->engine, xai__f(&to[i]), xai__count(&to[i].shape));
  return XAI_OK;
}

static int relevance(xai__call *c, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  if (!gout[0].data) return XAI_OK;
  size_t mark = xai__scratch_mark(c->engine);
  int status = o->ledger ? with_ledger(c, o, gout, gin) : share_out(c, o, gout, gin);
  xai__scratch_release(c->engine, mark);
  return status;
}

#define EXTREMUM(Type, f)                                                                          \
  const xai__op xai__op_##Type = {.type = #Type, .min_in = 1, .max_in = -1, .min_out = 1,          \
                                  .max_out = 1, .since = 6, .infer = infer, .forward = f,          \
                                  .vjp = vjp, .cross = XAI__CROSS_ROUTE, .relevance = relevance};
EXTREMUM(Max, max_forward)
EXTREMUM(Min, min_forward)
