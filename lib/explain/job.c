/* Plans, sweeps and results of a job. */
#include "explain/job.h"

#include <string.h>

#include "rule/composite.h"

/* ---- plans and sweeps ---- */

static int reads(void *job, const xai__steps *steps, unsigned char *reads, xai_error *err) {
  xai__job *j = job;
  xai__assignment *assigned;
  if (!j->method->relevance) return xai__gradient_reads(NULL, steps, reads, err);
  XAI__TRY(xai__assign(xai__composite_find(j->method->name), j->r->rows, j->r->n_rows, &j->params,
                       steps, &j->in.arena, &assigned, err));
  xai__rules_reads(&j->params, assigned, steps, reads);
  return XAI_OK;
}

static xai__winograd_use winograd(const xai__job *j) {
  if (j->method->own_sweep || !xai__params_is(&j->params, "winograd", "on")) return XAI__DIRECT;
  return j->method->relevance ? XAI__WINOGRAD_FORWARD : XAI__WINOGRAD_VJP;
}

int xai__job_plan(xai__job *j, int64_t times, xai__plan **out) {
  size_t n = (size_t)j->s->graph->n_inputs;
  xai__shape *shape = xai__arena_new(&j->in.arena, n + 1, sizeof *shape, j->err);
  int *want = xai__arena_new(&j->in.arena, (size_t)j->n_at + 1, sizeof *want, j->err);
  if (!shape || !want) return j->err->status;
  memcpy(shape, j->in.shape, n * sizeof *shape);
  memcpy(want, j->at, (size_t)j->n_at * sizeof *want); /* also where they do not lead to the source */
  want[j->n_at] = j->source;
  for (size_t i = 0; i < n; i++)
    if (shape[i].rank > 0) shape[i].d[0] *= times;
  bool has_data = times == 1 && j->in.data[0]; /* a bill has none */
  xai__plan_request q = {.input = shape, .data = has_data ? j->in.data : NULL, .want = want, .n_want = j->n_at + 1, .reverse = true,
                         .fold = xai__method_fold(j->method, &j->params),
                         .winograd = winograd(j),
                         .everything = j->r->ledger != 0, .source = j->source, .n_at = j->n_at,
                         .at = j->at, .targets = j->r->ledger ? 1 : xai__targets_asked(j->r),
                         .reads = j->method->own_sweep || j->r->ledger ? NULL : reads,
                         .reads_user = j};
  return xai__session_plan(j->s, &q, out, j->err);
}

int64_t xai__job_batch(const xai__job *j, int64_t points) {
  const xai_graph *g = j->s->graph;
  for (int i = 0; i < g->n_inputs; i++) {
    const xai__shape *s = &g->values[g->inputs[i]].shape;
    if (s->rank < 1 || s->d[0] >= 0) return 1;
  }
  int64_t room = xai__memory_room(j->s->memory) / 2, most = (int64_t)256 << 20;
  int64_t fit = (room < most ? room : most) / (j->plan->bytes + 1);
  return fit < 1 ? 1 : fit < points ? fit : points;
}

int64_t xai__job_group(const xai__job *j, const xai__plan *p, int64_t k) {
  return p->targets < j->targets.n - k ? p->targets : j->targets.n - k;
}

int xai__job_sweep(xai__job *j, xai__plan *p, int64_t k, int64_t n, xai__backward how) {
  for (int64_t t = 0; t < n; t++)
    xai__targets_seed(&j->targets, k + t, &p->value[j->source], xai__plan_grad(p, j->source, t));
  xai__gradient g = {p, how};
  return j->method->relevance ? xai__reverse(p, n, xai__rules_cross, j->rules, &j->watch, j->err)
                              : xai__reverse(p, n, xai__gradient_cross, &g, &j->watch, j->err);
}

int64_t xai__extra_inputs(const xai__job *j) {
  int64_t bytes = 0;
  for (int i = 0; i < j->s->graph->n_inputs; i++)
    bytes += 4 * xai__count(&j->in.shape[i]) * (int64_t)sizeof(int64_t);
  return bytes;
}

