/* Resampling one axis after the other: y[o] = sum_t w_t(o) x[i_t(o)], with weights of a kernel
 * (triangle or cubic, widened by the scale when antialiased) around the coordinate of o in x. */
#include <math.h>

#include "op/loop.h"
#include "op/resize.h"

/* The weights of one axis. */
typedef struct {
  int64_t n_in, n_out, taps, outer, inner;
  int64_t *index; /* [n_out][taps] */
  float *weight;  /* 0 throughout where the coordinate is outside */
  bool *outside;
} axis_taps;

/* The result's length before it was made whole: the corners that the standard's own cases align. */
static double length_of(const xai__resize_plan *p, int axis) {
  double out = (double)p->out.d[axis], length = p->scale[axis] * (double)p->in.d[axis];
  return fabs(length - out) < 1e-4 ? out : length;
}

static double coordinate(const xai__resize_plan *p, int axis, double o) {
  double in = (double)p->in.d[axis], out = (double)p->out.d[axis], scale = p->scale[axis];
  double half = (o + 0.5) / scale - 0.5, from = p->from[axis], to = p->to[axis];
  switch (p->coordinates) {
  case XAI__HALF_PIXEL: return half;
  case XAI__HALF_PIXEL_SYMMETRIC: return in / 2 * (1 - out / (scale * in)) + half;
  case XAI__PYTORCH_HALF_PIXEL: return out > 1 ? half : 0;
  case XAI__ALIGN_CORNERS: return out > 1 ? o * (in - 1) / (length_of(p, axis) - 1) : 0;
  case XAI__ASYMMETRIC: return o / scale;
  case XAI__CROP_AND_RESIZE:
    return out > 1 ? (from + o * (to - from) / (out - 1)) * (in - 1) : (from + to) / 2 * (in - 1);
  }
  return half;
}

static double nearest(xai__resize_rounding rounding, double x) {
  switch (rounding) {
  case XAI__ROUND_PREFER_FLOOR: return ceil(x - 0.5);
  case XAI__ROUND_PREFER_CEIL: return floor(x + 0.5);
  case XAI__FLOOR: return floor(x);
  case XAI__CEIL: return ceil(x);
  }
  return x;
}

static double kernel(const xai__resize_plan *p, double d) {
  double a = (double)p->cubic_a;
  d = fabs(d);
  if (p->mode == XAI__LINEAR_MODE) return d < 1 ? 1 - d : 0;
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((d - 5) * d + 8) * d * a - 4 * a : 0;
}

/* How far the kernel reaches beyond the pixel left of the coordinate; shrink <= 1 widens it. */
static int64_t reach(const xai__resize_plan *p, double shrink) {
  if (p->mode == XAI__NEAREST) return 0;
  return -(int64_t)floor((p->mode == XAI__CUBIC ? -2 : -1) / shrink) - 1;
}

static double shrink_of(const xai__resize_plan *p, int axis) {
  return p->antialias && p->scale[axis] < 1 ? p->scale[axis] : 1;
}

static int64_t clamped(double i, int64_t n) {
  return i > 0 ? i < (double)n ? (int64_t)i : n - 1 : 0;
}

static void set_taps(const xai__resize_plan *p, int axis, axis_taps *t, int64_t o) {
  double x = coordinate(p, axis, (double)o), shrink = shrink_of(p, axis), sum = 0;
  int64_t *index = t->index + o * t->taps, before = reach(p, shrink);
  float *weight = t->weight + o * t->taps;
  double last = (double)(t->n_in - 1);
  bool crop = p->coordinates == XAI__CROP_AND_RESIZE;
  t->outside[o] = isnan(x) || (crop && (x < 0 || x > last));
  if (p->mode == XAI__NEAREST) {
    index[0] = clamped(nearest(p->rounding, x), t->n_in);
    weight[0] = t->outside[o] ? 0 : 1;
    return;
  }
  double left = ceil(x) - 1; /* a whole coordinate belongs to the pixel on its left */
  for (int64_t k = 0; k < t->taps; k++) {
    double i = left + (double)(k - before);
    bool dropped = t->outside[o] || (p->exclude_outside && (i < 0 || i > last));
    index[k] = clamped(i, t->n_in);
    weight[k] = dropped ? 0 : (float)kernel(p, (i - x) * shrink);
    sum += (double)weight[k];
  }
  for (int64_t k = 0; k < t->taps && sum != 0; k++) weight[k] = (float)((double)weight[k] / sum);
}

