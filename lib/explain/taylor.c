/* Simple Taylor decomposition with its root found along the gradient [Montavon et al. 2018, sec. 4.1]:
 *
 *   R = (x - r) df/dx(r),   r = x - t sgn(f) grad f(x)
 *
 * t: doubled from the Newton step f / |grad f|^2 until f changes its sign, then bisected until
 * |f(r)| <= 1e-5 |f(x)|. Each item of a batch has its own t; all move together. */
#include <math.h>
#include <string.h>

#include "explain/job.h"

enum { DOUBLINGS = 16, BISECTIONS = 200 };

typedef struct search {
  xai__job *j;
  int64_t k, items;
  float **direction, **r;         /* per graph input; NULL for integers */
  void **data;                    /* per graph input: r, or the integers */
  double *low, *high, *t, *value; /* per item: bracket, step and f there */
  bool *done, *crossed;
} search;

static int64_t count(const search *s, int input) { return xai__count(&s->j->in.shape[input]); }

static int make(search *s) {
  xai__job *j = s->j;
  const xai_graph *g = j->s->graph;
  size_t n = (size_t)g->n_inputs + 1, items = (size_t)s->items + 1;
  xai__arena *a = &j->in.arena;
  s->direction = xai__arena_new(a, n, sizeof *s->direction, j->err);
  s->r = xai__arena_new(a, n, sizeof *s->r, j->err);
  s->data = xai__arena_new(a, n, sizeof *s->data, j->err);
  s->low = xai__arena_new(a, 4 * items, sizeof *s->low, j->err);
  s->done = xai__arena_new(a, 2 * items, 1, j->err);
  if (!s->direction || !s->r || !s->data || !s->low || !s->done) return j->err->status;
  s->high = s->low + items;
  s->t = s->high + items;
  s->value = s->t + items;
  s->crossed = s->done + items;
  for (int i = 0; i < g->n_inputs; i++) {
    s->data[i] = j->in.data[i];
    if (j->plan->value[g->inputs[i]].dtype != XAI_F32) continue;
    size_t m = (size_t)count(s, i) + 1;
    s->direction[i] = xai__arena_new(a, m, sizeof(float), j->err);
    s->data[i] = s->r[i] = xai__arena_new(a, m, sizeof(float), j->err);
    if (!s->direction[i] || !s->r[i]) return j->err->status;
  }
  return XAI_OK;
}

/* The direction -sgn(f) grad f at x, and the Newton step along it. */
static int aim(search *s) {
  xai__job *j = s->j;
  const xai_graph *g = j->s->graph;
  XAI__TRY(xai__forward(j->plan, j->in.data, &j->watch, j->err));
  XAI__TRY(xai__job_sweep(j, j->plan, s->k, 1, XAI__PLAIN));
  for (int64_t item = 0; item < s->items; item++) {
    double f = j->targets.f[s->k * s->items + item], squares = 0;
    for (int i = 0; i < g->n_inputs; i++) {
      if (!s->r[i]) continue;
      const float *grad = xai__plan_grad(j->plan, g->inputs[i], 0);
      int64_t m = count(s, i) / s->items;
      for (int64_t e = item * m; e < (item + 1) * m && grad; e++) {
        s->direction[i][e] = f > 0 ? -grad[e] : grad[e];
        squares += (double)grad[e] * (double)grad[e];
      }
    }
    s->low[item] = 0;
    s->high[item] = squares > 0 ? fabs(f) / squares : 0;
    s->done[item] = f == 0;
    s->crossed[item] = f == 0;
  }
  return XAI_OK;
}

/* f at x + t direction. */
static int evaluate(search *s) {
  xai__job *j = s->j;
  for (int i = 0; i < j->s->graph->n_inputs; i++) {
    if (!s->r[i]) continue;
    int64_t m = count(s, i) / s->items;
    const float *x = j->in.data[i];
    for (int64_t e = 0; e < m * s->items; e++)
      s->r[i][e] = x[e] + (float)s->t[e / m] * s->direction[i][e];
  }
  XAI__TRY(xai__forward(j->plan, s->data, &j->watch, j->err));
  const float *y = xai__f(&j->plan->value[j->source]);
  for (int64_t item = 0; item < s->items; item++)
    s->value[item] = xai__targets_value(&j->targets, s->k, item, y + item * j->targets.size);
  return XAI_OK;
}

