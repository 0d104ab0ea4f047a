/* Normal densities: made, evaluated, sampled. */
#include "prior/normal.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "prior/blas.h"

#define LOG_2_PI 1.8378770664093454836

/* ---- making one ---- */

/* inverse[n][n] = L^-1 of the lower triangle; a row is a combination of those above it. */
static void invert_lower(int64_t n, const double *L, double *inverse) {
  for (int64_t i = 0; i < n; i++) {
    double *row = inverse + i * n;
    memset(row, 0, (size_t)n * sizeof *row);
    row[i] = 1;
    for (int64_t k = 0; k < i; k++)
      for (int64_t j = 0; j <= k; j++) row[j] -= L[i * n + k] * inverse[k * n + j];
    for (int64_t j = 0; j <= i; j++) row[j] /= L[i * n + i];
  }
}

/* From L in double, which is destroyed; inverse [n][n] is scratch. */
static int of_lower(xai__normal *d, xai__arena *arena, int64_t n, const float *mean, double *L,
                    double *inverse, xai_error *err) {
  const size_t size = (size_t)(n * n) + 1;
  float *a = xai__arena_new(arena, size, sizeof *a, err), *b = xai__arena_new(arena, size, sizeof *b, err);
  if (!a || !b) return err->status;
  invert_lower(n, L, inverse);
  *d = (xai__normal){.n = n, .r = n, .mean = mean, .a = a, .b = b, .sign = 1};
  d->log_norm = -0.5 * LOG_2_PI * (double)n;
  for (int64_t i = 0; i < n; i++) {
    d->log_norm -= log(L[i * n + i]);
    for (int64_t j = 0; j <= i; j++) {
      a[j * n + i] = (float)L[i * n + j];
      b[i * n + j] = (float)inverse[i * n + j];
    }
  }
  return XAI_OK;
}

static int check_lower(int64_t n, const float *L, const char *what, xai_error *err) {
  for (int64_t i = 0; i < n; i++) {
    if (!(L[i * n + i] > 0))
      return xai__fail(err, XAI_E_INPUT, what, "'%s' has %g on its diagonal, in row %lld: it must be positive",
                       what, (double)L[i * n + i], (long long)i);
    for (int64_t j = i + 1; j < n; j++)
      if (L[i * n + j] != 0)
        return xai__fail(err, XAI_E_INPUT, what, "'%s' is not lower triangular at row %lld, column %lld",
                         what, (long long)i, (long long)j);
  }
  return XAI_OK;
}

static int check_symmetric(int64_t n, const float *a, const char *what, xai_error *err) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < i; j++)
      if (fabsf(a[i * n + j] - a[j * n + i]) > 1e-4f * sqrtf(fabsf(a[i * n + i] * a[j * n + j])))
        return xai__fail(err, XAI_E_INPUT, what, "'%s' is not symmetric: %g at row %lld, column %lld, and %g across",
                         what, (double)a[i * n + j], (long long)i, (long long)j, (double)a[j * n + i]);
  return XAI_OK;
}

static int of_matrix(xai__normal *d, xai__arena *arena, int64_t n, const float *mean,
                     const float *matrix, bool factor, const char *what, xai_error *err) {
  XAI__TRY(factor ? check_lower(n, matrix, what, err) : check_symmetric(n, matrix, what, err));
  double *L = xai__new_raw(arena->memory, (size_t)(2 * n * n), sizeof *L, err);
  if (!L) return err->status;
  for (int64_t i = 0; i < n * n; i++) L[i] = (double)matrix[i];
  int status = factor ? XAI_OK : xai__blas_cholesky(n, L, what, err);
  if (!status) status = of_lower(d, arena, n, mean, L, L + n * n, err);
  xai__free(L);
  return status;
}

int xai__normal_of_factor(xai__normal *d, xai__arena *arena, int64_t n, const float *mean,
                          const float *factor, const char *what, xai_error *err) {
  return of_matrix(d, arena, n, mean, factor, true, what, err);
}

int xai__normal_of_covariance(xai__normal *d, xai__arena *arena, int64_t n, const float *mean,
                              const float *covariance, const char *what, xai_error *err) {
  return of_matrix(d, arena, n, mean, covariance, false, what, err);
}

/* B = K C D^-1 and log det(I + C D^-1 C') from the inner matrix, of which K^-1 is the factor. */
static int woodbury(xai__normal *d, const float *components, float *b, double *inner, double *K,
                    const char *what, xai_error *err) {
  const int64_t n = d->n, r = d->r;
  for (int64_t i = 0; i < r; i++)
    for (int64_t j = 0; j <= i; j++) {
      double sum = i == j;
      for (int64_t k = 0; k < n; k++)
        sum += (double)components[i * n + k] * (double)components[j * n + k] * (double)d->precision[k];
      inner[i * r + j] = sum;
    }
  XAI__TRY(xai__blas_cholesky(r, inner, what, err));
  invert_lower(r, inner, K);
  for (int64_t i = 0; i < r; i++) {
    d->log_norm -= log(inner[i * r + i]);
    for (int64_t k = 0; k < n; k++) {
      double sum = 0;
      for (int64_t j = 0; j <= i; j++) sum += K[i * r + j] * (double)components[j * n + k];
      b[i * n + k] = (float)(sum * (double)d->precision[k]);
    }
  }
  return XAI_OK;
}

