/* Linear algebra by BLAS and LAPACK, in double; matrices are row-major and symmetric ones need their
 * lower triangle only. blas.c is the one file that calls them. Without XAI_BLAS each call fails with
 * XAI_E_UNSUPPORTED. */
#ifndef XAI_PRIOR_BLAS_H
#define XAI_PRIOR_BLAS_H
#include "base/error.h"
#include "base/memory.h"

/* a [n][n] += x' x of x [rows][n]. */
int xai__blas_add_square(int64_t n, int64_t rows, const double *x, double *a, xai_error *err);
/* a = L L'; L replaces the lower triangle, the upper one is zeroed. XAI_E_INPUT, naming `what`, if a
 * is not positive definite. */
int xai__blas_cholesky(int64_t n, double *a, const char *what, xai_error *err);
/* value[n] ascending, row k of a the unit eigenvector of value[k]. */
int xai__blas_eigen(int64_t n, double *a, double *value, xai__memory *m, xai_error *err);

#endif
