/* Which tensor is explained, and which tensors get relevance. */
#include <string.h>

#include "explain/job.h"

int xai__choose_source(xai__job *j) {
  const xai_graph *g = j->s->graph;
  int output = -1;
  j->tail = -1;
  j->source = g->outputs[0];
  if (j->r->from) XAI__TRY(xai__find_value(g, j->r->from, &j->source, j->err));
  for (int i = 0; i < g->n_outputs; i++)
    if (g->outputs[i] == j->source) output = i;
  if (output >= 0 && !xai__params_is(&j->params, "output", "final"))
    j->source = xai__graph_logit(g, j->source, &j->tail);
  return XAI_OK;
}

/* The first float tensors that an integer input leads to. */
static int embeddings_of(const xai_graph *g, int input, const xai__steps *steps, bool *from,
                         int *found) {
  int n = 0;
  memset(from, 0, (size_t)g->n_values);
  from[input] = true;
  for (int i = 0; i < steps->n; i++) {
    const xai__step *s = &steps->v[i];
    bool reached = false;
    for (int k = 0; k < s->node.n_in; k++) reached |= s->node.in[k] >= 0 && from[s->node.in[k]];
    if (!reached) continue;
    if (s->embedding)
      found[n++] = s->node.out[0];
    else if (s->cross == XAI__CROSS_NONE)
      for (int k = 0; k < s->node.n_out; k++)
        if (s->node.out[k] >= 0) from[s->node.out[k]] = true;
  }
  return n;
}

static bool is_float(const xai_graph *g, int v) {
  return xai__dtype_storage(g->values[v].dtype) == XAI_F32;
}

/* Adds a value to `at`, or the embeddings of an integer input; by_name: none is an error. */
static int add_at(xai__job *j, int v, const char *name, bool by_name, const xai__steps *steps, bool *from,
                  int *found) {
  const xai_graph *g = j->s->graph;
  int n = 1;
  found[0] = v;
  bool is_input = false;
  for (int i = 0; i < g->n_inputs; i++) is_input |= g->inputs[i] == v;
  if (is_input && !is_float(g, v)) n = embeddings_of(g, v, steps, from, found);
  if ((!n || g->values[v].is_static) && by_name)
    return xai__fail(j->err, XAI_E_ARGUMENT, name,
                     n ? "tensor '%s' does not depend on any input: it has no relevance"
                       : "input '%s' is of integers without an embedding: it has no relevance", name);
  for (int k = 0; k < n; k++) {
    const char *as = n == 1 ? name : g->values[found[k]].name;
    bool known = false;
    for (int i = 0; i < j->n_at; i++) known |= j->at[i] == found[k] && !strcmp(j->name[i], as);
    if (known) continue;
    j->name[j->n_at] = as;
    j->at[j->n_at++] = found[k];
  }
  return XAI_OK;
}

int xai__choose_at(xai__job *j) {
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

