/* GridSample: y[n, c, p] = x[n, c] at the place grid[n, p], between pixels [onnx.ai; Jaderberg et al.
 * 2015]. x [N, C, D1..Dr], grid [N, P1..Pr, r] in [-1, 1], its last axis from the last of x to the
 * first. nearest, linear, or cubic (a = -0.75); a pixel outside is 0, the border's or mirrored. */
#include <math.h>
#include <string.h>

#include "op/check.h"
#include "op/loop.h"
#include "op/own.h"

typedef struct {
  const char *mode, *padding_mode;
  int64_t align_corners;
} grid_attr;
static const xai__field fields[] = {
    {.name = "mode", .type = XAI__TEXT, .offset = offsetof(grid_attr, mode)},
    {.name = "padding_mode", .type = XAI__TEXT, .offset = offsetof(grid_attr, padding_mode)},
    {.name = "align_corners", .type = XAI__INT, .offset = offsetof(grid_attr, align_corners)},
    {0}};

enum { NEAREST, LINEAR, CUBIC };
enum { ZEROS, BORDER, REFLECTION };
enum { AXES = XAI__MAX_RANK - 2, TAPS = 4 };

static int choice(const char *text, const char *const *names, int n) {
  for (int i = 0; text && i < n; i++)
    if (!strcmp(text, names[i])) return i;
  return text ? -1 : 0;
}
static int mode_of(const grid_attr *a) {
  static const char *const names[] = {"linear", "bilinear", "nearest", "cubic", "bicubic"};
  static const int modes[] = {LINEAR, LINEAR, NEAREST, CUBIC, CUBIC};
  int i = choice(a->mode, names, 5);
  return i < 0 ? i : modes[i];
}
static int padding_of(const grid_attr *a) {
  static const char *const names[] = {"zeros", "border", "reflection"};
  return choice(a->padding_mode, names, 3);
}

static int check(const xai__node *node, void *attr, xai_error *err) {
  const grid_attr *a = attr;
  if (mode_of(a) >= 0 && padding_of(a) >= 0) return XAI_OK;
  return xai__fail(err, XAI_E_UNSUPPORTED, node->name, "GridSample: mode '%s', padding_mode '%s'",
                   a->mode ? a->mode : "", a->padding_mode ? a->padding_mode : "");
}

static int infer(xai__call *c) {
  const xai__shape *x = &c->in[0].shape, *g = &c->in[1].shape;
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__need_float(c, 1));
  XAI__TRY(xai__need_rank(c, 0, 3, XAI__MAX_RANK));
  XAI__TRY(xai__need_rank(c, 1, x->rank, x->rank));
  if (g->d[0] != x->d[0] || g->d[g->rank - 1] != x->rank - 2)
    return XAI__MALFORMED(c, "GridSample: a grid of shape %s for %s", xai__shape_text(g).text,
                          xai__shape_text(x).text);
  for (int i = 2; i < x->rank; i++)
    if (x->d[i] < 1) return XAI__MALFORMED(c, "GridSample of shape %s", xai__shape_text(x).text);
  c->out[0].shape = *x;
  for (int i = 2; i < x->rank; i++) c->out[0].shape.d[i] = g->d[i - 1];
  return XAI_OK;
}

typedef struct sampler {
  int mode, padding, axes;
  bool align;
  int64_t size[AXES], points, channels, pixels;
  const float *x, *grid, *gy;
  float *y, *gx, *ggrid;
} sampler;

/* What one axis contributes to one point: pixels (-1: zero), weights, and their slopes by the grid. */
typedef struct axis_taps {
  int n;
  int64_t at[TAPS];
  double w[TAPS], slope[TAPS];
} axis_taps;

