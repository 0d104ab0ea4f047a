/* RoiAlign and MaxRoiPool: regions of x [N, C, H, W] as y [R, C, h, w].
 *
 * RoiAlign [He et al. 2017]: a bin is the mean (or the maximum) of samples between pixels; rois
 * [R, 4] x1 y1 x2 y2, operand 2 the item of each. MaxRoiPool [Girshick 2015]: the maximum of the
 * pixels of a bin; rois [R, 5], the item first. Both are linear in x, or pick its elements. */
#include <math.h>
#include <string.h>

#include "op/check.h"
#include "op/loop.h"
#include "op/own.h"

typedef struct {
  const char *mode, *coordinate_transformation_mode;
  int64_t output_height, output_width, sampling_ratio;
  float spatial_scale;
} align_attr;
static const xai__field align_fields[] = {
    {.name = "mode", .type = XAI__TEXT, .offset = offsetof(align_attr, mode)},
    {.name = "coordinate_transformation_mode", .type = XAI__TEXT,
     .offset = offsetof(align_attr, coordinate_transformation_mode)},
    {.name = "output_height", .type = XAI__INT, .offset = offsetof(align_attr, output_height), .preset = 1},
    {.name = "output_width", .type = XAI__INT, .offset = offsetof(align_attr, output_width), .preset = 1},
    {.name = "sampling_ratio", .type = XAI__INT, .offset = offsetof(align_attr, sampling_ratio)},
    {.name = "spatial_scale", .type = XAI__FLOAT, .offset = offsetof(align_attr, spatial_scale), .preset = 1},
    {0}};

static int align_check(const xai__node *node, void *attr, xai_error *err) {
  const align_attr *a = attr;
  const char *mode = a->mode ? a->mode : "avg", *place = a->coordinate_transformation_mode;
  if ((!strcmp(mode, "avg") || !strcmp(mode, "max")) &&
      (!place || !strcmp(place, "half_pixel") || !strcmp(place, "output_half_pixel")))
    return XAI_OK;
  return xai__fail(err, XAI_E_UNSUPPORTED, node->name, "RoiAlign: mode '%s', coordinates '%s'", mode,
                   place ? place : "");
}

/* How samples fall into pixels: two a axis. */
typedef struct corners {
  int64_t at[4];
  double w[4];
} corners;

/* The pixels around (y, x); weights 0 outside. */
static corners around(double y, double x, int64_t height, int64_t width) {
  corners k = {{0}, {0}};
  if (!(y >= -1 && y <= (double)height && x >= -1 && x <= (double)width)) return k;
  y = y > 0 ? y : 0;
  x = x > 0 ? x : 0;
  int64_t y0 = (int64_t)y, x0 = (int64_t)x;
  if (y0 >= height - 1) y = (double)(y0 = height - 1);
  if (x0 >= width - 1) x = (double)(x0 = width - 1);
  int64_t y1 = y0 + (y0 < height - 1), x1 = x0 + (x0 < width - 1);
  double ly = y - (double)y0, lx = x - (double)x0;
  return (corners){{y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1},
                   {(1 - ly) * (1 - lx), (1 - ly) * lx, ly * (1 - lx), ly * lx}};
}

typedef struct regions {
  const xai__call *c;
  const float *x, *gy;
  float *y, *gx;
} regions;

/* The samples of bin (r, h, w): first and step of each axis. */
typedef struct bin {
  int64_t n_y, n_x;
  double y, x, step_y, step_x;
} bin;

