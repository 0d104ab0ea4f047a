/* What a Concat of one item joins is written where the whole is: its operands lie in its result one
 * after the other, as long as each lies in one place only. A later, longer Concat of the same operands
 * (as in a dense block) has the shorter one inside it. */
#include "exec/planner.h"
#include "graph/pattern.h"

/* Whether the operands of a Concat are one run of memory each, one behind the other. */
static bool is_run(const xai__plan *p, const xai__unit *u) {
  const xai__node *node = &u->step.node;
  if (!xai__type_is(node, "Concat") || u->activation || u->out != node->out[0]) return false;
  const xai__view *whole = &p->value[u->out], *first = &p->value[node->in[0]];
  int64_t bytes = 0;
  for (int k = 0; k < node->n_in; k++) {
    if (node->in[k] < 0 || p->value[node->in[k]].blocked != whole->blocked) return false;
    bytes += xai__plan_bytes(p, node->in[k]);
  }
  for (int i = 0; i < whole->shape.rank && first->shape.d[i] == whole->shape.d[i]; i++)
    if (whole->shape.d[i] != 1) return false;
  return bytes == xai__plan_bytes(p, u->out);
}

/* Whether all operands already lie so in something else. */
static bool is_there(const xai__plan *p, const xai__node *node) {
  const int root = p->owner[node->in[0]];
  int64_t at = p->inside[node->in[0]];
  for (int k = 0; k < node->n_in; k++) {
    const int v = node->in[k];
    if (p->owner[v] != root || v == root || p->inside[v] != at) return false;
    at += xai__plan_bytes(p, v);
  }
  return true;
}

/* movable: per value, that a unit writes it where it is told to. */
static void join(xai__plan *p, const xai__unit *u, const bool *movable) {
  const xai__node *node = &u->step.node;
  if (p->owner[u->out] == u->out && is_there(p, node)) {
    p->owner[u->out] = p->owner[node->in[0]];
    p->inside[u->out] = p->inside[node->in[0]];
    return;
  }
  int64_t at = p->inside[u->out];
  for (int k = 0; k < node->n_in; k++) {
    const int v = node->in[k];
    if (movable[v] && p->owner[v] == v) {
      p->owner[v] = p->owner[u->out];
      p->inside[v] = at;
    }
    at += xai__plan_bytes(p, v);
  }
}

int xai__plan_inside(xai__planner *q) {
  xai__plan *p = q->p;
  bool *movable = q->flag;
  if (!(p->inside = xai__plan_new(q, (size_t)p->graph->n_values, sizeof *p->inside))) return q->err->status;
  for (int v = 0; v < p->graph->n_values; v++) movable[v] = false;
  for (int i = 0; i < p->n_units; i++) {
    const xai__unit *u = &p->unit[i];
    if (u->out >= 0 && !p->value[u->out].data && !u->step.node.op->alias) movable[u->out] = true;
  }
  for (int i = p->n_units - 1; i >= 0; i--)
    if (is_run(p, &p->unit[i])) join(p, &p->unit[i], movable);
  return XAI_OK;
}
