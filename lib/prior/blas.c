/* The only calls of BLAS and LAPACK. Their matrices are column-major: what they call the upper
 * triangle is our lower one. dsyev, not dsyevd: a static OpenBLAS has the latter for Fortran only. */
#include "prior/blas.h"

#if XAI_BLAS
extern void dsyrk_(const char *uplo, const char *trans, const int *n, const int *k,
                   const double *alpha, const double *a, const int *lda, const double *beta,
                   double *c, const int *ldc);
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
extern void dsyev_(const char *job, const char *uplo, const int *n, double *a, const int *lda,
                   double *w, double *work, const int *lwork, int *info);

static int count(int64_t n, int *out, xai_error *err) {
  *out = (int)n;
  if (n >= 0 && n <= 46340) return XAI_OK; /* n * n is an int */
  return xai__fail(err, XAI_E_LIMIT, NULL, "a matrix of %lld rows is too large for LAPACK", (long long)n);
}

int xai__blas_add_square(int64_t n, int64_t rows, const double *x, double *a, xai_error *err) {
  const double one = 1;
  int size, k;
  XAI__TRY(count(n, &size, err));
  XAI__TRY(count(rows, &k, err));
  if (n) dsyrk_("U", "N", &size, &k, &one, x, &size, &one, a, &size);
  return XAI_OK;
}

int xai__blas_cholesky(int64_t n, double *a, const char *what, xai_error *err) {
  int size, info = 0;
  XAI__TRY(count(n, &size, err));
  if (n) dpotrf_("U", &size, a, &size, &info);
  if (info)
    return xai__fail(err, XAI_E_INPUT, what, "'%s' is not positive definite: its first %d rows are not",
                     what, info);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = i + 1; j < n; j++) a[i * n + j] = 0;
  return XAI_OK;
}

int xai__blas_eigen(int64_t n, double *a, double *value, xai__memory *m, xai_error *err) {
  int size, info = 0, lwork = -1;
  double best = 0;
  XAI__TRY(count(n, &size, err));
  if (!n) return XAI_OK;
  dsyev_("V", "U", &size, a, &size, value, &best, &lwork, &info);
  lwork = (int)best;
  double *work = xai__new_raw(m, (size_t)lwork, sizeof *work, err);
  if (!work) return err->status;
  dsyev_("V", "U", &size, a, &size, value, work, &lwork, &info);
  xai__free(work);
  if (!info) return XAI_OK;
  return xai__fail(err, XAI_E_NUMBER, NULL, "LAPACK found no eigenvectors (dsyev: %d)", info);
}
#else
static int none(xai_error *err) {
  return xai__fail(err, XAI_E_UNSUPPORTED, NULL, "this library was built without BLAS (XAI_BLAS=OFF), which this needs");
}

int xai__blas_add_square(int64_t n, int64_t rows, const double *x, double *a, xai_error *err) {
  (void)n, (void)rows, (void)x, (void)a;
  return none(err);
}

int xai__blas_cholesky(int64_t n, double *a, const char *what, xai_error *err) {
  (void)n, (void)a, (void)what;
  return none(err);
}

int xai__blas_eigen(int64_t n, double *a, double *value, xai__memory *m, xai_error *err) {
  (void)n, (void)a, (void)value, (void)m;
  return none(err);
}
#endif
