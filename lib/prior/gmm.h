/* A mixture of normal densities: log p = log sum_k exp(log_weight[k] + log N_k(x)). */
#ifndef XAI_PRIOR_GMM_H
#define XAI_PRIOR_GMM_H
#include "prior/normal.h"

typedef struct xai__gmm {
  int64_t k, n;
  double *log_weight; /* [k] */
  xai__normal *normal; /* [k] */
} xai__gmm;

/* Of weights[k] > 0, means[k][n] and either factors[k][n][n] or variances[k][n]; means are borrowed. */
int xai__gmm_make(xai__gmm *g, xai__arena *arena, int64_t k, int64_t n, const float *weights,
                  const float *means, const float *factors, const float *variances, xai_error *err);
/* each[k][batch]: log p(x) of component k with its weight; logp[batch] their sum's; gradients
 * [k][batch][n] of each, unless NULL. */
int xai__gmm_logp(const xai__gmm *g, xai__engine *e, int64_t batch, const float *x, double *each,
                  double *logp, float *gradients, xai_error *err);

#endif
