/* One reverse sweep for as many targets as a plan serves, by gradients or by rules; the ledger of the
 * latter. */
#include <math.h>
#include <string.h>

#include "explain/job.h"

typedef struct finish_job {
  xai__ending how;
  const float *g, *x, *root; /* root: of n_root elements, repeated */
  int64_t n_root, inner;     /* element i reads root[i / inner % n_root] */
  float *R;
} finish_job;

static void finish_range(void *ctx, int64_t begin, int64_t end) {
  const finish_job *f = ctx;
  for (int64_t i = begin; i < end; i++) {
    float g = f->g[i];
    switch (f->how) {
      case XAI__AS_IS: f->R[i] = g; break;
      case XAI__ABSOLUTE: f->R[i] = fabsf(g); break;
      case XAI__SQUARE_OF: f->R[i] = g * g; break;
      case XAI__TIMES_INPUT: f->R[i] = (f->x[i] - f->root[i / f->inner % f->n_root]) * g; break;
    }
  }
}

/* The root of a Taylor expansion: a number, one a channel, or one an element. */
static int read_root(xai__job *j, const xai__view *x, float *number, finish_job *f) {
  const xai__value *root = xai__params_find(&j->params, "root");
  *number = root ? (float)root->number : 0;
  f->root = number;
  f->n_root = f->inner = 1;
  if (!root || !root->tensor) return XAI_OK;
  const xai_tensor *t = root->tensor;
  int64_t n = xai__count(&x->shape);
  f->root = t->data;
  f->n_root = xai__count(&t->shape);
  bool by_channel = t->shape.rank == 1 && x->shape.rank > 1 && f->n_root == x->shape.d[1];
  if (by_channel) f->inner = xai__span(&x->shape, 2, x->shape.rank);
  if (t->dtype == XAI_F32 && f->n_root > 0 && (by_channel || n % f->n_root == 0)) return XAI_OK;
  return xai__fail(j->err, XAI_E_ARGUMENT, "root", "root of shape %s does not fit a tensor of shape %s",
                   xai__shape_text(&t->shape).text, xai__shape_text(&x->shape).text);
}

/* Target k, the t-th of its sweep. */
static int finish(xai__job *j, int64_t k, int64_t t) {
  for (int i = 0; i < j->n_at; i++) {
    const xai__view *x = &j->plan->value[j->at[i]];
    float number;
    finish_job f = {.how = j->method->finish, .g = xai__plan_grad(j->plan, j->at[i], t), .x = xai__f(x),
                    .R = xai__job_full(j, k, i)};
    XAI__TRY(read_root(j, x, &number, &f));
    xai__parallel(j->s->engine, xai__count(&x->shape), XAI__GRAIN, finish_range, &f);
  }
  return XAI_OK;
}

/* ---- ledger ---- */

static const char *const columns[XAI__COLUMNS] = {
    [XAI__IN] = "in", [XAI__OUT] = "out", [XAI__BIAS] = "bias", [XAI__STABILISER] = "stabiliser",
    [XAI__EMPTY] = "empty", [XAI__CONSTANT] = "constant", [XAI__RULE] = "rule"};

static int make_ledger(xai__job *j, xai_tensor **ledger) {
  xai__shape s = {2, {j->targets.n, j->s->graph->n_nodes}};
  for (int i = 0; i < XAI__COLUMNS; i++)
    XAI__TRY(xai__result_tensor(j->out, "ledger", columns[i], XAI_F64, &s, &ledger[i], j->err));
  const xai_graph *g = j->s->graph;
  size_t size = 1;
  for (int i = 0; i < g->n_nodes; i++) size += strlen(g->nodes[i].name) + 1;
  char *names = xai__arena_new(&j->in.arena, size, 1, j->err), *at = names;
  if (!names) return j->err->status;
  for (int i = 0; i < g->n_nodes; i++) {
    size_t n = strlen(g->nodes[i].name);
    if (i) *at++ = '\n';
    memcpy(at, g->nodes[i].name, n);
    at += n;
  }
  return xai__result_text(j->out, "ledger", "nodes", names, j->err);
}

static void copy_ledger(const xai__job *j, int64_t k, xai_tensor *const *ledger) {
  int n = j->s->graph->n_nodes;
  for (int i = 0; i < XAI__COLUMNS; i++)
    for (int node = 0; node < n; node++)
      ((double *)ledger[i]->data)[k * n + node] = j->ledger[node * XAI__COLUMNS + i];
}

int xai__run_single(xai__job *j) {
  xai_tensor *ledger[XAI__COLUMNS];
  size_t n = (size_t)j->s->graph->n_nodes * XAI__COLUMNS;
  XAI__TRY(xai__job_begin(j));
  if (j->ledger) XAI__TRY(make_ledger(j, ledger));
  double share = 0.7 / (double)j->targets.n;
  for (int64_t k = 0, group; k < j->targets.n; k += group) {
    group = xai__job_group(j, j->plan, k); /* 1 with a ledger */
    j->watch.from = 0.3 + share * (double)k;
    j->watch.span = share * (double)group;
    if (j->ledger) memset(j->ledger, 0, n * sizeof *j->ledger);
    XAI__TRY(xai__job_sweep(j, j->plan, k, group, j->method->backward));
    for (int64_t t = 0; t < group; t++) XAI__TRY(finish(j, k + t, t));
    if (j->ledger) copy_ledger(j, k, ledger);
  }
  return xai__job_end(j);
}
