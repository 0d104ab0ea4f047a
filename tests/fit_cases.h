/* A small fit of each kind, and data for it. */
#ifndef XAI_TESTS_FIT_CASES_H
#define XAI_TESTS_FIT_CASES_H
#include "base/random.h"
#include "prior_cases.h"

typedef struct fit_case {
  const char *name, *kind, *params; /* "k=v,k=v" */
  int rank;
  int64_t shape[4]; /* of the data; [0] is the number of items */
  bool in_steps;    /* a cancelled one hands over what it has */
} fit_case;

static const fit_case fit_cases[] = {
#if XAI_BLAS
    {"gaussian", "gaussian", "", 3, {0, 2, 3}, false},
    {"gaussian, components", "gaussian", "rank=2", 2, {0, 8}, false},
    {"gmm, full", "gmm", "components=2,covariance=full,steps=8,tolerance=0", 2, {0, 4}, true},
#endif
    {"gmm, diagonal", "gmm", "components=3,steps=8,tolerance=0", 3, {0, 2, 3}, true},
    {"rbm", "rbm", "hidden=7,epochs=3,batch=20", 3, {0, 2, 3}, true},
    {"rbm, annealed", "rbm", "hidden=20,epochs=2,batch=32,betas=50,steps=2,persistent=on,variance=learned,sparsity=0.1", 2, {0, 5}, true},
    {"conv-rbm", "conv-rbm", "filters=3,side=2,epochs=2,batch=16,betas=20,variance=learned", 4, {0, 2, 4, 5}, true},
    {"conv-rbm, pooled", "conv-rbm", "filters=2,side=2,pool=2,epochs=2,batch=16,visible=mean", 4, {0, 1, 3, 3}, true},
};
enum { FIT_CASES = sizeof fit_cases / sizeof *fit_cases };

/* Items whose elements go together: x_i = z_i + 0.7 z_(i+1). */
static inline xai_tensor *fit_data(const fit_case *c, int64_t items, uint64_t seed) {
  int64_t shape[4];
  memcpy(shape, c->shape, sizeof shape);
  shape[0] = items;
  xai_tensor *t = tensor_of(XAI_F32, c->rank, shape, NULL);
  const int64_t n = count_of(t);
  float *z = malloc((size_t)(n + 1) * sizeof *z);
  xai__normals(seed, 99, n + 1, z);
  for (int64_t i = 0; i < n; i++) writable(t)[i] = z[i] + 0.7f * z[i + 1];
  free(z);
  return t;
}

/* [items][n] along `directions` fixed ones, strong, and weak noise. */
static inline xai_tensor *directions_by_chance(int64_t items, int64_t n, int directions, uint64_t seed) {
  const int64_t shape[] = {items, n};
  xai_tensor *t = tensor_of(XAI_F32, 2, shape, NULL);
  float *w = malloc((size_t)(directions * n) * sizeof *w), *z = malloc((size_t)(items * n) * sizeof *z);
  xai__normals(1000, 0, directions * n, w);
  xai__normals(seed, 1, items * n, z);
  for (int64_t i = 0; i < items * n; i++) writable(t)[i] = 0.3f * z[i];
  xai__normals(seed, 2, items * directions, z);
  for (int64_t i = 0; i < items * n; i++)
    for (int d = 0; d < directions; d++) writable(t)[i] += z[i / n * directions + d] * w[d * n + i % n];
  free(w);
  free(z);
  return t;
}

static inline int fit_status(const fit_case *c, const xai_tensor *data, const xai_tensor *held, const xai_options *o,
                             xai_progress_fn progress, void *user, xai_result **r) {
  char text[256];
  xai_param params[12], given[2];
  size_t n = 0, n_inputs = 0;
  snprintf(text, sizeof text, "%s", c->params);
  for (char *at = strtok(text, ","); at; at = strtok(NULL, ",")) {
    char *value = strchr(at, '=');
    *value = 0;
    params[n++] = (xai_param){at, NULL, value + 1, 0};
  }
  if (data) given[n_inputs++] = (xai_param){.name = "data", .tensor = data};
  if (held) given[n_inputs++] = (xai_param){.name = "held-out", .tensor = held};
  const xai_request request = {.struct_size = sizeof request, .method = c->kind, .params = params, .n_params = n,
                               .inputs = given, .n_inputs = n_inputs, .random_seed = 11,
                               .progress = progress, .progress_user = user};
  return xai_fit(&request, o, r, &net_error);
}

static inline xai_result *fit_of(const fit_case *c, const xai_tensor *data, const xai_tensor *held, int threads) {
  const xai_options o = {.struct_size = sizeof o, .threads = threads};
  xai_result *r;
  ck_assert_msg(!fit_status(c, data, held, &o, NULL, NULL, &r), "%s: %s", c->name, net_error.text);
  return r;
}

static inline xai_prior *prior_of_fit(const xai_result *r) {
  xai_param params[24];
  xai_prior *p;
  size_t n = 0;
  for (; !xai_result_get(r, n, &params[n].name, &params[n].tensor, &params[n].text); n++) params[n].number = 0;
  ck_assert_msg(!xai_prior_create(NULL, params, n, &p, &net_error), "%s", net_error.text);
  return p;
}

#endif
