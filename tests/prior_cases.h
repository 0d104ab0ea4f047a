/* One prior of each kind, and of each way to make it, from numbers by chance. */
#ifndef XAI_TESTS_PRIOR_CASES_H
#define XAI_TESTS_PRIOR_CASES_H
#include "net.h"
#include "prior/prior.h"

enum { CASE_KEYS = 6 };
typedef enum { ANY, POSITIVE, LOWER, DEFINITE, TWO } numbers; /* lower triangular; symmetric, definite */

typedef struct prior_key {
  const char *name;
  numbers numbers;
  int rank;
  int64_t shape[4];
} prior_key;

typedef struct prior_case {
  const char *name, *kind;
  int rank;
  int64_t x[4]; /* a batch that it fits */
  prior_key keys[CASE_KEYS];
} prior_case;

static const prior_case prior_cases[] = {
    {"l2", "l2", 2, {3, 5}, {{0}}},
    {"mean, shared", "mean", 2, {3, 5}, {{"mean", ANY, 1, {5}}}},
    {"mean, one an item", "mean", 2, {3, 5}, {{"mean", ANY, 2, {3, 5}}}},
    {"near", "near", 4, {2, 1, 3, 2}, {{"x0", ANY, 3, {1, 3, 2}}}},
    {"tv", "tv", 4, {2, 3, 4, 5}, {{0}}},
    {"tv of rows", "tv", 3, {2, 1, 6}, {{0}}},
    {"gaussian, factor", "gaussian", 3, {3, 2, 3}, {{"mean", ANY, 2, {2, 3}}, {"factor", LOWER, 2, {6, 6}}}},
#if XAI_BLAS
    {"gaussian, covariance", "gaussian", 2, {2, 4}, {{"mean", ANY, 1, {4}}, {"covariance", DEFINITE, 2, {4, 4}}}},
    {"gaussian, components", "gaussian", 2, {3, 5},
     {{"mean", ANY, 1, {5}}, {"components", ANY, 2, {2, 5}}, {"noise", POSITIVE, 1, {5}}}},
#endif
    {"gaussian, diagonal", "gaussian", 2, {3, 5}, {{"mean", ANY, 1, {5}}, {"noise", POSITIVE, 1, {5}}}},
    {"gmm, full", "gmm", 2, {3, 4}, {{"weights", POSITIVE, 1, {3}}, {"means", ANY, 2, {3, 4}}, {"factors", LOWER, 3, {3, 4, 4}}}},
    {"gmm, diagonal", "gmm", 3, {2, 1, 4}, {{"weights", POSITIVE, 1, {2}}, {"means", ANY, 3, {2, 1, 4}}, {"variances", POSITIVE, 2, {2, 4}}}},
    {"rbm", "rbm", 3, {3, 2, 3}, {{"W", ANY, 2, {6, 4}}, {"a", ANY, 2, {2, 3}}, {"b", ANY, 1, {4}}, {"s", POSITIVE, 1, {6}}}},
    {"rbm, one deviation", "rbm", 2, {2, 3}, {{"W", ANY, 2, {3, 20}}, {"a", ANY, 1, {3}}, {"b", ANY, 1, {20}}, {"s", POSITIVE, 0, {0}}}},
    {"conv-rbm", "conv-rbm", 4, {2, 2, 4, 5}, {{"W", ANY, 4, {3, 2, 2, 3}}, {"c", ANY, 1, {2}}, {"b", ANY, 1, {3}}, {"s", POSITIVE, 1, {1}}}},
    {"conv-rbm, pooled", "conv-rbm", 4, {2, 1, 5, 5}, {{"W", ANY, 4, {2, 1, 2, 2}}, {"c", ANY, 1, {1}}, {"b", ANY, 1, {2}}, {"s", POSITIVE, 0, {0}}, {"pool", TWO, 0, {0}}}},
};
enum { PRIOR_CASES = sizeof prior_cases / sizeof *prior_cases };

static inline xai_tensor *prior_key_tensor(const prior_key *k, uint64_t seed) {
  xai_tensor *t = tensor_by_chance(XAI_F32, k->rank, k->shape, seed);
  float *v = writable(t);
  const int64_t n = count_of(t);
  for (int64_t i = 0; i < n && k->numbers == POSITIVE; i++) v[i] = 0.5f + fabsf(v[i]);
  if (k->numbers == TWO) v[0] = 2;
  const int64_t side = k->rank ? k->shape[k->rank - 1] : 1;
  const bool triangle = k->numbers == LOWER || k->numbers == DEFINITE;
  for (int64_t i = 0; i < n && triangle; i++) {
    const int64_t row = i / side % side, column = i % side;
    if (row == column) v[i] = 1 + fabsf(v[i]);
    else if (row < column) v[i] = 0;
  }
  if (k->numbers == DEFINITE) { /* L L' */
    float *L = malloc((size_t)n * sizeof *L);
    memcpy(L, v, (size_t)n * sizeof *L);
    for (int64_t i = 0; i < side * side; i++) {
      v[i] = 0;
      for (int64_t j = 0; j < side; j++) v[i] += L[i / side * side + j] * L[i % side * side + j];
    }
    free(L);
  }
  return t;
}

/* The case's parameters; free their tensors. */
static inline size_t prior_params(const prior_case *c, xai_param *to) {
  size_t n = 0;
  for (; n < CASE_KEYS && c->keys[n].name; n++)
    to[n] = (xai_param){c->keys[n].name, prior_key_tensor(&c->keys[n], n + 1), NULL, 0};
  return n;
}

static inline void free_params(xai_param *p, size_t n) {
  for (size_t i = 0; i < n; i++) xai_tensor_free((xai_tensor *)(uintptr_t)p[i].tensor);
}

static inline xai_prior *prior_of(const prior_case *c) {
  xai_param p[CASE_KEYS];
  size_t n = prior_params(c, p);
  xai_prior *prior;
  ck_assert_msg(!xai_prior_create(c->kind, p, n, &prior, &net_error), "%s: %s", c->name,
                net_error.text);
  free_params(p, n); /* the prior keeps its own references */
  return prior;
}

/* No two elements are equal, where tv has its kinks. */
static inline xai_tensor *prior_x(const prior_case *c) {
  xai_tensor *x = tensor_by_chance(XAI_F32, c->rank, c->x, 77);
  for (int64_t i = 0; i < count_of(x); i++) writable(x)[i] += 0.0037f * (float)i;
  return x;
}

/* logp of each item and its gradient. */
static inline xai_result *logp_of(const xai_prior *p, const xai_tensor *x, int threads) {
  xai_options o = {.struct_size = sizeof o, .threads = threads};
  xai_result *r;
  ck_assert_msg(!xai_prior_logp(p, x, &o, &r, &net_error), "%s", net_error.text);
  return r;
}

static inline const double *doubles(const xai_result *r, const char *name) {
  const xai_tensor *t = found(r, name);
  ck_assert_int_eq(xai_tensor_dtype(t), XAI_F64);
  return xai_tensor_data(t);
}

#endif
