/* Inner loops over a Boltzmann machine's units, compiled once for every instruction set (units_*.c,
 * all from units_body.h), and the choice among them.
 *
 * Random numbers come in groups of XAI__GROUP elements: element 16 j + l of group g is made of word j
 * of the Philox block 16 g + l, so that sixteen blocks are computed side by side. */
#ifndef XAI_PRIOR_UNITS_H
#define XAI_PRIOR_UNITS_H
#include "engine/engine.h"

#define XAI__GROUP 64

/* Bernoulli units: prob = scale * sigmoid(beta * pre), state = 1 with that probability (scale 1), else 0. */
typedef struct xai__bernoulli {
  uint64_t seed, stream;
  int64_t n;        /* elements */
  int64_t at_group; /* of element 0 in the stream */
  float beta, scale;
  const float *pre;
  float *prob, *state; /* or NULL */
} xai__bernoulli;

/* Gaussian units of items of n: x = mean + deviation * z, or mean where z is NULL; scaled = sign *
 * precision * x, or not where that is NULL. x may be z or mean. */
typedef struct xai__gaussian_units {
  int64_t n;
  float sign;
  const float *mean, *z, *deviation, *precision;
  float *x, *scaled;
} xai__gaussian_units;

/* Of each item: energy = sum (x - a)^2 precision / 2; softplus = sum softplus(beta * pre). */
typedef struct xai__energies {
  int64_t n, m;
  float beta;
  const float *x, *a, *precision, *pre;
  double *energy, *softplus; /* or NULL */
} xai__energies;

/* Standard normal numbers. */
typedef struct xai__normal_units {
  uint64_t seed, stream;
  int64_t n, at_group;
  float *z;
} xai__normal_units;

/* speed = momentum * speed + rate * gradient - decay * w; w += speed. */
typedef struct xai__momentum {
  float momentum, rate, decay;
  const float *gradient;
  float *speed, *w;
} xai__momentum;

/* xai__range_fn's: bernoulli and normals over groups, gaussian and energies over items, momentum over
 * elements. */
typedef struct xai__units {
  xai__range_fn bernoulli, normals, gaussian, energies, momentum;
} xai__units;

extern const xai__units xai__units_portable, xai__units_avx2, xai__units_avx512, xai__units_neon;

/* Those of the instruction set that the engine was made for. */
const xai__units *xai__units_of(const xai__engine *e);

static inline int64_t xai__groups(int64_t n) { return (n + XAI__GROUP - 1) / XAI__GROUP; }

#endif
