/* What xai_explain does with a session of its own: read the request, run forward, hand over to the
 * method. */
#include "explain/explain.h"

#include <stdio.h>
#include <string.h>

#include "explain/job.h"
#include "rule/composite.h"

static int read_request(xai__job *j) {
  const xai_request *r = j->r;
  if (!(j->method = xai__method_find(r->method, j->err))) return j->err->status;
  if (r->n_terms || r->decoder)
    return xai__fail(j->err, XAI_E_ARGUMENT, "terms", "method '%s' takes no priors and no decoder",
                     r->method);
  if (r->trace)
    return xai__fail(j->err, XAI_E_ARGUMENT, "trace", "method '%s' keeps no trace", r->method);
  XAI__TRY(xai__method_params(j->method, r->params, r->n_params, &j->params, j->err));
  if ((r->n_rows || r->ledger) && !j->method->relevance)
    return xai__fail(j->err, XAI_E_ARGUMENT, r->n_rows ? "rows" : "ledger",
                     "method '%s' takes no rules and keeps no ledger", j->method->name);
  XAI__TRY(xai__choose_source(j));
  return xai__choose_at(j);
}

int xai__job_class_axis(const xai__job *j) {
  const xai__node *tail = j->tail < 0 ? NULL : &j->s->graph->nodes[j->tail];
  return tail && tail->op->axis ? tail->op->axis(tail, j->plan->value[j->source].shape.rank) : -1;
}

static int prepare_rules(xai__job *j) {
  xai_session *s = j->s;
  if (!j->method->relevance) return XAI_OK;
  const xai__composite *composite = xai__composite_find(j->method->name);
  XAI__TRY(xai__assign(composite, j->r->rows, j->r->n_rows, &j->params, &j->plan->steps, &j->in.arena,
                       &j->assigned, j->err));
  XAI__TRY(xai__session_rules(s, j->plan, &j->rules, j->err));
  if (j->r->ledger) {
    j->ledger = xai__arena_new(&j->in.arena, (size_t)(s->graph->n_nodes + 1) * XAI__COLUMNS,
                               sizeof *j->ledger, j->err);
    if (!j->ledger) return j->err->status;
  }
  xai__rules_begin(j->rules, &j->params, j->assigned, j->ledger);
  return XAI_OK;
}

int xai__job_report(xai__job *j) {
  char text[XAI__MAX_PARAMS * 72] = "";
  size_t n = 0;
  for (int i = 0; i < j->params.n; i++) {
    const xai__value *v = &j->params.v[i];
    if (v->set) n += (size_t)snprintf(text + n, sizeof text - n, "%s%s=%s", n ? "," : "", v->name, v->text);
  }
  XAI__TRY(xai__result_text(j->out, "method", NULL, j->method->name, j->err));
  XAI__TRY(xai__result_text(j->out, "params", NULL, text, j->err));
  return xai__result_text(j->out, "source", NULL, j->s->graph->values[j->source].name, j->err);
}

static int make_report(xai__job *j) {
  const xai__targets *t = &j->targets;
  xai__shape s = {2, {t->n, t->items}};
  xai_tensor *index;
  XAI__TRY(xai__job_scores(j, "f", t->f));
  if (t->index) {
    XAI__TRY(xai__result_tensor(j->out, "target", NULL, XAI_I64, &s, &index, j->err));
    memcpy(index->data, t->index, (size_t)(t->n * t->items) * sizeof *t->index);
  }
  return xai__job_report(j);
}

static int run_job(xai__job *j) {
  XAI__TRY(xai__inputs_read(j->s, j->r, false, &j->in, j->err));
  XAI__TRY(read_request(j));
  XAI__TRY(xai__job_plan(j, 1, &j->plan));
  xai__session_make_room(j->s, j->plan);
  const xai__view *y = &j->plan->value[j->source];
  if (y->dtype != XAI_F32)
    return xai__fail(j->err, XAI_E_ARGUMENT, "from", "tensor '%s' is of integers: it cannot be explained",
                     j->s->graph->values[j->source].name);
  XAI__TRY(prepare_rules(j));
  double share = j->method->run == xai__run_single ? 0.3 : 0; /* others count from 0 or 0.3 on */
  j->watch = (xai__watch){j->r->cancel, j->r->progress, j->r->progress_user, xai__seconds(), 0, share,
                          &j->reached};
  XAI__TRY(xai__forward(j->plan, j->in.data, &j->watch, j->err));
  XAI__TRY(xai__targets_read(j->r, &j->params, y, j->in.batch, xai__job_class_axis(j), j->s->memory, &j->targets,
                             j->err));
  XAI__TRY(j->method->run(j));
  return make_report(j);
}

int xai__explain(xai_session *s, const xai_request *r, xai_result *out, xai_error *err) {
  const xai__method *m = xai__method_find(r->method, NULL);
  if (m && m->alone) return m->alone(s, r, out, err);
  xai__job j = {.s = s, .r = r, .out = out, .err = err};
  int status = run_job(&j);
  if (status == XAI_E_LIMIT && j.method && (j.method->own_sweep || r->ledger)) {
    const xai_error found = *err;
    status = xai__fail(err, status, found.where, "%.300s; %s keeps all activations", found.text,
                       r->ledger ? "a call with a ledger" : j.method->name);
  }
  xai__targets_free(&j.targets);
  xai__arena_free(&j.in.arena);
  return status;
}

/* Relevance, the ledger and their intermediates. */
static int64_t result_bytes(const xai__job *j) {
  const xai_tensor *target = j->r->target;
  int64_t n = j->r->top > 0 ? j->r->top : 1, bytes = 0;
  if (target && target->dtype == XAI_I64 && target->shape.rank > 0) n = target->shape.d[0];
  if (target && target->dtype == XAI_F32) n = xai__count(&target->shape); /* at most */
  for (int i = 0; i < j->n_at; i++)
    bytes += 2 * xai__count(&j->plan->value[j->at[i]].shape) * (int64_t)sizeof(float);
  if (j->r->ledger) bytes += 2 * j->s->graph->n_nodes * XAI__COLUMNS * (int64_t)sizeof(double);
  return n * (bytes + 64 * j->in.batch) + (1 << 14);
}

int xai__explain_bill(xai_session *s, const xai_request *r, int64_t *bytes, xai_error *err) {
  const xai__method *m = xai__method_find(r->method, NULL);
  if (m && m->alone) return m->alone_bill(s, r, bytes, err);
  xai__job j = {.s = s, .r = r, .err = err};
  int status = xai__inputs_read(s, r, true, &j.in, err);
  if (!status) status = read_request(&j);
  if (!status) status = xai__job_plan(&j, 1, &j.plan);
  if (!status)
    *bytes = j.plan->bytes + j.plan->scratch + j.plan->weights + xai__arena_bytes(&j.plan->arena) +
             2 * xai__arena_bytes(&j.in.arena) + result_bytes(&j) +
             (j.method->extra ? j.method->extra(&j) : 0);
  xai__arena_free(&j.in.arena);
  return status;
}
