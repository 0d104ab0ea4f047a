/* Targets and seeds. */
#include "explain/target.h"

#include <math.h>
#include <string.h>

/* ---- which elements ---- */

static int64_t largest(const float *y, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; i++)
    if (y[i] > y[best]) best = i;
  return best;
}

/* The k largest of each item, first index on ties. */
static int choose_top(xai__targets *t, const float *y, xai_error *err) {
  bool *taken = xai__arena_new(&t->arena, (size_t)t->size + 1, 1, err);
  if (!taken) return err->status;
  for (int64_t item = 0; item < t->items; item++) {
    const float *v = y + item * t->size;
    memset(taken, 0, (size_t)t->size);
    for (int64_t k = 0; k < t->n; k++) {
      int64_t best = -1;
      for (int64_t i = 0; i < t->size; i++)
        if (!taken[i] && (best < 0 || v[i] > v[best])) best = i;
      taken[best] = true;
      t->index[k * t->items + item] = best;
    }
  }
  return XAI_OK;
}

static int read_indices(xai__targets *t, const xai_tensor *target, const float *y,
                        xai_error *err) {
  const int64_t *given = target->data;
  int64_t columns = target->shape.rank == 2 ? target->shape.d[1] : 1;
  if (columns != 1 && columns != t->items)
    return xai__fail(err, XAI_E_ARGUMENT, "target", "target has %lld columns for %lld items",
                     (long long)columns, (long long)t->items);
  for (int64_t k = 0; k < t->n; k++)
    for (int64_t item = 0; item < t->items; item++) {
      int64_t i = given[k * columns + (columns > 1 ? item : 0)];
      if (i < -1 || i >= t->size)
        return xai__fail(err, XAI_E_ARGUMENT, "target", "target %lld is out of range: the explained tensor has %lld elements an item",
                         (long long)i, (long long)t->size);
      t->index[k * t->items + item] = i >= 0 ? i : largest(y + item * t->size, t->size);
    }
  return XAI_OK;
}

static int read_mask(xai__targets *t, const xai_tensor *mask, xai_error *err) {
  int64_t n = xai__count(&mask->shape);
  if (!t->size || n % t->size || n == 0)
    return xai__fail(err, XAI_E_ARGUMENT, "target", "a target mask of shape %s does not fit: the explained tensor has %lld elements an item",
                     xai__shape_text(&mask->shape).text, (long long)t->size);
  t->n = n / t->size;
  t->mask = mask->data;
  return XAI_OK;
}

static int choose(xai__targets *t, const xai_request *r, const float *y, xai_error *err) {
  if (r->target && r->target->dtype == XAI_F32) return read_mask(t, r->target, err);
  if (r->target && (r->target->dtype != XAI_I64 || r->target->shape.rank < 1 || r->target->shape.rank > 2))
    return xai__fail(err, XAI_E_ARGUMENT, "target", "target is int64 [T] or [T,N], or a float32 mask, not %s %s",
                     xai__dtype_name(r->target->dtype), xai__shape_text(&r->target->shape).text);
  t->n = r->target ? r->target->shape.d[0] : r->top ? r->top : 1;
  if (t->n < 1 || (!r->target && t->n > t->size))
    return xai__fail(err, XAI_E_ARGUMENT, "target", "%lld targets of %lld elements an item",
                     (long long)t->n, (long long)t->size);
  t->index = xai__arena_new(&t->arena, (size_t)(t->n * t->items) + 1, sizeof *t->index, err);
  if (!t->index) return err->status;
  return r->target ? read_indices(t, r->target, y, err) : choose_top(t, y, err);
}

/* ---- their values ---- */

/* log sum exp over the classes at the position of element i of an item. */
static double log_sum_exp(const xai__targets *t, const float *y, int64_t i) {
  const float *v = y + i / (t->classes * t->inner) * t->classes * t->inner + i % t->inner;
  double top = -(double)INFINITY, sum = 0;
  for (int64_t j = 0; j < t->classes; j++)
    if ((double)v[j * t->inner] > top) top = (double)v[j * t->inner];
  for (int64_t j = 0; j < t->classes; j++) sum += exp((double)v[j * t->inner] - top);
  return top + log(sum);
}

double xai__targets_value(const xai__targets *t, int64_t k, int64_t item, const float *y) {
  double f = 0;
  if (!t->mask) {
    int64_t i = t->index[k * t->items + item];
    return (double)y[i] - (t->log_prob ? log_sum_exp(t, y, i) : 0);
  }
  for (int64_t i = 0; i < t->size; i++) f += (double)t->mask[k * t->size + i] * (double)y[i];
  return f;
}

static int evaluate(xai__targets *t, const float *y, xai_error *err) {
  t->f = xai__arena_new(&t->arena, (size_t)(t->n * t->items) + 1, sizeof *t->f, err);
  if (!t->f) return err->status;
  for (int64_t k = 0; k < t->n; k++)
    for (int64_t item = 0; item < t->items; item++) {
      double f = xai__targets_value(t, k, item, y + item * t->size);
      if (!isfinite(f))
        return xai__fail(err, XAI_E_NUMBER, "target", "the explained value of item %lld is not finite",
                         (long long)item);
      t->f[k * t->items + item] = f;
    }
  return XAI_OK;
}