static bool is_resampled(const xai__resize_plan *p, int axis) {
  return p->in.d[axis] != p->out.d[axis] || p->scale[axis] != 1 ||
         (p->coordinates == XAI__CROP_AND_RESIZE && (p->from[axis] != 0 || p->to[axis] != 1));
}

static int make_taps(xai__call *c, const xai__resize_plan *p, int axis, axis_taps *t) {
  t->n_in = p->in.d[axis];
  t->n_out = p->out.d[axis];
  t->taps = p->mode == XAI__NEAREST ? 1 : 2 + 2 * reach(p, shrink_of(p, axis));
  t->outer = xai__span(&p->out, 0, axis);
  t->inner = xai__span(&p->in, axis + 1, p->in.rank);
  size_t n = (size_t)t->n_out * (size_t)t->taps;
  t->index = xai__scratch(c->engine, n, sizeof *t->index, c->err);
  t->weight = t->index ? xai__scratch(c->engine, n, sizeof *t->weight, c->err) : NULL;
  t->outside = t->weight ? xai__scratch(c->engine, (size_t)t->n_out, 1, c->err) : NULL;
  if (!t->outside) return c->err->status;
  for (int64_t o = 0; o < t->n_out; o++) set_taps(p, axis, t, o);
  return XAI_OK;
}

/* ---- one axis: x [outer][n_in][inner], y [outer][n_out][inner] ---- */

typedef struct {
  const axis_taps *t;
  const float *from;
  float *to;
} pass;

/* Element o of a line along the last axis. */
static float line_element(const axis_taps *t, const float *x, int64_t o) {
  float y = 0;
  for (int64_t k = o * t->taps; k < (o + 1) * t->taps; k++) y += t->weight[k] * x[t->index[k]];
  return y;
}

/* Lines (outer) of y. */
static void spread_lines(void *ctx, int64_t begin, int64_t end) {
  const pass *p = ctx;
  const axis_taps *t = p->t;
  for (int64_t r = begin; r < end; r++)
    for (int64_t o = 0; o < t->n_out; o++)
      p->to[r * t->n_out + o] = line_element(t, p->from + r * t->n_in, o);
}

/* Rows (outer, o) of y. */
static void spread_rows(void *ctx, int64_t begin, int64_t end) {
  const pass *p = ctx;
  const axis_taps *t = p->t;
  for (int64_t r = begin; r < end; r++) {
    int64_t o = r % t->n_out;
    float *y = p->to + r * t->inner;
    for (int64_t k = o * t->taps; k < (o + 1) * t->taps; k++) {
      const float *x = p->from + (r / t->n_out * t->n_in + t->index[k]) * t->inner, w = t->weight[k];
      if (k == o * t->taps)
        for (int64_t i = 0; i < t->inner; i++) y[i] = w * x[i];
      else
        for (int64_t i = 0; i < t->inner; i++) y[i] += w * x[i];
    }
  }
}

static void spread(xai__call *c, const axis_taps *t, const float *x, float *y) {
  pass p = {t, x, y};
  if (t->inner == 1)
    xai__split(c->engine, t->outer, xai__grain(t->n_out * t->taps), spread_lines, &p);
  else
    xai__split(c->engine, t->outer * t->n_out, xai__grain(t->inner * t->taps), spread_rows, &p);
}

