/* The prior of a mixture of normal densities: several kinds of plausible input.
 * gradient = sum over k of r_k d log N_k / dx, r_k = p(k | x). */
#include "prior/gmm.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

int xai__gmm_make(xai__gmm *g, xai__arena *arena, int64_t k, int64_t n, const float *weights,
                  const float *means, const float *factors, const float *variances, xai_error *err) {
  double sum = 0;
  *g = (xai__gmm){k, n, xai__arena_new(arena, (size_t)k, sizeof *g->log_weight, err),
                  xai__arena_new(arena, (size_t)k, sizeof *g->normal, err)};
  if (!g->log_weight || !g->normal) return err->status;
  for (int64_t i = 0; i < k; i++) {
    if (!(weights[i] > 0))
      return xai__fail(err, XAI_E_INPUT, "weights", "'weights' is %g at element %lld: it must be positive",
                       (double)weights[i], (long long)i);
    sum += (double)weights[i];
  }
  for (int64_t i = 0; i < k; i++) {
    const float *mean = means + i * n;
    g->log_weight[i] = log((double)weights[i] / sum);
    if (factors)
      XAI__TRY(xai__normal_of_factor(&g->normal[i], arena, n, mean, factors + i * n * n, "factors", err));
    else
      XAI__TRY(xai__normal_of_components(&g->normal[i], arena, n, 0, mean, NULL, variances + i * n,
                                         "variances", err));
  }
  return XAI_OK;
}

int xai__gmm_logp(const xai__gmm *g, xai__engine *e, int64_t batch, const float *x, double *each,
                  double *logp, float *gradients, xai_error *err) {
  for (int64_t k = 0; k < g->k; k++)
    XAI__TRY(xai__normal_logp(&g->normal[k], e, batch, x, each + k * batch,
                              gradients ? gradients + k * batch * g->n : NULL, err));
  for (int64_t b = 0; b < batch; b++) {
    double top = -INFINITY, sum = 0;
    for (int64_t k = 0; k < g->k; k++) top = fmax(top, each[k * batch + b] += g->log_weight[k]);
    for (int64_t k = 0; k < g->k; k++) sum += exp(each[k * batch + b] - top);
    logp[b] = top + log(sum);
  }
  return XAI_OK;
}

static int create(xai_prior *p, xai_error *err) {
  xai__gmm *g = p->state = xai__arena_new(&p->arena, 1, sizeof *g, err);
  float *weights, *means, *spread;
  int64_t k[1] = {-1};
  if (!g) return err->status;
  XAI__TRY(xai__prior_tensor(p, "weights", 1, k, &weights, err));
  XAI__TRY(xai__prior_tensor(p, "means", -1, NULL, &means, err));
  const xai__shape *s = &xai__params_find(&p->params, "means")->tensor->shape;
  if (s->rank < 2 || s->d[0] != k[0] || !k[0])
    return xai__fail(err, XAI_E_INPUT, "means", "tensor 'means' of prior 'gmm' is %s, not %lldx...: a mean a weight",
                     xai__shape_text(s).text, (long long)k[0]);
  p->item.rank = s->rank - 1;
  memcpy(p->item.d, s->d + 1, (size_t)p->item.rank * sizeof *s->d);
  const int64_t n = xai__count(&p->item);
  const bool full = xai__prior_has(p, "factors");
  if (full == xai__prior_has(p, "variances"))
    return xai__fail(err, XAI_E_INPUT, "factors", "prior 'gmm' needs one of the tensors factors and variances");
  int64_t shape[] = {k[0], n, n};
  XAI__TRY(xai__prior_tensor(p, full ? "factors" : "variances", full ? 3 : 2, shape, &spread, err));
  return xai__gmm_make(g, &p->arena, k[0], n, weights, means, full ? spread : NULL, full ? NULL : spread, err);
}

/* gradient = sum of gradients[k], weighed by the share of each in p. */
static void weigh(const xai__gmm *g, int64_t batch, const double *each, const double *logp,
                  const float *gradients, float *gradient) {
  for (int64_t b = 0; b < batch; b++)
    for (int64_t k = 0; k < g->k; k++) {
      const float share = (float)exp(each[k * batch + b] - logp[b]);
      const float *from = gradients + (k * batch + b) * g->n;
      float *to = gradient + b * g->n;
      for (int64_t i = 0; i < g->n; i++) to[i] = (k ? to[i] : 0) + share * from[i];
    }
}

static int logp(const xai_prior *p, xai__engine *e, const xai__view *x, double *logp,
                float *gradient, xai_error *err) {
  const xai__gmm *g = p->state;
  const int64_t batch = x->shape.d[0];
  const size_t mark = xai__scratch_mark(e);
  double *each = xai__scratch(e, (size_t)(g->k * batch) + 1, sizeof *each, err);
  float *all = gradient ? xai__scratch(e, (size_t)(g->k * batch * g->n) + 1, sizeof *all, err) : NULL;
  int status = each && (all || !gradient) ? XAI_OK : err->status;
  if (!status) status = xai__gmm_logp(g, e, batch, xai__f(x), each, logp, all, err);
  if (!status && gradient) weigh(g, batch, each, logp, all, gradient);
  xai__scratch_release(e, mark);
  return status;
}

/* Sample i: the component by one number of stream 0, the rest by streams of its own. */
static int sample(const xai_prior *p, xai__engine *e, const xai__sampling *s, float *x,
                  xai_error *err) {
  const xai__gmm *g = p->state;
  for (int64_t i = 0; i < s->n; i++) {
    uint32_t words[4];
    xai__philox(s->seed, 0, (uint64_t)i, words);
    double left = (words[0] + 0.5) / 4294967296.0;
    int64_t k = 0;
    while (k + 1 < g->k && (left -= exp(g->log_weight[k])) > 0) k++;
    XAI__TRY(xai__watch_check(s->watch, "sampling", (double)i / (double)s->n, err));
    XAI__TRY(xai__normal_sample(&g->normal[k], e, 1, s->seed, 2 + 2 * (uint64_t)i, x + i * g->n, err));
  }
  return XAI_OK;
}

const xai__prior_kind xai__prior_gmm = {"gmm", "weights=;means=;factors=;variances=", create, NULL,
                                        logp, sample};
