/* One step of contrastive divergence [Hinton 2002], of a Boltzmann machine in training:
 *
 *   dW = <x p'> - <v q'>    da = <x> - <v>    db = <p> - <q>    (times s^2 the gradient of log p)
 *
 * p = p(h = 1 | x) of data x, q of v, which k steps of Gibbs sampling make of x (CD-k), or of the step
 * before (persistent [Tieleman 2008]). Averages are over the batch and, for filters, over places. With
 * learned variance, d log s^2 = <(x - a)^2 / 2 s^2 - x W h / s^2> of data minus that of v. */
#ifndef XAI_PRIOR_CONTRAST_H
#define XAI_PRIOR_CONTRAST_H
#include "prior/fit.h"
#include "prior/rbm.h"

typedef struct xai__contrast {
  xai__rbm r;
  int64_t batch, steps;
  bool persistent, sample, learn_variance; /* sample: v is drawn, else its mean */
  float rate, momentum, decay, sparsity, sparsity_cost;
  int64_t n_w, n_a, n_s, n_b;
  float *w, *a, *s, *b;              /* the parameters, by key */
  float *w_speed, *a_speed, *b_speed;
  double low, high;                  /* bounds of s^2 */
  float *spread;                     /* [3 n + m] */
  float *x, *p;                      /* [2 batch][n] data, then v; [2 batch][m] p, then -q */
  float *mean, *scaled, *pre, *state;
  float *gradient, *turned_x, *turned_p; /* [n_w]; of filters: axes 0 and 1 swapped */
  double *pull, *sums;               /* [n] d log s^2; [n_a + 2 n_b] */
  uint64_t seed, stream;
} xai__contrast;

/* Buffers for r, batch and the n_*, in the arena. */
int xai__contrast_allocate(xai__contrast *t, xai__arena *arena, xai_error *err);
/* r's units from the parameters: after they were changed. */
void xai__contrast_spread(xai__contrast *t);
/* One step on the data in x[0, batch). */
int xai__contrast_step(xai__contrast *t, xai__engine *e, xai_error *err);

#endif
