/* Softmax, LogSoftmax and Hardmax (ONNX 1, 11, 13).
 *
 *   p = exp(x - max x) / sum exp(x - max x),   l = x - log sum exp x
 *
 * along `axis`; before opset 13 along all axes from `axis` on (default 1, later the last one).
 * x (outer, len, inner). Relevance through p [Achtibat et al. 2024, eq. 13]: R_x = x (R - p sum R),
 * 0 where x is -inf (masked). Through l, the difference of x and a logsumexp, gradient times input:
 * with s = R / stab(l), R_x = x (s - p sum s). softmax=detach hands nothing on through either.
 * Hardmax, 1 at the first maximum and 0 elsewhere, is a decision and carries none. */
#include "op/own.h"
#include "op/simd.h"
#include <math.h>
#include <string.h>

typedef struct softmax_attr {
  int64_t axis;
} softmax_attr;

/* The default depends on the opset. */
#define AXIS_UNSET INT32_MIN
static const xai__field fields[] = {
    {"axis", XAI__INT, offsetof(softmax_attr, axis), (double)AXIS_UNSET, false}, {0}};

typedef struct rows {
  int64_t outer, len, inner;
} rows;

static int64_t wanted_axis(const xai__node *node) {
  int64_t axis = ((const softmax_attr *)node->attr)->axis;
  if (axis != AXIS_UNSET) return axis;
  return node->opset < 13 ? 1 : -1;
}

static int axis_at(const xai__node *node, int rank) {
  int64_t axis = wanted_axis(node);
  return (int)(axis < 0 ? axis + rank : axis);
}

static int read_rows(const xai__call *c, rows *r) {
  const xai__shape *s = &c->in[0].shape;
  int64_t wanted = wanted_axis(c->node);
  bool flat = c->node->opset < 13;
  int axis = 0;
  if (s->rank == 0 || (flat && wanted == s->rank)) {
    *r = (rows){xai__count(s), 1, 1};
    return XAI_OK;
  }
  XAI__TRY(xai__axis(wanted, s->rank, c, &axis));
  *r = (rows){xai__span(s, 0, axis), s->d[axis], xai__span(s, axis + 1, s->rank)};
  if (flat) *r = (rows){r->outer, r->len * r->inner, 1};
  return XAI_OK;
}

static int infer(xai__call *c) {
  rows r;
  int64_t n;
  XAI__TRY(xai__need_rank(c, 0, 0, XAI__MAX_RANK));
  XAI__TRY(xai__need_float(c, 0));
  if (!xai__shape_checked_count(&c->in[0].shape, &n))
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "the operand is too large");
  XAI__TRY(read_rows(c, &r));
  c->out[0].dtype = XAI_F32;
  c->out[0].shape = c->in[0].shape;
  return XAI_OK;
}

/* ---- rows in parallel ---- */

typedef struct row_ctx {
  rows r;
  void (*row)(const xai__softmax *s);
  xai__softmax s; /* x, y, g, out: whole tensors; n, step: set by run_rows */
} row_ctx;

static void each_row(void *ctx, int64_t begin, int64_t end) {
  const row_ctx *c = ctx;
  for (int64_t i = begin; i < end; i++) {
    const int64_t at = i / c->r.inner * c->r.len * c->r.inner + i % c->r.inner;
    xai__softmax s = c->s;
    if (s.x) s.x += at;
    if (s.y) s.y += at;
    if (s.g) s.g += at;
    s.out += at;
    c->row(&s);
  }
}

static int run_rows(xai__call *c, void (*row)(const xai__softmax *), xai__softmax s) {
  row_ctx ctx = {.row = row, .s = s};
  XAI__TRY(read_rows(c, &ctx.r));
  ctx.s.n = ctx.r.len;
  ctx.s.step = ctx.r.inner;
  xai__parallel(c->engine, ctx.r.outer * ctx.r.inner, xai__grain(ctx.r.len), each_row, &ctx);
  return XAI_OK;
}

static void row_hardmax(const xai__softmax *s) {
  int64_t best = 0;
  for (int64_t i = 0; i < s->n; i++) {
    s->out[i * s->step] = 0;
    if (s->x[i * s->step] > s->x[best * s->step]) best = i;
  }
  if (s->n > 0) s->out[best * s->step] = 1;
}

/* ---- the operators ---- */

static bool is_log(const xai__call *c) { return c->node->op->type[0] == 'L'; }

static int forward(xai__call *c) {
  return run_rows(c, xai__simd_of(c->engine)->softmax_forward, (xai__softmax){.log = is_log(c),
                               .x = xai__f(&c->in[0]),
                               .out = xai__f(&c->out[0])});
}

static int forward_hardmax(xai__call *c) {
  return run_rows(c, row_hardmax, (xai__softmax){.x = xai__f(&c->in[0]),
                               .out = xai__f(&c->out[0])});
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  return run_rows(c, xai__simd_of(c->engine)->softmax_vjp, (xai__softmax){.log = is_log(c),
                               .y = xai__f(&c->out[0]),
                               .g = xai__f(&gout[0]),
                               .out = xai__f(&gin[0])});
}

static int relevance(xai__call *c, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  const float *R = xai__f(&gout[0]), *g = R, *y = xai__f(&c->out[0]);
  int64_t n = xai__count(&gout[0].shape);
  const xai__simd *simd = xai__simd_of(c->engine);
  bool detach = !strcmp(o->softmax, "detach"), gradient = !strcmp(o->softmax, "gradient");
  size_t mark = xai__scratch_mark(c->engine);
  float *taken = xai__scratch(c->engine, (size_t)n, sizeof *taken, c->err);
  float *s = taken ? xai__scratch(c->engine, (size_t)n, sizeof *s, c->err) : NULL;
  int status = s ? XAI_OK : XAI_E_MEMORY;
  if (!status) xai__fill(c->engine, taken, n, 0);
  if (!status && is_log(c) && !detach && !gradient) {
    xai__own_divide(c->engine, R, y, 1, n, o->stabilizer, s, NULL);
    g = s;
  }
  if (!status && !detach)
    status = run_rows(c, gradient ? simd->softmax_vjp : simd->softmax_relevance,
                      (xai__softmax){.log = is_log(c), .x = xai__f(&c->in[0]), .y = y, .g = g,
                                     .out = taken});
  if (!status) {
    xai__add_scaled(c->engine, xai__f(&gin[0]), taken, n, 1);
    xai__own_lose(c->engine, R, n, taken, n, o->ledger, XAI__RULE);
  }
  xai__scratch_release(c->engine, mark);
  return status;
}

#define ROW(name)                                                                 \
  .type = name, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .since = 1, \
  .fields = fields, .attr_size = sizeof(softmax_attr), .infer = infer
#define SMOOTH \
  .forward = forward, .vjp = vjp, .cross = XAI__CROSS_OWN, .relevance = relevance, .axis = axis_at

const xai__op xai__op_Softmax = {ROW("Softmax"), SMOOTH, .gate = XAI__GATE_SOFTMAX};
const xai__op xai__op_LogSoftmax = {ROW("LogSoftmax"), SMOOTH};
const xai__op xai__op_Hardmax = {ROW("Hardmax"), .forward = forward_hardmax,
                                 .cross = XAI__CROSS_NONE};
