/* One explanation: a forward pass, and a reverse sweep a target. */
#include "explain/explain.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "explain/target.h"
#include "op/own.h"
#include "rule/composite.h"

/* Everything of one call. */
typedef struct job {
  xai_session *s;
  const xai_request *r;
  const xai__method *method;
  xai__params params;
  xai__inputs in;
  xai__plan *plan;
  xai__targets targets;
  xai__assignment *assigned;
  double *ledger;    /* [nodes][columns] of one target */
  int source, tail;  /* the explained value; the node behind it that was skipped, or -1 */
  const char *source_name;
  int *at, n_at;     /* values whose relevance is wanted */
  const char **name; /* their names in the result */
  xai_tensor **R;    /* their relevance in the result */
  xai_error *err;
} job;

int xai__method_params(const xai__method *m, const xai_param *given, size_t n, xai__params *out,
                       xai_error *err) {
  char what[80];
  snprintf(what, sizeof what, "method '%.60s'", m->name);
  xai__params_schema(out, m->schema);
  for (size_t i = 0; i < n; i++) XAI__TRY(xai__params_set(out, m->schema, what, &given[i], err));
  for (int i = 0; i < out->n; i++) out->v[i].given = false; /* what the method fixes wins */
  return xai__params_parse(out, m->schema, m->fixed, err);
}

int xai__method_fold(const xai__method *m, const xai__params *p) {
  if (!m->relevance) return XAI__FOLD_NONE;
  bool whole = !xai__params_is(p, "activation", "gradient");
  return XAI__FOLD_LINEAR | (whole ? XAI__FOLD_ACTIVATIONS : 0);
}

/* ---- what is explained, and where ---- */

static int choose_source(job *j) {
  const xai_graph *g = j->s->graph;
  int output = -1;
  j->tail = -1;
  j->source = g->outputs[0];
  if (j->r->from) XAI__TRY(xai__find_value(g, j->r->from, &j->source, j->err));
  for (int i = 0; i < g->n_outputs; i++)
    if (g->outputs[i] == j->source) output = i;
  if (output >= 0 && !xai__params_is(&j->params, "output", "final"))
    j->source = xai__graph_logit(g, j->source, &j->tail);
  j->source_name = g->values[j->source].name;
  return XAI_OK;
}

/* The first float tensors that an integer input leads to. */
static int embeddings_of(job *j, int input, const xai__steps *steps, bool *from, int *found, int *n) {
  const xai_graph *g = j->s->graph;
  *n = 0;
  memset(from, 0, (size_t)g->n_values);
  from[input] = true;
  for (int i = 0; i < steps->n; i++) {
    const xai__step *s = &steps->v[i];
    bool reached = false;
    for (int k = 0; k < s->node.n_in; k++) reached |= s->node.in[k] >= 0 && from[s->node.in[k]];
    if (!reached) continue;
    if (s->embedding)
      found[(*n)++] = s->node.out[0];
    else if (s->cross == XAI__CROSS_NONE)
      for (int k = 0; k < s->node.n_out; k++)
        if (s->node.out[k] >= 0) from[s->node.out[k]] = true;
  }
  return XAI_OK;
}

static bool is_float(const xai_graph *g, int v) {
  return xai__dtype_storage(g->values[v].dtype) == XAI_F32;
}

/* Adds a value to `at`, or the embeddings of an integer input; by_name: none is an error. */
static int add_at(job *j, int v, const char *name, bool by_name, const xai__steps *steps, bool *from,
                  int *found) {
  const xai_graph *g = j->s->graph;
  int n = 1;
  found[0] = v;
  bool is_input = false;
  for (int i = 0; i < g->n_inputs; i++) is_input |= g->inputs[i] == v;
  if (is_input && !is_float(g, v)) XAI__TRY(embeddings_of(j, v, steps, from, found, &n));
  if ((!n || g->values[v].is_static) && by_name)
    return xai__fail(j->err, XAI_E_ARGUMENT, name,
                     n ? "tensor '%s' does not depend on any input: it has no relevance"
                       : "input '%s' is of integers without an embedding: it has no relevance", name);
  for (int k = 0; k < n; k++) {
    bool known = false;
    for (int i = 0; i < j->n_at; i++) known |= j->at[i] == found[k];
    if (known) continue;
    j->name[j->n_at] = n == 1 ? name : g->values[found[k]].name;
    j->at[j->n_at++] = found[k];
  }
  return XAI_OK;
}

