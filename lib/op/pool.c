/* MaxPool (ONNX 1, 8, 10, 12), AveragePool (1, 7, 10, 11, 19), LpPool (2, 11, 18) and their Global
 * forms.
 *
 *   y[n,c,o] = max, mean or p-norm over the window's taps t of x[n,c,t]
 *
 * x (N,C,in...), y (N,C,out...), one to three spatial axes (global: any number). Taps outside the
 * image do not exist, but count_include_pad counts those in the padding. The maximum's gradient and
 * relevance go to the winner, the first tap on ties. The p-norm is homogeneous like a linear map:
 * x J' (R / y) sums to R, and relevance crosses it as it crosses a mean. */
#include "op/blocked.h"
#include "op/own.h"
#include "op/spatial.h"
#include <float.h>
#include <math.h>
#include <string.h>

typedef struct pool_attr {
  xai__spatial_attr window;
  int64_t ceil_mode, storage_order, count_include_pad, p;
} pool_attr;

static const xai__field max_fields[] = {
    XAI__SPATIAL_FIELDS(true),
    {"ceil_mode", XAI__INT, offsetof(pool_attr, ceil_mode), 0, false},
    {"storage_order", XAI__INT, offsetof(pool_attr, storage_order), 0, false},
    {0}};
static const xai__field average_fields[] = {
    XAI__SPATIAL_FIELDS(true),
    {"ceil_mode", XAI__INT, offsetof(pool_attr, ceil_mode), 0, false},
    {"count_include_pad", XAI__INT, offsetof(pool_attr, count_include_pad), 0, false},
    {0}};
static const xai__field lp_fields[] = {
    XAI__SPATIAL_FIELDS(true),
    {"ceil_mode", XAI__INT, offsetof(pool_attr, ceil_mode), 0, false},
    {"p", XAI__INT, offsetof(pool_attr, p), 2, false},
    {0}};
static const xai__field global_lp_fields[] = {{"p", XAI__INT, offsetof(pool_attr, p), 2, false},
                                              {0}};

/* ---- geometry ---- */

/* Global pooling: one window over all positions. */
static bool is_global(const xai__call *c) { return !strncmp(c->node->op->type, "Global", 6); }

static int resolve(const xai__call *c, xai__spatial *w) {
  const pool_attr *a = c->node->attr;
  const xai__shape *x = &c->in[0].shape;
  if (!is_global(c)) return xai__spatial_resolve(c, &a->window, NULL, a->ceil_mode != 0, w);
  *w = (xai__spatial){.axes = x->rank - 2};
  for (int i = 0; i < 3; i++)
    w->in[i] = w->out[i] = w->kernel[i] = w->stride[i] = w->dilation[i] = 1;
  w->in[2] = w->kernel[2] = xai__span(x, 2, x->rank);
  return XAI_OK;
}

static int check_lp(const xai__node *node, void *attr, xai_error *err) {
  int64_t p = ((const pool_attr *)attr)->p;
  if (p >= 1 && p <= 64) return XAI_OK;
  return xai__fail(err, XAI_E_MODEL, node->name, "p is %lld, must be between 1 and 64",
                   (long long)p);
}

static int infer_windows(xai__call *c) {
  xai__spatial w;
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(resolve(c, &w));
  for (int i = 0; i < 3; i++)
    if (w.pad[i] >= xai__spatial_extent(&w, i) || w.pad_end[i] >= xai__spatial_extent(&w, i))
      return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                       "padding of %lld and %lld is not smaller than the window of %lld",
                       (long long)w.pad[i], (long long)w.pad_end[i],
                       (long long)xai__spatial_extent(&w, i));
  for (int k = 0; k < c->n_out; k++) {
    c->out[k].dtype = k == 0 ? XAI_F32 : XAI_I64;
    xai__spatial_shape(&w, c->in[0].shape.d[0], c->in[0].shape.d[1], &c->out[k].shape);
  }
  return XAI_OK;
}

static int infer_global(xai__call *c) {
  int64_t n;
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__need_rank(c, 0, 2, XAI__MAX_RANK));
  xai__shape *s = &c->out[0].shape;
  if (!xai__shape_checked_count(&c->in[0].shape, &n) || n < 1)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "pooling of %s",
                     xai__shape_text(&c->in[0].shape).text);
  *s = c->in[0].shape;
  for (int i = 2; i < s->rank; i++) s->d[i] = 1;
  c->out[0].dtype = XAI_F32;
  return XAI_OK;
}

static int index_dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)node;
  return k == 0 ? in_dtype[0] : XAI_I64;
}

