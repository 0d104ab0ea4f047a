/* A normal density with a structured covariance, in the one form that serves them all:
 *
 *   S^-1 = diag(precision) + sign B'B        log p = log_norm - d' S^-1 d / 2,  d = x - mean
 *   x = mean + diag(deviation) z1 + A' z2    z standard normal
 *
 *                   precision  B [r][n]     sign   deviation  A [r][n]
 *   full, S = L L'  none       L^-1          1     none       L'
 *   diagonal D      1/D        none                sqrt D     none
 *   C'C + D         1/D        K C D^-1     -1     sqrt D     C         (I + C D^-1 C')^-1 = K'K */
#ifndef XAI_PRIOR_NORMAL_H
#define XAI_PRIOR_NORMAL_H
#include "prior/prior.h"

typedef struct xai__normal {
  int64_t n, r;
  const float *mean, *precision, *deviation, *a, *b; /* NULL: none */
  float sign;
  double log_norm;
} xai__normal;

/* n, mean and what follows are borrowed; the rest lives in the arena. `what` is named in errors. */
int xai__normal_of_factor(xai__normal *d, xai__arena *arena, int64_t n, const float *mean,
                          const float *factor, const char *what, xai_error *err);
int xai__normal_of_covariance(xai__normal *d, xai__arena *arena, int64_t n, const float *mean,
                              const float *covariance, const char *what, xai_error *err);
/* r 0: diagonal. */
int xai__normal_of_components(xai__normal *d, xai__arena *arena, int64_t n, int64_t r,
                              const float *mean, const float *components, const float *variances,
                              const char *what, xai_error *err);

/* As xai__prior_logp, of x [batch][n]. */
int xai__normal_logp(const xai__normal *d, xai__engine *e, int64_t batch, const float *x,
                     double *logp, float *gradient, xai_error *err);
/* x[count][n], of the seed's streams [stream, stream + 2). */
int xai__normal_sample(const xai__normal *d, xai__engine *e, int64_t count, uint64_t seed,
                       uint64_t stream, float *x, xai_error *err);

#endif
