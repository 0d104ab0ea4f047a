/* Outputs against expectations, gradients against differences. */
#include "compare.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "array.h"
#include "npy.h"
#include "say.h"
#include "stop.h"

int compare_tensors(const xai_tensor *got, const xai_tensor *want, double rtol, double atol,
                    char why[256]) {
  struct npy_array a, b;
  char sa[160], sb[160];
  int owns_a = 0, owns_b = 0, bad = 0;
  if (array_of_tensor(got, &a, &owns_a) || array_of_tensor(want, &b, &owns_b)) {
    if (owns_a)
      npy_free(&a);
    snprintf(why, 256, "unknown type");
    return -1;
  }
  array_shape_text(a.rank, a.shape, sa);
  array_shape_text(b.rank, b.shape, sb);
  if (a.rank != b.rank || memcmp(a.shape, b.shape, (size_t)a.rank * sizeof *a.shape)) {
    snprintf(why, 256, "shape %.110s, expected %.110s", sa, sb);
    bad = -1;
  }
  double worst = 0;
  size_t n_bad = 0;
  for (size_t i = 0; i < a.count && !bad; i++) {
    double x = array_value(&a, i), y = array_value(&b, i);
    if (x == y || (isnan(x) && isnan(y)))
      continue;
    double difference = fabs(x - y);
    if (difference <= atol + rtol * fabs(y) && isfinite(y))
      continue;
    if (!n_bad++ || difference > worst) {
      worst = difference;
      snprintf(why, 256, "element %zu is %.9g, expected %.9g", i, x, y);
    }
  }
  if (n_bad) {
    snprintf(why + strlen(why), 256 - strlen(why), " (%zu of %zu differ)", n_bad, a.count);
    bad = -1;
  }
  if (owns_a)
    npy_free(&a);
  if (owns_b)
    npy_free(&b);
  return bad;
}

/* A repeatable number in -1 .. 1 [SplitMix64]. */
static double chance(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return (double)((z ^ z >> 31) >> 11) / 4503599627370496.0 - 1;
}

static size_t elements(const xai_tensor *t) {
  const int64_t *shape;
  size_t n = 1;
  int rank = xai_tensor_shape(t, &shape);
  for (int i = 0; i < rank; i++)
    n *= (size_t)shape[i];
  return n;
}

/* x + h d for every float input; the others are referenced. */
static int shifted(const xai_param *inputs, size_t n, float *const *d, double h, xai_param *out) {
  for (size_t i = 0; i < n; i++) {
    const int64_t *shape;
    int rank = xai_tensor_shape(inputs[i].tensor, &shape);
    xai_tensor *t;
    out[i] = inputs[i];
    if (!d[i]) {
      out[i].tensor = xai_tensor_ref(inputs[i].tensor);
      continue;
    }
    size_t count = elements(inputs[i].tensor);
    const float *x = xai_tensor_data(inputs[i].tensor);
    float *y = malloc(count * sizeof *y + 1);
    out[i].tensor = NULL;
    if (!y)
      return -1;
    for (size_t k = 0; k < count; k++)
      y[k] = (float)(x[k] + h * d[i][k]);
    int status = xai_tensor_create(XAI_F32, rank, shape, y, &t, NULL);
    free(y);
    if (status)
      return -1;
    out[i].tensor = t;
  }
  return 0;
}

/* The element `index` of output `name` at x + h d. */
static int value_at(const struct model *m, xai_request request, const xai_param *inputs,
                    float *const *d, double h, const char *name, int64_t index, double *out) {
  char key[600];
  xai_param *moved = calloc(m->n_inputs + 1, sizeof *moved);
  xai_result *result = NULL;
  int status = !moved || shifted(inputs, m->n_inputs, d, h, moved);
  request.inputs = moved;
  if (!status)
    status = xai_run(m->session, &request, &result, NULL);
  snprintf(key, sizeof key, "output/%s", name);
  const xai_tensor *t = status ? NULL : xai_result_find(result, key);
  if (t && xai_tensor_dtype(t) == XAI_F32 && (size_t)index < elements(t)) {
    *out = (double)((const float *)xai_tensor_data(t))[index];
  } else {
    status = -1;
  }
  for (size_t i = 0; moved && i < m->n_inputs; i++) {
    xai_tensor_free((xai_tensor *)(size_t)moved[i].tensor);
  }
  free(moved);
  xai_result_free(result);
  return status;
}

