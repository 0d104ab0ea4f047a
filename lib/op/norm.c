/* LayerNormalization (ONNX 17), InstanceNormalization (6), GroupNormalization (18, 21),
 * RMSNormalization (23): one row of len elements at a time.
 *
 *   y = w (x - m) / s + b,  m = mean x,  s = sqrt(mean (x - m)^2 + epsilon)    (RMS: m = 0)
 *
 * Rows: everything from `axis` on; a channel of an item; a group of channels of an item.
 * Relevance, with s taken as a constant [Achtibat et al. 2024, eq. 16]: g = w R / (stab(y) s),
 * R_x = x (g - mean g); b keeps its share unless bias=zero, where y is without b. */
#include "op/own.h"
#include "op/simd.h"

typedef struct norm_attr {
  int64_t axis, num_groups, stash_type;
  float epsilon;
} norm_attr;

#define EPSILON {"epsilon", XAI__FLOAT, offsetof(norm_attr, epsilon), 1e-5, false}
#define AXIS {"axis", XAI__INT, offsetof(norm_attr, axis), -1, false}
#define STASH {"stash_type", XAI__INT, offsetof(norm_attr, stash_type), 1, false}
#define GROUPS {"num_groups", XAI__INT, offsetof(norm_attr, num_groups), 0, true}
static const xai__field layer_fields[] = {AXIS, EPSILON, STASH, {0}};
static const xai__field instance_fields[] = {EPSILON, {0}};
static const xai__field group_fields[] = {GROUPS, EPSILON, STASH, {0}};

/* ---- geometry ---- */

/* Element j of a row has parameter (row % period) * step + j / inner. */
typedef struct layout {
  int64_t rows, len, period, step, inner, parameters;
  int axis; /* the row's axes are those from here on, where that makes sense */
  bool rms;
} layout;

static int layer_layout(const xai__call *c, const norm_attr *a, layout *l) {
  const xai__shape *x = &c->in[0].shape;
  XAI__TRY(xai__need_rank(c, 0, 1, XAI__MAX_RANK));
  XAI__TRY(xai__axis(a->axis, x->rank, c, &l->axis));
  l->rows = xai__span(x, 0, l->axis);
  l->len = l->parameters = xai__span(x, l->axis, x->rank);
  l->period = l->inner = 1;
  return XAI_OK;
}

static int rms_layout(const xai__call *c, const norm_attr *a, layout *l) {
  l->rms = true;
  return layer_layout(c, a, l);
}

static int instance_layout(const xai__call *c, const norm_attr *a, layout *l) {
  const xai__shape *x = &c->in[0].shape;
  (void)a;
  XAI__TRY(xai__need_rank(c, 0, 2, XAI__MAX_RANK));
  l->rows = x->d[0] * x->d[1];
  l->len = l->inner = xai__span(x, 2, x->rank);
  l->period = l->parameters = x->d[1];
  l->step = 1;
  return XAI_OK;
}

/* Parameters are one a group before opset 21 and one a channel from then on. */
static int group_layout(const xai__call *c, const norm_attr *a, layout *l) {
  const xai__shape *x = &c->in[0].shape;
  XAI__TRY(xai__need_rank(c, 0, 2, XAI__MAX_RANK));
  if (a->num_groups < 1 || x->d[1] % a->num_groups)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                     "%lld channels cannot be split into %lld groups", (long long)x->d[1],
                     (long long)a->num_groups);
  int64_t channels = x->d[1] / a->num_groups, plane = xai__span(x, 2, x->rank);
  bool per_channel = c->node->opset >= 21;
  l->rows = x->d[0] * a->num_groups;
  l->len = channels * plane;
  l->period = a->num_groups;
  l->step = per_channel ? channels : 1;
  l->inner = per_channel ? plane : l->len;
  l->parameters = per_channel ? x->d[1] : a->num_groups;
  return XAI_OK;
}

extern const xai__op xai__op_LayerNormalization, xai__op_InstanceNormalization,
    xai__op_GroupNormalization, xai__op_RMSNormalization;

