/* Fits a mixture of normal densities by expectation and maximisation [Dempster et al. 1977]:
 *   r_ik = p(k | x_i), then weight, mean and covariance of component k from the items weighed by r_ik.
 *
 * Starts from items chosen far from each other (k-means++ [Arthur and Vassilvitskii 2007]) with the
 * variance that is left around them. `floor`, as a part of the data's mean variance, is added to the
 * diagonal of each covariance; with floor 0 no step lowers the likelihood. */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "prior/blas.h"
#include "prior/fit.h"
#include "prior/gmm.h"

enum { ROWS = 512 };

typedef struct mixture {
  int64_t k, n, spread; /* elements of a covariance: n * n (lower triangle) or n */
  bool full;
  double floor;                           /* of a variance */
  double *weight, *mean, *covariance;     /* [k], [k][n], [k][spread] */
  double *count, *sum, *square;           /* the same of r, r d and r d d', d = x - mean */
  double *rows;                           /* [ROWS][n] */
  float *weights, *means, *factors;       /* what a gmm is made of; factors: variances unless full */
  double *each, *logp;                    /* [k][ROWS], [ROWS] */
} mixture;

static int allocate(xai__fit *f, mixture *m, xai__arena *a) {
  const size_t k = (size_t)m->k, n = (size_t)m->n, spread = (size_t)m->spread;
  const struct {
    double **to;
    size_t n;
  } doubles[] = {{&m->weight, k}, {&m->mean, k * n}, {&m->covariance, k * spread}, {&m->count, k},
                 {&m->sum, k * n}, {&m->square, k * spread}, {&m->rows, ROWS * n}, {&m->each, k * ROWS},
                 {&m->logp, ROWS}};
  const struct {
    float **to;
    size_t n;
  } floats[] = {{&m->weights, k}, {&m->means, k * n}, {&m->factors, k * spread}};
  for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
    if (!(*doubles[i].to = xai__arena_new(a, doubles[i].n, sizeof(double), f->err))) return f->err->status;
  for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
    if (!(*floats[i].to = xai__arena_new(a, floats[i].n, sizeof(float), f->err))) return f->err->status;
  return XAI_OK;
}

/* ---- the start ---- */

static double distance(const float *a, const float *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
  return sum;
}

/* Each mean is an item, chosen with odds of its squared distance from those before it. */
static int start(xai__fit *f, mixture *m, double variance) {
  double *far = xai__new_raw(f->memory, (size_t)f->items, sizeof *far, f->err), left = 0;
  if (!far) return f->err->status;
  for (int64_t k = 0; k < m->k; k++) {
    uint32_t words[4];
    xai__philox(f->seed, 0, (uint64_t)k, words);
    const double unit = (words[0] + 0.5) / 4294967296.0;
    int64_t chosen = (int64_t)(unit * (double)f->items);
    if (k) {
      double at = unit * left;
      for (chosen = 0; chosen + 1 < f->items && (at -= far[chosen]) > 0; chosen++) {}
    }
    const float *item = f->data + chosen * m->n;
    left = 0;
    for (int64_t i = 0; i < f->items; i++) {
      const double d = distance(f->data + i * m->n, item, m->n);
      left += far[i] = k && far[i] < d ? far[i] : d;
    }
    for (int64_t i = 0; i < m->n; i++) m->mean[k * m->n + i] = (double)item[i];
    m->weight[k] = 1 / (double)m->k;
  }
  xai__free(far);
  left = left / (double)(f->items * m->n) + m->floor;
  if (!(left > 0)) left = variance > 0 ? variance : 1;
  for (int64_t k = 0; k < m->k; k++)
    for (int64_t i = 0; i < m->n; i++) m->covariance[k * m->spread + (m->full ? i * (m->n + 1) : i)] = left;
  return XAI_OK;
}

/* The mean variance of the data's elements. */
static double mean_variance(const xai__fit *f, double *mean) {
  double sum = 0;
  xai__fit_mean(f, mean);
  for (int64_t k = 0; k < f->items; k++)
    for (int64_t i = 0; i < f->n; i++) {
      const double d = (double)f->data[k * f->n + i] - mean[i];
      sum += d * d;
    }
  return sum / (double)(f->items * f->n);
}

/* ---- a step ---- */

/* weights, means and factors in float32; square is scratch. */
static int to_floats(xai__fit *f, mixture *m) {
  for (int64_t k = 0; k < m->k; k++) m->weights[k] = (float)m->weight[k];
  for (int64_t i = 0; i < m->k * m->n; i++) m->means[i] = (float)m->mean[i];
  memcpy(m->square, m->covariance, (size_t)(m->k * m->spread) * sizeof *m->square);
  for (int64_t k = 0; k < m->k && m->full; k++)
    XAI__TRY(xai__blas_cholesky(m->n, m->square + k * m->spread, "covariance of a component", f->err));
  for (int64_t i = 0; i < m->k * m->spread; i++) m->factors[i] = (float)m->square[i];
  return XAI_OK;
}

/* Adds items [first, first + count) to the sums of component k. */
static int gather(xai__fit *f, mixture *m, int64_t k, int64_t first, int64_t count) {
  const int64_t n = m->n;
  const double *mean = m->mean + k * n;
  double *sum = m->sum + k * n, *square = m->square + k * m->spread;
  int64_t kept = 0;
  for (int64_t i = 0; i < count; i++) {
    const double r = exp(m->each[k * count + i] - m->logp[i]), root = sqrt(r);
    const float *x = f->data + (first + i) * n;
    if (r < 1e-14) continue;
    m->count[k] += r;
    for (int64_t j = 0; j < n; j++) {
      const double d = (double)x[j] - mean[j];
      sum[j] += r * d;
      if (m->full) m->rows[kept * n + j] = root * d;
      else square[j] += r * d * d;
    }
    kept++;
  }
  return m->full ? xai__blas_add_square(n, kept, m->rows, square, f->err) : XAI_OK;
}

