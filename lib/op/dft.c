/* DFT and STFT: y_k = sum_j x_j e^(-2 pi i j k / n), of signals that are cut or filled with zeros to
 * n; inverse: the conjugate, over n. The last axis holds 1 (real) or 2 (complex) numbers. onesided:
 * the n / 2 + 1 first of a real signal, or (inverse) from them the real signal. STFT: of frames,
 * times a window. Linear: sums in double, the derivative by the transpose. */
#include <math.h>
#include <string.h>

#include "op/check.h"
#include "op/loop.h"

#define TAU 6.283185307179586476925286766559

/* x [outer][m][inner][xc] at step.. to y [outer][k][inner][yc]. */
typedef struct dft {
  int64_t outer, inner, length; /* length: n */
  int64_t m, k;                 /* elements of x that count, and of y */
  int64_t x_outer, y_outer;     /* strides of the outer index, in numbers */
  int xc, yc;
  bool inverse, mirrored; /* mirrored: x is one half of a spectrum, y real */
  const double *cosine, *sine; /* of 2 pi i / n */
  const float *window;         /* of m, or NULL */
  const float *x;
  float *y;
  const float *gy;
  float *gx;
} dft;

/* The share of part a of x_j in part b of y_k. */
static double factor(const dft *d, int64_t j, int64_t k, int a, int b) {
  int64_t i = j * k % d->length; /* both below 2^31 */
  double re = d->cosine[i], im = d->inverse ? d->sine[i] : -d->sine[i], f;
  f = a == b ? re : b ? im : -im;
  if (d->inverse) f /= (double)d->length;
  if (d->mirrored && j && 2 * j != d->length) f *= 2;
  return d->window ? f * (double)d->window[j] : f;
}

/* Elements (outer, k, inner) of y. */
static void dft_rows(void *ctx, int64_t begin, int64_t end) {
  const dft *d = ctx;
  for (int64_t r = begin; r < end; r++) {
    int64_t i = r % d->inner, k = r / d->inner % d->k, o = r / d->inner / d->k;
    const float *x = d->x + o * d->x_outer + i * d->xc;
    for (int b = 0; b < d->yc; b++) {
      double sum = 0;
      for (int64_t j = 0; j < d->m; j++)
        for (int a = 0; a < d->xc; a++)
          sum += factor(d, j, k, a, b) * (double)x[j * d->inner * d->xc + a];
      d->y[o * d->y_outer + (k * d->inner + i) * d->yc + b] = (float)sum;
    }
  }
}

/* Elements (outer, j, inner) of x: their part of the derivative. */
static void dft_back(void *ctx, int64_t begin, int64_t end) {
  const dft *d = ctx;
  for (int64_t r = begin; r < end; r++) {
    int64_t i = r % d->inner, j = r / d->inner % d->m, o = r / d->inner / d->m;
    const float *gy = d->gy + o * d->y_outer + i * d->yc;
    for (int a = 0; a < d->xc; a++) {
      double sum = 0;
      for (int64_t k = 0; k < d->k; k++)
        for (int b = 0; b < d->yc; b++)
          sum += factor(d, j, k, a, b) * (double)gy[k * d->inner * d->yc + b];
      d->gx[o * d->x_outer + (j * d->inner + i) * d->xc + a] += (float)sum;
    }
  }
}

static int make_tables(xai__call *c, dft *d) {
  double *t = xai__scratch(c->engine, 2 * (size_t)d->length + 1, sizeof *t, c->err);
  if (!t) return c->err->status;
  for (int64_t i = 0; i < d->length; i++) {
    t[i] = cos(TAU * (double)i / (double)d->length);
    t[d->length + i] = sin(TAU * (double)i / (double)d->length);
  }
  d->cosine = t;
  d->sine = t + d->length;
  return XAI_OK;
}

static int known_number(xai__call *c, int i, const char *what, int64_t *v) {
  const int64_t *list;
  int64_t n;
  XAI__TRY(xai__known_ints(c, i, what, &list, &n));
  if (n != 1) return XAI__MALFORMED(c, "%s: %lld numbers as %s", c->node->op->type, (long long)n, what);
  *v = *list;
  return XAI_OK;
}