static bin bin_of(const xai__call *c, int64_t r, int64_t h, int64_t w) {
  const align_attr *a = c->node->attr;
  const float *roi = xai__f(&c->in[1]) + r * 4;
  const char *mode = a->coordinate_transformation_mode;
  bool half = mode ? !strcmp(mode, "half_pixel") : c->node->opset >= 16;
  double scale = (double)a->spatial_scale, off = half ? 0.5 : 0;
  double x1 = (double)roi[0] * scale - off, y1 = (double)roi[1] * scale - off;
  double width = (double)roi[2] * scale - off - x1, height = (double)roi[3] * scale - off - y1;
  if (!half) {
    width = fmax(width, 1);
    height = fmax(height, 1);
  }
  double bin_h = height / (double)a->output_height, bin_w = width / (double)a->output_width;
  bin b = {a->sampling_ratio, a->sampling_ratio, 0, 0, 0, 0};
  if (!a->sampling_ratio) { /* never more than a sample a pixel of the map, twice over */
    const int64_t *d = c->in[0].shape.d;
    b.n_y = (int64_t)fmin(fmax(ceil(bin_h), 0), 2 * (double)d[2] + 2);
    b.n_x = (int64_t)fmin(fmax(ceil(bin_w), 0), 2 * (double)d[3] + 2);
  }
  b.step_y = bin_h / (double)(b.n_y ? b.n_y : 1);
  b.step_x = bin_w / (double)(b.n_x ? b.n_x : 1);
  b.y = y1 + (double)h * bin_h + b.step_y / 2;
  b.x = x1 + (double)w * bin_w + b.step_x / 2;
  return b;
}

static bool takes_max(const xai__call *c) {
  const char *mode = ((const align_attr *)c->node->attr)->mode;
  return mode && !strcmp(mode, "max");
}

/* One bin of one channel; gx not NULL: adds g of its derivative instead. */
static float align_bin(const xai__call *c, const bin *b, const float *x, float *gx, float g) {
  int64_t height = c->in[0].shape.d[2], width = c->in[0].shape.d[3], n = b->n_y * b->n_x, best = -1;
  double sum = 0, most = -INFINITY, best_w = 0;
  bool max = takes_max(c);
  for (int64_t k = 0; k < n; k++) {
    corners p = around(b->y + (double)(k / b->n_x) * b->step_y, b->x + (double)(k % b->n_x) * b->step_x,
                       height, width);
    for (int i = 0; i < 4; i++) {
      double v = p.w[i] * (double)x[p.at[i]];
      sum += v;
      if (max && v > most) {
        most = v;
        best = p.at[i];
        best_w = p.w[i];
      }
      if (gx && !max) gx[p.at[i]] += g * (float)(p.w[i] / (double)n);
    }
  }
  if (gx && max && best >= 0) gx[best] += g * (float)best_w;
  if (max) return best < 0 ? 0 : (float)most;
  return n ? (float)(sum / (double)n) : 0;
}

static int64_t item_of(const xai__call *c, int64_t r) {
  if (c->n_in > 2) return xai__i(&c->in[2])[r];
  return xai__truncated((double)xai__f(&c->in[1])[r * 5]);
}

/* Rows (r, channel). */
static void align_rows(void *ctx, int64_t begin, int64_t end) {
  const regions *g = ctx;
  const int64_t *in = g->c->in[0].shape.d, *out = g->c->out[0].shape.d;
  for (int64_t k = begin; k < end; k++) {
    const float *x = g->x + (item_of(g->c, k / in[1]) * in[1] + k % in[1]) * in[2] * in[3];
    for (int64_t p = 0; p < out[2] * out[3]; p++) {
      bin b = bin_of(g->c, k / in[1], p / out[3], p % out[3]);
      g->y[k * out[2] * out[3] + p] = align_bin(g->c, &b, x, NULL, 0);
    }
  }
}

/* Planes (item, channel) of x. */
static void align_back(void *ctx, int64_t begin, int64_t end) {
  const regions *g = ctx;
  const int64_t *in = g->c->in[0].shape.d, *out = g->c->out[0].shape.d;
  for (int64_t k = begin; k < end; k++)
    for (int64_t r = 0; r < out[0]; r++)
      for (int64_t p = 0; item_of(g->c, r) == k / in[1] && p < out[2] * out[3]; p++) {
        bin b = bin_of(g->c, r, p / out[3], p % out[3]);
        align_bin(g->c, &b, g->x + k * in[2] * in[3], g->gx + k * in[2] * in[3],
                  g->gy[(r * in[1] + k % in[1]) * out[2] * out[3] + p]);
      }
}