static bool has_crossed(const search *s, int64_t item) {
  double f = s->j->targets.f[s->k * s->items + item];
  return f > 0 ? s->value[item] <= 0 : s->value[item] >= 0;
}

static bool is_close(const search *s, int64_t item) {
  return fabs(s->value[item]) <= 1e-5 * fabs(s->j->targets.f[s->k * s->items + item]);
}

static bool all(const bool *flags, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (!flags[i]) return false;
  return true;
}

static int bracket(search *s) {
  for (int doubling = 0; doubling <= DOUBLINGS && !all(s->crossed, s->items); doubling++) {
    for (int64_t i = 0; i < s->items; i++) s->t[i] = s->done[i] ? 0 : s->high[i];
    XAI__TRY(evaluate(s));
    for (int64_t i = 0; i < s->items; i++) {
      if (s->crossed[i]) continue;
      s->crossed[i] = has_crossed(s, i);
      if (s->crossed[i]) continue;
      s->low[i] = s->high[i];
      s->high[i] *= 2;
    }
  }
  for (int64_t i = 0; i < s->items; i++)
    if (!s->crossed[i])
      return xai__fail(s->j->err, XAI_E_NUMBER, "root", "item %lld: no root of f along the gradient within %d doublings of the step",
                       (long long)i, DOUBLINGS);
  return XAI_OK;
}

static int bisect(search *s) {
  for (int step = 0; step < BISECTIONS; step++) {
    for (int64_t i = 0; i < s->items; i++)
      if (!s->done[i]) s->t[i] = 0.5 * (s->low[i] + s->high[i]);
    XAI__TRY(evaluate(s));
    for (int64_t i = 0; i < s->items; i++) {
      if (s->done[i]) continue;
      bool finest = s->t[i] == s->low[i] || s->t[i] == s->high[i];
      s->done[i] = is_close(s, i) || finest;
      *(has_crossed(s, i) ? &s->high[i] : &s->low[i]) = s->t[i];
    }
    if (all(s->done, s->items)) return XAI_OK;
  }
  return XAI_OK;
}

/* The forward pass is at r: the gradient there times (x - r). */
static int decompose(search *s) {
  xai__job *j = s->j;
  const xai_graph *g = j->s->graph;
  XAI__TRY(evaluate(s));
  XAI__TRY(xai__job_sweep(j, j->plan, s->k, 1, XAI__PLAIN));
  for (int i = 0; i < j->n_at; i++) {
    int input = 0;
    while (g->inputs[input] != j->at[i]) input++;
    const float *x = j->in.data[input], *grad = xai__plan_grad(j->plan, j->at[i], 0);
    float *R = xai__job_full(j, s->k, i);
    for (int64_t e = 0; e < count(s, input); e++) R[e] = (x[e] - s->r[input][e]) * grad[e];
  }
  return XAI_OK;
}

int xai__run_taylor(xai__job *j) {
  const xai__targets *t = &j->targets;
  search s = {.j = j, .items = t->items};
  XAI__TRY(xai__job_inputs_only(j));
  XAI__TRY(xai__job_begin(j));
  XAI__TRY(make(&s));
  double *residual = xai__arena_new(&j->in.arena, (size_t)(t->n * t->items) + 1, sizeof *residual, j->err);
  if (!residual) return j->err->status;
  for (s.k = 0; s.k < t->n; s.k++) {
    j->watch.from = (double)s.k / (double)t->n;
    j->watch.span = 0;
    XAI__TRY(aim(&s));
    XAI__TRY(bracket(&s));
    XAI__TRY(bisect(&s));
    XAI__TRY(decompose(&s));
    for (int64_t i = 0; i < s.items; i++) residual[s.k * s.items + i] = fabs(s.value[i]);
  }
  XAI__TRY(xai__job_scores(j, "root-f", residual));
  return xai__job_end(j);
}