/* ---- DFT ---- */

typedef struct {
  int64_t axis, inverse, onesided;
} dft_attr;
static const xai__field dft_fields[] = {
    {.name = "axis", .type = XAI__INT, .offset = offsetof(dft_attr, axis), .preset = -0x1p62},
    {.name = "inverse", .type = XAI__INT, .offset = offsetof(dft_attr, inverse)},
    {.name = "onesided", .type = XAI__INT, .offset = offsetof(dft_attr, onesided)},
    {0}};

static int dft_of(xai__call *c, dft *d, xai__shape *out) {
  const dft_attr *a = c->node->attr;
  const xai__shape *x = &c->in[0].shape;
  int64_t at = (double)a->axis > -0x1p62 ? a->axis : c->node->opset < 20 ? 1 : -2;
  int axis;
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__need_rank(c, 0, 2, XAI__MAX_RANK));
  if (xai__has(c, 2)) XAI__TRY(known_number(c, 2, "axis", &at));
  XAI__TRY(xai__axis(at, x->rank, c, &axis));
  int64_t parts = x->d[x->rank - 1], size = x->d[axis];
  bool mirrored = a->inverse && a->onesided;
  if (axis == x->rank - 1 || parts < 1 || parts > 2)
    return XAI__MALFORMED(c, "DFT along axis %d of shape %s", axis, xai__shape_text(x).text);
  *d = (dft){.outer = xai__span(x, 0, axis), .inner = xai__span(x, axis + 1, x->rank - 1),
             .length = mirrored ? 2 * (size - 1) : size, .xc = (int)parts, .yc = mirrored ? 1 : 2,
             .inverse = a->inverse != 0, .mirrored = mirrored};
  if (xai__has(c, 1)) XAI__TRY(known_number(c, 1, "dft_length", &d->length));
  if (d->length < 1 || d->length > INT32_MAX)
    return XAI__MALFORMED(c, "DFT of length %lld", (long long)d->length);
  if (a->onesided && !mirrored && parts != 1)
    return XAI__MALFORMED(c, "DFT: onesided, of complex numbers");
  int64_t half = d->length / 2 + 1, needed = mirrored ? half : d->length;
  d->m = size < needed ? size : needed;
  d->k = a->onesided && !mirrored ? half : d->length;
  *out = *x;
  out->d[axis] = d->k;
  out->d[x->rank - 1] = d->yc;
  d->x_outer = size * d->inner * d->xc;
  d->y_outer = d->k * d->inner * d->yc;
  return XAI_OK;
}

static int dft_infer(xai__call *c) {
  dft d;
  return dft_of(c, &d, &c->out[0].shape);
}

static int dft_forward(xai__call *c) {
  dft d;
  xai__shape out;
  XAI__TRY(dft_of(c, &d, &out));
  XAI__TRY(make_tables(c, &d));
  d.x = xai__f(&c->in[0]);
  d.y = xai__f(&c->out[0]);
  xai__split(c->engine, d.outer * d.k * d.inner, xai__grain(8 * d.m), dft_rows, &d);
  return XAI_OK;
}

static int dft_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  dft d;
  xai__shape out;
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  XAI__TRY(dft_of(c, &d, &out));
  XAI__TRY(make_tables(c, &d));
  d.gy = xai__f(&gout[0]);
  d.gx = xai__f(&gin[0]);
  xai__split(c->engine, d.outer * d.m * d.inner, xai__grain(8 * d.k), dft_back, &d);
  return XAI_OK;
}

const xai__op xai__op_DFT = {
    .type = "DFT", .min_in = 1, .max_in = 3, .min_out = 1, .max_out = 1, .since = 17,
    .fields = dft_fields, .attr_size = sizeof(dft_attr), .infer = dft_infer, .forward = dft_forward,
    .vjp = dft_vjp, .cross = XAI__CROSS_NORM};

/* ---- STFT(signal [batch, length, 1 or 2], frame_step, window, frame_length) ---- */

