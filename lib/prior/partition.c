/* log Z of a Boltzmann machine, Z the integral of exp(-F) over x. */
#include <math.h>
#include <string.h>

#include "prior/rbm.h"

#define LOG_2_PI 1.8378770664093454836

/* log of the integral of the Gaussian without hidden units. */
static double log_gaussian(const xai__rbm *r) {
  double sum = 0;
  for (int64_t i = 0; i < r->n; i++) sum += 0.5 * LOG_2_PI + log((double)r->s[i]);
  return sum;
}

typedef struct sum_of_exp {
  double top, sum; /* log of it: top + log(sum) */
} sum_of_exp;

static void add_exp(sum_of_exp *s, double v) {
  if (v > s->top) {
    s->sum *= exp(s->top - v);
    s->top = v;
  }
  s->sum += exp(v - s->top);
}

/* Whether no block has two units on. */
static bool allowed(const xai__rbm *r, const float *h) {
  const int64_t pool = r->pool, plane = r->out[0] * r->out[1];
  if (pool == 1) return true;
  for (int64_t i = 0; i < r->m; i++)
    for (int64_t j = i + 1; j < r->m && h[i] > 0; j++) {
      const bool together = i / plane == j / plane && i % plane / r->out[1] / pool == j % plane / r->out[1] / pool &&
                            i % r->out[1] / pool == j % r->out[1] / pool;
      if (together && h[j] > 0) return false;
    }
  return true;
}

/* Over states h: the integral over x is exp(b'h + sum_i (a_i d_i + d_i^2 / 2) / s_i^2) times the
 * Gaussian's, d = W h. */
int xai__rbm_log_z_exact(const xai__rbm *r, xai__engine *e, double *log_z, xai_error *err) {
  enum { BATCH = 64 };
  const size_t mark = xai__scratch_mark(e);
  const int64_t states = (int64_t)1 << r->m;
  float *h = xai__scratch(e, (size_t)(BATCH * r->m) + 1, sizeof *h, err);
  float *mean = xai__scratch(e, (size_t)(BATCH * r->n), sizeof *mean, err);
  sum_of_exp z = {-INFINITY, 0};
  int status = h && mean ? XAI_OK : err->status;
  for (int64_t first = 0; first < states && !status; first += BATCH) {
    for (int64_t i = 0; i < BATCH * r->m; i++) h[i] = (first + i / r->m) >> (i % r->m) & 1 ? 1.0f : 0;
    status = xai__rbm_down(r, e, BATCH, h, mean, err);
    for (int64_t k = 0; k < BATCH && first + k < states && !status; k++) {
      double v = 0;
      for (int64_t j = 0; j < r->m; j++) v += (double)r->b[j] * (double)h[k * r->m + j];
      for (int64_t i = 0; i < r->n; i++) {
        const double a = (double)r->a[i], d = (double)mean[k * r->n + i] - a;
        v += (a * d + 0.5 * d * d) * (double)r->precision[i];
      }
      if (allowed(r, h + k * r->m)) add_exp(&z, v);
    }
  }
  *log_z = log_gaussian(r) + z.top + log(z.sum);
  xai__scratch_release(e, mark);
  return status;
}

/* log of the number of states of the hidden units. */
static double log_states(const xai__rbm *r) {
  const double block = (double)(r->pool * r->pool);
  return (double)r->m / block * log(1 + block);
}

/* log_weight[k] += log f_next(x) - log f_now(x), of intermediate densities f at two betas. */
static int weigh(const xai__rbm *r, xai__engine *e, int64_t chains, const float *x, const xai__rbm_batch *work,
                 float now, float next, double *sum, double *log_weight, xai_error *err) {
  xai__rbm_scale(r, e, chains, x, NULL, 1, (float *)(uintptr_t)x, work->scaled);
  XAI__TRY(xai__rbm_up(r, e, chains, work->scaled, work->pre, err));
  for (int side = 0; side < 2; side++) {
    xai__rbm_energies(r, e, chains, x, work->pre, side ? next : now, NULL, sum);
    for (int64_t k = 0; k < chains; k++) log_weight[k] += side ? sum[k] : -sum[k];
  }
  return XAI_OK;
}

static int anneal(const xai__rbm *r, xai__engine *e, int64_t chains, int64_t betas, uint64_t seed, float *x,
                  const xai__rbm_batch *work, double *sum, double *log_weight, xai_error *err) {
  xai__chance c = {seed, 0, 0};
  for (int64_t i = 0; i < chains; i++) memcpy(work->scaled + i * r->n, r->a, (size_t)r->n * sizeof *x);
  xai__rbm_normals(r, e, chains, &c, x);
  xai__rbm_scale(r, e, chains, work->scaled, x, 1, x, NULL);
  memset(log_weight, 0, (size_t)chains * sizeof *log_weight);
  for (int64_t step = 0; step < betas; step++) {
    const float now = (float)step / (float)betas, next = (float)(step + 1) / (float)betas;
    XAI__TRY(weigh(r, e, chains, x, work, now, next, sum, log_weight, err));
    c.stream = (uint64_t)(1 + 2 * step);
    if (step + 1 < betas) XAI__TRY(xai__rbm_gibbs(r, e, chains, next, &c, work, x, err));
  }
  return XAI_OK;
}

int xai__rbm_log_z_ais(const xai__rbm *r, xai__engine *e, int64_t chains, int64_t betas, uint64_t seed,
                       double *log_z, double *deviation, xai_error *err) {
  const size_t mark = xai__scratch_mark(e);
  float *x = xai__scratch(e, (size_t)(chains * r->n), sizeof *x, err);
  double *sum = xai__scratch(e, (size_t)chains, sizeof *sum, err);
  double *log_weight = xai__scratch(e, (size_t)chains, sizeof *log_weight, err);
  xai__rbm_batch work;
  int status = x && sum && log_weight ? XAI_OK : err->status;
  if (!status) status = xai__rbm_scratch(r, e, chains, &work, err);
  if (!status) status = anneal(r, e, chains, betas, seed, x, &work, sum, log_weight, err);
  sum_of_exp z = {-INFINITY, 0};
  double square = 0;
  for (int64_t k = 0; k < chains && !status; k++) add_exp(&z, log_weight[k]);
  const double mean = z.sum / (double)chains; /* of the weights over exp(top) */
  for (int64_t k = 0; k < chains && !status; k++) square += pow(exp(log_weight[k] - z.top) - mean, 2);
  *log_z = log_gaussian(r) + log_states(r) + z.top + log(mean);
  *deviation = sqrt(square / (double)chains / (double)chains) / mean;
  xai__scratch_release(e, mark);
  return status;
}
