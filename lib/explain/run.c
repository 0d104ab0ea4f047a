/* The forward pass: "output/NAME" of each output or of each tensor asked for. */
#include <string.h>

#include "explain/explain.h"
#include "op/check.h"

#define RUN_SCHEMA "output=final|logit;winograd=on|off"

typedef struct run {
  const char **name; /* of the results */
  int *value, n;
  xai__winograd_use winograd;
} run;

/* Which values to give back, and under which names. */
static int choose(const xai_session *s, const xai_request *r, xai__arena *a, run *out,
                  xai_error *err) {
  const xai_graph *g = s->graph;
  xai__params p = {0};
  for (size_t i = 0; i < r->n_params; i++)
    XAI__TRY(xai__params_set(&p, RUN_SCHEMA, "a run", &r->params[i], err));
  out->winograd = xai__params_is(&p, "winograd", "off") ? XAI__DIRECT : XAI__WINOGRAD_FORWARD;
  out->n = r->n_at ? (int)r->n_at : g->n_outputs;
  out->name = xai__arena_new(a, (size_t)out->n + 1, sizeof *out->name, err);
  out->value = xai__arena_new(a, (size_t)out->n + 1, sizeof *out->value, err);
  if (!out->name || !out->value) return err->status;
  for (int i = 0; i < out->n; i++) {
    int tail;
    if (r->n_at) {
      out->name[i] = r->at[i];
      XAI__TRY(xai__find_value(g, r->at[i], &out->value[i], err));
      continue;
    }
    out->name[i] = g->output_names[i];
    out->value[i] = g->outputs[i];
    if (xai__params_is(&p, "output", "logit"))
      out->value[i] = xai__graph_logit(g, g->outputs[i], &tail);
  }
  return XAI_OK;
}

static int give(const xai__plan *p, const char *name, int v, xai_result *out, xai_error *err) {
  const xai__view *view = &p->value[v];
  int declared = p->graph->values[v].dtype, dtype = xai__dtype_returned(declared ? declared : view->dtype);
  bool quantized = view->dtype == XAI_F32 && xai__dtype_storage(dtype) == XAI_I64;
  if (xai__dtype_storage(dtype) != view->dtype && !quantized) dtype = view->dtype;
  xai_tensor *t;
  int64_t n = xai__count(&view->shape);
  XAI__TRY(xai__result_tensor(out, "output", name, dtype, &view->shape, &t, err));
  for (int64_t i = 0; i < n && quantized; i++) { /* integers that are kept in float32 */
    int64_t whole = xai__truncated((double)xai__f(view)[i]);
    xai__from_storage(dtype, &whole, 1, (char *)t->data + (size_t)i * xai__dtype_size(dtype));
  }
  if (!quantized) xai__from_storage(dtype, view->data, n, t->data);
  return XAI_OK;
}

int xai__run(xai_session *s, const xai_request *r, xai_result *out, xai_error *err) {
  xai__inputs in;
  run what = {0};
  xai__plan *p = NULL;
  xai__watch w = {r->cancel, r->progress, r->progress_user, xai__seconds(), 0, 1, NULL};
  int status = xai__inputs_read(s, r, false, &in, err);
  if (!status) status = choose(s, r, &in.arena, &what, err);
  xai__plan_request q = {.input = in.shape, .data = in.data, .want = what.value, .n_want = what.n,
                         .winograd = what.winograd};
  if (!status) status = xai__session_plan(s, &q, &p, err);
  if (!status) xai__session_make_room(s, p);
  if (!status) status = xai__forward(p, in.data, &w, err);
  for (int i = 0; i < what.n && !status; i++) status = give(p, what.name[i], what.value[i], out, err);
  xai__arena_free(&in.arena);
  return status;
}

int xai__run_bill(xai_session *s, const xai_request *r, int64_t *bytes, xai_error *err) {
  xai__inputs in;
  run what = {0};
  xai__plan *p = NULL;
  int status = xai__inputs_read(s, r, true, &in, err);
  if (!status) status = choose(s, r, &in.arena, &what, err);
  xai__plan_request q = {.input = in.shape, .want = what.value, .n_want = what.n,
                         .winograd = what.winograd};
  if (!status) status = xai__session_plan(s, &q, &p, err);
  if (!status) *bytes = p->bytes + p->scratch + p->weights + xai__arena_bytes(&p->arena) +
                        2 * xai__arena_bytes(&in.arena) + (1 << 14);
  for (int i = 0; i < what.n && !status; i++)
    *bytes += xai__count(&p->value[what.value[i]].shape) * (int64_t)sizeof(int64_t);
  xai__arena_free(&in.arena);
  return status;
}