/* sum of gradient * d over the inputs; *index is the explained element. */
static int slope_of(const struct model *m, xai_request request, float *const *d, double *slope,
                    int64_t *index, xai_error *err) {
  xai_result *result = NULL;
  request.method = "gradient";
  int status = xai_explain(m->session, &request, &result, err);
  if (status)
    return status;
  const xai_tensor *target = xai_result_find(result, "target");
  *index = target && elements(target) == 1 ? *(const int64_t *)xai_tensor_data(target) : -1;
  *slope = 0;
  for (size_t i = 0; i < m->n_inputs; i++) {
    char key[600];
    snprintf(key, sizeof key, "relevance/%s", m->inputs[i].name);
    const xai_tensor *t = d[i] ? xai_result_find(result, key) : NULL;
    const float *g = t ? xai_tensor_data(t) : NULL;
    for (size_t k = 0; g && k < elements(t); k++)
      *slope += (double)g[k] * (double)d[i][k];
  }
  xai_result_free(result);
  return 0;
}

static int check(const struct model *m, xai_request request, const xai_param *inputs,
                 float *const *d, char why[256]) {
  double slope;
  int64_t index;
  xai_error err;
  if (slope_of(m, request, d, &slope, &index, &err)) {
    snprintf(why, 256, "%.250s", err.text);
    return err.status == XAI_E_UNSUPPORTED || err.status == XAI_E_INPUT ? 1 : -1;
  }
  if (index < 0)
    return 1;
  /* A kink or rounding spoils a quotient. Only where two sizes of step agree with each other and
   * not with the gradient is the gradient wrong. */
  bool settled = false;
  double last = INFINITY;
  for (double h = 1e-2; h > 5e-5; h /= 10) {
    double up, down;
    const char *name = m->outputs[0].name;
    if (value_at(m, request, inputs, d, h, name, index, &up))
      return 1;
    if (value_at(m, request, inputs, d, -h, name, index, &down))
      return 1;
    double quotient = (up - down) / (2 * h);
    double rounding = 1e-6 * (fabs(up) + fabs(down)) / (2 * h);
    if (!isfinite(quotient))
      return 1;
    if (fabs(quotient - slope) <= 1e-3 + 0.02 * fabs(slope) + rounding)
      return 0;
    if (fabs(quotient - last) <= 1e-3 + 0.02 * fabs(quotient)) {
      settled = true;
      snprintf(why, 256, "gradient along a direction is %.6g, by differences %.6g", slope,
               quotient);
    }
    last = quotient;
  }
  return settled ? -1 : 1;
}

int compare_gradient(const struct model *m, const struct options *o, const xai_param *inputs,
                     char why[256]) {
  uint64_t state = (uint64_t)o->random_seed;
  float **d = calloc(m->n_inputs + 1, sizeof *d);
  int found = 0, result = 1;
  if (!d || !m->n_outputs || m->outputs[0].dtype != XAI_F32) {
    free(d);
    return 1;
  }
  for (size_t i = 0; i < m->n_inputs; i++) {
    if (xai_tensor_dtype(inputs[i].tensor) != XAI_F32)
      continue;
    size_t n = elements(inputs[i].tensor);
    d[i] = malloc(n * sizeof **d + 1);
    for (size_t k = 0; d[i] && k < n; k++)
      d[i][k] = (float)chance(&state);
    found += d[i] != NULL;
  }
  xai_request request;
  xai_param logit = {"output", NULL, "logit", 0}; /* a softmax of equal scores drowns in rounding */
  memset(&request, 0, sizeof request);
  request.struct_size = sizeof request;
  request.params = &logit;
  request.n_params = 1;
  request.inputs = inputs;
  request.n_inputs = m->n_inputs;
  request.cancel = stop_cancel();
  if (found)
    result = check(m, request, inputs, d, why);
  for (size_t i = 0; i < m->n_inputs; i++)
    free(d[i]);
  free(d);
  return result;
}