typedef struct {
  int64_t onesided;
} stft_attr;
static const xai__field stft_fields[] = {
    {.name = "onesided", .type = XAI__INT, .offset = offsetof(stft_attr, onesided), .preset = 1}, {0}};

typedef struct stft {
  int64_t step, frames;
  dft d; /* of one signal's frames */
} stft;

static int stft_of(xai__call *c, stft *s) {
  const stft_attr *a = c->node->attr;
  const xai__shape *x = &c->in[0].shape;
  int64_t n = -1;
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__need_float(c, 2));
  XAI__TRY(xai__need_rank(c, 0, 2, 3));
  XAI__TRY(known_number(c, 1, "frame_step", &s->step));
  if (xai__has(c, 2)) n = xai__count(&c->in[2].shape);
  if (xai__has(c, 3)) XAI__TRY(known_number(c, 3, "frame_length", &n));
  int64_t parts = x->rank == 3 ? x->d[2] : 1;
  if (parts < 1 || parts > 2 || (a->onesided && parts != 1))
    return XAI__MALFORMED(c, "STFT of shape %s%s", xai__shape_text(x).text, a->onesided ? ", onesided" : "");
  if (n < 1 || n > x->d[1] || s->step < 1)
    return XAI__MALFORMED(c, "STFT: frames of %lld every %lld of %lld", (long long)n,
                          (long long)s->step, (long long)x->d[1]);
  XAI__TRY(xai__need_vector(c, 2, n, "window"));
  s->frames = (x->d[1] - n) / s->step + 1;
  int64_t k = a->onesided ? n / 2 + 1 : n;
  s->d = (dft){.outer = s->frames, .inner = 1, .length = n, .m = n, .k = k, .xc = (int)parts,
               .yc = 2, .x_outer = s->step * parts, .y_outer = 2 * k,
               .window = xai__has(c, 2) ? xai__f(&c->in[2]) : NULL};
  c->out[0].shape = (xai__shape){4, {x->d[0], s->frames, k, 2}};
  return XAI_OK;
}

static int stft_infer(xai__call *c) {
  stft s;
  return stft_of(c, &s);
}

static int stft_forward(xai__call *c) {
  stft s;
  XAI__TRY(stft_of(c, &s));
  XAI__TRY(make_tables(c, &s.d));
  s.d.x = xai__f(&c->in[0]);
  s.d.y = xai__f(&c->out[0]);
  for (int64_t b = 0; b < c->in[0].shape.d[0]; b++) {
    xai__split(c->engine, s.frames * s.d.k, xai__grain(8 * s.d.m), dft_rows, &s.d);
    s.d.x += c->in[0].shape.d[1] * s.d.xc;
    s.d.y += s.frames * s.d.y_outer;
  }
  return XAI_OK;
}

/* Frames overlap: one after the other. */
static int stft_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  stft s;
  XAI__TRY(xai__vjp_only(c, gin, 1));
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  XAI__TRY(stft_of(c, &s));
  XAI__TRY(make_tables(c, &s.d));
  for (int64_t b = 0; b < c->in[0].shape.d[0]; b++)
    for (int64_t f = 0; f < s.frames; f++) {
      s.d.gy = xai__f(&gout[0]) + (b * s.frames + f) * s.d.y_outer;
      s.d.gx = xai__f(&gin[0]) + b * c->in[0].shape.d[1] * s.d.xc + f * s.d.x_outer;
      xai__split(c->engine, s.d.m, xai__grain(8 * s.d.k), dft_back, &s.d);
    }
  return XAI_OK;
}

static xai__crossing stft_crossing(const xai__node *node, const bool *in_static) {
  return xai__cross_first(node, in_static, XAI__CROSS_NORM);
}

const xai__op xai__op_STFT = {
    .type = "STFT", .min_in = 2, .max_in = 4, .min_out = 1, .max_out = 1, .since = 17,
    .fields = stft_fields, .attr_size = sizeof(stft_attr), .infer = stft_infer,
    .forward = stft_forward, .vjp = stft_vjp, .crossing = stft_crossing};