static int check_items(const xai__call *c) {
  for (int64_t r = 0; r < c->out[0].shape.d[0]; r++) {
    int64_t item = item_of(c, r);
    if (item < 0 || item >= c->in[0].shape.d[0])
      return xai__fail(c->err, XAI_E_INPUT, c->node->name, "%s: region %lld is of item %lld of %lld",
                       c->node->op->type, (long long)r, (long long)item, (long long)c->in[0].shape.d[0]);
  }
  return XAI_OK;
}

static int region_infer(xai__call *c, int64_t columns, int64_t height, int64_t width) {
  const xai__shape *x = &c->in[0].shape, *rois = &c->in[1].shape;
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__need_float(c, 1));
  XAI__TRY(xai__need_rank(c, 0, 4, 4));
  XAI__TRY(xai__need_rank(c, 1, 2, 2));
  if (rois->d[1] != columns || x->d[2] < 1 || x->d[3] < 1)
    return XAI__MALFORMED(c, "%s: regions of shape %s in %s", c->node->op->type,
                          xai__shape_text(rois).text, xai__shape_text(x).text);
  if (height < 1 || width < 1)
    return XAI__MALFORMED(c, "%s: results of %lld x %lld", c->node->op->type, (long long)height,
                          (long long)width);
  c->out[0].shape = (xai__shape){4, {rois->d[0], x->d[1], height, width}};
  return xai__need_countable(c, &c->out[0].shape);
}

static int align_infer(xai__call *c) {
  const align_attr *a = c->node->attr;
  XAI__TRY(xai__need_int(c, 2));
  XAI__TRY(region_infer(c, 4, a->output_height, a->output_width));
  if (a->sampling_ratio < 0 || a->sampling_ratio > 4096)
    return XAI__MALFORMED(c, "RoiAlign: sampling_ratio %lld", (long long)a->sampling_ratio);
  if (xai__count(&c->in[2].shape) != c->in[1].shape.d[0])
    return XAI__MALFORMED(c, "RoiAlign: %lld items for %lld regions",
                          (long long)xai__count(&c->in[2].shape), (long long)c->in[1].shape.d[0]);
  return XAI_OK;
}

static int rows(xai__call *c, xai__range_fn f) {
  regions g = {.c = c, .x = xai__f(&c->in[0]), .y = xai__f(&c->out[0])};
  XAI__TRY(check_items(c));
  xai__split(c->engine, c->out[0].shape.d[0] * c->out[0].shape.d[1], 1, f, &g);
  return XAI_OK;
}

static int planes(xai__call *c, const xai__view *gout, const xai__view *gin, xai__range_fn f) {
  regions g = {.c = c, .x = xai__f(&c->in[0]), .gy = xai__f(&gout[0]), .gx = xai__f(&gin[0])};
  XAI__TRY(xai__vjp_only(c, gin, 1));
  if (g.gx && g.gy) xai__split(c->engine, c->in[0].shape.d[0] * c->in[0].shape.d[1], 1, f, &g);
  return XAI_OK;
}

static int align_forward(xai__call *c) { return rows(c, align_rows); }
static int align_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  return planes(c, gout, gin, align_back);
}

const xai__op xai__op_RoiAlign = {
    .type = "RoiAlign", .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1, .since = 10,
    .fields = align_fields, .attr_size = sizeof(align_attr), .check = align_check,
    .infer = align_infer, .forward = align_forward, .vjp = align_vjp, .cross = XAI__CROSS_OWN,
    .relevance = xai__own_first};

/* ---- MaxRoiPool ---- */