/* Adds to columns (outer, inner) of x: two tasks never meet. */
static void gather_columns(void *ctx, int64_t begin, int64_t end) {
  const pass *p = ctx;
  const axis_taps *t = p->t;
  while (begin < end) {
    int64_t outer = begin / t->inner, first = begin % t->inner;
    int64_t n = t->inner - first < end - begin ? t->inner - first : end - begin, k = 0;
    const float *y = p->from + outer * t->n_out * t->inner + first;
    float *x = p->to + outer * t->n_in * t->inner + first;
    for (int64_t o = 0; o < t->n_out; o++, y += t->inner)
      for (; k < (o + 1) * t->taps; k++)
        for (int64_t i = 0; i < n; i++) x[t->index[k] * t->inner + i] += t->weight[k] * y[i];
    begin += n;
  }
}

/* ---- all axes ---- */

static int resampled_axes(const xai__resize_plan *p, int *axis) {
  int n = 0;
  for (int i = 0; i < p->in.rank; i++)
    if (is_resampled(p, i)) axis[n++] = i;
  return n;
}

/* y[outer][o][inner] = value wherever o is outside. */
static void fill_outside(const axis_taps *t, float value, int64_t inner, float *y) {
  for (int64_t r = 0; r < t->outer * t->n_out; r++)
    for (int64_t i = 0; t->outside[r % t->n_out] && i < inner; i++) y[r * inner + i] = value;
}

static int forward_axes(xai__call *c, const xai__resize_plan *p, const int *axis, int n,
                        const float *x, float *y) {
  axis_taps t[XAI__MAX_RANK];
  for (int k = 0; k < n; k++) {
    XAI__TRY(make_taps(c, p, axis[k], &t[k]));
    float *to = y;
    if (k < n - 1)
      to = xai__scratch(c->engine, (size_t)(t[k].outer * t[k].n_out * t[k].inner), sizeof *to,
                        c->err);
    if (!to) return c->err->status;
    spread(c, &t[k], x, to);
    x = to;
  }
  if (p->coordinates == XAI__CROP_AND_RESIZE)
    for (int k = 0; k < n; k++)
      fill_outside(&t[k], p->outside_value, xai__span(&p->out, axis[k] + 1, p->out.rank), y);
  return XAI_OK;
}

static int back_axes(xai__call *c, const xai__resize_plan *p, const int *axis, int n,
                     const float *gy, float *gx) {
  for (int k = n - 1; k >= 0; k--) {
    axis_taps t;
    XAI__TRY(make_taps(c, p, axis[k], &t));
    int64_t columns = t.outer * t.inner, size = columns * t.n_in;
    float *to = k ? xai__scratch(c->engine, (size_t)size, sizeof *to, c->err) : gx;
    if (!to) return c->err->status;
    if (k) xai__fill(c->engine, to, size, 0);
    xai__split(c->engine, columns, xai__grain(t.n_out * t.taps), gather_columns,
               &(pass){&t, gy, to});
    gy = to;
  }
  return XAI_OK;
}

int xai__resample(xai__call *c, const xai__resize_plan *p, const float *x, float *y) {
  int axis[XAI__MAX_RANK], n = resampled_axes(p, axis);
  if (!n) {
    xai__loop l = xai__loop_over(&p->in);
    xai__loop_add(&l, &p->in);
    xai__loop_add(&l, &p->in);
    xai__copy(c->engine, &l, XAI_F32, y, x);
    return XAI_OK;
  }
  size_t mark = xai__scratch_mark(c->engine);
  int status = forward_axes(c, p, axis, n, x, y);
  xai__scratch_release(c->engine, mark);
  return status;
}

int xai__resample_back(xai__call *c, const xai__resize_plan *p, const float *gy, float *gx) {
  int axis[XAI__MAX_RANK], n = resampled_axes(p, axis);
  if (!n) {
    xai__add_scaled(c->engine, gx, gy, xai__count(&p->in), 1);
    return XAI_OK;
  }
  size_t mark = xai__scratch_mark(c->engine);
  int status = back_axes(c, p, axis, n, gy, gx);
  xai__scratch_release(c->engine, mark);
  return status;
}