static int choose_at(job *j) {
  const xai_graph *g = j->s->graph;
  xai__arena *a = &j->in.arena;
  size_t room = j->r->n_at + (size_t)g->n_values + 1;
  bool *from = xai__arena_new(a, (size_t)g->n_values + 1, 1, j->err);
  int *found = xai__arena_new(a, room, sizeof *found, j->err);
  j->at = xai__arena_new(a, room, sizeof *j->at, j->err);
  j->name = xai__arena_new(a, room, sizeof *j->name, j->err);
  if (!from || !found || !j->at || !j->name) return j->err->status;
  xai__steps steps;
  XAI__TRY(xai__graph_steps(g, XAI__FOLD_NONE, NULL, NULL, a, &steps, j->err));
  for (size_t i = 0; i < j->r->n_at; i++) {
    int v;
    XAI__TRY(xai__find_value(g, j->r->at[i], &v, j->err));
    XAI__TRY(add_at(j, v, j->r->at[i], true, &steps, from, found));
  }
  for (int i = 0; i < g->n_inputs && !j->r->n_at; i++)
    XAI__TRY(add_at(j, g->inputs[i], g->values[g->inputs[i]].name, false, &steps, from, found));
  if (!j->n_at)
    return xai__fail(j->err, XAI_E_UNSUPPORTED, NULL, "no input of the model can have a relevance");
  return XAI_OK;
}

/* ---- preparation ---- */

static int request_plan(job *j, xai__plan_request *q) {
  const xai_request *r = j->r;
  if (!r->method)
    return xai__fail(j->err, XAI_E_ARGUMENT, "method", "a method is needed: NULL given");
  if (r->n_terms || r->decoder)
    return xai__fail(j->err, XAI_E_ARGUMENT, "terms", "method '%s' takes no priors and no decoder",
                     r->method);
  if (!(j->method = xai__method_find(r->method, j->err))) return j->err->status;
  XAI__TRY(xai__method_params(j->method, r->params, r->n_params, &j->params, j->err));
  if ((r->n_rows || r->ledger) && !j->method->relevance)
    return xai__fail(j->err, XAI_E_ARGUMENT, r->n_rows ? "rows" : "ledger",
                     "method '%s' takes no rules and keeps no ledger", j->method->name);
  XAI__TRY(choose_source(j));
  XAI__TRY(choose_at(j));
  *q = (xai__plan_request){.input = j->in.shape, .want = &j->source, .n_want = 1, .reverse = true,
                           .fold = xai__method_fold(j->method, &j->params), .everything = r->ledger != 0,
                           .source = j->source, .n_at = j->n_at, .at = j->at};
  return XAI_OK;
}

/* The class axis of the source: that of the softmax behind it. */
static int class_axis(const job *j) {
  const xai__node *tail = j->tail < 0 ? NULL : &j->s->graph->nodes[j->tail];
  return tail && tail->op->axis ? tail->op->axis(tail, j->plan->value[j->source].shape.rank) : -1;
}

static int prepare_rules(job *j) {
  xai_session *s = j->s;
  if (!j->method->relevance) return XAI_OK;
  const xai__composite *composite = xai__composite_find(j->method->name);
  XAI__TRY(xai__assign(composite, j->r->rows, j->r->n_rows, &j->params, &j->plan->steps, &j->in.arena,
                       &j->assigned, j->err));
  if (!s->rules) XAI__TRY(xai__rules_create(j->plan, &s->rules, j->err));
  if (j->r->ledger) {
    j->ledger = xai__arena_new(&j->in.arena, (size_t)(s->graph->n_nodes + 1) * XAI__COLUMNS,
                               sizeof *j->ledger, j->err);
    if (!j->ledger) return j->err->status;
  }
  xai__rules_begin(s->rules, &j->params, j->assigned, j->ledger);
  return XAI_OK;
}

/* ---- the finish of a method ---- */