static void maximise(xai__fit *f, mixture *m) {
  for (int64_t k = 0; k < m->k; k++) {
    const double count = m->count[k] > 1e-10 ? m->count[k] : 1e-10;
    double *sum = m->sum + k * m->n, *square = m->square + k * m->spread;
    double *covariance = m->covariance + k * m->spread;
    if (m->count[k] < 1e-6) continue; /* of no item: stays as it is */
    m->weight[k] = count / (double)f->items;
    for (int64_t i = 0; i < m->n; i++) {
      sum[i] /= count;
      m->mean[k * m->n + i] += sum[i];
      if (!m->full) covariance[i] = square[i] / count - sum[i] * sum[i] + m->floor;
      for (int64_t j = 0; j <= i && m->full; j++)
        covariance[i * m->n + j] = square[i * m->n + j] / count - sum[i] * sum[j] + (i == j ? m->floor : 0);
    }
  }
}

/* One step; *mean_logp is that of the mixture before it. */
static int step(xai__fit *f, mixture *m, double from, double *mean_logp) {
  xai__arena arena = {.memory = f->memory};
  xai__gmm g;
  double total = 0;
  int status = to_floats(f, m);
  if (!status)
    status = xai__gmm_make(&g, &arena, m->k, m->n, m->weights, m->means, m->full ? m->factors : NULL,
                           m->full ? NULL : m->factors, f->err);
  memset(m->count, 0, (size_t)m->k * sizeof *m->count);
  memset(m->sum, 0, (size_t)(m->k * m->n) * sizeof *m->sum);
  memset(m->square, 0, (size_t)(m->k * m->spread) * sizeof *m->square);
  for (int64_t first = 0; first < f->items && !status; first += ROWS) {
    const int64_t count = f->items - first < ROWS ? f->items - first : ROWS;
    status = xai__watch_check(&f->watch, "expectation", from, f->err);
    if (!status)
      status = xai__gmm_logp(&g, f->engine, count, f->data + first * m->n, m->each, m->logp, NULL, f->err);
    for (int64_t i = 0; i < count && !status; i++) total += m->logp[i];
    for (int64_t k = 0; k < m->k && !status; k++) status = gather(f, m, k, first, count);
  }
  xai__arena_free(&arena);
  if (!status) maximise(f, m);
  *mean_logp = total / (double)f->items;
  return status;
}

static int give(xai__fit *f, mixture *m, const double *trace, int64_t steps) {
  int64_t means[XAI__MAX_RANK] = {m->k}, factors[] = {m->k, m->n, m->n};
  float *to[4];
  memcpy(means + 1, f->item.d, (size_t)f->item.rank * sizeof *means);
  XAI__TRY(to_floats(f, m));
  XAI__TRY(xai__fit_tensor(f, "weights", 1, &m->k, &to[0]));
  XAI__TRY(xai__fit_tensor(f, "means", f->item.rank + 1, means, &to[1]));
  XAI__TRY(xai__fit_tensor(f, m->full ? "factors" : "variances", m->full ? 3 : 2, factors, &to[2]));
  XAI__TRY(xai__fit_tensor(f, "trace/logp", 1, &steps, &to[3]));
  memcpy(to[0], m->weights, (size_t)m->k * sizeof(float));
  memcpy(to[1], m->means, (size_t)(m->k * m->n) * sizeof(float));
  memcpy(to[2], m->factors, (size_t)(m->k * m->spread) * sizeof(float));
  for (int64_t i = 0; i < steps; i++) to[3][i] = (float)trace[i];
  return XAI_OK;
}

static int climb(xai__fit *f, mixture *m, double *trace) {
  const int64_t most = (int64_t)xai__params_number(&f->params, "steps");
  const double enough = xai__params_number(&f->params, "tolerance");
  int64_t done = 0;
  int status = XAI_OK;
  while (done < most && !status) {
    status = step(f, m, (double)done / (double)most, &trace[done]);
    if (status) break;
    done++;
    if (done > 1 && trace[done - 1] - trace[done - 2] < enough) break;
  }
  f->cut_short = status == XAI_E_CANCELLED && done;
  if (status && !f->cut_short) return status;
  const xai_error stopped = *f->err;
  XAI__TRY(give(f, m, trace, done));
  *f->err = stopped;
  return status;
}

static int run(xai__fit *f) {
  const bool full = xai__params_is(&f->params, "covariance", "full");
  mixture m = {.k = (int64_t)xai__params_number(&f->params, "components"), .n = f->n, .full = full};
  m.spread = full ? m.n * m.n : m.n;
  if (m.k > f->items)
    return xai__fail(f->err, XAI_E_ARGUMENT, "components", "%lld components for %lld items", (long long)m.k,
                     (long long)f->items);
  xai__arena arena = {.memory = f->memory};
  double *trace = xai__arena_new(&arena, (size_t)xai__params_number(&f->params, "steps"), sizeof *trace, f->err);
  int status = trace ? allocate(f, &m, &arena) : f->err->status;
  if (!status) {
    const double variance = mean_variance(f, m.mean);
    m.floor = xai__params_number(&f->params, "floor") * variance;
    status = start(f, &m, variance);
  }
  if (!status) status = climb(f, &m, trace);
  xai__arena_free(&arena);
  return status;
}

const xai__fit_kind xai__fit_gmm = {
    "gmm", "components=10[1,100000];covariance=diagonal|full;floor=1e-3[0,inf];steps=100[1,100000];tolerance=1e-4[0,inf]",
    run};