/* One axis of one window: n taps inside the image from `first` on; `counted` inside the padding. */
typedef struct taps {
  int64_t first, n, counted;
} taps;

/* Number of taps of `kernel` from `start` on that lie before `end`. */
static int64_t taps_before(int64_t start, int64_t d, int64_t kernel, int64_t end) {
  if (start >= end) return 0;
  int64_t n = (end - 1 - start) / d + 1;
  return n < kernel ? n : kernel;
}

static taps taps_at(const xai__spatial *w, int i, int64_t o) {
  int64_t d = w->dilation[i], start = o * w->stride[i] - w->pad[i];
  if (start >= 0 && start + (w->kernel[i] - 1) * d < w->in[i]) /* no division inside the image */
    return (taps){start, w->kernel[i], w->kernel[i]};
  int64_t skip = start < 0 ? (d - 1 - start) / d : 0;
  int64_t n = taps_before(start, d, w->kernel[i], w->in[i]);
  return (taps){start + skip * d, n > skip ? n - skip : 0,
                taps_before(start, d, w->kernel[i], w->in[i] + w->pad_end[i])};
}

static const pool_attr *attr_of(const xai__call *c) { return c->node->attr; }

/* ---- a visit to every window, planes in parallel ---- */

typedef struct visit visit;
struct visit {
  const xai__spatial *w;
  void (*window)(const visit *v, int64_t plane, int64_t o, const taps *t);
  int64_t in_plane, out_plane;
  const float *x; /* of the input's shape */
  const float *s; /* of the output's shape */
  float *y;       /* written: of the shape that `window` says */
  int64_t *index;
  bool average, include_pad, column_major;
  const float *norm; /* of the output's shape */
  int p;
};

#define EACH_TAP(v, t, i, ...)                                                                    \
  for (int64_t z_ = 0; z_ < (t)[0].n; z_++)                                                       \
    for (int64_t y_ = 0; y_ < (t)[1].n; y_++) {                                                   \
      const xai__spatial *w_ = (v)->w;                                                             \
      int64_t i = (((t)[0].first + z_ * w_->dilation[0]) * w_->in[1] + (t)[1].first +             \
                   y_ * w_->dilation[1]) * w_->in[2] + (t)[2].first;                              \
      for (int64_t x_ = 0; x_ < (t)[2].n; x_++, i += w_->dilation[2]) __VA_ARGS__                 \
    }

static void visit_planes(void *ctx, int64_t begin, int64_t end) {
  const visit *v = ctx;
  taps t[3];
  for (int64_t plane = begin; plane < end; plane++) {
    int64_t o = 0;
    for (int64_t z = 0; z < v->w->out[0]; z++) {
      t[0] = taps_at(v->w, 0, z);
      for (int64_t y = 0; y < v->w->out[1]; y++) {
        t[1] = taps_at(v->w, 1, y);
        for (int64_t x = 0; x < v->w->out[2]; x++) {
          t[2] = taps_at(v->w, 2, x);
          v->window(v, plane, o++, t);
        }
      }
    }
  }
}

static int visit_all(xai__call *c, visit v) {
  xai__spatial w;
  XAI__TRY(resolve(c, &w));
  v.w = &w;
  v.in_plane = w.in[0] * w.in[1] * w.in[2];
  v.out_plane = w.out[0] * w.out[1] * w.out[2];
  int64_t planes = c->in[0].shape.d[0] * c->in[0].shape.d[1];
  int64_t cost = v.in_plane > v.out_plane ? v.in_plane : v.out_plane;
  xai__parallel(c->engine, planes, xai__grain(cost), visit_planes, &v);
  return XAI_OK;
}

/* ---- maximum ---- */

/* -1: no taps */
static int64_t winner(const visit *v, const float *x, const taps *t) {
  int64_t best = -1;
  float top = 0;
  EACH_TAP(v, t, i, {
    if (best < 0 || x[i] > top) {
      best = i;
      top = x[i];
    }
  })
  return best;
}

static int64_t column_major(const xai__spatial *w, int64_t i) {
  int64_t x = i % w->in[2], y = i / w->in[2] % w->in[1], z = i / w->in[2] / w->in[1];
  return z + (y + x * w->in[1]) * w->in[0];
}

static void window_max(const visit *v, int64_t plane, int64_t o, const taps *t) {
  const float *x = v->x + plane * v->in_plane;
  int64_t i = winner(v, x, t), at = plane * v->out_plane + o;
  v->y[at] = i < 0 ? -FLT_MAX : x[i];
  if (v->index)
    v->index[at] = plane * v->in_plane + (v->column_major ? column_major(v->w, i) : i);
}

