/* Fits one normal density: the mean, and S = (1 - a) C + a tr(C) / n I of the data's covariance C.
 *
 * a is given or that of [Chen et al. 2010, Shrinkage algorithms for MMSE covariance estimation, OAS].
 * rank 0: the Cholesky factor of S. Else, for inputs whose covariance does not fit into memory,
 * components sqrt(l_k - v) u_k of C's largest eigenvalues l_k, v the mean of the others [Tipping and
 * Bishop 1999], and the noise that keeps C's diagonal. The eigenvectors are found by subspace
 * iteration [Halko et al. 2011], without C ever being formed. */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "prior/blas.h"
#include "prior/fit.h"

enum { ROWS = 1024, MORE_DIRECTIONS = 10, ROUNDS = 8 };

/* The weight of the identity, from tr C and tr C^2. */
static double shrinkage(const xai__fit *f, double trace, double square) {
  const xai__value *given = xai__params_find(&f->params, "shrinkage");
  if (given->set) return given->number;
  const double n = (double)f->n, items = (double)f->items;
  const double above = (1 - 2 / n) * square + trace * trace;
  const double below = (items + 1 - 2 / n) * (square - trace * trace / n);
  return below > above ? above / below : 1;
}

static int give_mean(xai__fit *f, const double *mean) {
  float *to;
  XAI__TRY(xai__fit_tensor(f, "mean", f->item.rank, f->item.d, &to));
  for (int64_t i = 0; i < f->n; i++) to[i] = (float)mean[i];
  return XAI_OK;
}

/* ---- in full ---- */

static int covariance(xai__fit *f, const double *mean, double *rows, double *C) {
  const int64_t n = f->n;
  for (int64_t first = 0; first < f->items; first += ROWS) {
    const int64_t count = f->items - first < ROWS ? f->items - first : ROWS;
    XAI__TRY(xai__watch_check(&f->watch, "covariance", (double)first / (double)f->items, f->err));
    for (int64_t k = 0; k < count; k++)
      for (int64_t i = 0; i < n; i++) rows[k * n + i] = (double)f->data[(first + k) * n + i] - mean[i];
    XAI__TRY(xai__blas_add_square(n, count, rows, C, f->err));
  }
  return XAI_OK;
}

static int fit_full(xai__fit *f, const double *mean, double *rows, double *C) {
  const int64_t n = f->n, shape[] = {n, n};
  double trace = 0, square = 0;
  float *factor;
  XAI__TRY(covariance(f, mean, rows, C));
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j <= i; j++) {
      double *c = &C[i * n + j];
      *c /= (double)f->items;
      if (i == j) trace += *c;
      square += *c * *c * (i == j ? 1 : 2);
    }
  const double a = shrinkage(f, trace, square);
  for (int64_t i = 0; i < n; i++) {
    for (int64_t j = 0; j <= i; j++) C[i * n + j] *= 1 - a;
    C[i * n + i] += a * trace / (double)n;
  }
  XAI__TRY(xai__blas_cholesky(n, C, "covariance", f->err));
  XAI__TRY(give_mean(f, mean));
  XAI__TRY(xai__fit_tensor(f, "factor", 2, shape, &factor));
  for (int64_t i = 0; i < n * n; i++) factor[i] = (float)C[i];
  return xai__fit_number(f, "fit/shrinkage", a);
}

/* ---- by components ---- */

typedef struct subspace {
  int64_t k;      /* directions */
  float *q, *z;   /* [k][n]: orthonormal; C q times the items */
  float *rows, *y; /* [ROWS][n] centred, [ROWS][k] */
  double *inner, *value, *variance; /* [k][k], [k], [n]: the diagonal of C */
} subspace;

/* z = sum over items of (x'q) x; on the first round the variances too. */
static int multiply(xai__fit *f, const double *mean, subspace *s, bool variances) {
  const int64_t n = f->n;
  xai__fill(f->engine, s->z, s->k * n, 0);
  for (int64_t first = 0; first < f->items; first += ROWS) {
    const int64_t count = f->items - first < ROWS ? f->items - first : ROWS;
    for (int64_t k = 0; k < count; k++)
      for (int64_t i = 0; i < n; i++) {
        const double d = (double)f->data[(first + k) * n + i] - mean[i];
        s->rows[k * n + i] = (float)d;
        if (variances) s->variance[i] += d * d / (double)f->items;
      }
    const xai__gemm project = {.batch = 1, .m = count, .n = s->k, .k = n, .b_transposed = true};
    const xai__gemm back = {.batch = 1, .m = s->k, .n = n, .k = count, .a_transposed = true};
    XAI__TRY(xai__gemm_run(f->engine, &project, s->rows, s->q, s->y, xai__set, f->err));
    XAI__TRY(xai__gemm_run(f->engine, &back, s->y, s->rows, s->z, xai__add_to, f->err));
  }
  return XAI_OK;
}

/* inner = a b' of [k][n] each. */
static void products(const subspace *s, int64_t n, const float *a, const float *b) {
  for (int64_t i = 0; i < s->k; i++)
    for (int64_t j = 0; j <= i; j++) {
      double sum = 0;
      for (int64_t m = 0; m < n; m++) sum += (double)a[i * n + m] * (double)b[j * n + m];
      s->inner[i * s->k + j] = s->inner[j * s->k + i] = sum;
    }
}

