/* Which values are blocked (engine/blocked.h): the results of nodes that read and write them so. What
 * the caller is given, and what any other node makes, is plain; where the two meet, sweeps convert.
 *
 * A node is native if it works on blocked values: a convolution that the engine serves, or an operator
 * that takes them and whose activations are all blocked. Values tied element for element have one
 * border, the largest that any of their convolutions needs. */
#include "exec/planner.h"
#include "graph/pattern.h"
#include "op/blocked.h"

typedef struct layouts {
  xai__planner *q;
  bool *pinned;    /* per value: plain */
  bool *liked;     /* per value: a node that reads it may take it blocked */
  int *class, *border; /* per value: one of the values it is tied to; the border of a class */
} layouts;

static int class_of(layouts *l, int v) {
  while (l->class[v] != v) v = l->class[v] = l->class[l->class[v]];
  return v;
}

static void tie(layouts *l, int a, int b) {
  a = class_of(l, a);
  b = class_of(l, b);
  l->class[b] = a;
  if (l->border[a] < l->border[b]) l->border[a] = l->border[b];
}

static void need_border(layouts *l, int v, int64_t border) {
  int c = class_of(l, v);
  if (l->border[c] < border) l->border[c] = (int)border;
}

static xai__call call_of(const xai__planner *q, const xai__node *node) {
  const xai__plan *p = q->p;
  xai__view *out = q->in + node->n_in;
  for (int k = 0; k < node->n_in; k++) {
    int v = node->in[k];
    q->in[k] = v < 0 ? xai__absent : p->value[v];
    q->in_static[k] = v < 0 || p->graph->values[v].is_static;
  }
  for (int k = 0; k < node->n_out; k++)
    out[k] = node->out[k] < 0 ? xai__absent : p->value[node->out[k]];
  return (xai__call){node, node->n_in, node->n_out, q->in, out, q->in_static, p->engine, q->err};
}

/* Whether the convolution behind a node (or step) is one of the engine's blocked ones. */
static bool is_blocked_product(const xai__planner *q, const xai__node *node, xai__product *p, int *x) {
  xai__call c = call_of(q, node);
  size_t mark = xai__scratch_mark(q->p->engine);
  xai_error ignored;
  c.err = &ignored;
  *p = (xai__product){0};
  bool is = node->op->product && c.n_out == 1 && !node->op->product(&c, p, x) && p->kind == XAI__CONV &&
            p->w && xai__blocked_serves(p);
  xai__scratch_release(q->p->engine, mark);
  return is;
}

static bool any_blocked(const xai__plan *p, const xai__node *node) {
  for (int k = 0; k < node->n_in; k++)
    if (node->in[k] >= 0 && p->value[node->in[k]].blocked) return true;
  return false;
}

static bool takes_blocked(const layouts *l, const xai__node *node) {
  const xai__op_blocked *b = node->op->blocked;
  if (!b || node->n_out != 1) return false;
  if (!any_blocked(l->q->p, node) && (b->result != XAI__TURNS || !l->liked[node->out[0]])) return false;
  xai__call c = call_of(l->q, node);
  return b->serves(&c);
}

/* Shapes that differ in their channels at most. */
static bool same_planes(const xai__shape *a, const xai__shape *b) {
  for (int i = 0; i < a->rank && a->rank == b->rank; i++)
    if (i != 1 && a->d[i] != b->d[i]) return false;
  return a->rank == b->rank;
}

static void note_readers(layouts *l, const xai__node *node) {
  for (int k = 0; k < node->n_in; k++)
    if (node->in[k] >= 0 && (node->op->blocked || xai__type_is(node, "Conv"))) l->liked[node->in[k]] = true;
}

static void choose(layouts *l, int i) {
  xai__planner *q = l->q;
  xai__plan *p = q->p;
  const xai__node *node = &p->graph->nodes[i];
  int x, out = node->out[0];
  xai__product product;
  if (out < 0 || p->value[out].data || p->value[out].dtype != XAI_F32) return;
  if (!xai__count(&p->value[out].shape)) return;
  if (is_blocked_product(q, node, &product, &x)) {
    p->native[i] = true;
    p->value[out].blocked = !l->pinned[out];
    need_border(l, node->in[x], xai__blocked_border(&product, XAI__PACK_FORWARD));
    if (q->r->reverse) need_border(l, out, xai__blocked_border(&product, XAI__PACK_ADJOINT));
    const int64_t scratch = xai__blocked_scratch(p->engine, &product, q->r->winograd != XAI__DIRECT);
    if (p->scratch < scratch) p->scratch = scratch;
  } else if (!l->pinned[out] && takes_blocked(l, node)) {
    p->native[i] = true;
    p->value[out].blocked = node->op->blocked->result != XAI__TURNS || !any_blocked(p, node);
    for (int k = 0; k < node->n_in && node->op->blocked->result == XAI__ALIKE; k++)
      if (node->in[k] >= 0 && p->value[node->in[k]].blocked &&
          same_planes(&p->value[node->in[k]].shape, &p->value[out].shape))
        tie(l, out, node->in[k]);
  }
}

/* What arrives at a linear step is at the last of the nodes that are folded into it. */
static void need_of_step(layouts *l, const xai__step *s) {
  xai__product product;
  int x;
  if (!l->q->p->native[s->origin] || !is_blocked_product(l->q, &s->node, &product, &x)) return;
  need_border(l, s->node.in[x], xai__blocked_border(&product, XAI__PACK_FORWARD));
  need_border(l, s->node.out[0], xai__blocked_border(&product, XAI__PACK_ADJOINT));
}

int xai__plan_layouts(xai__planner *q) {
  xai__plan *p = q->p;
  const xai__plan_request *r = q->r;
  int n_values = p->graph->n_values;
  size_t n = (size_t)n_values;
  layouts l = {q, xai__plan_new(q, n, 1), xai__plan_new(q, n, 1), xai__plan_new(q, n, sizeof(int)),
               xai__plan_new(q, n, sizeof(int))};
  p->native = xai__plan_new(q, (size_t)p->graph->n_nodes, 1);
  if (!l.pinned || !l.liked || !l.class || !l.border || !p->native) return q->err->status;
  if (r->reverse && !r->reads) return XAI_OK;
  for (int v = 0; v < n_values; v++) l.class[v] = v;
  for (int i = 0; i < r->n_want; i++) l.pinned[r->want[i]] = true;
  for (int i = 0; i < r->n_at; i++) l.pinned[r->at[i]] = true;
  if (r->reverse) l.pinned[r->source] = true;
  for (int i = 0; i < p->n_nodes; i++) note_readers(&l, &p->graph->nodes[p->node[i]]);
  for (int i = 0; i < p->n_nodes; i++) choose(&l, p->node[i]);
  for (int i = 0; i < p->steps.n; i++)
    if (p->steps.v[i].cross == XAI__CROSS_LINEAR) need_of_step(&l, &p->steps.v[i]);
  for (int v = 0; v < n_values; v++)
    if (p->value[v].blocked) p->value[v].blocked = 1 + l.border[class_of(&l, v)];
  return XAI_OK;
}