static int forward_max(xai__call *c) {
  return visit_all(c, (visit){.window = window_max,
                              .x = xai__f(&c->in[0]),
                              .y = xai__f(&c->out[0]),
                              .index = c->n_out > 1 ? xai__i(&c->out[1]) : NULL,
                              .column_major = attr_of(c)->storage_order});
}

/* y (input) += s (output) at the winner */
static void window_to_winner(const visit *v, int64_t plane, int64_t o, const taps *t) {
  int64_t i = winner(v, v->x + plane * v->in_plane, t);
  if (i >= 0) v->y[plane * v->in_plane + i] += v->s[plane * v->out_plane + o];
}

static int vjp_max(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  if (gin[0].fresh) xai__fill(c->engine, xai__f(&gin[0]), xai__count(&gin[0].shape), 0);
  return visit_all(c, (visit){.window = window_to_winner,
                              .x = xai__f(&c->in[0]),
                              .s = xai__f(&gout[0]),
                              .y = xai__f(&gin[0])});
}

/* ---- mean ---- */

static float count(const visit *v, const taps *t) {
  if (v->include_pad) return (float)(t[0].counted * t[1].counted * t[2].counted);
  return (float)(t[0].n * t[1].n * t[2].n);
}

/* y = sum, or mean, over the taps of x, or of 1 */
static void window_sum(const visit *v, int64_t plane, int64_t o, const taps *t) {
  const float *x = v->x ? v->x + plane * v->in_plane : NULL;
  double sum = x ? 0 : (double)count(v, t);
  if (x) EACH_TAP(v, t, i, { sum += (double)x[i]; })
  v->y[plane * v->out_plane + o] = v->average ? xai__ratio((float)sum, count(v, t)) : (float)sum;
}

/* y (input) += s (output), divided by the number of taps or times x */
static void window_spread(const visit *v, int64_t plane, int64_t o, const taps *t) {
  const float *x = v->x ? v->x + plane * v->in_plane : NULL;
  float *y = v->y + plane * v->in_plane, s = v->s[plane * v->out_plane + o];
  if (v->average) s = xai__ratio(s, count(v, t));
  if (s == 0) return;
  EACH_TAP(v, t, i, { y[i] += x ? x[i] * s : s; })
}

static int forward_average(xai__call *c) {
  return visit_all(c, (visit){.window = window_sum,
                              .x = xai__f(&c->in[0]),
                              .y = xai__f(&c->out[0]),
                              .average = true,
                              .include_pad = attr_of(c)->count_include_pad});
}

static int vjp_average(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  return visit_all(c, (visit){.window = window_spread,
                              .s = xai__f(&gout[0]),
                              .y = xai__f(&gin[0]),
                              .average = true,
                              .include_pad = attr_of(c)->count_include_pad});
}

/* maxpool=proportional: R_x = x R / stab(sum x); average: R / taps. */
static int relevance_max(xai__call *c, const xai__own_options *o, const xai__view *gout,
                         const xai__view *gin) {
  if (!strcmp(o->maxpool, "winner")) return vjp_max(c, gout, gin);
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  const float *x = strcmp(o->maxpool, "proportional") ? NULL : xai__f(&c->in[0]);
  int64_t n = xai__count(&gout[0].shape);
  size_t mark = xai__scratch_mark(c->engine);
  float *sum = xai__scratch(c->engine, (size_t)n, sizeof *sum, c->err);
  float *s = sum ? xai__scratch(c->engine, (size_t)n, sizeof *s, c->err) : NULL;
  int status = s ? visit_all(c, (visit){.window = window_sum, .x = x, .y = sum}) : XAI_E_MEMORY;
  if (!status) {
    xai__own_divide(c->engine, xai__f(&gout[0]), sum, 1, n, x ? o->stabilizer : 0, s, o->ledger);
    status = visit_all(c, (visit){.window = window_spread, .x = x, .s = s, .y = xai__f(&gin[0])});
  }
  xai__scratch_release(c->engine, mark);
  return status;
}

/* ---- p-norm ---- */

static void window_norm(const visit *v, int64_t plane, int64_t o, const taps *t) {
  const float *x = v->x + plane * v->in_plane;
  double sum = 0;
  EACH_TAP(v, t, i, { sum += pow(fabs((double)x[i]), v->p); })
  v->y[plane * v->out_plane + o] = (float)pow(sum, 1.0 / v->p);
}