typedef struct {
  xai__ints pooled_shape;
  float spatial_scale;
} pool_attr;
static const xai__field pool_fields[] = {
    {.name = "pooled_shape", .type = XAI__INTS, .offset = offsetof(pool_attr, pooled_shape), .required = true},
    {.name = "spatial_scale", .type = XAI__FLOAT, .offset = offsetof(pool_attr, spatial_scale), .preset = 1},
    {0}};

static int pool_infer(xai__call *c) {
  const pool_attr *a = c->node->attr;
  if (a->pooled_shape.n != 2)
    return XAI__MALFORMED(c, "MaxRoiPool: pooled_shape has %d numbers", a->pooled_shape.n);
  return region_infer(c, 5, a->pooled_shape.v[0], a->pooled_shape.v[1]);
}

static int64_t within(double v, int64_t n) { return v > 0 ? v < (double)n ? (int64_t)v : n : 0; }

/* Pixels [from, to) of bin k of n along an axis of `size`, of a region from a to b. */
static void span(double a, double b, double scale, int64_t k, int64_t n, int64_t size, int64_t *from,
                 int64_t *to) {
  double first = round(a * scale), length = fmax(round(b * scale) - first + 1, 1) / (double)n;
  *from = within(floor((double)k * length) + first, size);
  *to = within(ceil((double)(k + 1) * length) + first, size);
}

/* The largest pixel of a bin, or -1 where it is empty. */
static int64_t winner(const xai__call *c, const float *x, int64_t r, int64_t p) {
  const pool_attr *a = c->node->attr;
  const int64_t *in = c->in[0].shape.d, *out = c->out[0].shape.d;
  const float *roi = xai__f(&c->in[1]) + r * 5;
  double scale = (double)a->spatial_scale;
  int64_t y0, y1, x0, x1, best = -1;
  span((double)roi[2], (double)roi[4], scale, p / out[3], out[2], in[2], &y0, &y1);
  span((double)roi[1], (double)roi[3], scale, p % out[3], out[3], in[3], &x0, &x1);
  for (int64_t i = y0; i < y1; i++)
    for (int64_t j = x0; j < x1; j++)
      if (best < 0 || x[i * in[3] + j] > x[best]) best = i * in[3] + j;
  return best;
}

static void pool_rows(void *ctx, int64_t begin, int64_t end) {
  const regions *g = ctx;
  const int64_t *in = g->c->in[0].shape.d, *out = g->c->out[0].shape.d;
  for (int64_t k = begin; k < end; k++) {
    const float *x = g->x + (item_of(g->c, k / in[1]) * in[1] + k % in[1]) * in[2] * in[3];
    for (int64_t p = 0; p < out[2] * out[3]; p++) {
      int64_t best = winner(g->c, x, k / in[1], p);
      g->y[k * out[2] * out[3] + p] = best < 0 ? 0 : x[best];
    }
  }
}

static void pool_back(void *ctx, int64_t begin, int64_t end) {
  const regions *g = ctx;
  const int64_t *in = g->c->in[0].shape.d, *out = g->c->out[0].shape.d;
  for (int64_t k = begin; k < end; k++)
    for (int64_t r = 0; r < out[0]; r++)
      for (int64_t p = 0; item_of(g->c, r) == k / in[1] && p < out[2] * out[3]; p++) {
        int64_t best = winner(g->c, g->x + k * in[2] * in[3], r, p);
        if (best >= 0)
          g->gx[k * in[2] * in[3] + best] += g->gy[(r * in[1] + k % in[1]) * out[2] * out[3] + p];
      }
}

static int pool_forward(xai__call *c) { return rows(c, pool_rows); }
static int pool_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  return planes(c, gout, gin, pool_back);
}

const xai__op xai__op_MaxRoiPool = {
    .type = "MaxRoiPool", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 1,
    .fields = pool_fields, .attr_size = sizeof(pool_attr), .infer = pool_infer,
    .forward = pool_forward, .vjp = pool_vjp, .cross = XAI__CROSS_ROUTE};
