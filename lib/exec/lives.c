/* Who lives when. A value lives from its unit to its last reader, for good where the reverse sweep
 * reads it (which may run several times); a relevance from the last step that reads its value (the
 * first to write it, going back) to the step of its own node. */
#include "exec/planner.h"
#include "op/blocked.h"

static void die_at(xai__planner *q, int v, int time) {
  if (v >= 0 && q->death[q->p->owner[v]] < time) q->death[q->p->owner[v]] = time;
}

/* Whether two values of as many elements may be one array. */
static bool same_layout(const xai__plan *p, int a, int b) {
  const xai__view *x = &p->value[a], *y = &p->value[b];
  if (!x->blocked && !y->blocked) return true;
  if (x->blocked == y->blocked) return xai__shape_equal(&x->shape, &y->shape);
  return (!x->blocked || xai__blocked_is_plain(x)) && (!y->blocked || xai__blocked_is_plain(y));
}

static void forward_lives(xai__planner *q) {
  xai__plan *p = q->p;
  for (int v = 0; v < p->graph->n_values; v++) q->birth[v] = q->death[v] = -1;
  for (int i = 0; i < p->n_units; i++) {
    const xai__unit *u = &p->unit[i];
    const xai__node *node = &u->step.node;
    for (int k = 0; k < node->n_out; k++) {
      int v = k ? node->out[k] : u->out;
      if (v < 0 || p->value[v].data) continue; /* known already */
      if (node->op->alias && k == 0 && same_layout(p, node->in[0], v)) {
        p->owner[v] = p->owner[node->in[0]];
        p->inside[v] = p->inside[node->in[0]];
      } else {
        const int owner = p->owner[v];
        if (q->birth[owner] < 0) q->birth[owner] = i;
        die_at(q, v, i);
      }
    }
    for (int k = 0; k < node->n_in; k++) die_at(q, node->in[k], i);
    die_at(q, u->add, i);
    for (int k = 1; u->activation && k < u->activation->n_in; k++) die_at(q, u->activation->in[k], i);
  }
  for (int v = 0; v < p->graph->n_values; v++)
    if (q->passing ? q->held[v] || (p->kept[v] && !q->passing[p->owner[v]]) : p->kept[v])
      die_at(q, v, XAI__FOREVER);
}

/* A value whose relevance is, element for element, that of the result of the one step that reads it:
 * both are one array. */
static void share_relevance(xai__planner *q) {
  xai__plan *p = q->p;
  int *readers = p->grad_owner; /* counts first */
  int n_values = p->graph->n_values;
  for (int v = 0; v < n_values; v++) readers[v] = 0;
  for (int j = 0; j < p->n_steps; j++) {
    const xai__node *node = &p->steps.v[p->step[j]].node;
    for (int k = 0; k < node->n_in; k++)
      if (node->in[k] >= 0) readers[node->in[k]]++;
  }
  for (int v = 0; v < n_values; v++) q->flag[v] = readers[v] == 1;
  for (int v = 0; v < n_values; v++) p->grad_owner[v] = v;
  for (int j = p->n_steps - 1; j >= 0 && !q->r->everything; j--) {
    const xai__step *s = &p->steps.v[p->step[j]];
    int in = s->node.in[s->operand], out = s->node.out[0];
    if (!(p->reads[p->step[j]] & XAI__HANDS_ON) || !q->flag[in] || in == p->source || out < 0) continue;
    if (!q->active[in] || !q->active[out]) continue;
    if (xai__count(&p->value[in].shape) != xai__count(&p->value[out].shape)) continue;
    if (!same_layout(p, in, out)) continue;
    p->grad_owner[in] = p->grad_owner[out];
  }
}

static void reverse_lives(xai__planner *q) {
  xai__plan *p = q->p;
  int n_values = p->graph->n_values, last = p->n_units;
  for (int v = 0; v < n_values; v++) {
    q->grad_birth[v] = q->active[v] ? XAI__FOREVER : -1;
    q->grad_death[v] = last;
  }
  for (int j = 0; j < p->n_steps; j++) {
    const int time = xai__plan_time_back(q, j);
    const xai__node *node = &p->steps.v[p->step[j]].node;
    for (int k = 0; k < node->n_in; k++) {
      int v = node->in[k];
      if (v >= 0 && q->grad_birth[v] > time) q->grad_birth[v] = time;
    }
    for (int k = 0; k < node->n_out; k++) {
      int v = node->out[k];
      if (v < 0) continue;
      q->grad_death[v] = time;
      if (q->grad_birth[v] > time) q->grad_birth[v] = q->active[v] ? time : -1;
    }
  }
  for (int i = 0; i < p->n_at; i++) {
    int v = p->at[i];
    q->grad_death[v] = XAI__FOREVER;
    if (q->grad_birth[v] == XAI__FOREVER) q->grad_birth[v] = last;
  }
  q->grad_birth[p->source] = last;
  if (q->grad_death[p->source] < last) q->grad_death[p->source] = last;
  share_relevance(q);
  for (int v = 0; v < n_values; v++) {
    int owner = p->grad_owner[v];
    if (owner == v || q->grad_birth[v] < 0) continue;
    if (q->grad_death[owner] < q->grad_death[v]) q->grad_death[owner] = q->grad_death[v];
    q->grad_birth[v] = -1;
  }
}

void xai__plan_lives(xai__planner *q) {
  forward_lives(q);
  if (q->r->reverse) reverse_lives(q);
}