/* y (input) += s (output) d norm / dx, sgn x (|x| / norm)^(p - 1) */
static void window_norm_back(const visit *v, int64_t plane, int64_t o, const taps *t) {
  const float *x = v->x + plane * v->in_plane;
  float *y = v->y + plane * v->in_plane, s = v->s[plane * v->out_plane + o];
  double norm = (double)v->norm[plane * v->out_plane + o];
  if (norm == 0) return;
  EACH_TAP(v, t, i, {
    if (x[i] != 0)
      y[i] += s * (float)copysign(pow(fabs((double)x[i]) / norm, v->p - 1), (double)x[i]);
  })
}

static int forward_lp(xai__call *c) {
  return visit_all(c, (visit){.window = window_norm,
                              .x = xai__f(&c->in[0]),
                              .y = xai__f(&c->out[0]),
                              .p = (int)attr_of(c)->p});
}

static int vjp_lp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  return visit_all(c, (visit){.window = window_norm_back,
                              .x = xai__f(&c->in[0]),
                              .s = xai__f(&gout[0]),
                              .y = xai__f(&gin[0]),
                              .norm = xai__f(&c->out[0]),
                              .p = (int)attr_of(c)->p});
}

/* ---- blocked ---- */

static bool blocked_serves(const xai__call *c) {
  xai__spatial w;
  return c->in[0].blocked && c->in[0].shape.rank <= 4 && !resolve(c, &w);
}

static int blocked_windows(const xai__call *c, xai__pooling *p) {
  xai__spatial w;
  XAI__TRY(resolve(c, &w));
  bool mean = c->node->op->cross == XAI__CROSS_NORM;
  *p = (xai__pooling){.kind = mean ? XAI__POOL_MEAN : XAI__POOL_MAX};
  xai__blocked x = xai__blocked_of(&c->in[0]);
  const int64_t all[2] = {x.h, x.w};
  for (int i = 0; i < 2; i++) {
    p->kernel[i] = is_global(c) ? all[i] : w.kernel[i + 1];
    p->stride[i] = w.stride[i + 1];
    p->dilation[i] = w.dilation[i + 1];
    p->pad[i] = w.pad[i + 1];
    p->pad_end[i] = w.pad_end[i + 1];
  }
  p->include_pad = !is_global(c) && mean && attr_of(c)->count_include_pad;
  return XAI_OK;
}

static int blocked_forward(xai__call *c) {
  xai__pooling p;
  xai__blocked x = xai__blocked_of(&c->in[0]), y = xai__blocked_of(&c->out[0]);
  XAI__TRY(blocked_windows(c, &p));
  xai__blocked_pool(c->engine, &p, &x, &y);
  return XAI_OK;
}

static int blocked_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  xai__pooling p;
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  xai__blocked x = xai__blocked_of(&c->in[0]), s = xai__blocked_of(&gout[0]);
  xai__blocked g = xai__blocked_of(&gin[0]);
  XAI__TRY(blocked_windows(c, &p));
  xai__blocked_pool_back(c->engine, &p, &x, &s, &g, gin[0].fresh);
  return XAI_OK;
}

static const xai__op_blocked blocked = {blocked_serves, XAI__ANEW, blocked_forward, blocked_vjp};

/* ---- rows ---- */

#define ROW(name, outs, attributes, shapes)                                                    \
  .type = name, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = outs, .since = 1,           \
  .fields = attributes, .attr_size = sizeof(pool_attr), .infer = shapes
#define MAXIMUM                                                                           \
  .forward = forward_max, .vjp = vjp_max, .vjp_needs = XAI__NEEDS_IN, .cross = XAI__CROSS_ROUTE, \
  .relevance = relevance_max, .begins = true, .blocked = &blocked
#define AVERAGE                                                                   \
  .forward = forward_average, .vjp = vjp_average, .vjp_needs = XAI__NEEDS_NONE, \
  .cross = XAI__CROSS_NORM, .blocked = &blocked
#define NORM .check = check_lp, .forward = forward_lp, .vjp = vjp_lp, .cross = XAI__CROSS_NORM

const xai__op xai__op_MaxPool = {
    ROW("MaxPool", 2, max_fields, infer_windows), .dtype = index_dtype, MAXIMUM};
const xai__op xai__op_AveragePool = {ROW("AveragePool", 1, average_fields, infer_windows), AVERAGE};
const xai__op xai__op_LpPool = {ROW("LpPool", 1, lp_fields, infer_windows), NORM};
const xai__op xai__op_GlobalMaxPool = {ROW("GlobalMaxPool", 1, NULL, infer_global), MAXIMUM};
const xai__op xai__op_GlobalAveragePool = {ROW("GlobalAveragePool", 1, NULL, infer_global),
                                           AVERAGE};
const xai__op xai__op_GlobalLpPool = {ROW("GlobalLpPool", 1, global_lp_fields, infer_global), NORM};
