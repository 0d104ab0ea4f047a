/* Det (ONNX 11): determinants of the matrices (..., n, n), by elimination in double.
 *
 *   d det / d x_ij = (-1)^(i+j) det(x without row i and column j)
 *
 * which also holds for a singular matrix; n^5 operations, for what are small matrices. */
#include "op/check.h"
#include "op/loop.h"
#include <math.h>

static int infer(xai__call *c) {
  const xai__shape *x = &c->in[0].shape;
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__need_rank(c, 0, 2, XAI__MAX_RANK));
  XAI__TRY(xai__need_countable(c, x));
  if (x->d[x->rank - 1] != x->d[x->rank - 2])
    return XAI__MALFORMED(c, "Det: %s does not hold square matrices", xai__shape_text(x).text);
  c->out[0] = (xai__view){.dtype = XAI_F32, .shape = *x};
  c->out[0].shape.rank -= 2;
  return XAI_OK;
}

/* Of a (n, n), which it overwrites. */
static double determinant(double *a, int64_t n) {
  double det = 1;
  for (int64_t k = 0; k < n; k++) {
    int64_t pivot = k;
    for (int64_t i = k + 1; i < n; i++)
      if (fabs(a[i * n + k]) > fabs(a[pivot * n + k])) pivot = i;
    det *= a[pivot * n + k];
    if (det == 0) return 0;
    for (int64_t j = k; pivot != k && j < n; j++) {
      double t = a[k * n + j];
      a[k * n + j] = a[pivot * n + j];
      a[pivot * n + j] = t;
    }
    if (pivot != k) det = -det;
    for (int64_t i = k + 1; i < n; i++) {
      double f = a[i * n + k] / a[k * n + k];
      for (int64_t j = k; j < n; j++) a[i * n + j] -= f * a[k * n + j];
    }
  }
  return det;
}

/* The determinant of x without row i and column j; -1: with all. */
static double minor(const float *x, int64_t n, int64_t i, int64_t j, double *a) {
  int64_t at = 0, m = n - (i >= 0);
  for (int64_t r = 0; r < n; r++)
    for (int64_t k = 0; k < n; k++)
      if (r != i && k != j) a[at++] = (double)x[r * n + k];
  return determinant(a, m);
}

static int forward(xai__call *c) {
  const xai__shape *s = &c->in[0].shape;
  int64_t n = s->d[s->rank - 1], count = xai__count(&c->out[0].shape);
  double *a = xai__scratch(c->engine, (size_t)(n * n), sizeof *a, c->err);
  if (!a) return XAI_E_MEMORY;
  for (int64_t k = 0; k < count; k++)
    xai__f(&c->out[0])[k] = (float)minor(xai__f(&c->in[0]) + k * n * n, n, -1, -1, a);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  const xai__shape *s = &c->in[0].shape;
  int64_t n = s->d[s->rank - 1], count = xai__count(&c->out[0].shape);
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  double *a = xai__scratch(c->engine, (size_t)(n * n), sizeof *a, c->err);
  if (!a) return XAI_E_MEMORY;
  for (int64_t k = 0; k < count; k++)
    for (int64_t i = 0; i < n * n; i++) {
      double d = minor(xai__f(&c->in[0]) + k * n * n, n, i / n, i % n, a);
      if ((i / n + i % n) % 2) d = -d;
      xai__f(&gin[0])[k * n * n + i] += (float)((double)xai__f(&gout[0])[k] * d);
    }
  return XAI_OK;
}

const xai__op xai__op_Det = {
    .type = "Det", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .since = 11,
    .infer = infer, .forward = forward, .vjp = vjp, .vjp_needs = XAI__NEEDS_IN,
    .cross = XAI__CROSS_REFUSED};