static int read_layout(const xai__call *c, layout *l) {
  static const struct {
    const xai__op *op;
    int (*read)(const xai__call *c, const norm_attr *a, layout *l);
  } kinds[] = {{&xai__op_LayerNormalization, layer_layout},
               {&xai__op_InstanceNormalization, instance_layout},
               {&xai__op_GroupNormalization, group_layout},
               {&xai__op_RMSNormalization, rms_layout}};
  *l = (layout){0};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (kinds[i].op == c->node->op) return kinds[i].read(c, c->node->attr, l);
  return XAI_E_UNSUPPORTED;
}

/* ---- shapes ---- */

static int need_parameters(const xai__call *c, int i, const layout *l) {
  if (i >= c->node->op->min_in && !xai__has(c, i)) return XAI_OK;
  XAI__TRY(xai__need_rank(c, i, 0, XAI__MAX_RANK));
  XAI__TRY(xai__need_float(c, i));
  const xai__shape *s = &c->in[i].shape;
  int64_t n;
  if (xai__shape_checked_count(s, &n) && n == l->parameters) return XAI_OK;
  return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                   "operand %d has shape %s, must have %lld elements", i, xai__shape_text(s).text,
                   (long long)l->parameters);
}

static int infer(xai__call *c) {
  layout l;
  int64_t n;
  XAI__TRY(xai__need_float(c, 0));
  if (!xai__shape_checked_count(&c->in[0].shape, &n) || n < 1)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "normalisation of %s",
                     xai__shape_text(&c->in[0].shape).text);
  XAI__TRY(read_layout(c, &l));
  XAI__TRY(need_parameters(c, 1, &l));
  XAI__TRY(need_parameters(c, 2, &l));
  for (int k = 0; k < c->n_out; k++) { /* results 1 and 2: mean and 1 / s, one a row */
    c->out[k].dtype = XAI_F32;
    c->out[k].shape = c->in[0].shape;
    for (int i = l.axis; k > 0 && i < c->in[0].shape.rank; i++) c->out[k].shape.d[i] = 1;
  }
  return XAI_OK;
}

/* ---- rows in parallel ---- */

typedef struct row_ctx row_ctx;
struct row_ctx {
  layout l;
  void (*row)(xai__norm *s);
  xai__norm s;           /* of whole tensors */
  float *mean, *inverse; /* written */
  const float *g_mean, *g_inverse;
};

static void each_row(void *ctx, int64_t begin, int64_t end) {
  const row_ctx *c = ctx;
  for (int64_t row = begin; row < end; row++) {
    const int64_t at = row * c->l.len, k = row % c->l.period * c->l.step;
    xai__norm s = c->s;
    s.x += at;
    if (s.g) s.g += at;
    s.w += k;
    if (s.b) s.b += k;
    s.y += at;
    if (c->g_mean) s.shift = (double)c->g_mean[row];
    if (c->g_inverse) s.stretch = (double)c->g_inverse[row];
    c->row(&s);
    if (c->mean) c->mean[row] = (float)s.mean;
    if (c->inverse) c->inverse[row] = (float)s.inverse;
  }
}

/* y = g - b */
static void without_b(xai__norm *s) {
  for (int64_t j = 0; j < s->n; j++) s->y[j] = s->g[j] - s->b[j / s->inner];
}

static int context(const xai__call *c, row_ctx *ctx) {
  *ctx = (row_ctx){.s = {.epsilon = ((const norm_attr *)c->node->attr)->epsilon,
                         .x = xai__f(&c->in[0]),
                         .w = xai__f(&c->in[1]),
                         .b = xai__has(c, 2) ? xai__f(&c->in[2]) : NULL}};
  XAI__TRY(read_layout(c, &ctx->l));
  ctx->s.n = ctx->l.len;
  ctx->s.inner = ctx->l.inner;
  ctx->s.rms = ctx->l.rms;
  return XAI_OK;
}

static void run(const xai__call *c, row_ctx *ctx, void (*row)(xai__norm *)) {
  ctx->row = row;
  xai__parallel(c->engine, ctx->l.rows, xai__grain(4 * ctx->l.len), each_row, ctx);
}

