/* Which steps the reverse sweep crosses: those with a result that leads to the source and an operand
 * that `at` (or, with everything, any input) leads to. And what of the forward sweep they read. */
#include <string.h>

#include "exec/planner.h"

static int make_steps(xai__planner *q) {
  xai__plan *p = q->p;
  const xai_graph *g = p->graph;
  const xai__plan_request *r = q->r;
  bool *pinned = xai__plan_new(q, (size_t)g->n_values, 1);
  if (!pinned) return q->err->status;
  pinned[r->source] = true;
  for (int i = 0; i < r->n_at; i++) pinned[r->at[i]] = true;
  XAI__TRY(xai__graph_steps(g, r->fold, pinned, p->value, &p->arena, &p->steps, q->err));
  p->step = xai__plan_new(q, (size_t)p->steps.n, sizeof *p->step);
  p->layer = xai__plan_new(q, (size_t)p->steps.n, sizeof *p->layer);
  p->reads = xai__plan_new(q, 2 * (size_t)p->steps.n, 1); /* the second half for xai__plan_serves */
  return p->step && p->layer && p->reads ? XAI_OK : q->err->status;
}

/* How many of a node's results relevance may come through. */
static int through(const xai__node *node) {
  return node->op->only_first && node->n_out > 1 ? 1 : node->n_out;
}

static void choose_steps(xai__planner *q) {
  xai__plan *p = q->p;
  const xai_graph *g = p->graph;
  const xai__plan_request *r = q->r;
  bool *leads = q->flag;
  memset(leads, 0, (size_t)g->n_values);
  for (int i = 0; i < r->n_at; i++) leads[r->at[i]] = true;
  for (int i = 0; i < g->n_inputs && r->everything; i++) leads[g->inputs[i]] = true;
  for (int i = 0; i < p->steps.n; i++) {
    const xai__node *node = &p->steps.v[i].node;
    bool any = false;
    for (int k = 0; k < node->n_in; k++) any |= node->in[k] >= 0 && leads[node->in[k]];
    for (int k = 0; k < through(node); k++)
      if (node->out[k] >= 0) leads[node->out[k]] |= any && p->value[node->out[k]].dtype == XAI_F32;
  }
  q->active[r->source] = true;
  int n = 0;
  for (int i = p->steps.n - 1; i >= 0; i--) {
    const xai__node *node = &p->steps.v[i].node;
    bool above = false;
    for (int k = 0; k < through(node); k++) above |= node->out[k] >= 0 && q->active[node->out[k]];
    if (!above) continue;
    bool any = false;
    for (int k = 0; k < node->n_in; k++) {
      int v = node->in[k];
      if (v < 0 || !leads[v] || g->values[v].is_static || p->value[v].dtype != XAI_F32) continue;
      any = q->active[v] = true;
    }
    if (any) p->step[p->steps.n - 1 - n++] = i;
  }
  memmove(p->step, p->step + p->steps.n - n, (size_t)n * sizeof *p->step);
  p->n_steps = n;
  for (int i = 0; i < r->n_at; i++) q->active[r->at[i]] = true;
}

static int ask_reads(const xai__plan_request *r, const xai__plan *p, unsigned char *reads,
                     xai_error *err) {
  memset(reads, XAI__READS_IN | XAI__READS_OUT, (size_t)p->steps.n);
  return r->reads ? r->reads(r->reads_user, &p->steps, reads, err) : XAI_OK;
}

static void need(xai__planner *q, const int *v, int n, bool all) {
  for (int k = 0; k < n; k++)
    if (v[k] >= 0 && (all || q->p->graph->values[v[k]].is_static)) q->p->kept[v[k]] = true;
}

static void need_reads(xai__planner *q) {
  const xai__plan *p = q->p;
  for (int j = 0; j < p->n_steps; j++) {
    const xai__step *s = &p->steps.v[p->step[j]];
    unsigned char reads = p->reads[p->step[j]];
    need(q, s->node.in, s->node.n_in, reads & XAI__READS_IN);
    need(q, s->node.out, s->node.n_out, reads & XAI__READS_OUT);
    for (int i = 0; i < s->n_inner; i++) {
      const xai__node *node = &p->graph->nodes[s->inner[i]];
      bool all = reads & (XAI__READS_IN | XAI__READS_OUT);
      need(q, node->in, node->n_in, all);
      need(q, node->out, node->n_out, all);
    }
    for (int i = 0; i < s->n_before + s->n_after; i++) {
      int node = i < s->n_before ? s->before[i] : s->after[i - s->n_before];
      need(q, p->graph->nodes[node].in, p->graph->nodes[node].n_in, false);
    }
  }
}

int xai__plan_steps(xai__planner *q) {
  xai__plan *p = q->p;
  const xai__plan_request *r = q->r;
  p->source = r->source;
  p->n_at = r->n_at;
  p->at = xai__plan_new(q, (size_t)r->n_at, sizeof *p->at);
  if (!p->at) return q->err->status;
  memcpy(p->at, r->at, (size_t)r->n_at * sizeof *p->at);
  XAI__TRY(make_steps(q));
  choose_steps(q);
  XAI__TRY(ask_reads(r, p, p->reads, q->err));
  need_reads(q);
  return XAI_OK;
}

int xai__plan_serves(xai__plan *p, const xai__plan_request *r, bool *serves, xai_error *err) {
  unsigned char *reads = p->reads + p->steps.n;
  *serves = true;
  if (!r->reverse) return XAI_OK;
  XAI__TRY(ask_reads(r, p, reads, err));
  *serves = !memcmp(reads, p->reads, (size_t)p->steps.n);
  return XAI_OK;
}
