/* The rules of METHODS section 2 on a dense matrix, in double, straight from their definitions: the
 * brute force that the library is compared with.
 *
 * Every rule shares the relevance R_j of an output among contributions c_i and a bias:
 *   R_i += R_j c_i / stab(sum c + bias, e)                                                   */
#ifndef XAI_TESTS_DENSE_RULE_H
#define XAI_TESTS_DENSE_RULE_H
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct dense {
  int64_t nx, nz, items;
  double *w, *b;            /* z = w x + b, w [nz][nx]; all items of a batch in one matrix */
  const double *x, *low, *high;
  const double *R;          /* [nz] */
  double stabilizer;
  const char *rule;         /* "NAME,k=v,..." */
  double *c;                /* [nx], of the output at hand */
  double *R_in, *room;      /* [nx]: the answer, and how far float may be from it */
  double bias, empty;       /* of the ledger */
} dense;

static inline double plus(double v) { return v > 0 ? v : 0; }
static inline double minus(double v) { return v < 0 ? v : 0; }

/* A parameter of the rule, or its default. */
static inline double rule_number(const dense *d, const char *name, double preset) {
  char key[32];
  snprintf(key, sizeof key, ",%s=", name);
  const char *at = strstr(d->rule, key);
  return at ? strtod(at + strlen(key), NULL) : preset;
}

/* One part of a rule: `share` of output j's relevance among c and a bias. */
static inline void dense_part(dense *d, double bias, double share, double e) {
  double sum = bias, size = fabs(bias);
  for (int64_t i = 0; i < d->nx; i++) {
    sum += d->c[i];
    size += fabs(d->c[i]);
  }
  double stab = sum + (sum >= 0 ? e : -e);
  double s = stab != 0 ? share / stab : 0;
  if (sum == 0) d->empty += share;
  else d->bias += bias * s;
  for (int64_t i = 0; i < d->nx; i++) {
    d->R_in[i] += d->c[i] * s;
    d->room[i] += fabs(d->c[i] * s) * (1e-6 + (stab != 0 ? 2e-7 * size / fabs(stab) : 0));
  }
}

/* c_i = w+ x+ p + w- x+ q + w+ x- r + w- x- t of row w. */
static inline void signed_parts(dense *d, const double *w, double p, double q, double r, double t) {
  for (int64_t i = 0; i < d->nx; i++)
    d->c[i] = plus(d->x[i]) * (p * plus(w[i]) + q * minus(w[i])) +
              minus(d->x[i]) * (r * plus(w[i]) + t * minus(w[i]));
}

static inline double dense_z(const dense *d, int64_t j) {
  double z = d->b[j];
  for (int64_t i = 0; i < d->nx; i++) z += d->w[j * d->nx + i] * d->x[i];
  return z;
}

static inline void dense_epsilon(dense *d, int64_t j, const double *w) {
  double e = rule_number(d, "epsilon", 1e-6), rms = rule_number(d, "rms", 0), square = 0;
  int64_t size = d->nz / d->items, first = j / size * size;
  for (int64_t k = first; k < first + size; k++) square += dense_z(d, k) * dense_z(d, k);
  signed_parts(d, w, 1, 1, 1, 1);
  dense_part(d, d->b[j], d->R[j], e + rms * sqrt(square / (double)size));
}

static inline void dense_gamma(dense *d, int64_t j, const double *w) {
  double g = rule_number(d, "gamma", 0.25), z = dense_z(d, j), b = d->b[j];
  if (z == 0) d->empty += d->R[j];
  if (z > 0) signed_parts(d, w, 1 + g, 1, 1, 1 + g);
  if (z < 0) signed_parts(d, w, 1, 1 + g, 1 + g, 1);
  if (z != 0) dense_part(d, b + g * (z > 0 ? plus(b) : minus(b)), d->R[j], d->stabilizer);
}

static inline void dense_alpha_beta(dense *d, int64_t j, const double *w) {
  double alpha = rule_number(d, "alpha", 2), beta = rule_number(d, "beta", alpha - 1);
  signed_parts(d, w, 1, 0, 0, 1);
  dense_part(d, plus(d->b[j]), alpha * d->R[j], d->stabilizer);
  if (beta == 0) return;
  signed_parts(d, w, 0, 1, 1, 0);
  dense_part(d, minus(d->b[j]), -beta * d->R[j], d->stabilizer);
}

static inline void dense_z_plus(dense *d, int64_t j, const double *w) {
  signed_parts(d, w, 1, 0, 0, 1);
  dense_part(d, plus(d->b[j]), d->R[j], d->stabilizer);
}

static inline void dense_w_square(dense *d, int64_t j, const double *w) {
  for (int64_t i = 0; i < d->nx; i++) d->c[i] = w[i] * w[i];
  dense_part(d, d->b[j] * d->b[j], d->R[j], d->stabilizer);
}

static inline void dense_flat(dense *d, int64_t j, const double *w) {
  for (int64_t i = 0; i < d->nx; i++) d->c[i] = w[i] != 0; /* no weight is 0: the taps there are */
  dense_part(d, 0, d->R[j], d->stabilizer);
}

static inline void dense_z_box(dense *d, int64_t j, const double *w) {
  for (int64_t i = 0; i < d->nx; i++)
    d->c[i] = w[i] * d->x[i] - plus(w[i]) * d->low[i] - minus(w[i]) * d->high[i];
  dense_part(d, 0, d->R[j], d->stabilizer);
}

static inline void dense_gradient(dense *d, int64_t j, const double *w) {
  for (int64_t i = 0; i < d->nx; i++) {
    d->R_in[i] += w[i] * d->R[j];
    d->room[i] += 1e-6 * fabs(w[i] * d->R[j]);
  }
}

static const struct dense_rule {
  const char *name;
  void (*output)(dense *d, int64_t j, const double *w);
} dense_rules[] = {{"epsilon", dense_epsilon},   {"gamma", dense_gamma},
                   {"alpha-beta", dense_alpha_beta}, {"z-plus", dense_z_plus},
                   {"w-square", dense_w_square}, {"flat", dense_flat},
                   {"z-box", dense_z_box},       {"gradient", dense_gradient}};

static inline const struct dense_rule *dense_rule_find(const char *rule) {
  size_t n = strcspn(rule, ",");
  for (size_t i = 0; i < sizeof dense_rules / sizeof *dense_rules; i++)
    if (strlen(dense_rules[i].name) == n && !memcmp(dense_rules[i].name, rule, n))
      return &dense_rules[i];
  return NULL;
}

/* Fills R_in, room, bias and empty by the rule. */
static inline void dense_explain(dense *d) {
  const struct dense_rule *rule = dense_rule_find(d->rule);
  memset(d->R_in, 0, (size_t)d->nx * sizeof *d->R_in);
  memset(d->room, 0, (size_t)d->nx * sizeof *d->room);
  d->bias = d->empty = 0;
  for (int64_t j = 0; j < d->nz; j++) rule->output(d, j, d->w + j * d->nx);
}

#endif