/* ---- the operators ---- */

static int forward(xai__call *c) {
  row_ctx ctx;
  XAI__TRY(context(c, &ctx));
  ctx.s.y = xai__f(&c->out[0]);
  if (c->n_out > 1) ctx.mean = xai__f(&c->out[1]);
  if (c->n_out > 2) ctx.inverse = xai__f(&c->out[2]);
  run(c, &ctx, xai__simd_of(c->engine)->norm_forward);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  row_ctx ctx;
  XAI__TRY(xai__vjp_only(c, gin, 1));
  if (!gin[0].data) return XAI_OK;
  XAI__TRY(context(c, &ctx));
  ctx.s.g = xai__f(&gout[0]);
  if (c->n_out > 1) ctx.g_mean = xai__f(&gout[1]);
  if (c->n_out > 2) ctx.g_inverse = xai__f(&gout[2]);
  ctx.s.y = xai__f(&gin[0]);
  run(c, &ctx, xai__simd_of(c->engine)->norm_vjp);
  return XAI_OK;
}

static void lose_bias(const row_ctx *ctx, double *ledger) {
  for (int64_t row = 0; row < ctx->l.rows; row++) {
    const float *g = ctx->s.g + row * ctx->l.len;
    const float *b = ctx->s.b + row % ctx->l.period * ctx->l.step;
    for (int64_t j = 0; j < ctx->l.len; j++)
      ledger[XAI__BIAS] += (double)g[j] * (double)b[j / ctx->l.inner];
  }
}

static int relevance(xai__call *c, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  row_ctx ctx;
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  XAI__TRY(context(c, &ctx));
  int64_t n = xai__count(&gout[0].shape);
  size_t mark = xai__scratch_mark(c->engine);
  float *z = xai__scratch(c->engine, (size_t)n, sizeof *z, c->err);
  float *s = z ? xai__scratch(c->engine, (size_t)n, sizeof *s, c->err) : NULL;
  if (s) {
    const float *y = xai__f(&c->out[0]);
    if (o->bias_zero && ctx.s.b) {
      ctx.s.g = y;
      ctx.s.y = z;
      run(c, &ctx, without_b);
      y = z;
    }
    xai__own_divide(c->engine, xai__f(&gout[0]), y, 1, n, o->stabilizer, s, o->ledger);
    ctx.s.g = s;
    ctx.s.y = xai__f(&gin[0]);
    run(c, &ctx, xai__simd_of(c->engine)->norm_relevance);
    if (o->ledger && ctx.s.b && !o->bias_zero) lose_bias(&ctx, o->ledger);
  }
  xai__scratch_release(c->engine, mark);
  return s ? XAI_OK : XAI_E_MEMORY;
}

static xai__crossing cross_own(const xai__node *node, const bool *in_static) {
  return xai__cross_first(node, in_static, XAI__CROSS_OWN);
}
static xai__crossing cross_pass(const xai__node *node, const bool *in_static) {
  return xai__cross_first(node, in_static, XAI__CROSS_PASS);
}

#define ROW(name, low_in, high_in, outs, first_opset, attributes)                             \
  .type = name, .min_in = low_in, .max_in = high_in, .min_out = 1, .max_out = outs,           \
  .since = first_opset, .fields = attributes, .attr_size = sizeof(norm_attr), .infer = infer, \
  .forward = forward, .vjp = vjp
#define OWN .pass_option = "layernorm", .crossing = cross_own, .relevance = relevance

const xai__op xai__op_LayerNormalization = {
    ROW("LayerNormalization", 2, 3, 3, 17, layer_fields), OWN};
const xai__op xai__op_InstanceNormalization = {
    ROW("InstanceNormalization", 3, 3, 1, 6, instance_fields), OWN};
const xai__op xai__op_GroupNormalization = {
    ROW("GroupNormalization", 3, 3, 1, 18, group_fields), OWN};
const xai__op xai__op_RMSNormalization = {
    ROW("RMSNormalization", 2, 2, 1, 23, layer_fields), .crossing = cross_pass};