/* Mirrors at the borders until within; *sign: of the slope. */
static double mirrored(double x, double low, double high, double *sign) {
  double range = high - low, away = x < low ? low - x : x > high ? x - high : 0;
  if (away == 0) return x;
  if (range <= 0) {
    *sign = 0;
    return low;
  }
  double turns = floor(away / range), rest = away - turns * range;
  bool even = fmod(turns, 2) == 0, from_low = (x < low) == even;
  *sign = even ? -*sign : *sign;
  return from_low ? low + rest : high - rest;
}

static int64_t pixel(const sampler *s, double i, double low, double high, int64_t n) {
  double ignored = 1;
  if (s->padding == ZEROS && !(i >= 0 && i < (double)n)) return -1;
  if (s->padding == REFLECTION) i = mirrored(i, low, high, &ignored);
  return i > 0 ? i < (double)n ? (int64_t)i : n - 1 : 0;
}

static void cubic(double t, double *w, double *slope) {
  static const double a = -0.75;
  for (int k = 0; k < TAPS; k++) {
    double d = fabs(t - (k - 1)), sign = t > k - 1 ? 1 : -1;
    w[k] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((d - 5) * d + 8) * d * a - 4 * a;
    slope[k] = sign * (d <= 1 ? (3 * (a + 2) * d - 2 * (a + 3)) * d : ((3 * d - 10) * d + 8) * a);
  }
}

static axis_taps taps_of(const sampler *s, int axis, double grid) {
  axis_taps t = {0};
  int64_t n = s->size[axis];
  double L = (double)n, scale = s->align ? (L - 1) / 2 : L / 2;
  double low = s->align ? 0 : -0.5, high = s->align ? L - 1 : L - 0.5;
  double x = s->align ? (grid + 1) / 2 * (L - 1) : ((grid + 1) * L - 1) / 2;
  if (s->mode == NEAREST) x = nearbyint(x);
  if (x < low || x > high) {
    if (s->padding == BORDER) {
      x = x < low ? 0 : L - 1;
      scale = 0;
    } else if (s->padding == REFLECTION) {
      x = mirrored(x, low, high, &scale);
    }
  }
  if (!(fabs(x) < 1e15)) { /* NaN and infinities: no pixel */
    t.n = 1;
    t.at[0] = -1;
    t.w[0] = x;
    return t;
  }
  double first = s->mode == NEAREST ? x : floor(x) - (s->mode == CUBIC);
  t.n = s->mode == NEAREST ? 1 : s->mode == LINEAR ? 2 : TAPS;
  double part = x - floor(x);
  if (s->mode == NEAREST) t.w[0] = 1;
  if (s->mode == LINEAR) {
    t.w[0] = 1 - part;
    t.w[1] = part;
    t.slope[0] = -1;
    t.slope[1] = 1;
  }
  if (s->mode == CUBIC) cubic(part, t.w, t.slope);
  for (int k = 0; k < t.n; k++) {
    t.slope[k] *= scale;
    t.at[k] = pixel(s, first + k, low, high, n);
  }
  return t;
}

/* The taps of every axis at point p (over all items). */
static void point_taps(const sampler *s, int64_t p, axis_taps *t) {
  for (int i = 0; i < s->axes; i++)
    t[i] = taps_of(s, i, (double)s->grid[p * s->axes + s->axes - 1 - i]);
}

/* Combination `k` of taps: its pixel (-1: zero) and weight; by axis `along` its slope instead. */
static int64_t combine(const sampler *s, const axis_taps *t, int64_t k, int along, double *w) {
  int64_t at = 0;
  *w = 1;
  for (int i = s->axes - 1; i >= 0; i--) {
    int64_t j = k % t[i].n;
    k /= t[i].n;
    *w *= i == along ? t[i].slope[j] : t[i].w[j];
    if (t[i].at[j] < 0) at = -1;
    int64_t step = 1;
    for (int a = i + 1; a < s->axes; a++) step *= s->size[a];
    if (at >= 0) at += t[i].at[j] * step;
  }
  return at;
}

static int64_t combinations(const sampler *s, const axis_taps *t) {
  int64_t n = 1;
  for (int i = 0; i < s->axes; i++) n *= t[i].n;
  return n;
}

