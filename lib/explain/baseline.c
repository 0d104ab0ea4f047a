/* Baselines: where integrated gradients and DeepLIFT start from, and how far their relevance is from
 * summing to f(x) - f(baseline). */
#include <string.h>

#include "explain/job.h"

static bool is_float(const xai__job *j, int input) {
  return j->plan->value[j->s->graph->inputs[input]].dtype == XAI_F32;
}

int xai__job_baseline(xai__job *j, const char *name, float ***base, int64_t *sets) {
  const xai_graph *g = j->s->graph;
  const xai__value *v = xai__params_find(&j->params, name);
  bool is_set = !strcmp(name, "background");
  *base = xai__arena_new(&j->in.arena, (size_t)g->n_inputs, sizeof **base, j->err);
  if (!*base) return j->err->status;
  *sets = 1;
  int first = -1; /* float input */
  for (int i = 0; i < g->n_inputs; i++) {
    if (!is_float(j, i)) continue;
    int64_t n = xai__count(&j->in.shape[i]), item = n / (j->in.batch ? j->in.batch : 1), rows = 1;
    const float *from = NULL;
    float number = v && !v->tensor ? (float)v->number : 0;
    if (v && v->tensor) {
      int64_t given = xai__count(&v->tensor->shape);
      from = v->tensor->data;
      rows = item ? given / item : 0;
      if (v->tensor->dtype != XAI_F32 || !rows || given % item)
        return xai__fail(j->err, XAI_E_ARGUMENT, name, "%s of shape %s does not fit input '%s' of shape %s",
                         name, xai__shape_text(&v->tensor->shape).text, g->values[g->inputs[i]].name,
                         xai__shape_text(&j->in.shape[i]).text);
    }
    if (!is_set && rows != 1 && rows != j->in.batch)
      return xai__fail(j->err, XAI_E_ARGUMENT, name, "%s has %lld items for the %lld of the batch", name,
                       (long long)rows, (long long)j->in.batch);
    if (is_set && first >= 0 && rows != *sets)
      return xai__fail(j->err, XAI_E_ARGUMENT, name, "%s has %lld items for input '%s' and %lld for '%s'",
                       name, (long long)*sets, g->values[g->inputs[first]].name, (long long)rows,
                       g->values[g->inputs[i]].name);
    if (first < 0) first = i;
    if (is_set) *sets = rows;
    float *b = xai__arena_new(&j->in.arena, (size_t)(*sets * n) + 1, sizeof *b, j->err);
    if (!b) return j->err->status;
    for (int64_t set = 0; set < *sets; set++)
      for (int64_t k = 0; k < n; k++) {
        int64_t row = is_set ? set : rows == 1 ? 0 : k / item;
        b[set * n + k] = from ? from[row * item + k % item] : number;
      }
    (*base)[i] = b;
  }
  return XAI_OK;
}

int xai__job_forward_baseline(xai__job *j, float *const *base, int64_t set, double weight, double *f0) {
  const xai__targets *t = &j->targets;
  size_t n = (size_t)j->s->graph->n_inputs;
  void **data = xai__arena_new(&j->in.arena, n + 1, sizeof *data, j->err);
  if (!data) return j->err->status;
  for (size_t i = 0; i < n; i++)
    data[i] = base[i] ? base[i] + set * xai__count(&j->in.shape[i]) : j->in.data[i];
  XAI__TRY(xai__forward(j->plan, data, &j->watch, j->err));
  const float *y = xai__f(&j->plan->value[j->source]);
  for (int64_t k = 0; k < t->n; k++)
    for (int64_t item = 0; item < t->items; item++)
      f0[k * t->items + item] += weight * xai__targets_value(t, k, item, y + item * t->size);
  return XAI_OK;
}

int xai__job_gap(xai__job *j, const double *f0) {
  const xai__targets *t = &j->targets;
  int64_t n = t->n * t->items;
  double *gap = xai__arena_new(&j->in.arena, (size_t)n + 1, sizeof *gap, j->err);
  if (!gap) return j->err->status;
  for (int64_t i = 0; i < n; i++) gap[i] = t->f[i] - f0[i];
  for (int64_t k = 0; k < t->n; k++)
    for (int i = 0; i < j->n_at; i++) {
      int64_t m = xai__count(&j->plan->value[j->at[i]].shape);
      const float *R = xai__job_full(j, k, i);
      for (int64_t e = 0; e < m; e++) gap[k * t->items + e / (m / t->items)] -= (double)R[e];
    }
  return xai__job_scores(j, "gap", gap);
}
