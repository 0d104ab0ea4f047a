/* DeepLIFT [Shrikumar et al. 2017]:
 *
 *   R = m (x - x0),   sum R = f(x) - f(x0)
 *
 * The multipliers m are those of the rescale rule (deeplift_cross.c) or, at nonlinearities behind
 * sums, of RevealCancel (deeplift_reveal.c). Two forward passes serve all targets. */
#include <string.h>

#include "base/number.h"
#include "explain/deeplift.h"

/* Keeps the data of a value, as the plan holds them now. */
static int keep(xai__job *j, void **kept, int v) {
  const xai__plan *p = j->plan;
  int owner = v < 0 ? -1 : p->owner[v];
  if (v < 0 || kept[v]) return XAI_OK;
  const xai__view *value = &p->value[owner];
  bool in_buffer = p->offset[owner] >= 0; /* else an input, or known while planning */
  if (!kept[owner] && !in_buffer) kept[owner] = value->data;
  if (!kept[owner]) {
    size_t n = (size_t)xai__count(&value->shape), size = xai__dtype_size(value->dtype);
    kept[owner] = xai__arena_new(&j->in.arena, n + 1, size, j->err);
    if (!kept[owner]) return j->err->status;
    memcpy(kept[owner], value->data, n * size);
  }
  kept[v] = (char *)kept[owner] + p->inside[v];
  return XAI_OK;
}

/* What the reverse steps will read, at the input. */
static int keep_all(xai__job *j, void **kept) {
  const xai__plan *p = j->plan;
  for (int i = 0; i < p->n_steps; i++) {
    const xai__node *node = &p->steps.v[p->step[i]].node;
    for (int k = 0; k < node->n_in; k++) XAI__TRY(keep(j, kept, node->in[k]));
    for (int k = 0; k < node->n_out; k++) XAI__TRY(keep(j, kept, node->out[k]));
  }
  for (int i = 0; i < j->n_at; i++) XAI__TRY(keep(j, kept, j->at[i]));
  return keep(j, kept, j->source);
}

static int make(xai__job *j, bool reveal, xai__deeplift *d) {
  const xai_graph *g = j->s->graph;
  xai__plan *p = j->plan;
  xai__arena *a = &j->in.arena;
  *d = (xai__deeplift){.plan = p, .items = j->targets.items};
  d->x = xai__arena_new(a, (size_t)g->n_values, sizeof *d->x, j->err);
  d->step = xai__arena_new(a, (size_t)p->steps.n + 1, sizeof *d->step, j->err);
  d->user = xai__arena_new(a, (size_t)g->n_values, sizeof *d->user, j->err);
  if (!d->x || !d->step || !d->user) return j->err->status;
  for (int v = 0; v < g->n_values; v++) d->user[v] = -1;
  for (int i = 0; i < p->n_steps; i++) {
    const xai__step *s = &p->steps.v[p->step[i]];
    d->step[p->step[i]] = xai__deeplift_classify(p, s);
    for (int k = 0; k < s->node.n_in; k++) {
      int v = s->node.in[k];
      if (v >= 0 && g->values[v].n_uses == 1) d->user[v] = p->step[i];
    }
  }
  if (reveal) xai__deeplift_pair(d);
  return keep_all(j, d->x);
}

/* The multipliers of the explained tensor y, in which f is linear but for log-probabilities: there
 * the mean of df/dy from y0 to y. Of target k, the t-th of its sweep. */
static int seed(xai__job *j, const xai__deeplift *d, int64_t k, int64_t t) {
  enum { POINTS = 32 };
  const xai__view *y0 = &j->plan->value[j->source];
  int64_t n = xai__count(&y0->shape);
  float *m = xai__plan_grad(j->plan, j->source, t);
  xai__engine *e = j->s->engine;
  xai__view y = *y0;
  y.data = d->x[j->source];
  if (!j->targets.log_prob) {
    xai__targets_seed(&j->targets, k, &y, m);
    return XAI_OK;
  }
  double part[POINTS], weight[POINTS];
  size_t mark = xai__scratch_mark(e);
  xai__view at = *y0;
  at.data = xai__scratch(e, (size_t)n, sizeof(float), j->err);
  float *slope = xai__scratch(e, (size_t)n, sizeof *slope, j->err);
  if (at.data && slope) {
    xai__gauss_legendre(POINTS, part, weight);
    xai__fill(e, m, n, 0);
    for (int i = 0; i < POINTS; i++) {
      xai__deeplift_between(e, xai__f(y0), xai__f(&y), part[i], n, xai__f(&at));
      xai__targets_seed(&j->targets, k, &at, slope);
      xai__add_scaled(e, m, slope, n, (float)weight[i]);
    }
  }
  xai__scratch_release(e, mark);
  return at.data && slope ? XAI_OK : j->err->status;
}

static void finish(const xai__job *j, const xai__deeplift *d, int64_t k, int64_t t) {
  for (int i = 0; i < j->n_at; i++) {
    const xai__view *base = &j->plan->value[j->at[i]];
    const float *x = d->x[j->at[i]], *x0 = xai__f(base), *m = xai__plan_grad(j->plan, j->at[i], t);
    float *R = xai__job_full(j, k, i);
    int64_t n = xai__count(&base->shape);
    for (int64_t e = 0; e < n; e++) R[e] = m[e] * (x[e] - x0[e]);
  }
}

static int run(xai__job *j, bool reveal) {
  const xai__targets *t = &j->targets;
  xai__deeplift d;
  float **base;
  int64_t sets;
  XAI__TRY(xai__job_inputs_only(j));
  XAI__TRY(xai__job_baseline(j, "baseline", &base, &sets));
  XAI__TRY(xai__job_begin(j));
  XAI__TRY(make(j, reveal, &d));
  double *f0 = xai__arena_new(&j->in.arena, (size_t)(t->n * t->items) + 1, sizeof *f0, j->err);
  if (!f0) return j->err->status;
  j->watch.from = 0.3;
  j->watch.span = 0.2;
  XAI__TRY(xai__job_forward_baseline(j, base, 0, 1, f0));
  for (int64_t k = 0, group; k < t->n; k += group) {
    group = xai__job_group(j, j->plan, k);
    j->watch.from = 0.5 + 0.5 * (double)k / (double)t->n;
    j->watch.span = 0.5 * (double)group / (double)t->n;
    for (int64_t i = 0; i < group; i++) XAI__TRY(seed(j, &d, k + i, i));
    XAI__TRY(xai__reverse(j->plan, group, xai__deeplift_cross, &d, &j->watch, j->err));
    for (int64_t i = 0; i < group; i++) finish(j, &d, k + i, i);
  }
  XAI__TRY(xai__job_gap(j, f0));
  return xai__job_end(j);
}

int xai__run_deeplift_rescale(xai__job *j) { return run(j, false); }
int xai__run_deeplift_revealcancel(xai__job *j) { return run(j, true); }