/* Points of all items. */
static void sample(void *ctx, int64_t begin, int64_t end) {
  const sampler *s = ctx;
  axis_taps t[AXES];
  for (int64_t p = begin; p < end; p++) {
    int64_t item = p / s->points;
    point_taps(s, p, t);
    for (int64_t c = 0; c < s->channels; c++) {
      const float *x = s->x + (item * s->channels + c) * s->pixels;
      double sum = 0, w;
      for (int64_t k = 0; k < combinations(s, t); k++) {
        int64_t at = combine(s, t, k, -1, &w);
        if (at >= 0) sum += w * (double)x[at];
      }
      s->y[(item * s->channels + c) * s->points + p % s->points] = (float)sum;
    }
  }
}

/* Planes (item, channel) of x. */
static void sample_back(void *ctx, int64_t begin, int64_t end) {
  const sampler *s = ctx;
  axis_taps t[AXES];
  for (int64_t plane = begin; plane < end; plane++)
    for (int64_t p = 0; p < s->points; p++) {
      double w;
      point_taps(s, plane / s->channels * s->points + p, t);
      for (int64_t k = 0; k < combinations(s, t); k++) {
        int64_t at = combine(s, t, k, -1, &w);
        if (at >= 0) s->gx[plane * s->pixels + at] += (float)w * s->gy[plane * s->points + p];
      }
    }
}

/* Points of all items: the derivative by their places. */
static void grid_back(void *ctx, int64_t begin, int64_t end) {
  const sampler *s = ctx;
  axis_taps t[AXES];
  for (int64_t p = begin; p < end; p++) {
    point_taps(s, p, t);
    for (int along = 0; along < s->axes; along++) {
      double sum = 0, w;
      for (int64_t k = 0; k < combinations(s, t); k++) {
        int64_t at = combine(s, t, k, along, &w);
        for (int64_t c = 0; at >= 0 && c < s->channels; c++) {
          int64_t plane = p / s->points * s->channels + c;
          sum += w * (double)s->x[plane * s->pixels + at] * (double)s->gy[plane * s->points + p % s->points];
        }
      }
      s->ggrid[p * s->axes + s->axes - 1 - along] += (float)sum;
    }
  }
}

static sampler sampler_of(const xai__call *c) {
  const grid_attr *a = c->node->attr;
  const xai__shape *x = &c->in[0].shape;
  sampler s = {.mode = mode_of(a), .padding = padding_of(a), .axes = x->rank - 2,
               .align = a->align_corners != 0, .channels = x->d[1],
               .points = xai__span(&c->out[0].shape, 2, x->rank), .pixels = xai__span(x, 2, x->rank),
               .x = xai__f(&c->in[0]), .grid = xai__f(&c->in[1])};
  memcpy(s.size, x->d + 2, (size_t)s.axes * sizeof *s.size);
  return s;
}

static int forward(xai__call *c) {
  sampler s = sampler_of(c);
  s.y = xai__f(&c->out[0]);
  xai__split(c->engine, c->in[0].shape.d[0] * s.points, xai__grain(32 * s.channels), sample, &s);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  sampler s = sampler_of(c);
  if (!gout[0].data) return XAI_OK;
  s.gy = xai__f(&gout[0]);
  s.gx = xai__f(&gin[0]);
  s.ggrid = xai__f(&gin[1]);
  if (s.gx) xai__split(c->engine, c->in[0].shape.d[0] * s.channels, 1, sample_back, &s);
  if (s.ggrid)
    xai__split(c->engine, c->in[0].shape.d[0] * s.points, xai__grain(32 * s.channels), grid_back, &s);
  return XAI_OK;
}

const xai__op xai__op_GridSample = {
    .type = "GridSample", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 16,
    .fields = fields, .attr_size = sizeof(grid_attr), .check = check, .infer = infer,
    .forward = forward, .vjp = vjp, .cross = XAI__CROSS_OWN, .relevance = xai__own_first};
