/* The prior of one normal density: log p = -n/2 log 2 pi - 1/2 log det S - 1/2 (x - m)' S^-1 (x - m).
 * S is given as it is, by its Cholesky factor, or as components' components + diag(noise). */
#include "prior/normal.h"

static int create(xai_prior *p, xai_error *err) {
  xai__normal *d = p->state = xai__arena_new(&p->arena, 1, sizeof *d, err);
  float *mean, *matrix, *noise;
  if (!d) return err->status;
  XAI__TRY(xai__prior_tensor(p, "mean", -1, NULL, &mean, err));
  p->item = xai__params_find(&p->params, "mean")->tensor->shape;
  const int64_t n = xai__count(&p->item);
  int64_t square[2] = {n, n}, wide[2] = {-1, n}, one[1] = {n};
  static const char *const forms[] = {"covariance", "factor", "noise"};
  int given = 0;
  for (int i = 0; i < 3; i++) given += xai__prior_has(p, forms[i]);
  if (given != 1)
    return xai__fail(err, XAI_E_INPUT, "covariance",
                     "prior 'gaussian' needs one of the tensors covariance, factor and noise, not %d", given);
  if (xai__prior_has(p, "covariance")) {
    XAI__TRY(xai__prior_tensor(p, "covariance", 2, square, &matrix, err));
    return xai__normal_of_covariance(d, &p->arena, n, mean, matrix, "covariance", err);
  }
  if (xai__prior_has(p, "factor")) {
    XAI__TRY(xai__prior_tensor(p, "factor", 2, square, &matrix, err));
    return xai__normal_of_factor(d, &p->arena, n, mean, matrix, "factor", err);
  }
  wide[0] = 0;
  if (xai__prior_has(p, "components")) {
    wide[0] = -1;
    XAI__TRY(xai__prior_tensor(p, "components", 2, wide, &matrix, err));
  }
  XAI__TRY(xai__prior_tensor(p, "noise", 1, one, &noise, err));
  return xai__normal_of_components(d, &p->arena, n, wide[0], mean, wide[0] ? matrix : NULL, noise,
                                   "noise", err);
}

static int logp(const xai_prior *p, xai__engine *e, const xai__view *x, double *logp,
                float *gradient, xai_error *err) {
  return xai__normal_logp(p->state, e, x->shape.d[0], xai__f(x), logp, gradient, err);
}

static int sample(const xai_prior *p, xai__engine *e, const xai__sampling *s, float *x,
                  xai_error *err) {
  return xai__normal_sample(p->state, e, s->n, s->seed, 0, x, err);
}

const xai__prior_kind xai__prior_gaussian = {
    "gaussian", "mean=;covariance=;factor=;components=;noise=", create, NULL, logp, sample};