static int read_seed(xai__targets *t, const xai__params *params, xai_error *err) {
  static const char *const names[] = {"one", "value", "contrast"};
  const xai__value *v = xai__params_find(params, "seed");
  for (int i = 0; i < 3; i++)
    if (!strcmp(v->text, names[i])) t->seed = (xai__seed)i;
  if (!v->tensor) return XAI_OK;
  t->seed = XAI__SEED_TENSOR;
  t->n_seed = xai__count(&v->tensor->shape);
  t->seed_tensor = v->tensor->data;
  if (v->tensor->dtype == XAI_F32 && (t->n_seed == t->size || t->n_seed == t->size * t->items))
    return XAI_OK;
  return xai__fail(err, XAI_E_ARGUMENT, "seed", "a seed tensor of shape %s does not fit: the explained tensor has %lld items of %lld elements",
                   xai__shape_text(&v->tensor->shape).text, (long long)t->items, (long long)t->size);
}

int xai__targets_read(const xai_request *r, const xai__params *params, const xai__view *y,
                      int64_t batch, int class_axis, xai__memory *m,
                      xai__targets *t, xai_error *err) {
  *t = (xai__targets){.arena.memory = m, .inner = 1};
  bool batched = y->shape.rank > 0 && y->shape.d[0] == batch;
  if (!batched && batch != 1)
    return xai__fail(err, XAI_E_UNSUPPORTED, "from", "the explained tensor of shape %s has no axis for the %lld items of the batch",
                     xai__shape_text(&y->shape).text, (long long)batch);
  t->items = batched ? batch : 1;
  t->size = t->items ? xai__count(&y->shape) / t->items : 0;
  if (t->size < 1)
    return xai__fail(err, XAI_E_INPUT, "from", "the explained tensor of shape %s is empty",
                     xai__shape_text(&y->shape).text);
  int axis = class_axis >= 0 ? class_axis : y->shape.rank > 1 ? 1 : 0;
  t->classes = y->shape.rank > axis ? y->shape.d[axis] : 1;
  if (y->shape.rank > axis) t->inner = xai__span(&y->shape, axis + 1, y->shape.rank);
  t->log_prob = xai__params_is(params, "output", "log-prob");
  XAI__TRY(read_seed(t, params, err));
  XAI__TRY(choose(t, r, xai__f(y), err));
  if (t->mask && (t->log_prob || t->seed == XAI__SEED_CONTRAST))
    return xai__fail(err, XAI_E_ARGUMENT, "target", "a target mask has no log-probability and no contrast");
  return evaluate(t, xai__f(y), err);
}

void xai__targets_free(xai__targets *t) { xai__arena_free(&t->arena); }

int64_t xai__targets_asked(const xai_request *r) {
  const xai_tensor *t = r->target;
  if (!t) return r->top ? r->top : 1;
  return t->shape.rank > (t->dtype == XAI_F32) ? t->shape.d[0] : 1; /* a mask: [T, item] */
}

/* ---- seeds ---- */

static void seed_item(const xai__targets *t, int64_t k, int64_t item, const float *y, float *R) {
  if (t->seed == XAI__SEED_TENSOR) {
    memcpy(R, t->seed_tensor + (t->n_seed == t->size ? 0 : item * t->size),
           (size_t)t->size * sizeof *R);
    return;
  }
  if (t->mask) {
    const float *weight = t->mask + k * t->size;
    for (int64_t i = 0; i < t->size; i++)
      R[i] = t->seed == XAI__SEED_VALUE ? weight[i] * y[i] : weight[i];
    return;
  }
  memset(R, 0, (size_t)t->size * sizeof *R);
  int64_t c = t->index[k * t->items + item], stride = t->inner;
  float *row = R + c / (t->classes * stride) * t->classes * stride + c % stride;
  const float *values = y + (row - R);
  bool weighed = t->seed != XAI__SEED_ONE;
  if (t->log_prob) { /* e_c - p, weighed by f for a relevance */
    double lse = log_sum_exp(t, y, c);
    for (int64_t j = 0; j < t->classes; j++) {
      double p = exp((double)values[j * stride] - lse);
      double weight = weighed ? (double)values[j * stride] : 1;
      row[j * stride] = (float)((&row[j * stride] == &R[c] ? 1 - p : -p) * weight);
    }
    return;
  }
  if (t->seed == XAI__SEED_CONTRAST && t->classes > 1)
    for (int64_t j = 0; j < t->classes; j++)
      row[j * stride] = -values[j * stride] / (float)(t->classes - 1);
  R[c] = weighed ? y[c] : 1;
}

void xai__targets_seed(const xai__targets *t, int64_t k, const xai__view *y, float *seed) {
  int64_t items = xai__count(&y->shape) / t->size;
  for (int64_t item = 0; item < items; item++)
    seed_item(t, k, item % t->items, xai__f(y) + item * t->size, seed + item * t->size);
}
