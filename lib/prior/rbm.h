/* Restricted Boltzmann machines with Gaussian visible units x and binary hidden units h, dense or
 * convolutional:
 *
 *   F(x) = sum_i (x_i - a_i)^2 / (2 s_i^2) - sum_j softplus(pre_j),   pre = W'(x / s^2) + b
 *   p(h_j = 1 | x) = sigmoid(pre_j),   x | h ~ N(a + W h, s^2)
 *
 * W' is a matrix, or a valid correlation with filters. With probabilistic max-pooling [Lee et al. 2009]
 * at most one unit of each block of pool x pool is on: sigmoid and softplus become
 * exp(pre) / (1 + sum over the block) and log(1 + sum over the block). `beta` scales pre throughout. */
#ifndef XAI_PRIOR_RBM_H
#define XAI_PRIOR_RBM_H
#include "prior/prior.h"
#include "prior/units.h"

typedef struct xai__rbm {
  bool conv;
  int64_t channels, filters, pool;       /* dense: visible and hidden units, 1 */
  int64_t kernel[2], size[2], out[2];    /* dense: 1 */
  int64_t n, m;                          /* visible and hidden units of an item */
  const float *w;                        /* [n][m], or [filters][channels][kernel] */
  const float *a, *s, *precision, *b;    /* one a unit: [n], [n], 1 / s^2 [n], [m] */
} xai__rbm;

/* The size of a convolutional one: `out`, n and m. XAI_E_INPUT, naming `where`, if it does not fit. */
int xai__rbm_resize(xai__rbm *r, int64_t height, int64_t width, const char *where, xai_error *err);
/* Its a, s, precision and b from those of channels and filters, in `to` [3 n + m]; n_s is 1 or n. */
void xai__rbm_spread(xai__rbm *r, const float *a, const float *s, int64_t n_s, const float *b, float *to);

/* The map between the layers, for a batch. */
xai__product xai__rbm_map(const xai__rbm *r, int64_t batch);
/* scaled = sign x / s^2 [batch][n], of x = mean + s z, or mean where z is NULL; scaled or z may be
 * NULL, x may be z or mean. */
void xai__rbm_scale(const xai__rbm *r, xai__engine *e, int64_t batch, const float *mean, const float *z,
                    float sign, float *x, float *scaled);
/* pre [batch][m] of scaled. */
int xai__rbm_up(const xai__rbm *r, xai__engine *e, int64_t batch, const float *scaled, float *pre,
                xai_error *err);
/* mean = a + W h [batch][n]. */
int xai__rbm_down(const xai__rbm *r, xai__engine *e, int64_t batch, const float *h, float *mean,
                  xai_error *err);

/* Chance: numbers of a seed's stream, by the item's place from first_item on, a multiple of 64. */
typedef struct xai__chance {
  uint64_t seed, stream;
  int64_t first_item;
} xai__chance;

/* prob = scale p(h = 1), and states drawn; either may be NULL. Draw with scale 1. */
void xai__rbm_hidden(const xai__rbm *r, xai__engine *e, int64_t batch, const float *pre, float beta,
                     float scale, const xai__chance *c, float *prob, float *state);
void xai__rbm_normals(const xai__rbm *r, xai__engine *e, int64_t batch, const xai__chance *c, float *z);
/* sum_j softplus(beta pre_j) of each item; quadratic: the first sum of F, unless NULL. */
void xai__rbm_energies(const xai__rbm *r, xai__engine *e, int64_t batch, const float *x, const float *pre,
                       float beta, double *quadratic, double *softplus);

/* Buffers of a batch, of the engine's scratch. */
typedef struct xai__rbm_batch {
  float *scaled, *pre, *state; /* [batch][n], [batch][m], [batch][m] */
} xai__rbm_batch;
int xai__rbm_scratch(const xai__rbm *r, xai__engine *e, int64_t batch, xai__rbm_batch *out, xai_error *err);
/* One step of block Gibbs sampling of x [batch][n], at weights beta W and biases beta b; c's stream and
 * the one after it are used. */
int xai__rbm_gibbs(const xai__rbm *r, xai__engine *e, int64_t batch, float beta, const xai__chance *c,
                   const xai__rbm_batch *work, float *x, xai_error *err);

/* log of the integral of exp(-F): exact for up to XAI__EXACT hidden units, whatever their number of
 * visible ones; else by annealed importance sampling [Neal 2001; Salakhutdinov and Murray 2008] over
 * `betas` steps and `chains` chains, with its standard deviation. */
enum { XAI__EXACT = 16 };
int xai__rbm_log_z_exact(const xai__rbm *r, xai__engine *e, double *log_z, xai_error *err);
int xai__rbm_log_z_ais(const xai__rbm *r, xai__engine *e, int64_t chains, int64_t betas, uint64_t seed,
                       double *log_z, double *deviation, xai_error *err);

#endif