typedef struct finish_job {
  xai__finish how;
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
static int read_root(job *j, const xai__view *x, float *number, finish_job *f) {
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

static int finish(job *j, int64_t k) {
  for (int i = 0; i < j->n_at; i++) {
    const xai__view *x = &j->plan->value[j->at[i]];
    int64_t n = xai__count(&x->shape);
    float number;
    finish_job f = {.how = j->method->finish, .g = xai__plan_grad(j->plan, j->at[i]), .x = xai__f(x),
                    .R = (float *)j->R[i]->data + k * xai__count(&j->R[i]->shape) / j->targets.n};
    XAI__TRY(read_root(j, x, &number, &f));
    if (!xai__params_is(&j->params, "reduce", "sum")) {
      xai__parallel(j->s->engine, n, XAI__GRAIN, finish_range, &f);
    } else { /* over the last axis, in double */
      int64_t width = x->shape.d[x->shape.rank - 1];
      float *R = f.R, *row = xai__scratch(j->s->engine, (size_t)n, sizeof *row, j->err);
      if (!row) return j->err->status;
      f.R = row;
      finish_range(&f, 0, n);
      for (int64_t o = 0; width && o < n / width; o++) R[o] = (float)xai__sum(j->s->engine, row + o * width, width);
      n = width ? n / width : 0;
      f.R = R;
    }
    if (!xai__all_finite(f.R, n))
      return xai__fail(j->err, XAI_E_NUMBER, j->name[i], "the relevance of '%s' is not finite", j->name[i]);
  }
  return XAI_OK;
}

/* ---- the result ---- */

/* Shape with a leading axis of targets where there are several. */
static xai__shape with_targets(const job *j, const xai__shape *s) {
  if (j->targets.n == 1) return *s;
  xai__shape r = {s->rank + 1, {j->targets.n}};
  for (int i = 0; i < s->rank && i + 1 < XAI__MAX_RANK; i++) r.d[i + 1] = s->d[i];
  return r;
}

static int make_relevance(job *j, xai_result *out) {
  j->R = xai__arena_new(&j->in.arena, (size_t)j->n_at, sizeof *j->R, j->err);
  if (!j->R) return j->err->status;
  for (int i = 0; i < j->n_at; i++) {
    xai__shape s = j->plan->value[j->at[i]].shape;
    if (xai__params_is(&j->params, "reduce", "sum")) {
      if (s.rank < 1) return xai__fail(j->err, XAI_E_ARGUMENT, "reduce", "a scalar cannot be reduced");
      s.rank--;
    }
    s = with_targets(j, &s);
    if (s.rank > XAI__MAX_RANK)
      return xai__fail(j->err, XAI_E_UNSUPPORTED, j->name[i], "several targets need more than %d axes", XAI__MAX_RANK);
    XAI__TRY(xai__result_tensor(out, "relevance", j->name[i], XAI_F32, &s, &j->R[i], j->err));
  }
  return XAI_OK;
}

static const char *const columns[XAI__COLUMNS] = {
    [XAI__IN] = "in", [XAI__OUT] = "out", [XAI__BIAS] = "bias", [XAI__STABILISER] = "stabiliser",
    [XAI__EMPTY] = "empty", [XAI__CONSTANT] = "constant", [XAI__RULE] = "rule"};

static int make_ledger(job *j, xai_tensor **ledger, xai_result *out) {
  xai__shape s = {2, {j->targets.n, j->s->graph->n_nodes}};
  for (int i = 0; i < XAI__COLUMNS; i++)
    XAI__TRY(xai__result_tensor(out, "ledger", columns[i], XAI_F64, &s, &ledger[i], j->err));
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
  return xai__result_text(out, "ledger", "nodes", names, j->err);
}

static void copy_ledger(const job *j, int64_t k, xai_tensor *const *ledger) {
  int n = j->s->graph->n_nodes;
  for (int i = 0; i < XAI__COLUMNS; i++)
    for (int node = 0; node < n; node++)
      ((double *)ledger[i]->data)[k * n + node] = j->ledger[node * XAI__COLUMNS + i];
}

static int make_report(job *j, xai_result *out) {
  const xai__targets *t = &j->targets;
  xai__shape s = {2, {t->n, t->items}};
  xai_tensor *f, *index;
  XAI__TRY(xai__result_tensor(out, "f", NULL, XAI_F32, &s, &f, j->err));
  for (int64_t i = 0; i < t->n * t->items; i++) ((float *)f->data)[i] = (float)t->f[i];
  if (t->index) {
    XAI__TRY(xai__result_tensor(out, "target", NULL, XAI_I64, &s, &index, j->err));
    memcpy(index->data, t->index, (size_t)(t->n * t->items) * sizeof *t->index);
  }
  char text[XAI__MAX_PARAMS * 72] = "";
  size_t n = 0;
  for (int i = 0; i < j->params.n; i++) {
    const xai__value *v = &j->params.v[i];
    if (!v->set) continue;
    n += (size_t)snprintf(text + n, sizeof text - n, "%s%s=%s", n ? "," : "", v->name, v->text);
  }
  XAI__TRY(xai__result_text(out, "method", NULL, j->method->name, j->err));
  XAI__TRY(xai__result_text(out, "params", NULL, text, j->err));
  return xai__result_text(out, "source", NULL, j->source_name, j->err);
}

/* ---- the call ---- */

static int sweep(job *j, int64_t k, const xai__watch *whole) {
  xai__watch w = *whole;
  w.from = 0.3 + 0.7 * (double)k / (double)j->targets.n;
  w.span = 0.7 / (double)j->targets.n;
  if (j->ledger)
    memset(j->ledger, 0, (size_t)j->s->graph->n_nodes * XAI__COLUMNS * sizeof *j->ledger);
  xai__targets_seed(&j->targets, k, &j->plan->value[j->source], xai__plan_grad(j->plan, j->source));
  xai__backward how = j->method->backward;
  if (j->method->relevance)
    XAI__TRY(xai__reverse(j->plan, xai__rules_cross, j->s->rules, &w, j->err));
  else
    XAI__TRY(xai__reverse(j->plan, xai__gradient_cross, &how, &w, j->err));
  size_t mark = xai__scratch_mark(j->s->engine);
  int status = finish(j, k);
  xai__scratch_release(j->s->engine, mark);
  return status;
}

static int run_job(job *j, xai_result *out) {
  xai__plan_request q;
  xai__watch w = {j->r->cancel, j->r->progress, j->r->progress_user, xai__seconds(), 0, 0.3};
  xai_tensor *ledger[XAI__COLUMNS];
  XAI__TRY(xai__inputs_read(j->s, j->r, false, &j->in, j->err));
  XAI__TRY(request_plan(j, &q));
  XAI__TRY(xai__session_plan(j->s, &q, &j->plan, j->err));
  if (j->plan->value[j->source].dtype != XAI_F32)
    return xai__fail(j->err, XAI_E_ARGUMENT, j->source_name, "tensor '%s' is of integers: it cannot be explained", j->source_name);
  XAI__TRY(prepare_rules(j));
  XAI__TRY(xai__forward(j->plan, j->in.data, &w, j->err));
  XAI__TRY(xai__targets_read(j->r, &j->params, &j->plan->value[j->source], j->in.batch, class_axis(j),
                             j->s->memory, &j->targets, j->err));
  XAI__TRY(make_relevance(j, out));
  if (j->ledger) XAI__TRY(make_ledger(j, ledger, out));
  for (int64_t k = 0; k < j->targets.n; k++) {
    XAI__TRY(sweep(j, k, &w));
    if (j->ledger) copy_ledger(j, k, ledger);
  }
  return make_report(j, out);
}

int xai__explain(xai_session *s, const xai_request *r, xai_result *out, xai_error *err) {
  job j = {.s = s, .r = r, .err = err};
  int status = run_job(&j, out);
  xai__targets_free(&j.targets);
  xai__arena_free(&j.in.arena);
  return status;
}

int xai__explain_bill(const xai_session *s, const xai_request *r, int64_t *bytes, xai_error *err) {
  job j = {.s = (xai_session *)(uintptr_t)s, .r = r, .err = err};
  xai__plan_request q;
  int status = xai__inputs_read(s, r, true, &j.in, err);
  if (!status) status = request_plan(&j, &q);
  if (!status) status = xai__plan_create(s->graph, s->engine, &q, &j.plan, err);
  if (!status) *bytes = j.plan->bytes + j.plan->scratch;
  xai__plan_free(j.plan);
  xai__arena_free(&j.in.arena);
  return status;
}