/* to[i] = scale[i] sum over j of u[i][j] from[j], rows of n. */
static void combine(const subspace *s, int64_t n, const float *from, const double *scale, float *to) {
  for (int64_t i = 0; i < s->k; i++) {
    float *row = to + i * n;
    memset(row, 0, (size_t)n * sizeof *row);
    for (int64_t j = 0; j < s->k; j++) {
      const float u = (float)(scale[i] * s->inner[i * s->k + j]);
      for (int64_t m = 0; m < n; m++) row[m] += u * from[j * n + m];
    }
  }
}

/* q: an orthonormal basis of z's rows; directions that are not there become 0. */
static int orthonormal(xai__fit *f, subspace *s) {
  products(s, f->n, s->z, s->z);
  XAI__TRY(xai__blas_eigen(s->k, s->inner, s->value, f->memory, f->err));
  const double least = 1e-12 * s->value[s->k - 1];
  for (int64_t i = 0; i < s->k; i++)
    s->value[i] = s->value[i] > least ? 1 / sqrt(s->value[i]) : 0;
  combine(s, f->n, s->z, s->value, s->q);
  return XAI_OK;
}

static int give_components(xai__fit *f, const double *mean, int64_t rank, subspace *s) {
  const int64_t n = f->n, shape[] = {rank, n};
  double trace = 0, square = 0;
  float *components, *noise;
  for (int64_t i = 0; i < n; i++) trace += s->variance[i];
  double left = trace; /* outside the components: a mean variance of it is in them too */
  for (int64_t i = s->k - rank; i < s->k; i++) {
    square += s->value[i] * s->value[i];
    left -= s->value[i];
  }
  const double around = left > 0 && n > rank ? left / (double)(n - rank) : 0;
  const double a = shrinkage(f, trace, square), floor = (a + 1e-6) * trace / (double)n;
  XAI__TRY(give_mean(f, mean));
  XAI__TRY(xai__fit_tensor(f, "components", 2, shape, &components));
  XAI__TRY(xai__fit_tensor(f, "noise", 1, &n, &noise));
  for (int64_t i = 0; i < s->k; i++)
    s->value[i] = s->value[i] > around ? sqrt((1 - a) * (s->value[i] - around)) : 0;
  combine(s, n, s->q, s->value, s->z);
  memcpy(components, s->z + (s->k - rank) * n, (size_t)(rank * n) * sizeof *components);
  for (int64_t i = 0; i < n; i++) {
    double own = (1 - a) * s->variance[i];
    for (int64_t j = 0; j < rank; j++) own -= (double)components[j * n + i] * (double)components[j * n + i];
    noise[i] = (float)(floor + (own > 0 ? own : 0));
  }
  return xai__fit_number(f, "fit/shrinkage", a);
}

static int fit_components(xai__fit *f, const double *mean, int64_t rank, subspace *s) {
  xai__normals(f->seed, 0, s->k * f->n, s->z);
  for (int round = 0; round < ROUNDS; round++) {
    XAI__TRY(xai__watch_check(&f->watch, "components", (double)round / ROUNDS, f->err));
    XAI__TRY(orthonormal(f, s));
    XAI__TRY(multiply(f, mean, s, round == 0));
  }
  products(s, f->n, s->z, s->q);
  for (int64_t i = 0; i < s->k * s->k; i++) s->inner[i] /= (double)f->items;
  XAI__TRY(xai__blas_eigen(s->k, s->inner, s->value, f->memory, f->err));
  return give_components(f, mean, rank, s);
}

static int run_components(xai__fit *f, const double *mean, int64_t rank, xai__arena *arena) {
  const int64_t most = f->items < f->n ? f->items : f->n, k = rank + MORE_DIRECTIONS;
  if (rank > most)
    return xai__fail(f->err, XAI_E_ARGUMENT, "rank", "rank is %lld: %lld items of %lld elements have no more than %lld",
                     (long long)rank, (long long)f->items, (long long)f->n, (long long)most);
  subspace s = {.k = k < most ? k : most};
  const size_t n = (size_t)f->n, size = (size_t)s.k;
  s.q = xai__arena_new(arena, size * n, sizeof *s.q, f->err);
  s.z = xai__arena_new(arena, size * n, sizeof *s.z, f->err);
  s.rows = xai__arena_new(arena, ROWS * n, sizeof *s.rows, f->err);
  s.y = xai__arena_new(arena, ROWS * size, sizeof *s.y, f->err);
  s.inner = xai__arena_new(arena, size * size, sizeof *s.inner, f->err);
  s.value = xai__arena_new(arena, size, sizeof *s.value, f->err);
  s.variance = xai__arena_new(arena, n, sizeof *s.variance, f->err);
  if (!s.q || !s.z || !s.rows || !s.y || !s.inner || !s.value || !s.variance) return f->err->status;
  return fit_components(f, mean, rank, &s);
}

static int run(xai__fit *f) {
  const size_t n = (size_t)f->n;
  const int64_t rank = (int64_t)xai__params_number(&f->params, "rank");
  xai__arena arena = {.memory = f->memory};
  double *mean = xai__arena_new(&arena, n, sizeof *mean, f->err), *rows = NULL, *C = NULL;
  int status = mean ? XAI_OK : f->err->status;
  if (!status) xai__fit_mean(f, mean);
  if (!status && !rank) {
    rows = xai__arena_new(&arena, ROWS * n, sizeof *rows, f->err);
    C = rows ? xai__arena_new(&arena, n * n, sizeof *C, f->err) : NULL;
    status = C ? fit_full(f, mean, rows, C) : f->err->status;
  } else if (!status) {
    status = run_components(f, mean, rank, &arena);
  }
  xai__arena_free(&arena);
  return status;
}

const xai__fit_kind xai__fit_gaussian = {"gaussian", "shrinkage=[0,1];rank=0[0,10000]", run};