int xai__normal_of_components(xai__normal *d, xai__arena *arena, int64_t n, int64_t r,
                              const float *mean, const float *components, const float *variances,
                              const char *what, xai_error *err) {
  float *precision = xai__arena_new(arena, (size_t)n + 1, sizeof *precision, err);
  float *deviation = xai__arena_new(arena, (size_t)n + 1, sizeof *deviation, err);
  float *b = xai__arena_new(arena, (size_t)(r * n) + 1, sizeof *b, err);
  if (!precision || !deviation || !b) return err->status;
  *d = (xai__normal){n, r, mean, precision, deviation, r ? components : NULL, r ? b : NULL, -1, 0};
  d->log_norm = -0.5 * LOG_2_PI * (double)n;
  for (int64_t i = 0; i < n; i++) {
    precision[i] = 1 / variances[i];
    deviation[i] = sqrtf(variances[i]);
    if (!(variances[i] > 0) || !isfinite(precision[i]))
      return xai__fail(err, XAI_E_INPUT, what, "'%s' is %g at element %lld: a variance must be positive",
                       what, (double)variances[i], (long long)i);
    d->log_norm -= 0.5 * log((double)variances[i]);
  }
  if (!r) return XAI_OK;
  double *inner = xai__new_raw(arena->memory, (size_t)(2 * r * r), sizeof *inner, err);
  if (!inner) return err->status;
  int status = woodbury(d, components, b, inner, inner + r * r, what, err);
  xai__free(inner);
  return status;
}

/* ---- using one ---- */

int xai__normal_logp(const xai__normal *d, xai__engine *e, int64_t batch, const float *x,
                     double *logp, float *gradient, xai_error *err) {
  const int64_t n = d->n, r = d->r;
  const size_t mark = xai__scratch_mark(e);
  float *away = xai__scratch(e, (size_t)(batch * n) + 1, sizeof *away, err);
  float *v = xai__scratch(e, (size_t)(batch * r) + 1, sizeof *v, err);
  int status = away && v ? XAI_OK : err->status;
  for (int64_t k = 0; k < batch && !status; k++)
    for (int64_t i = 0; i < n; i++) away[k * n + i] = x[k * n + i] - d->mean[i];
  if (d->b && !status) {
    const xai__gemm g = {.batch = 1, .m = batch, .n = r, .k = n, .b_transposed = true};
    status = xai__gemm_run(e, &g, away, d->b, v, xai__set, err);
  }
  for (int64_t k = 0; k < batch && !status; k++) {
    double sum = 0;
    for (int64_t i = k * n; i < (k + 1) * n; i++) {
      const float pull = d->precision ? away[i] * d->precision[i - k * n] : 0;
      sum += (double)away[i] * (double)pull;
      if (gradient) gradient[i] = -pull;
    }
    for (int64_t i = k * r; i < (k + 1) * r && d->b; i++)
      sum += (double)d->sign * (double)v[i] * (double)v[i];
    logp[k] = d->log_norm - 0.5 * sum;
  }
  if (gradient && d->b && !status) {
    for (int64_t i = 0; i < batch * r; i++) v[i] *= -d->sign;
    const xai__gemm g = {.batch = 1, .m = batch, .n = n, .k = r};
    status = xai__gemm_run(e, &g, v, d->b, gradient, xai__add_to, err);
  }
  xai__scratch_release(e, mark);
  return status;
}

int xai__normal_sample(const xai__normal *d, xai__engine *e, int64_t count, uint64_t seed,
                       uint64_t stream, float *x, xai_error *err) {
  const int64_t n = d->n, r = d->r;
  const size_t mark = xai__scratch_mark(e);
  float *z = xai__scratch(e, (size_t)(count * (n > r ? n : r)) + 1, sizeof *z, err);
  int status = z ? XAI_OK : err->status;
  if (!status) xai__normals(seed, stream, count * n, z);
  for (int64_t i = 0; i < count * n && !status; i++)
    x[i] = d->mean[i % n] + (d->deviation ? d->deviation[i % n] * z[i] : 0);
  if (d->a && !status) {
    const xai__gemm g = {.batch = 1, .m = count, .n = n, .k = r};
    xai__normals(seed, stream + 1, count * r, z);
    status = xai__gemm_run(e, &g, z, d->a, x, xai__add_to, err);
  }
  xai__scratch_release(e, mark);
  return status;
}