int64_t xai__extra_plan(const xai__job *j) { return j->plan->bytes + xai__extra_inputs(j); }

int xai__job_inputs_only(xai__job *j) {
  const xai_graph *g = j->s->graph;
  for (int i = 0; i < j->n_at; i++) {
    bool is_input = false;
    for (int k = 0; k < g->n_inputs; k++) is_input |= g->inputs[k] == j->at[i];
    if (!is_input)
      return xai__fail(j->err, XAI_E_UNSUPPORTED, j->name[i], "method '%s' explains float inputs only, not '%s'",
                       j->method->name, j->name[i]);
  }
  return XAI_OK;
}

/* ---- results ---- */

static bool is_reduced(const xai__job *j) { return xai__params_is(&j->params, "reduce", "sum"); }

/* The shape with a leading axis of targets where there are several. */
static int with_targets(const xai__job *j, const char *name, xai__shape *s) {
  if (j->targets.n == 1) return XAI_OK;
  if (s->rank == XAI__MAX_RANK)
    return xai__fail(j->err, XAI_E_UNSUPPORTED, name, "several targets of a tensor of %d axes", s->rank);
  memmove(s->d + 1, s->d, (size_t)s->rank++ * sizeof *s->d);
  s->d[0] = j->targets.n;
  return XAI_OK;
}

static int64_t size_at(const xai__job *j, int i) {
  return xai__count(&j->plan->value[j->at[i]].shape);
}

int xai__job_begin(xai__job *j) {
  j->R = xai__arena_new(&j->in.arena, (size_t)j->n_at, sizeof *j->R, j->err);
  j->full = xai__arena_new(&j->in.arena, (size_t)j->n_at, sizeof *j->full, j->err);
  if (!j->R || !j->full) return j->err->status;
  for (int i = 0; i < j->n_at; i++) {
    xai__shape s = j->plan->value[j->at[i]].shape;
    if (is_reduced(j) && s.rank-- < 1)
      return xai__fail(j->err, XAI_E_ARGUMENT, "reduce", "'%s' is a scalar: nothing to sum", j->name[i]);
    XAI__TRY(with_targets(j, j->name[i], &s));
    XAI__TRY(xai__result_tensor(j->out, "relevance", j->name[i], XAI_F32, &s, &j->R[i], j->err));
    j->full[i] = j->R[i]->data;
    if (!is_reduced(j)) continue;
    size_t n = (size_t)(size_at(j, i) * j->targets.n);
    j->full[i] = xai__arena_new(&j->in.arena, n + 1, sizeof(float), j->err);
    if (!j->full[i]) return j->err->status;
  }
  return XAI_OK;
}

float *xai__job_full(const xai__job *j, int64_t k, int i) { return j->full[i] + k * size_at(j, i); }

int xai__job_end(xai__job *j) {
  for (int i = 0; i < j->n_at; i++) {
    float *R = j->R[i]->data;
    int64_t n = xai__count(&j->R[i]->shape), n_full = size_at(j, i) * j->targets.n;
    int64_t width = n ? n_full / n : 0;
    for (int64_t o = 0; is_reduced(j) && o < n; o++)
      R[o] = (float)xai__sum(j->s->engine, j->full[i] + o * width, width);
    if (!xai__all_finite(R, n))
      return xai__fail(j->err, XAI_E_NUMBER, j->name[i], "the relevance of '%s' is not finite", j->name[i]);
  }
  return XAI_OK;
}

int xai__job_scores(xai__job *j, const char *name, const double *v) {
  xai__shape s = {2, {j->targets.n, j->targets.items}};
  xai_tensor *t;
  XAI__TRY(xai__result_tensor(j->out, name, NULL, XAI_F32, &s, &t, j->err));
  for (int64_t i = 0; i < xai__count(&s); i++) ((float *)t->data)[i] = (float)v[i];
  return XAI_OK;
}
